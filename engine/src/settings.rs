//! What an account chooses or is given on a symbol: leverage, fees, a countdown.

use protocol::{
    AccountId, Micros, OrderId, Reject,
    command::{Countdown, SetFees, SetLeverage},
    event::{CountdownSet, FeesChanged, SettingsChanged},
    order::{AlgoStatus, PositionSide},
};

use crate::{
    accounts::Fees,
    countdowns::Deadline,
    desk::Desk,
    output::{Output, Sink},
    verdict::{Verdict, require},
};

impl Desk<'_> {
    /// Sets the leverage, as far as the brackets allow it for what the account has on the symbol
    /// and, when it is a lower one, as far as there is margin.
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
        let found = self.accounts.find_holding(set.account, self.at, PositionSide::Both);
        if let Some(holding) = found.map(|at| self.accounts.holding(at)) {
            let worst = holding.exposure.worst_value(quote.mark, quote.mult);
            let value_max = i128::from(brackets.value_max(set.leverage));
            require(worst <= value_max, Reject::PositionLimit)?;
            let mut chosen = *holding;
            chosen.leverage = set.leverage;
            let needed = chosen.initial_margin(quote) - holding.initial_margin(quote);
            if needed > 0 {
                let refused = Reject::LeverageNeedsMargin;
                self.check_available(set.account, needed, refused, last_try)?;
            }
        }
        let at = self.accounts.open_holding(set.account, self.at, PositionSide::Both);
        self.accounts.holding_mut(at).leverage = set.leverage;
        out.emit(&SettingsChanged {
            account: set.account,
            symbol: set.symbol,
            leverage: set.leverage,
            margin_mode: self.accounts.holding(at).exposure.mode,
        });
        Ok(OrderId::NONE)
    }

    pub fn set_fees<S: Sink>(&mut self, set: &SetFees, out: &mut Output<'_, S>) -> Verdict {
        let Fees { maker, taker } = Fees { maker: set.maker, taker: set.taker };
        require(rules::fees::are_valid(maker, taker), Reject::AmountInvalid)?;
        let at = self.accounts.open_holding(set.account, self.at, PositionSide::Both);
        self.accounts.holding_mut(at).fees = Some(Fees { maker, taker });
        let (account, symbol) = (set.account, set.symbol);
        out.emit(&FeesChanged { account, symbol, _pad: [0; 2], maker, taker });
        Ok(OrderId::NONE)
    }

    /// Starts an account's countdown on the symbol anew, or ends it.
    pub fn set_countdown<S: Sink>(&mut self, set: &Countdown, out: &mut Output<'_, S>) -> Verdict {
        let (account, symbol) = (set.account, set.symbol);
        if set.after == 0 {
            if let Some(holding) = self.accounts.find_holding(account, self.at, PositionSide::Both)
            {
                self.countdowns.clear(holding);
            }
            self.tell_countdown(account, 0, out);
            return Ok(OrderId::NONE);
        }
        let holding = self.accounts.open_holding(account, self.at, PositionSide::Both);
        let at = self.now.saturating_add(set.after);
        self.countdowns.set(Deadline { at, account, symbol, holding });
        self.tell_countdown(account, at, out);
        Ok(OrderId::NONE)
    }

    /// The account has not spoken again: all its orders on the symbol end, whatever state that is
    /// in.
    pub fn countdown_ended<S: Sink>(&mut self, account: AccountId, out: &mut Output<'_, S>) {
        self.tell_countdown(account, 0, out);
        self.close_all(account, out);
        self.end_algos(account, AlgoStatus::Canceled, |_, _| true, out);
    }

    fn tell_countdown<S: Sink>(&self, account: AccountId, at: Micros, out: &mut Output<'_, S>) {
        let symbol = self.symbol.spec.symbol;
        out.emit(&CountdownSet { account, symbol, _pad: [0; 2], at });
    }
}
