//! What an order holds back, fixed when it is accepted or amended and never re-marked.

use protocol::{Cash, Lots, Rate, Ticks, order::Side};

use crate::money::{cash, share_ceil, value};

/// The two prices an order is reserved at, and its fee rate, as of its accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderTerms {
    /// What a lot is assumed to cost.
    pub assumed: Ticks,
    /// What a lot loses against the mark when it fills.
    pub loss: Ticks,
    pub taker_fee: Rate,
}

/// The amounts an order holds back now; buy and sell value are never both set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    pub buy: Cash,
    pub sell: Cash,
    pub loss: Cash,
    pub fee: Cash,
}

impl OrderTerms {
    /// Of an order that fills at `limit` at the worst; `best_bid` 0: there is none.
    ///
    /// A sell may fill above its limit, so it is assumed at the dearest it can meet.
    pub fn new(side: Side, limit: Ticks, mark: Ticks, best_bid: Ticks, taker_fee: Rate) -> Self {
        match side {
            Side::Buy => Self { assumed: limit, loss: (limit - mark).max(0), taker_fee },
            Side::Sell => {
                let assumed = limit.max(mark).max(best_bid);
                Self { assumed, loss: (mark - limit).max(0), taker_fee }
            }
        }
    }

    /// By how much what is held back changes when `by` lots come to what is left, which is `now`
    /// lots then; negative: when they go.
    pub fn change(&self, side: Side, now: Lots, by: Lots, mult: i64) -> Reservation {
        let assumed = cash(value(self.assumed, by, mult));
        let fee = |value: Cash| share_ceil(value.into(), self.taker_fee);
        // most orders come and go as a whole
        let fee = if now == by {
            fee(assumed)
        } else if now == 0 {
            -fee(-assumed)
        } else {
            let after = cash(value(self.assumed, now, mult));
            fee(after) - fee(after - assumed)
        };
        let loss = if self.loss == 0 { 0 } else { cash(value(self.loss, by, mult)) };
        let fee = cash(fee);
        match side {
            Side::Buy => Reservation { buy: assumed, sell: 0, loss, fee },
            Side::Sell => Reservation { buy: 0, sell: assumed, loss, fee },
        }
    }

    /// What is held back for `remaining` lots.
    pub fn reserve(&self, side: Side, remaining: Lots, mult: i64) -> Reservation {
        let assumed = cash(value(self.assumed, remaining, mult));
        let loss = if self.loss == 0 { 0 } else { cash(value(self.loss, remaining, mult)) };
        let fee = cash(share_ceil(assumed.into(), self.taker_fee));
        match side {
            Side::Buy => Reservation { buy: assumed, sell: 0, loss, fee },
            Side::Sell => Reservation { buy: 0, sell: assumed, loss, fee },
        }
    }
}
