-- SQLite notices pages that contradict each other, not a count that rotted: each row of the state carries a sum of its
-- own content. NULL in rows that were written before.
ALTER TABLE subject ADD COLUMN sum INTEGER;
ALTER TABLE pane ADD COLUMN sum INTEGER;
ALTER TABLE position ADD COLUMN sum INTEGER;
ALTER TABLE document ADD COLUMN sum INTEGER;
