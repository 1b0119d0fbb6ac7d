-- Accounts, their keys and what they did: see src/store. Money is in units of 1e-8 of the margin
-- asset, prices in ticks and quantities in lots of their symbol, times in microseconds.

-- How far the rows of each shard's log have been written.
CREATE TABLE resume (
    shard INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    ts INTEGER NOT NULL
);

CREATE TABLE accounts (
    account INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
);

-- Found by the key's hash; key and secret are sealed, so that the file alone opens nothing.
CREATE TABLE api_keys (
    hash BLOB PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts (account),
    sealed BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE listen_keys (
    listen_key TEXT PRIMARY KEY,
    account INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX listen_keys_by_account ON listen_keys (account);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- Open and closed; statuses below 2 are open.
CREATE TABLE orders (
    account INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    id INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    side INTEGER NOT NULL,
    order_type INTEGER NOT NULL,
    time_in_force INTEGER NOT NULL,
    self_trade INTEGER NOT NULL,
    price_match INTEGER NOT NULL,
    position_side INTEGER NOT NULL,
    reduce_only INTEGER NOT NULL,
    status INTEGER NOT NULL,
    price INTEGER NOT NULL,
    qty INTEGER NOT NULL,
    cum_qty INTEGER NOT NULL,
    cum_quote INTEGER NOT NULL,
    good_till INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (account, symbol, id)
) WITHOUT ROWID;

CREATE INDEX orders_by_client_id ON orders (account, symbol, client_id) WHERE client_id <> '';
CREATE INDEX orders_open ON orders (account, symbol, id) WHERE status < 2;

CREATE TABLE amendments (
    account INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    client_id TEXT NOT NULL,
    price_before INTEGER NOT NULL,
    price_after INTEGER NOT NULL,
    qty_before INTEGER NOT NULL,
    qty_after INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    PRIMARY KEY (account, symbol, order_id, id)
) WITHOUT ROWID;

CREATE TABLE fills (
    account INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    trade INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    side INTEGER NOT NULL,
    position_side INTEGER NOT NULL,
    maker INTEGER NOT NULL,
    price INTEGER NOT NULL,
    qty INTEGER NOT NULL,
    quote INTEGER NOT NULL,
    fee INTEGER NOT NULL,
    pnl INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    PRIMARY KEY (account, symbol, trade)
) WITHOUT ROWID;

CREATE TABLE income (
    account INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    id INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    trade INTEGER NOT NULL,
    PRIMARY KEY (account, ts, kind, id)
) WITHOUT ROWID;

-- An account on a symbol: position, reserved sums, settings. NULL: the symbol's own holds.
CREATE TABLE slots (
    account INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    position INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    realized INTEGER NOT NULL,
    reserved_buy INTEGER NOT NULL,
    reserved_sell INTEGER NOT NULL,
    reserved_loss INTEGER NOT NULL,
    reserved_fee INTEGER NOT NULL,
    leverage INTEGER,
    isolated INTEGER NOT NULL,
    maker_fee INTEGER,
    taker_fee INTEGER,
    updated INTEGER NOT NULL,
    PRIMARY KEY (account, symbol)
) WITHOUT ROWID;

-- On the ledger (shard 0) the cash is what is free.
CREATE TABLE cash (
    account INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    cash INTEGER NOT NULL,
    received INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (account, shard)
) WITHOUT ROWID;

CREATE TABLE lent (
    account INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    lent INTEGER NOT NULL,
    PRIMARY KEY (account, shard)
) WITHOUT ROWID;
