-- Each row of the audit trail is chained to the one before it: SHA-256 over that hash and the row. Rows of earlier
-- versions have none; the first row after them is chained to the digest of them all.
ALTER TABLE audit ADD COLUMN hash TEXT;
