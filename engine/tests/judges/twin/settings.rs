//! What an account chooses on a symbol.

use protocol::{
    Event, Reject, SymbolId,
    command::{MoveMargin, SetFees, SetLeverage, SetMarginMode},
    event::{FeesChanged, MarginMoved, SettingsChanged},
    limits::CASH_MAX,
    order::{MarginMode, PositionSide},
};

use super::{
    Answer,
    margin::{ceil_div, value_cap},
    no,
    shard::{Leg, Shard},
};

fn legs(account: u32, symbol: u16) -> [Leg; 3] {
    [PositionSide::Both, PositionSide::Long, PositionSide::Short]
        .map(|side| (account, symbol, side))
}

impl Shard {
    pub fn set_leverage(&mut self, set: &SetLeverage, last_try: bool) -> Answer {
        let (account, symbol) = (set.account.0, set.symbol.0);
        let Some(brackets) = self.markets[&symbol].brackets else {
            return no(Reject::SymbolNotTrading);
        };
        if set.leverage == 0 || u32::from(set.leverage) > brackets.rows[0].max_leverage {
            return no(Reject::LeverageInvalid);
        }
        let now = self.leverage(account, symbol);
        let mut needed = 0;
        let open = legs(account, symbol).into_iter().any(|leg| self.holding(leg).qty != 0);
        if self.chosen(account, symbol).isolated && open && set.leverage < now {
            return no(Reject::IsolatedLeverage);
        }
        for leg in legs(account, symbol) {
            let sums = self.sums(leg);
            if self.worst(leg, sums) > value_cap(&brackets, set.leverage) {
                return no(Reject::PositionLimit);
            }
            needed += self.initial(leg, sums, set.leverage) - self.initial(leg, sums, now);
        }
        if needed > 0 {
            self.ask_available(account, needed, Reject::LeverageNeedsMargin, last_try)?;
        }
        self.chosen_mut(account, symbol).leverage = Some(set.leverage);
        self.tell_settings(account, symbol);
        Ok(0)
    }

    pub fn set_margin_mode(&mut self, set: &SetMarginMode) -> Answer {
        let (account, symbol) = (set.account.0, set.symbol.0);
        let isolated = set.mode == MarginMode::Isolated;
        if self.chosen(account, symbol).isolated == isolated {
            return no(Reject::MarginModeUnchanged);
        }
        if self.markets[&symbol].orders.iter().any(|order| order.account == account) {
            return no(Reject::OrdersOpen);
        }
        if legs(account, symbol).into_iter().any(|leg| self.holding(leg).qty != 0) {
            return no(Reject::PositionOpen);
        }
        self.chosen_mut(account, symbol).isolated = isolated;
        self.tell_settings(account, symbol);
        Ok(0)
    }

    fn tell_settings(&mut self, account: u32, symbol: u16) {
        let chosen = self.chosen(account, symbol);
        self.events.push(Event::SettingsChanged(SettingsChanged {
            account: protocol::AccountId(account),
            symbol: SymbolId(symbol),
            leverage: chosen.leverage.unwrap_or(0),
            margin_mode: match chosen.isolated {
                true => MarginMode::Isolated,
                false => MarginMode::Cross,
            },
        }));
    }

    pub fn move_margin(&mut self, set: &MoveMargin, last_try: bool) -> Answer {
        let (account, symbol) = (set.account.0, set.symbol.0);
        if set.amount == 0 || set.amount > CASH_MAX || set.amount < -CASH_MAX {
            return no(Reject::AmountInvalid);
        }
        let leg = (account, symbol, set.position_side);
        let holding = self.holding(leg);
        if holding.qty == 0 {
            return no(Reject::NoPosition);
        }
        if !self.chosen(account, symbol).isolated {
            return no(Reject::NotIsolated);
        }
        let amount = i128::from(set.amount);
        if amount > 0 {
            if holding.wallet + amount > CASH_MAX.into() {
                return no(Reject::AmountInvalid);
            }
            self.ask_available(account, amount, Reject::CrossInsufficient, last_try)?;
        } else {
            let value = self.value(leg);
            let least = ceil_div(value.abs(), self.leverage(account, symbol).into());
            let profit = value - holding.entry;
            let left = holding.wallet + amount;
            if left < 0 || left + profit < least {
                return no(Reject::IsolatedInsufficient);
            }
        }
        let holding = self.holding_mut(leg);
        holding.wallet += amount;
        let isolated_wallet = holding.wallet as i64;
        self.events.push(Event::MarginMoved(MarginMoved {
            account: set.account,
            symbol: set.symbol,
            position_side: set.position_side,
            _pad: 0,
            delta: set.amount,
            isolated_wallet,
            cash: self.accounts[&account].cash as i64,
        }));
        Ok(0)
    }

    pub fn set_fees(&mut self, set: &SetFees) -> Answer {
        let SetFees { account, symbol, maker, taker, .. } = *set;
        if !(0..100_000_000).contains(&taker) || !(-taker..100_000_000).contains(&maker) {
            return no(Reject::AmountInvalid);
        }
        self.chosen_mut(account.0, symbol.0).fees = Some((maker, taker));
        let event = FeesChanged { account, symbol, _pad: [0; 2], maker, taker };
        self.events.push(Event::FeesChanged(event));
        Ok(0)
    }
}
