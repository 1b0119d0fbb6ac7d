//! What an account chooses or is given on a symbol: leverage, margin mode, fees, a countdown.

use protocol::{
    AccountId, Micros, OrderId, Reject,
    command::{Countdown, MoveMargin, SetFees, SetLeverage, SetMarginMode},
    event::{CountdownSet, FeesChanged, MarginMoved, SettingsChanged},
    limits::CASH_MAX,
    order::{AlgoStatus, CloseReason, MarginMode, OrderStatus, PositionSide},
};

use rules::Exposure;

use crate::{
    accounts::{Fees, Holding},
    countdowns,
    desk::Desk,
    output::{Output, Sink},
    verdict::{Verdict, require},
};

impl Desk<'_> {
    /// Sets the leverage, as far as the brackets allow it for what the account has on the symbol
    /// and, when it is a lower one, as far as there is margin; never a lower one for an isolated
    /// position.
    pub fn set_leverage<S: Sink>(
        &mut self,
        set: &SetLeverage,
        last_try: bool,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let quote = self.quote();
        let brackets = quote.brackets.ok_or(Reject::SymbolNotTrading)?;
        let sensible = (1..=brackets.leverage_max()).contains(&set.leverage);
        require(sensible, Reject::LeverageInvalid)?;
        let value_max = i128::from(brackets.value_max(set.leverage));
        for (_, leg) in self.accounts.legs(set.account, self.at) {
            let Exposure { mode, position, .. } = leg.exposure;
            let isolated = mode == MarginMode::Isolated && position.qty != 0;
            let lower = set.leverage < leg.leverage(quote);
            require(!(isolated && lower), Reject::IsolatedLeverage)?;
        }
        let mut needed = 0;
        for (_, leg) in self.accounts.legs(set.account, self.at) {
            let exposure = &leg.exposure;
            let worst = exposure.worst_value(quote.mark, quote.mult);
            require(worst <= value_max, Reject::PositionLimit)?;
            needed += exposure.initial_margin(quote.mark, quote.mult, set.leverage)
                - leg.initial_margin(quote);
        }
        if needed > 0 {
            self.check_available(set.account, needed, Reject::LeverageNeedsMargin, last_try)?;
        }
        self.choose(set.account, |leg| leg.leverage = set.leverage, out);
        Ok(OrderId::NONE)
    }

    /// Sets what backs the account's position on the symbol, while it has none and no order.
    pub fn set_margin_mode<S: Sink>(
        &mut self,
        set: &SetMarginMode,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let blank = self.accounts.blank(set.account, self.at, PositionSide::Both);
        require(blank.exposure.mode != set.mode, Reject::MarginModeUnchanged)?;
        for (_, leg) in self.accounts.legs(set.account, self.at) {
            require(leg.orders.count == 0, Reject::OrdersOpen)?;
        }
        for (_, leg) in self.accounts.legs(set.account, self.at) {
            require(leg.exposure.position.qty == 0, Reject::PositionOpen)?;
        }
        self.choose(set.account, |leg| leg.exposure.mode = set.mode, out);
        Ok(OrderId::NONE)
    }

    /// Moves available cash into the wallet of an isolated position, or out what it can spare.
    pub fn move_margin<S: Sink>(
        &mut self,
        set: &MoveMargin,
        last_try: bool,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let &MoveMargin { account, symbol, position_side, amount, .. } = set;
        let sane = amount != 0 && (-CASH_MAX..=CASH_MAX).contains(&amount);
        require(sane, Reject::AmountInvalid)?;
        let at = self.accounts.find_holding(account, self.at, position_side);
        let at = at.ok_or(Reject::NoPosition)?;
        let (quote, holding) = (self.quote(), self.accounts.holding(at));
        let exposure = holding.exposure;
        require(exposure.position.qty != 0, Reject::NoPosition)?;
        require(exposure.mode == MarginMode::Isolated, Reject::NotIsolated)?;
        if amount > 0 {
            require(exposure.wallet <= CASH_MAX - amount, Reject::AmountInvalid)?;
            let refused = Reject::CrossInsufficient;
            self.check_available(account, i128::from(amount), refused, last_try)?;
        } else {
            let most = exposure.removable(quote.mark, quote.mult, holding.leverage(quote));
            require(i128::from(-amount) <= most, Reject::IsolatedInsufficient)?;
        }
        let holding = self.accounts.holding_mut(at);
        holding.exposure.wallet += amount;
        let (isolated_wallet, place) = (holding.exposure.wallet, holding.account);
        self.accounts.touch(place);
        out.emit(&MarginMoved {
            account,
            symbol,
            position_side,
            _pad: 0,
            delta: amount,
            isolated_wallet,
            cash: self.accounts.account(place).cash,
        });
        Ok(OrderId::NONE)
    }

    /// Changes what an account has chosen for the symbol, on all its legs, and tells it.
    fn choose<S: Sink>(
        &mut self,
        account: AccountId,
        change: impl Fn(&mut Holding),
        out: &mut Output<'_, S>,
    ) {
        let both = self.accounts.open_holding(account, self.at, PositionSide::Both);
        self.change_legs(account, change);
        let Holding { leverage, exposure, .. } = self.accounts.holding(both);
        let symbol = self.symbol.spec.symbol;
        let (leverage, margin_mode) = (*leverage, exposure.mode);
        out.emit(&SettingsChanged { account, symbol, leverage, margin_mode });
    }

    fn change_legs(&mut self, account: AccountId, change: impl Fn(&mut Holding)) {
        for side in PositionSide::ALL {
            if let Some(at) = self.accounts.find_holding(account, self.at, *side) {
                change(self.accounts.holding_mut(at));
            }
        }
    }

    pub fn set_fees<S: Sink>(&mut self, set: &SetFees, out: &mut Output<'_, S>) -> Verdict {
        let Fees { maker, taker } = Fees { maker: set.maker, taker: set.taker };
        require(rules::fees::are_valid(maker, taker), Reject::AmountInvalid)?;
        self.accounts.open_holding(set.account, self.at, PositionSide::Both);
        self.change_legs(set.account, |leg| leg.fees = Some(Fees { maker, taker }));
        let (account, symbol) = (set.account, set.symbol);
        out.emit(&FeesChanged { account, symbol, _pad: [0; 2], maker, taker });
        Ok(OrderId::NONE)
    }

    /// Starts an account's countdown on the symbol anew, or ends it. As nothing can be cancelled in
    /// a halt, it can only be put off then.
    pub fn set_countdown<S: Sink>(&mut self, set: &Countdown, out: &mut Output<'_, S>) -> Verdict {
        let (account, symbol) = (set.account, set.symbol);
        let known = self.accounts.find_holding(account, self.at, PositionSide::Both);
        let owner = known.map(countdowns::Countdown::owner_of);
        if set.after == 0 {
            if let Some(owner) = owner {
                self.countdowns.clear(owner);
            }
            self.tell_countdown(account, 0, out);
            return Ok(OrderId::NONE);
        }
        let at = self.now.saturating_add(set.after);
        let running = owner.and_then(|owner| self.countdowns.of(owner));
        let puts_off = running.is_some_and(|running| running.at <= at);
        require(puts_off || !self.is_halted(), Reject::SymbolNotTrading)?;
        let holding = self.accounts.open_holding(account, self.at, PositionSide::Both);
        self.countdowns.set(countdowns::Countdown { at, account, symbol, holding });
        self.tell_countdown(account, at, out);
        Ok(OrderId::NONE)
    }

    /// The account has not spoken again: all its orders on the symbol end, whatever state that is
    /// in.
    pub fn countdown_ended<S: Sink>(&mut self, account: AccountId, out: &mut Output<'_, S>) {
        self.tell_countdown(account, 0, out);
        self.close_all(account, OrderStatus::Canceled, CloseReason::Canceled, out);
        self.end_algos(account, AlgoStatus::Canceled, |_, _| true, out);
    }

    fn tell_countdown<S: Sink>(&self, account: AccountId, at: Micros, out: &mut Output<'_, S>) {
        let symbol = self.symbol.spec.symbol;
        out.emit(&CountdownSet { account, symbol, _pad: [0; 2], at });
    }
}
