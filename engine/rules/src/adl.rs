//! Who is deleveraged first: those who have won most, with the most leverage.

use crate::{Position, liquidation::Solvency, money::value};
use protocol::{RATE_ONE, Ticks};

/// Bound of the two factors of a rank, so that their product fits.
const FACTOR_MAX: i128 = 1 << 60;

/// A position's place in the queue: the higher the sooner. `None`: it stands outside, having no
/// position or nothing left behind it.
///
/// Profit is what the mark has made of the entry value, leverage the position's value to its share
/// of the pool's equity, both in units of 1e-8 and truncated; a profit counts the more with
/// leverage, a loss the less: `profit * leverage` or `profit / leverage`.
pub fn rank(
    position: &Position,
    mark: Ticks,
    mult: i64,
    maintenance: i128,
    pool: &Solvency,
) -> Option<i128> {
    let share = share_of(maintenance, pool)?;
    let worth = value(mark, position.qty, mult).abs();
    if position.qty == 0 || position.entry == 0 || share <= 0 {
        return None;
    }
    let one = i128::from(RATE_ONE);
    let factor = |dividend: i128, divisor: i128| {
        let exact = dividend.checked_mul(one).map(|dividend| dividend / divisor);
        let bound = if dividend < 0 { -FACTOR_MAX } else { FACTOR_MAX };
        exact.unwrap_or(bound).clamp(-FACTOR_MAX, FACTOR_MAX)
    };
    let profit = factor(position.pnl(mark, mult), i128::from(position.entry.abs()));
    let leverage = factor(worth, share).max(1);
    Some(match profit > 0 {
        true => profit * leverage / one,
        false => profit * one / leverage,
    })
}

/// A position's share of its pool's equity, by its part of the maintenance margin; rounded down.
pub fn share_of(maintenance: i128, pool: &Solvency) -> Option<i128> {
    if pool.maintenance <= 0 {
        return None;
    }
    Some(pool.equity.checked_mul(maintenance)?.div_euclid(pool.maintenance))
}
