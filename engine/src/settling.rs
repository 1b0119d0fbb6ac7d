//! The end of a symbol: what is open on it is cancelled, then its positions are closed at one
//! price, and it is halted.
//!
//! Both are pending work that goes through the accounts in slices. Nothing can be opened
//! meanwhile, but a liquidation may hand a position to an account that was passed already, so
//! the slices begin again until nobody holds anything. Positions cancel out, and each is closed
//! for what it is worth at the price, exactly, so what some lose is what others gain.

use protocol::{
    AccountId, ClientId, Reject,
    command::Settle,
    event::{OrderAccepted, PositionSettled},
    order::{
        AlgoStatus, CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide, PriceMatch,
        SelfTradePrevention, Side, SymbolState, TimeInForce,
    },
};
use rules::{
    instrument,
    money::{cash, value},
};

use crate::{
    accounts::HoldingAt,
    desk::Desk,
    limits::{CANCEL_ALL_EVENTS, SETTLED_VALUE_MAX, SETTLING_SLICE},
    output::{Output, Sink},
    symbols::{Symbol, Symbols, Terms},
    verdict::require,
    work::{Unit, Work},
};

impl Symbols {
    /// Begins the end of a symbol, at a price that its band allows or at its mark.
    pub fn begin_settling<S: Sink>(
        &mut self,
        settle: &Settle,
        work: &mut Work,
        out: &mut Output<'_, S>,
    ) -> Result<(), Reject> {
        let at = self.find(settle.symbol)?;
        let (symbol, quote) = self.split_mut(at);
        let (spec, mark) = (&symbol.spec, quote.mark);
        require(spec.state != SymbolState::Settling, Reject::StateInvalid)?;
        // without an index the mark is one of the past
        let known = mark != 0 && !(settle.price == 0 && symbol.pricing.is_stale);
        require(known, Reject::NoMarkPrice)?;
        let price = if settle.price == 0 { mark } else { settle.price };
        require(price > 0, Reject::PriceNotPositive)?;
        // a mark knows no filters
        let given = settle.price != 0;
        require(!given || price >= spec.price_min, Reject::PriceTooLow)?;
        require(!given || price <= spec.price_max, Reject::PriceTooHigh)?;
        require(!instrument::is_above_band(spec, price, mark), Reject::PriceAboveBand)?;
        require(!instrument::is_below_band(spec, price, mark), Reject::PriceBelowBand)?;
        let most = value(price, symbol.open_interest, spec.mult);
        require(most <= SETTLED_VALUE_MAX, Reject::NotionalTooHigh)?;
        (symbol.spec.state, symbol.settlement) = (SymbolState::Settling, price);
        symbol.tell_state(out);
        work.add(settle.symbol, Unit::Clear { from: 0 });
        Ok(())
    }
}

impl Desk<'_> {
    /// Ends what accounts from an id on have open on the symbol, as many as a unit of work may.
    pub fn clear_slice<S: Sink>(&mut self, from: u32, out: &mut Output<'_, S>) {
        let ids_end = self.accounts.ids_end();
        let mut next = from;
        while next < ids_end.min(from.saturating_add(SETTLING_SLICE))
            && out.events() + CANCEL_ALL_EVENTS <= self.ceiling
        {
            let account = AccountId(next);
            self.close_all(account, OrderStatus::Expired, CloseReason::Delisted, out);
            self.end_algos(account, AlgoStatus::Expired, |_, _| true, out);
            next += 1;
        }
        let is_done = next >= ids_end;
        let unit = if is_done { Unit::Settle { from: 0 } } else { Unit::Clear { from: next } };
        self.work.add(self.symbol.spec.symbol, unit);
    }

    /// Closes the positions of accounts from an id on. When nobody has one any more, the symbol is
    /// halted.
    pub fn settle_slice<S: Sink>(&mut self, from: u32, out: &mut Output<'_, S>) {
        let ids_end = self.accounts.ids_end();
        let end = from.saturating_add(SETTLING_SLICE).min(ids_end);
        for id in from..end {
            for side in PositionSide::ALL {
                if let Some(at) = self.accounts.find_holding(AccountId(id), self.at, *side) {
                    self.settle_position(at, out);
                }
            }
        }
        let symbol = self.symbol.spec.symbol;
        if end < ids_end {
            self.work.add(symbol, Unit::Settle { from: end });
        } else if self.symbol.open_interest > 0 {
            self.work.add(symbol, Unit::Settle { from: 0 });
        } else {
            (self.symbol.spec.state, self.symbol.settlement) = (SymbolState::Halted, 0);
            self.symbol.tell_state(out);
        }
    }

    /// Closes a position at the settlement price, after its funding, by an order that pays no fee.
    fn settle_position<S: Sink>(&mut self, at: HoldingAt, out: &mut Output<'_, S>) {
        let holding = self.accounts.holding(at);
        let held = holding.exposure.position.qty;
        if held == 0 {
            return;
        }
        let (position_side, account) = (holding.side, holding.account);
        let account = self.accounts.account(account).id;
        self.pools.book(self.accounts, at, self.quotes, out);
        let Symbol { spec, settlement: price, .. } = *self.symbol;
        assert!(price > 0, "a symbol that is being settled has its price");
        let symbol = spec.symbol;
        let side = if held > 0 { Side::Sell } else { Side::Buy };
        let qty = held.abs();
        let counters = &mut self.symbol.book;
        let (order, trade) = (counters.next_order_id(), counters.next_trade_id());
        let self_trade = SelfTradePrevention::ExpireMaker;
        out.emit(&OrderAccepted {
            order,
            account,
            symbol,
            side,
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Gtc,
            self_trade,
            price_match: PriceMatch::None,
            position_side,
            reduce_only: true,
            origin: OrderOrigin::Settlement,
            _pad: [0; 2],
            price,
            qty,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad2: [0; 4],
        });
        let cum_quote = cash(value(price, qty, spec.mult));
        let terms = Terms { holding: at, cum_quote, reduce_only: true, ..Terms::default() };
        let mut fill = self.book_fill(&terms, side, qty, price, 0);
        (fill.order, fill.cum_qty, fill.status) = (order, qty, OrderStatus::Filled);
        out.emit(&PositionSettled { trade, symbol, side, _pad: [0; 5], price, qty, fill });
    }
}
