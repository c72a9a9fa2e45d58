-- Who decided, or gave the order.
ALTER TABLE audit ADD COLUMN actor TEXT NOT NULL DEFAULT 'anchorwatch';
