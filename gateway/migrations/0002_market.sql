-- What a gateway shows of markets: see src/store/market.rs.

CREATE TABLE symbols (
    symbol INTEGER PRIMARY KEY,
    spec BLOB NOT NULL,
    brackets BLOB
);

CREATE TABLE markets (
    symbol INTEGER PRIMARY KEY,
    book_update INTEGER NOT NULL,
    book_ts INTEGER NOT NULL,
    interest INTEGER NOT NULL,
    mark_ts INTEGER,
    mark INTEGER,
    index_e8 INTEGER,
    funding_rate INTEGER,
    next_funding INTEGER
);

CREATE TABLE trades (
    symbol INTEGER NOT NULL,
    id INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    price INTEGER NOT NULL,
    qty INTEGER NOT NULL,
    quote TEXT NOT NULL,
    taker_sells INTEGER NOT NULL,
    taker INTEGER NOT NULL,
    PRIMARY KEY (symbol, id)
) WITHOUT ROWID;

CREATE INDEX trades_by_time ON trades (symbol, ts);

CREATE TABLE bars (
    symbol INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    interval INTEGER NOT NULL,
    open_ms INTEGER NOT NULL,
    open INTEGER NOT NULL,
    high INTEGER NOT NULL,
    low INTEGER NOT NULL,
    close INTEGER NOT NULL,
    count INTEGER NOT NULL,
    volume INTEGER NOT NULL,
    quote TEXT NOT NULL,
    taker_volume INTEGER NOT NULL,
    taker_quote TEXT NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    PRIMARY KEY (symbol, kind, interval, open_ms)
) WITHOUT ROWID;

CREATE TABLE filling_bars (
    symbol INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    open_ms INTEGER NOT NULL,
    open INTEGER NOT NULL,
    high INTEGER NOT NULL,
    low INTEGER NOT NULL,
    close INTEGER NOT NULL,
    count INTEGER NOT NULL,
    volume INTEGER NOT NULL,
    quote TEXT NOT NULL,
    taker_volume INTEGER NOT NULL,
    taker_quote TEXT NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    PRIMARY KEY (symbol, kind)
) WITHOUT ROWID;
