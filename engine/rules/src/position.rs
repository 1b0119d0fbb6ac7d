//! A position: signed lots and what was paid for them.

use protocol::{Cash, Lots, Ticks};

use crate::money::{cash, div_ceil, div_floor, value};

/// Signed lots (long up) and signed entry value in cash units; both 0 or of one sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub qty: Lots,
    pub entry: Cash,
}

impl Position {
    pub const FLAT: Self = Self { qty: 0, entry: 0 };

    /// Books a trade of `qty` signed lots at `price`; returns the realised profit.
    ///
    /// A reduce takes `ceil(entry * c / |q|)` out of the entry value, so remainders stay in the
    /// position and money is conserved exactly; a flip closes all and opens the rest.
    pub fn trade(&mut self, qty: Lots, price: Ticks, mult: i64) -> i128 {
        let closing = if (self.qty > 0) == (qty > 0) { 0 } else { self.qty.abs().min(qty.abs()) };
        let mut pnl = 0;
        if closing > 0 {
            let side = self.qty.signum();
            let part = if closing == self.qty.abs() {
                self.entry
            } else {
                let part = i128::from(self.entry) * i128::from(closing);
                cash(div_ceil(part, i128::from(self.qty.abs())))
            };
            pnl = value(price, side * closing, mult) - i128::from(part);
            self.entry -= part;
            self.qty -= side * closing;
        }
        let opening = qty.signum() * (qty.abs() - closing);
        self.qty += opening;
        self.entry += cash(value(price, opening, mult));
        pnl
    }

    /// Signed value at a mark.
    pub const fn value(&self, mark: Ticks, mult: i64) -> i128 {
        value(mark, self.qty, mult)
    }

    /// Unrealised profit at a mark.
    pub const fn pnl(&self, mark: Ticks, mult: i64) -> i128 {
        self.value(mark, mult) - self.entry as i128
    }

    /// Lots that an order of this sign can close.
    pub const fn closable(&self, sign: i64) -> Lots {
        if (sign > 0) == (self.qty > 0) { 0 } else { self.qty.abs() }
    }

    /// Average entry price, rounded to the nearest, in units of `10^-decimals` of a tick's price
    /// unit: `tick_units` is one tick in those units. For display.
    pub fn entry_price(&self, mult: i64, tick_units: i64) -> i128 {
        if self.qty == 0 {
            return 0;
        }
        let lots = i128::from(self.qty.abs()) * i128::from(mult);
        let twice = 2 * i128::from(self.entry.abs()) * i128::from(tick_units) + lots;
        div_floor(twice, 2 * lots)
    }

    /// The price at which closing gives back the entry and a taker's fees on both ways, in the
    /// units of [`Self::entry_price`]. For display.
    pub fn break_even_price(&self, mult: i64, tick_units: i64, taker: protocol::Rate) -> i128 {
        let one = i128::from(protocol::RATE_ONE);
        let fees = if self.qty >= 0 { one + i128::from(taker) } else { one - i128::from(taker) };
        div_floor(2 * self.entry_price(mult, tick_units) * fees + one, 2 * one)
    }
}
