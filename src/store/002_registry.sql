-- Models, versions, stages and references.
CREATE TABLE model (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE version (
    model TEXT NOT NULL REFERENCES model (name),
    version TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT 'none' CHECK (stage IN ('none', 'staging', 'production', 'archived')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (model, version)
) STRICT;

CREATE UNIQUE INDEX one_production_version ON version (model) WHERE stage = 'production';

CREATE TABLE reference (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    added_at INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    columns INTEGER NOT NULL,
    dataset TEXT NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    FOREIGN KEY (model, version) REFERENCES version (model, version)
) STRICT;

CREATE UNIQUE INDEX one_active_reference ON reference (model, version) WHERE active = 1;

CREATE TABLE stage_change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    from_stage TEXT NOT NULL,
    to_stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    FOREIGN KEY (model, version) REFERENCES version (model, version)
) STRICT;

-- One row; raised by every change above, so that a running daemon notices.
CREATE TABLE registry_revision (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO registry_revision VALUES (1, 0);
