-- What may make room when the outbox is full: an update of an alert group, which a newer one replaces. Firing and
-- resolved never do. Settled rows leave after `deliver.keep_settled`; what left is counted in `dropped`.
ALTER TABLE outbox ADD COLUMN replaceable INTEGER NOT NULL DEFAULT 0 CHECK (replaceable IN (0, 1));
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX outbox_replaceable ON outbox (target, flow, id) WHERE replaceable = 1 AND state = 'pending';
