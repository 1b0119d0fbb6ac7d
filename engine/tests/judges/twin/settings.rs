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
    shard::Shard,
};

impl Shard {
    pub fn set_leverage(&mut self, set: &SetLeverage, last_try: bool) -> Answer {
        let (account, symbol) = (set.account.0, set.symbol.0);
        let Some(brackets) = self.markets[&symbol].brackets else {
            return no(Reject::SymbolNotTrading);
        };
        if set.leverage == 0 || u32::from(set.leverage) > brackets.rows[0].max_leverage {
            return no(Reject::LeverageInvalid);
        }
        let holding = self.holding(account, symbol);
        let lower = set.leverage < self.leverage(account, symbol);
        if holding.isolated && holding.qty != 0 && lower {
            return no(Reject::IsolatedLeverage);
        }
        let sums = self.sums(account, symbol);
        if self.worst(account, symbol, sums) > value_cap(&brackets, set.leverage) {
            return no(Reject::PositionLimit);
        }
        let needed = self.initial(account, symbol, sums, set.leverage)
            - self.initial(account, symbol, sums, self.leverage(account, symbol));
        if needed > 0 {
            self.ask_available(account, needed, Reject::LeverageNeedsMargin, last_try)?;
        }
        self.holding_mut(account, symbol).leverage = Some(set.leverage);
        self.tell_settings(account, symbol);
        Ok(0)
    }

    pub fn set_margin_mode(&mut self, set: &SetMarginMode) -> Answer {
        let (account, symbol) = (set.account.0, set.symbol.0);
        let isolated = set.mode == MarginMode::Isolated;
        let holding = self.holding(account, symbol);
        if holding.isolated == isolated {
            return no(Reject::MarginModeUnchanged);
        }
        if self.markets[&symbol].orders.iter().any(|order| order.account == account) {
            return no(Reject::OrdersOpen);
        }
        if holding.qty != 0 {
            return no(Reject::PositionOpen);
        }
        self.holding_mut(account, symbol).isolated = isolated;
        self.tell_settings(account, symbol);
        Ok(0)
    }

    fn tell_settings(&mut self, account: u32, symbol: u16) {
        let holding = self.holding(account, symbol);
        self.events.push(Event::SettingsChanged(SettingsChanged {
            account: protocol::AccountId(account),
            symbol: SymbolId(symbol),
            leverage: holding.leverage.unwrap_or(0),
            margin_mode: match holding.isolated {
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
        let known = self.accounts.get(&account).and_then(|known| known.holdings.get(&symbol));
        if known.is_none() || set.position_side != PositionSide::Both {
            return no(Reject::NoPosition);
        }
        let holding = self.holding(account, symbol);
        if !holding.isolated {
            return no(Reject::NotIsolated);
        }
        if holding.qty == 0 {
            return no(Reject::NoPosition);
        }
        let amount = i128::from(set.amount);
        if amount > 0 {
            if holding.wallet + amount > CASH_MAX.into() {
                return no(Reject::AmountInvalid);
            }
            self.ask_available(account, amount, Reject::CrossInsufficient, last_try)?;
        } else {
            let market = &self.markets[&symbol];
            let value = holding.qty * i128::from(market.mark) * i128::from(market.spec.mult);
            let least = ceil_div(value.abs(), self.leverage(account, symbol).into());
            let profit = value - holding.entry;
            let left = holding.wallet + amount;
            if left < 0 || left + profit < least {
                return no(Reject::IsolatedInsufficient);
            }
        }
        let holding = self.holding_mut(account, symbol);
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
        self.holding_mut(account.0, symbol.0).fees = Some((maker, taker));
        let event = FeesChanged { account, symbol, _pad: [0; 2], maker, taker };
        self.events.push(Event::FeesChanged(event));
        Ok(0)
    }
}
