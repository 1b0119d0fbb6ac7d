-- Legs of positions, isolated wallets and position modes. Units as in 0001.

-- An account on a symbol (position side 0) or on a leg of it: position, its isolated wallet,
-- reserved sums. Settings stand with position side 0; NULL: the symbol's own holds.
CREATE TABLE legs (
    account INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    position_side INTEGER NOT NULL,
    position INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    wallet INTEGER NOT NULL,
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
    PRIMARY KEY (account, symbol, position_side)
) WITHOUT ROWID;

INSERT INTO legs
SELECT account, symbol, 0, position, entry, 0, realized, reserved_buy, reserved_sell,
    reserved_loss, reserved_fee, leverage, isolated, maker_fee, taker_fee, updated
FROM slots;

DROP TABLE slots;
ALTER TABLE legs RENAME TO slots;

-- Accounts that ever changed their position mode.
CREATE TABLE position_modes (
    account INTEGER PRIMARY KEY,
    hedge INTEGER NOT NULL
);

-- Margin that went into isolated wallets, or out of them (negative).
CREATE TABLE margin_moves (
    account INTEGER NOT NULL,
    symbol INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    id INTEGER NOT NULL,
    position_side INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (account, symbol, ts, id)
) WITHOUT ROWID;
