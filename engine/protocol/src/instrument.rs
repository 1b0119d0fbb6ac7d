//! What a symbol is: its units, its filters, its fees and its leverage brackets.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::{
    Cash, Lots, Micros, Name, Rate, ShardId, SymbolId, Ticks, limits::BRACKETS_MAX,
    order::SymbolState,
};

/// A symbol as listed: engines decide with it, gateways show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SymbolSpec {
    pub symbol: SymbolId,
    pub shard: ShardId,
    pub state: SymbolState,
    /// Decimals shown for a price and for a quantity.
    pub price_decimals: u8,
    pub qty_decimals: u8,
    /// Leverage of an account that has not chosen one.
    pub default_leverage: u8,
    pub funding_interval_hours: u8,
    pub name: Name<24>,
    pub base: Name<16>,
    pub quote: Name<16>,
    /// One tick in quote units of 1e-8; one lot in base units of 1e-8.
    pub tick_e8: i64,
    pub lot_e8: i64,
    /// Value of one tick times one lot in cash units: `tick_e8 * lot_e8 / 1e8`, exact, >= 1.
    pub mult: i64,
    pub price_min: Ticks,
    pub price_max: Ticks,
    pub qty_min: Lots,
    pub qty_max: Lots,
    pub market_qty_max: Lots,
    pub notional_min: Cash,
    /// A buy's limit is at most `mark * band_up`, a sell's at least `mark * band_down`.
    pub band_up: Rate,
    pub band_down: Rate,
    /// How far from the mark a market order may fill.
    pub market_bound: Rate,
    pub trigger_protect: Rate,
    pub liquidation_fee: Rate,
    /// Fees of an account without rates of its own; a negative maker fee is a rebate.
    pub maker_fee: Rate,
    pub taker_fee: Rate,
    pub listed_at: Micros,
}

/// One leverage bracket: from `floor` (exclusive) to `cap` of position value.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Bracket {
    pub floor: Cash,
    pub cap: Cash,
    /// Maintenance margin rate in 1e-8.
    pub maintenance: u32,
    pub max_leverage: u32,
}

/// The brackets of a symbol, ascending and gapless; the first `count` rows count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Brackets {
    pub symbol: SymbolId,
    pub count: u16,
    pub _pad: u32,
    pub rows: [Bracket; BRACKETS_MAX],
}
