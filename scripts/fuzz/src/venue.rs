//! A small venue that bytes are thrown at: two symbols, tight limits.

use protocol::{
    Command, Name, ShardId, SymbolId,
    command::{IndexPrice, IndexPrices},
    instrument::{Bracket, Brackets, SymbolSpec},
    limits::{BRACKETS_MAX, INDEX_PRICES_MAX},
    order::SymbolState,
};

/// Names its symbols by number, from 1.
const NAMES: [&str; 2] = ["ONEUSDT", "TWOUSDT"];

pub fn spec(symbol: u16) -> SymbolSpec {
    SymbolSpec {
        symbol: SymbolId(symbol),
        shard: ShardId(1),
        state: SymbolState::Trading,
        price_decimals: 1,
        qty_decimals: 3,
        default_leverage: 20,
        funding_interval_hours: 8,
        name: Name::new(NAMES[usize::from(symbol) - 1]).unwrap_or_default(),
        base: Name::new("BASE").unwrap_or_default(),
        quote: Name::new("USDT").unwrap_or_default(),
        tick_e8: 10_000_000,
        lot_e8: 100_000,
        mult: 10_000,
        price_min: 1,
        price_max: 10_000,
        qty_min: 1,
        qty_max: 100_000,
        market_qty_max: 50_000,
        notional_min: 10_000,
        band_up: 115_000_000,
        band_down: 85_000_000,
        market_bound: 5_000_000,
        trigger_protect: 5_000_000,
        liquidation_fee: 1_000_000,
        maker_fee: if symbol == 1 { 20_000 } else { -10_000 },
        taker_fee: 50_000,
        listed_at: 0,
    }
}

pub fn brackets(symbol: u16) -> Brackets {
    let rows_of =
        [(0, 400_000, 125), (50_000_000_000, 1_000_000, 50), (900_000_000_000, 4_000_000, 20)];
    let mut rows = [Bracket::default(); BRACKETS_MAX];
    for (n, (floor, maintenance, max_leverage)) in rows_of.into_iter().enumerate() {
        let cap = rows_of.get(n + 1).map_or(90_000_000_000_000, |(next, ..)| *next);
        rows[n] = Bracket { floor, cap, maintenance, max_leverage };
    }
    Brackets { symbol: SymbolId(symbol), count: rows_of.len() as u16, _pad: 0, rows }
}

/// The index of both symbols, in ticks.
pub fn index(ticks: [i64; 2]) -> Command {
    let blank = IndexPrice { symbol: SymbolId::NONE, _pad: [0; 6], price_e8: 0 };
    let mut rows = [blank; INDEX_PRICES_MAX];
    for (row, (symbol, ticks)) in rows.iter_mut().zip((1..).zip(ticks)) {
        *row = IndexPrice { symbol: SymbolId(symbol), price_e8: ticks * 10_000_000, ..blank };
    }
    Command::IndexPrices(IndexPrices { count: 2, _pad: [0; 6], rows })
}
