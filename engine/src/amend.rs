//! Changing a resting order: less of it keeps its place, anything else goes to the tail.

use protocol::{
    Lots, Reject, Ticks,
    command::Amend,
    event::OrderAmended,
    order::{CloseReason, OrderStatus, OrderType, PriceMatch, Side, TimeInForce},
};
use rules::OrderTerms;

use crate::{
    book::{Order, Slot},
    checks::Sizes,
    desk::{Desk, Ended},
    limits::AMENDS_MAX,
    matching::Taker,
    orders::end_of,
    output::{Output, Sink},
    symbols::Terms,
    verdict::{Refusal, Verdict, require},
};

/// What an amend makes of its order.
enum Change {
    /// Its quantity is not above what is filled, or it would take as post-only: it ends.
    End,
    /// Less of it, at its place.
    Reduce { by: Lots },
    /// A new price or more of it: a new match, then the tail.
    Requeue { price: Ticks, remaining: Lots, reserve: OrderTerms },
}

impl Desk<'_> {
    /// Amends an open order; one whose date has come ends instead, as whenever it is met.
    pub fn amend<S: Sink>(
        &mut self,
        amend: &Amend,
        last_try: bool,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let slot = self.find_order(amend.account, amend.order, &amend.client_id)?;
        let order = *self.symbol.book.order(slot);
        if order.data.is_over(self.now) {
            self.close(slot, OrderStatus::Expired, CloseReason::GoodTillDate, out);
            self.settle(out);
            return Ok(order.id());
        }
        match self.check_amend(amend, &order, last_try)? {
            Change::End => self.close(slot, OrderStatus::Canceled, CloseReason::Amended, out),
            Change::Reduce { by } => self.reduce(slot, by, out),
            Change::Requeue { price, remaining, reserve } => {
                self.requeue(slot, price, remaining, reserve, out);
            }
        }
        self.settle(out);
        Ok(order.id())
    }

    fn check_amend(
        &self,
        amend: &Amend,
        order: &Order<Terms>,
        last_try: bool,
    ) -> Result<Change, Refusal> {
        let (terms, side) = (&order.data, order.side());
        require(amend.side == side, Reject::WrongSide)?;
        require(terms.reduce_only || !amend.reduce_only, Reject::NotReduceOnly)?;
        self.check_open(terms.reduce_only)?;
        let by_match = amend.price_match != PriceMatch::None;
        require(!by_match || amend.price == 0, Reject::InvalidCombination)?;
        self.check_qty(amend.qty, OrderType::Limit)?;
        let price = self.limit_of(side, amend.price, amend.price_match)?;
        self.check_price(side, price)?;
        let holding = self.accounts.holding(terms.holding);
        let mut qty = amend.qty;
        if terms.reduce_only {
            let closable = holding.exposure.position.closable(side.sign());
            qty = qty.min(order.cum_qty() + closable);
        } else {
            self.check_value(price, qty)?;
        }
        require(price != order.price() || qty != order.qty(), Reject::Unchanged)?;
        require(terms.amends < AMENDS_MAX, Reject::TooManyAmends)?;
        let remaining = qty - order.cum_qty();
        let takes = terms.time_in_force == TimeInForce::Gtx && self.crosses(side, price);
        if remaining <= 0 || takes {
            return Ok(Change::End);
        }
        if price == order.price() && remaining < order.remaining() {
            return Ok(Change::Reduce { by: order.remaining() - remaining });
        }
        let reserve = self.check_requeue(order, price, remaining, last_try)?;
        Ok(Change::Requeue { price, remaining, reserve })
    }

    /// Bounds and margin of an order that is to be queued anew; what it will hold back.
    fn check_requeue(
        &self,
        order: &Order<Terms>,
        price: Ticks,
        remaining: Lots,
        last_try: bool,
    ) -> Result<OrderTerms, Refusal> {
        let (terms, side) = (&order.data, order.side());
        let holding = self.accounts.holding(terms.holding);
        let take = self.reservation(terms, side, order.remaining());
        let sums = holding.exposure.reserved.minus(&take);
        let sizes = Sizes {
            limit: price,
            remaining,
            cum_quote: terms.cum_quote,
            reduce_only: terms.reduce_only,
        };
        self.check_arithmetic(holding, &sizes, sums.buy + sums.sell)?;
        let best_bid = self.symbol.book.best(Side::Buy).unwrap_or(0);
        let taker_fee = holding.fees(self.quote()).taker;
        let reserve = OrderTerms::new(side, price, self.quote().mark, best_bid, taker_fee);
        let closes = terms.reduce_only || holding.closes(side, remaining - order.remaining());
        match closes {
            true => self.check_guard(terms.holding, side, price, last_try)?,
            false => self.check_isolated(holding, side, price, remaining)?,
        }
        if !terms.reduce_only {
            let put = reserve.reserve(side, remaining, self.quote().mult);
            let there = (Some(terms.holding), holding);
            self.check_margin(order.account(), there, closes, (&take, &put), last_try)?;
        }
        Ok(reserve)
    }

    fn reduce<S: Sink>(&mut self, slot: Slot, by: Lots, out: &mut Output<'_, S>) {
        let reduced = self.symbol.book.reduce(slot, by);
        reduced.order.data.amends += 1;
        let (order, level_qty) = (*reduced.order, reduced.level_qty);
        self.level_changed(order.side(), order.price(), level_qty, -by);
        self.remaining_changed(&order.data, order.side(), order.remaining(), -by);
        self.tell_amended(&order, order.price(), order.qty(), out);
    }

    fn requeue<S: Sink>(
        &mut self,
        slot: Slot,
        price: Ticks,
        remaining: Lots,
        reserve: OrderTerms,
        out: &mut Output<'_, S>,
    ) {
        let lifted = self.symbol.book.lift(slot);
        let (order, level_qty) = (*lifted.order, lifted.level_qty);
        let (side, before) = (order.side(), order.remaining());
        self.level_changed(side, order.price(), level_qty, -before);
        self.remaining_changed(&order.data, side, 0, -before);
        self.tell_amended(&order, price, order.cum_qty() + remaining, out);

        let amends = order.data.amends + 1;
        let terms = Terms { reserve, amends, queued: self.turn, ..order.data };
        let (account, cum_qty) = (order.account(), order.cum_qty());
        let mut taker = Taker {
            order: order.id(),
            account,
            side,
            limit: price,
            remaining,
            cum_qty,
            is_forced: false,
            terms,
        };
        let stop = self.run(&mut taker, out);
        match end_of(&taker, stop, OrderType::Limit) {
            _ if taker.remaining == 0 => self.drop_lifted(slot),
            Some((status, reason)) => {
                self.drop_lifted(slot);
                self.tell_closed(&Ended::of_taker(&taker), status, reason, out);
            }
            None => self.rest_lifted(slot, &taker),
        }
        self.clip(taker.terms.holding, out);
    }

    fn rest_lifted(&mut self, slot: Slot, taker: &Taker) {
        let Taker { side, limit, remaining, cum_qty, terms, .. } = *taker;
        let rested = self.symbol.book.rest_lifted(slot, limit, remaining, cum_qty);
        let level_qty = rested.level_qty;
        // its neighbours may have gone meanwhile
        let Terms { prev, next, .. } = rested.order.data;
        rested.order.data = Terms { prev, next, ..terms };
        self.level_changed(side, limit, level_qty, remaining);
        self.remaining_changed(&terms, side, remaining, remaining);
    }

    fn drop_lifted(&mut self, slot: Slot) {
        let terms = self.symbol.book.drop_lifted(slot).data;
        self.unlink(slot, &terms);
    }

    fn tell_amended<S: Sink>(
        &self,
        order: &Order<Terms>,
        price: Ticks,
        qty: Lots,
        out: &mut Output<'_, S>,
    ) {
        out.emit(&OrderAmended {
            order: order.id(),
            account: order.account(),
            symbol: self.symbol.spec.symbol,
            side: order.side(),
            clipped: 0,
            price,
            qty,
            cum_qty: order.cum_qty(),
            cum_quote: order.data.cum_quote,
        });
    }
}
