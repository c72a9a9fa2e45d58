-- A start asks for the references and the changes of stage of each version: with thousands of them that must not be a
-- look through all.
CREATE INDEX IF NOT EXISTS reference_of_version ON reference (model, version);
CREATE INDEX IF NOT EXISTS stage_change_of_model ON stage_change (model, sequence);
