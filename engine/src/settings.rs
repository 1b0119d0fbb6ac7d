//! What an account chooses or is given on a symbol: leverage and fees.

use protocol::{
    OrderId, Reject,
    command::{SetFees, SetLeverage},
    event::{FeesChanged, SettingsChanged},
    order::MarginMode,
};

use crate::{
    accounts::Fees,
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
        let found = self.accounts.find_holding(set.account, self.at);
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
        let at = self.accounts.open_holding(set.account, self.at);
        self.accounts.holding_mut(at).leverage = set.leverage;
        out.emit(&SettingsChanged {
            account: set.account,
            symbol: set.symbol,
            leverage: set.leverage,
            margin_mode: MarginMode::Cross,
        });
        Ok(OrderId::NONE)
    }

    pub fn set_fees<S: Sink>(&mut self, set: &SetFees, out: &mut Output<'_, S>) -> Verdict {
        let Fees { maker, taker } = Fees { maker: set.maker, taker: set.taker };
        require(rules::fees::are_valid(maker, taker), Reject::AmountInvalid)?;
        let at = self.accounts.open_holding(set.account, self.at);
        self.accounts.holding_mut(at).fees = Some(Fees { maker, taker });
        let (account, symbol) = (set.account, set.symbol);
        out.emit(&FeesChanged { account, symbol, _pad: [0; 2], maker, taker });
        Ok(OrderId::NONE)
    }
}
