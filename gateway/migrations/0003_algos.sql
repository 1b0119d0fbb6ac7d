-- Conditional orders, and what the orders born of them remember: see src/store/algo.rs. Units as
-- in 0001; rates in units of 1e-8.

-- Waiting, fired and over; statuses below 3 are not over.
CREATE TABLE algos (
    account INTEGER NOT NULL,
    id INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    side INTEGER NOT NULL,
    algo_type INTEGER NOT NULL,
    time_in_force INTEGER NOT NULL,
    self_trade INTEGER NOT NULL,
    price_match INTEGER NOT NULL,
    position_side INTEGER NOT NULL,
    working_type INTEGER NOT NULL,
    reduce_only INTEGER NOT NULL,
    close_position INTEGER NOT NULL,
    price_protect INTEGER NOT NULL,
    price INTEGER NOT NULL,
    qty INTEGER NOT NULL,
    trigger_price INTEGER NOT NULL,
    activate_price INTEGER NOT NULL,
    callback INTEGER NOT NULL,
    good_till INTEGER NOT NULL,
    status INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    reject INTEGER NOT NULL,
    activated INTEGER NOT NULL,
    cum_qty INTEGER NOT NULL,
    cum_quote INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    triggered INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) WITHOUT ROWID;

CREATE INDEX algos_by_symbol ON algos (account, symbol, id);
CREATE INDEX algos_by_client_id ON algos (account, client_id) WHERE client_id <> '';
CREATE INDEX algos_live ON algos (account, id) WHERE status < 3;

-- NULL: the order was placed as it is.
ALTER TABLE orders ADD COLUMN algo INTEGER;
ALTER TABLE orders ADD COLUMN algo_type INTEGER;
ALTER TABLE orders ADD COLUMN trigger_price INTEGER;
ALTER TABLE orders ADD COLUMN activate_price INTEGER;
ALTER TABLE orders ADD COLUMN callback INTEGER;
ALTER TABLE orders ADD COLUMN working_type INTEGER;
ALTER TABLE orders ADD COLUMN close_position INTEGER;
ALTER TABLE orders ADD COLUMN price_protect INTEGER;
