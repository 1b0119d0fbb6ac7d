//! Margin of a position and its orders, cross and isolated, and what an account has left.
//!
//! In hedge mode a symbol has two legs, each with a position and orders of its own. What closes a
//! leg reserves nothing, so a leg's margin is that of a position in one-way mode.

use protocol::{Cash, Lots, Ticks, order::MarginMode};

use crate::{
    BracketTable, Position, Reservation,
    money::{cash, div_ceil, div_floor, value},
};

/// The sums of the reservations of an account's open orders on a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    pub buy: Cash,
    pub sell: Cash,
    pub loss: Cash,
    pub fee: Cash,
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

/// An account's position on a symbol, or one leg of it, with its open orders and what backs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    pub position: Position,
    pub reserved: Reserved,
    pub mode: MarginMode,
    /// Isolated: the part of the account's cash that is set aside for this position, 0 without
    /// one. Cross: 0.
    pub wallet: Cash,
}

impl Exposure {
    /// It holds nothing, and nothing back.
    pub fn is_blank(&self) -> bool {
        let Reserved { buy, sell, loss, fee } = self.reserved;
        self.position.qty | buy | sell | loss | fee == 0
    }

    /// Books a trade as [`Position::trade`] does and returns its profit. An isolated wallet gives
    /// back, rounded down, the part that closes, and takes `ceil(value / leverage)` of what opens.
    pub fn trade(&mut self, qty: Lots, price: Ticks, mult: i64, leverage: u8) -> i128 {
        if self.mode == MarginMode::Isolated {
            self.move_wallet(qty, price, mult, leverage);
        }
        self.position.trade(qty, price, mult)
    }

    #[cold]
    fn move_wallet(&mut self, qty: Lots, price: Ticks, mult: i64, leverage: u8) {
        let held = self.position.qty.abs();
        let closing = self.position.closable(qty.signum()).min(qty.abs());
        if closing > 0 {
            let part = i128::from(self.wallet) * i128::from(closing);
            self.wallet -= match closing == held {
                true => self.wallet,
                false => cash(div_floor(part, i128::from(held))),
            };
        }
        let opening = value(price, qty.abs() - closing, mult);
        self.wallet += cash(div_ceil(opening, i128::from(leverage)));
    }

    /// The most position value that fills can lead to, either way: `max(|P + B|, |P - S|)`.
    pub fn worst_value(&self, mark: Ticks, mult: i64) -> i128 {
        let value = self.position.value(mark, mult);
        let Reserved { buy, sell, .. } = self.reserved;
        (value + i128::from(buy)).abs().max((value - i128::from(sell)).abs())
    }

    /// What the account's cross equity must cover. Cross: `ceil(worst / leverage) + L + F`, the
    /// position's own margin included. Isolated, where the wallet backs the position: the orders'
    /// part, `ceil(max(B, S - P, 0) / leverage) + L + F` of a long, mirrored of a short.
    pub fn initial_margin(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        let worst = match self.mode {
            MarginMode::Cross => self.worst_value(mark, mult),
            MarginMode::Isolated => self.opening_value(mark, mult),
        };
        let beside = i128::from(self.reserved.loss) + i128::from(self.reserved.fee);
        div_ceil(worst, i128::from(leverage)) + beside
    }

    /// The most value that open orders of one side can add beyond closing the position.
    fn opening_value(&self, mark: Ticks, mult: i64) -> i128 {
        let value = self.position.value(mark, mult);
        let Reserved { buy, sell, .. } = self.reserved;
        (i128::from(buy) + value.min(0)).max(i128::from(sell) - value.max(0)).max(0)
    }

    /// The position's part of the initial margin: `ceil(|P| / leverage)`. For display; an isolated
    /// position's comes from its wallet.
    pub fn position_margin(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        div_ceil(self.position.value(mark, mult).abs(), i128::from(leverage))
    }

    /// The orders' part, L and F included: of cross margin what is beyond the position's part. For
    /// display.
    pub fn order_margin(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        let held_back = self.initial_margin(mark, mult, leverage);
        match self.mode {
            MarginMode::Cross => held_back - self.position_margin(mark, mult, leverage),
            MarginMode::Isolated => held_back,
        }
    }

    /// What the account's cross equity gains by this position: its unrealised profit, or, when it
    /// is isolated, the loss of what its wallet holds.
    pub const fn cross_equity(&self, mark: Ticks, mult: i64) -> i128 {
        match self.mode {
            MarginMode::Cross => self.position.pnl(mark, mult),
            MarginMode::Isolated => -(self.wallet as i128),
        }
    }

    /// What an isolated position is worth: its wallet and its unrealised profit.
    pub const fn isolated_equity(&self, mark: Ticks, mult: i64) -> i128 {
        self.wallet as i128 + self.position.pnl(mark, mult)
    }

    /// What can be taken out of an isolated wallet: down to the position's initial margin, and
    /// never unrealised profit.
    pub fn removable(&self, mark: Ticks, mult: i64, leverage: u8) -> i128 {
        let spare = self.isolated_equity(mark, mult) - self.position_margin(mark, mult, leverage);
        spare.min(i128::from(self.wallet)).max(0)
    }

    pub fn maintenance_margin(&self, mark: Ticks, mult: i64, brackets: &BracketTable) -> i128 {
        brackets.maintenance(self.position.value(mark, mult).abs())
    }
}

/// What an account has on a shard beside its isolated positions: summed over its symbols, not
/// clamped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Less isolated wallets.
    pub cash: i128,
    /// That, and unrealised profit of cross positions.
    pub equity: i128,
    pub initial_margin: i128,
}

impl Totals {
    pub const fn of_cash(cash: i128) -> Self {
        Self { cash, equity: cash, initial_margin: 0 }
    }

    /// Adds a symbol, or a leg of one.
    pub fn add(&mut self, exposure: &Exposure, mark: Ticks, mult: i64, leverage: u8) {
        self.add_equity(exposure, mark, mult);
        self.initial_margin += exposure.initial_margin(mark, mult, leverage);
    }

    /// As [`Self::add`], but for the margin, which is still to be said.
    pub fn add_equity(&mut self, exposure: &Exposure, mark: Ticks, mult: i64) {
        if exposure.mode == MarginMode::Isolated {
            self.cash -= i128::from(exposure.wallet);
        }
        self.equity += exposure.cross_equity(mark, mult);
    }

    pub const fn available(&self) -> i128 {
        self.equity - self.initial_margin
    }

    /// What may leave the wallet, `min(cash, equity) - initial margin`: what is available, but
    /// never unrealised profit. Negative where margin is lacking.
    pub fn spare(&self) -> i128 {
        self.cash.min(self.equity) - self.initial_margin
    }
}
