//! Where a position stops being safe: the price shown to its owner, and the price at which
//! closing it takes the account's last cash.

use protocol::{RATE_ONE, Ticks};

use crate::{
    BracketTable, Position,
    money::{div_ceil, div_floor},
};

/// What stands behind a cross position besides itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backing {
    /// Cash of the account, over all shards when it is for display.
    pub cash: i128,
    /// Unrealised profit of its other cross positions.
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
    let free = backing.cash + backing.other_pnl - backing.other_maintenance - position.entry;
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

/// What an account is worth and must keep, over its cross positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solvency {
    pub equity: i128,
    pub maintenance: i128,
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
