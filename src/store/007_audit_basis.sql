-- The guard that kept an action back and the digest of the decision's inputs, in columns of their own. Where a row has
-- either, its hash covers both; rows of earlier versions have neither, and their hashes stand as they are.
ALTER TABLE audit ADD COLUMN guard TEXT;
ALTER TABLE audit ADD COLUMN inputs TEXT;
