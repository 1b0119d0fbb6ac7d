-- What positions have paid each other: see src/store/fundings.rs.

CREATE TABLE fundings (
    symbol INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    rate INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (symbol, ts)
) WITHOUT ROWID;

CREATE INDEX fundings_by_time ON fundings (ts, symbol);

-- The index has stayed away: while that is so, trading only reduces.
ALTER TABLE symbols ADD COLUMN index_stale INTEGER NOT NULL DEFAULT 0;
