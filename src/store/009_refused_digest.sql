-- A pointer to a refused record says how long its payload was and what its SHA-256 is; those of earlier versions do not.
ALTER TABLE refused ADD COLUMN size INTEGER;
ALTER TABLE refused ADD COLUMN sha256 TEXT;
