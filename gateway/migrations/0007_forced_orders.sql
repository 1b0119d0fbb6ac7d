-- Who wanted an order; 0: its account's owner.
ALTER TABLE orders ADD COLUMN wanted_by INTEGER NOT NULL DEFAULT 0;

CREATE INDEX orders_forced ON orders (account, created) WHERE wanted_by > 0;
