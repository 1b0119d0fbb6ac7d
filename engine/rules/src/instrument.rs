//! What makes an instrument consistent, and prices derived from its specification.

use protocol::{
    RATE_ONE, ShardId, Ticks,
    instrument::SymbolSpec,
    limits::{LEVERAGE_MAX, NOTIONAL_MAX, PRICE_MAX, QTY_MAX},
    order::Side,
};

use crate::{
    fees,
    money::{div_ceil, div_floor},
};

/// Highest band and bound multiplier a listing may have.
pub const BAND_MAX: i64 = 100 * RATE_ONE;
/// Most decimals that a price or a quantity can be shown with.
pub const DECIMALS_MAX: u8 = 8;

/// True when a specification contradicts neither itself nor the limits of the arithmetic.
pub fn is_valid(spec: &SymbolSpec) -> bool {
    let named = !spec.symbol.is_none()
        && spec.shard != ShardId::LEDGER
        && !spec.name.is_empty()
        && !spec.base.is_empty()
        && !spec.quote.is_empty();
    let units = spec.tick_e8 >= 1
        && spec.lot_e8 >= 1
        && spec.mult >= 1
        && i128::from(spec.tick_e8) * i128::from(spec.lot_e8)
            == i128::from(spec.mult) * i128::from(RATE_ONE)
        && spec.price_decimals <= DECIMALS_MAX
        && spec.qty_decimals <= DECIMALS_MAX;
    let prices = 1 <= spec.price_min
        && spec.price_min <= spec.price_max
        && spec.price_max <= PRICE_MAX
        && i128::from(spec.price_max) * i128::from(spec.mult) <= i128::from(NOTIONAL_MAX);
    let quantities = 1 <= spec.qty_min
        && spec.qty_min <= spec.qty_max
        && spec.qty_max <= QTY_MAX
        && (spec.qty_min..=QTY_MAX).contains(&spec.market_qty_max)
        && (0..=NOTIONAL_MAX).contains(&spec.notional_min);
    let bands = (RATE_ONE..=BAND_MAX).contains(&spec.band_up)
        && (0..=RATE_ONE).contains(&spec.band_down)
        && (0..=BAND_MAX).contains(&spec.market_bound)
        && (0..=RATE_ONE).contains(&spec.trigger_protect)
        && (0..=RATE_ONE).contains(&spec.liquidation_fee);
    let terms = (1..=LEVERAGE_MAX).contains(&spec.default_leverage)
        && spec.funding_interval_hours >= 1
        && fees::are_valid(spec.maker_fee, spec.taker_fee);
    named && units && prices && quantities && bands && terms
}

/// True when `new` may replace `old`: what positions and prices are counted in stays.
pub fn may_replace(old: &SymbolSpec, new: &SymbolSpec) -> bool {
    old.symbol == new.symbol
        && old.tick_e8 == new.tick_e8
        && old.lot_e8 == new.lot_e8
        && old.mult == new.mult
        && old.name == new.name
        && old.quote == new.quote
}

/// A price in quote units of 1e-8 rounded to the nearest tick, halves up; `None` outside
/// `1..=PRICE_MAX`.
pub fn to_ticks(price_e8: i64, tick_e8: i64) -> Option<Ticks> {
    let tick = i128::from(tick_e8);
    let rounded = div_floor(2 * i128::from(price_e8) + tick, 2 * tick);
    Ticks::try_from(rounded).ok().filter(|ticks| (1..=PRICE_MAX).contains(ticks))
}

/// The worst price a market order may trade at, rounded towards the mark.
pub fn market_limit(spec: &SymbolSpec, side: Side, mark: Ticks) -> Ticks {
    let (one, bound) = (i128::from(RATE_ONE), i128::from(spec.market_bound));
    let mark = i128::from(mark);
    let limit = match side {
        Side::Buy => div_floor(mark * (one + bound), one),
        Side::Sell => div_ceil(mark * (one - bound), one),
    };
    limit.clamp(i128::from(spec.price_min), i128::from(spec.price_max)) as Ticks
}

/// A buy's price is at most `mark * band_up`, compared without rounding.
pub fn is_above_band(spec: &SymbolSpec, price: Ticks, mark: Ticks) -> bool {
    i128::from(price) * i128::from(RATE_ONE) > i128::from(mark) * i128::from(spec.band_up)
}

/// A sell's price is at least `mark * band_down`, compared without rounding.
pub fn is_below_band(spec: &SymbolSpec, price: Ticks, mark: Ticks) -> bool {
    i128::from(price) * i128::from(RATE_ONE) < i128::from(mark) * i128::from(spec.band_down)
}
