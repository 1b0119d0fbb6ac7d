//! Cross margin of a symbol, and what an account has left.

use protocol::Ticks;

use crate::{BracketTable, Position, Reservation, money::div_ceil};

/// The sums of the reservations of an account's open orders on a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    pub buy: i128,
    pub sell: i128,
    pub loss: i128,
    pub fee: i128,
}

impl Reserved {
    pub const fn plus(&self, order: &Reservation) -> Self {
        Self {
            buy: self.buy + order.buy,
            sell: self.sell + order.sell,
            loss: self.loss + order.loss,
            fee: self.fee + order.fee,
        }
    }

    pub const fn minus(&self, order: &Reservation) -> Self {
        Self {
            buy: self.buy - order.buy,
            sell: self.sell - order.sell,
            loss: self.loss - order.loss,
            fee: self.fee - order.fee,
        }
    }
}

/// An account's position and open orders on a symbol, one-way, cross.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    pub position: Position,
    pub reserved: Reserved,
}

impl Exposure {
    /// The most position value that fills can lead to, either way: `max(|P + B|, |P - S|)`.
    pub fn worst_value(&self, mark: Ticks, mult: i64) -> i128 {
        let value = self.position.value(mark, mult);
        (value + self.reserved.buy).abs().max((value - self.reserved.sell).abs())
    }

    /// `ceil(worst / leverage) + L + F`.
    pub fn initial_margin(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        let worst = self.worst_value(mark, mult);
        div_ceil(worst, i128::from(leverage)) + self.reserved.loss + self.reserved.fee
    }

    /// The position's part of the initial margin: `ceil(|P| / leverage)`. For display.
    pub fn position_margin(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        div_ceil(self.position.value(mark, mult).abs(), i128::from(leverage))
    }

    /// The orders' part: the whole less the position's part, L and F included. For display.
    pub fn order_margin(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        let whole = self.initial_margin(mark, mult, leverage);
        whole - self.position_margin(mark, mult, leverage)
    }

    pub fn maintenance_margin(&self, mark: Ticks, mult: i64, brackets: &BracketTable) -> i128 {
        brackets.maintenance(self.position.value(mark, mult).abs())
    }
}

/// What an account has on a shard: summed over its symbols, not clamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cash and unrealised profit.
    pub equity: i128,
    pub initial_margin: i128,
}

impl Totals {
    pub const fn of_cash(cash: i128) -> Self {
        Self { equity: cash, initial_margin: 0 }
    }

    /// Adds a symbol.
    pub fn add(&mut self, exposure: &Exposure, mark: Ticks, mult: i64, leverage: u8) {
        self.equity += exposure.position.pnl(mark, mult);
        self.initial_margin += exposure.initial_margin(mark, mult, leverage);
    }

    pub const fn available(&self) -> i128 {
        self.equity - self.initial_margin
    }
}
