//! How far beyond the mark a position may be closed, so that nobody loses more than is his.
//!
//! Without this bound a trader could close against a second account of his own far beyond the
//! mark: one would win what the other does not have, and the insurance fund would pay it.

use protocol::{Lots, Rate, Ticks, limits::FILLS_MAX};

use crate::{
    Position,
    fees::fee,
    liquidation::{Solvency, bankruptcy_price},
    money::{div_ceil, value},
};

/// A position that is to be closed, in whole or in part, and what backs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    pub position: Position,
    pub mark: Ticks,
    pub mult: i64,
    /// The position's part of the pool's maintenance margin.
    pub maintenance: i128,
    /// Of the account's cross positions, or of an isolated position alone.
    pub pool: Solvency,
    pub taker_fee: Rate,
}

impl Closing {
    /// True when closing all at `price` costs no more than the position's share of the equity less
    /// a taker's fee, or nothing against the mark.
    pub fn affords(&self, price: Ticks) -> bool {
        let loss = self.loss(price);
        if loss <= 0 {
            return true;
        }
        let share = self.left(price).checked_mul(self.maintenance);
        let lost = loss.checked_mul(self.pool.maintenance);
        matches!((lost, share), (Some(lost), Some(share)) if lost <= share)
    }

    /// The price that a limit at `price` is cut to: `price` itself where it is affordable, else
    /// the further of the mark and the bankruptcy price of the equity less the fee at `price`.
    pub fn bound(&self, price: Ticks) -> Ticks {
        if self.affords(price) {
            return price;
        }
        let pool = Solvency { equity: self.left(price), ..self.pool };
        let bankrupt =
            bankruptcy_price(&self.position, self.mark, self.mult, self.maintenance, &pool);
        let mark = i128::from(self.mark);
        let bound = bankrupt.map_or(mark, |bankrupt| match self.position.qty > 0 {
            true => bankrupt.clamp(price.into(), mark),
            false => bankrupt.clamp(mark, price.into()),
        });
        // between two prices
        bound as Ticks
    }

    /// What the equity lacks for a close at `price`; at the most `i64::MAX`.
    pub fn lacking(&self, price: Ticks) -> i64 {
        if self.affords(price) {
            return 0;
        }
        let needed = self
            .loss(price)
            .checked_mul(self.pool.maintenance)
            .filter(|_| self.maintenance > 0)
            .map(|needed| div_ceil(needed, self.maintenance) - self.left(price));
        needed.and_then(|needed| i64::try_from(needed).ok()).unwrap_or(i64::MAX)
    }

    /// Against the mark, by closing all at `price`.
    fn loss(&self, price: Ticks) -> i128 {
        value(self.mark - price, self.position.qty, self.mult)
    }

    /// The equity less the fee of closing all, at `price` or dearer. Each fill's fee is rounded up
    /// by less than a unit.
    fn left(&self, price: Ticks) -> i128 {
        let lots = self.position.qty.abs();
        let fills: Lots = lots.min(FILLS_MAX.into());
        let dearest = value(price.max(self.mark), lots, self.mult);
        self.pool.equity - fee(dearest, self.taker_fee) - i128::from(fills)
    }
}
