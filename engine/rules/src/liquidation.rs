//! Where a position stops being safe: the price shown to its owner, and the price at which
//! closing it takes the account's last cash.

use protocol::{
    Lots, RATE_ONE, Rate, Ticks,
    limits::{LIQUIDATION_LARGE, LIQUIDATION_PARTS, LIQUIDATION_TAKEOVER, PRICE_MAX},
    order::Side,
};

use crate::{
    BracketTable, Position,
    money::{div_ceil, div_floor, share_ceil, value},
};

/// What stands behind a position besides itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backing {
    /// Of an isolated position its wallet. Of a cross one the account's cash less all isolated
    /// wallets, over all shards when it is for display.
    pub cash: i128,
    /// Unrealised profit of its other cross positions; none is behind an isolated one.
    pub other_pnl: i128,
    /// Their maintenance margin.
    pub other_maintenance: i128,
}

/// The mark at which the account comes due if only this symbol's mark moves: a long's is rounded
/// up to the tick, a short's down. `None`: no price above 0 does it.
///
/// Solves `cash + other_pnl + q*p*mult - E = other_mm + |q|*p*mult*mmr - cum` in each bracket and
/// takes the root that lies in its own bracket.
pub fn liquidation_price(
    position: &Position,
    backing: &Backing,
    brackets: &BracketTable,
    mult: i64,
) -> Option<Ticks> {
    if position.qty == 0 {
        return None;
    }
    let one = i128::from(RATE_ONE);
    let side = i128::from(position.qty.signum());
    let free =
        backing.cash + backing.other_pnl - backing.other_maintenance - i128::from(position.entry);
    let lots = i128::from(position.qty.abs()) * i128::from(mult);
    let last = brackets.rows().len() - 1;
    (0..=last).find_map(|i| {
        let (rate, cum) = brackets.terms(i);
        // value at the root = numerator / denominator
        let (numerator, denominator) = match side {
            1 => (-(free.checked_mul(one)? + cum), one - rate),
            _ => (free.checked_mul(one)? + cum, one + rate),
        };
        if numerator <= 0 || denominator <= 0 {
            return None;
        }
        let row = &brackets.rows()[i];
        let above_floor = i == 0 || numerator > i128::from(row.floor) * denominator;
        let within_cap = i == last || numerator <= i128::from(row.cap) * denominator;
        if !above_floor || !within_cap {
            return None;
        }
        let price = match side {
            1 => div_ceil(numerator, denominator * lots),
            _ => div_floor(numerator, denominator * lots),
        };
        Ticks::try_from(price).ok().filter(|ticks| *ticks > 0)
    })
}

/// The one price of two cross legs, as of [`liquidation_price`]; of a symbol with one leg it is
/// that leg's.
///
/// Solves `cash + other_pnl + (l - s)*p*mult - E_l - E_s = other_mm + (l*m_l + s*m_s)*p*mult -
/// cum_l - cum_s` for each pair of brackets. What is left after maintenance is concave in the
/// price, so it may vanish on both sides of the mark: the nearer price is the one shown. It is
/// rounded up where the account comes due below it, else down.
pub fn legs_liquidation_price(
    long: &Position,
    short: &Position,
    mark: Ticks,
    backing: &Backing,
    brackets: &BracketTable,
    mult: i64,
) -> Option<Ticks> {
    if short.qty == 0 {
        return liquidation_price(long, backing, brackets, mult);
    }
    if long.qty == 0 {
        return liquidation_price(short, backing, brackets, mult);
    }
    let rows = 0..brackets.rows().len();
    let pairs =
        rows.clone().flat_map(|of_long| rows.clone().map(move |of_short| (of_long, of_short)));
    let roots = pairs.filter_map(|pair| legs_root(long, short, backing, brackets, mult, pair));
    roots.min_by_key(|price| (price - mark).abs())
}

