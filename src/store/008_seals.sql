-- Deliveries, the registry and pointers to refused records carry sums as the state does. Opening a file for the first
-- time with this version computes those of the rows that it finds; from then on none is NULL.
ALTER TABLE outbox ADD COLUMN sum INTEGER;
ALTER TABLE refused ADD COLUMN sum INTEGER;
ALTER TABLE model ADD COLUMN sum INTEGER;
ALTER TABLE version ADD COLUMN sum INTEGER;
ALTER TABLE reference ADD COLUMN sum INTEGER;
ALTER TABLE stage_change ADD COLUMN sum INTEGER;
