-- Written by the checkpoint: one transaction per checkpoint. Times are milliseconds since the Unix epoch.

CREATE TABLE subject (
    id      INTEGER PRIMARY KEY,
    model   TEXT NOT NULL,
    version TEXT NOT NULL,
    segment TEXT
) STRICT;

-- A row per pane and subject, ordered by pane: the panes that change are neighbours, and so are those that leave.
CREATE TABLE pane (
    id        INTEGER PRIMARY KEY,
    pane      INTEGER NOT NULL,
    subject   INTEGER NOT NULL REFERENCES subject (id),
    reference TEXT NOT NULL,
    counts    BLOB NOT NULL,
    UNIQUE (pane, subject)
) STRICT;

CREATE TABLE position (
    topic            TEXT NOT NULL,
    partition        INTEGER NOT NULL,
    next_offset      INTEGER NOT NULL,
    max_event_time   INTEGER,
    last_record_hash INTEGER, -- the 64 bits of the hash, read as a signed number
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE document (
    name TEXT PRIMARY KEY,
    json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Deliveries in the order in which they were decided. A row is never deleted, so that its key stays unique;
-- the payload is dropped once it was delivered. `held` is kept for actions that wait for an approval.
CREATE TABLE outbox (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    key              TEXT NOT NULL,
    target           TEXT NOT NULL,
    class            TEXT NOT NULL CHECK (class IN ('notification', 'action')),
    flow             TEXT NOT NULL, -- rows of one flow reach a target in order
    state            TEXT NOT NULL DEFAULT 'pending' CHECK (state IN
                     ('pending', 'inflight', 'delivered', 'dead', 'expired', 'unknown', 'held')),
    attempt          INTEGER NOT NULL DEFAULT 0,
    next_at          INTEGER NOT NULL DEFAULT 0,
    expires_at       INTEGER,
    decided_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    first_attempt_at INTEGER,
    settled_at       INTEGER,
    last_error       TEXT,
    payload          TEXT,
    UNIQUE (key, target)
) STRICT;
CREATE INDEX outbox_open ON outbox (target, flow, id) WHERE state IN ('pending', 'inflight');
CREATE INDEX outbox_state ON outbox (state, id);

-- Pointers to refused records, bounded; `sent` once the dead-letter topic has them.
CREATE TABLE refused (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    topic     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    detail    TEXT NOT NULL,
    state     TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent'))
) STRICT;
CREATE INDEX refused_pending ON refused (id) WHERE state = 'pending';

-- Counters of what was dropped for want of space.
CREATE TABLE dropped (
    what  TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    what   TEXT NOT NULL,
    key    TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