/// The root that lies in this pair of brackets, rounded to the tick.
fn legs_root(
    long: &Position,
    short: &Position,
    backing: &Backing,
    brackets: &BracketTable,
    mult: i64,
    (of_long, of_short): (usize, usize),
) -> Option<Ticks> {
    let one = i128::from(RATE_ONE);
    let [(rate_long, cum_long), (rate_short, cum_short)] =
        [of_long, of_short].map(|bracket| brackets.terms(bracket));
    let (longs, shorts) = (i128::from(long.qty), -i128::from(short.qty));
    let free = backing.cash + backing.other_pnl
        - backing.other_maintenance
        - i128::from(long.entry)
        - i128::from(short.entry);
    // price * mult at the root = numerator / denominator
    let numerator = free.checked_mul(one)? + cum_long + cum_short;
    let denominator = shorts * (one + rate_short) - longs * (one - rate_long);
    let due_below = denominator < 0;
    let (numerator, denominator) =
        if due_below { (-numerator, -denominator) } else { (numerator, denominator) };
    if numerator <= 0 || denominator == 0 {
        return None;
    }
    let within = |lots: i128, bracket: usize| {
        let row = &brackets.rows()[bracket];
        let value = lots.checked_mul(numerator)?;
        let above_floor = bracket == 0 || value > denominator.checked_mul(row.floor.into())?;
        let last = bracket + 1 == brackets.rows().len();
        let within_cap = last || value <= denominator.checked_mul(row.cap.into())?;
        Some(above_floor && within_cap)
    };
    if !within(longs, of_long)? || !within(shorts, of_short)? {
        return None;
    }
    let divisor = denominator.checked_mul(mult.into())?;
    let price = match due_below {
        true => div_ceil(numerator, divisor),
        false => div_floor(numerator, divisor),
    };
    Ticks::try_from(price).ok().filter(|ticks| *ticks > 0)
}

/// What an account is worth and must keep over its cross positions, or an isolated position alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solvency {
    pub equity: i128,
    pub maintenance: i128,
}

impl Solvency {
    /// It is worth no more than its positions must keep; without any, it owes.
    pub const fn is_due(&self) -> bool {
        match self.maintenance > 0 {
            true => self.equity <= self.maintenance,
            false => self.equity < 0,
        }
    }

    /// It is worth so little that the book would take too long.
    pub const fn is_lost(&self) -> bool {
        self.equity * LIQUIDATION_TAKEOVER.1 < self.maintenance * LIQUIDATION_TAKEOVER.0
    }
}

/// What of a position is to be closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    pub lots: Lots,
    /// The position is large: the next part is for the next mark.
    pub large: bool,
}

/// Of a position above the first bracket what brings it down to the one below; else all of it, or
/// a part when it is large.
pub fn portion(position: &Position, mark: Ticks, mult: i64, brackets: &BracketTable) -> Portion {
    let held = position.qty.abs();
    let worth = value(mark, held, mult);
    let bracket = brackets.bracket_of(worth);
    if bracket > 0 {
        let floor = i128::from(brackets.rows()[bracket].floor);
        // of a position of more value, so it is less than what is held
        let kept = div_floor(floor, value(mark, 1, mult)) as Lots;
        return Portion { lots: held - kept, large: false };
    }
    let large = worth > LIQUIDATION_LARGE;
    let parts = if large { LIQUIDATION_PARTS } else { 1 };
    Portion { lots: (held + parts - 1) / parts, large }
}

/// The fee of a liquidation that got `quote` for `lots`: `ceil(quote * rate)`, and no more than
/// what it got better than the bankruptcy price.
pub fn liquidation_fee(
    side: Side,
    (quote, lots): (i128, Lots),
    bankruptcy: Ticks,
    mult: i64,
    rate: Rate,
) -> i128 {
    let better = i128::from(side.sign()) * (value(bankruptcy, lots, mult) - quote);
    share_ceil(quote, rate).min(better).max(0)
}

/// The price of orders that close a bankrupt position: [`bankruptcy_price`] within what prices
/// can be.
pub fn closing_price(bankruptcy: i128) -> Ticks {
    bankruptcy.clamp(1, PRICE_MAX.into()) as Ticks
}

/// `mark - side * share / (|q| * mult)` with the position's share of the equity by its part of
/// the maintenance margin; a long's is rounded up, a short's down, so that a close at it never
/// leaves the account negative. `None` without a position, without maintenance margin, or when
/// the figures are beyond i128.
pub fn bankruptcy_price(
    position: &Position,
    mark: Ticks,
    mult: i64,
    maintenance: i128,
    account: &Solvency,
) -> Option<i128> {
    if position.qty == 0 || account.maintenance <= 0 {
        return None;
    }
    let share = account.equity.checked_mul(maintenance)?;
    let lots = i128::from(position.qty.abs()) * i128::from(mult);
    let divisor = account.maintenance.checked_mul(lots)?;
    let mark = i128::from(mark);
    Some(match position.qty > 0 {
        true => mark - div_floor(share, divisor),
        false => mark + div_floor(share, divisor),
    })
}
