//! New orders, and the ends of open ones.

use protocol::{
    AccountId, AlgoId, ClientId, Lots, OrderId, Reject, Ticks,
    command::{Cancel, Place},
    event::OrderAccepted,
    limits::{OPEN_ORDERS_MAX, ORDERS_MAX},
    order::{CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide, Side, TimeInForce},
};
use rules::{Exposure, OrderTerms, Reservation, instrument};

use crate::{
    accounts::{Holding, HoldingAt},
    book::{Resting, Slot},
    checks::{Sizes, check_form},
    client_ids::{self, ClientKey},
    desk::{Desk, Ended},
    due::Stage,
    foresight::Foresight,
    matching::{Stop, Taker},
    output::{Output, Sink},
    symbols::Terms,
    verdict::{Refusal, Verdict, require},
};

/// An order that has passed all checks.
pub(crate) struct Plan {
    /// What its owner has there already.
    holding: Option<HoldingAt>,
    /// As its owner sees it.
    price: Ticks,
    /// The worst price it may trade at.
    limit: Ticks,
    qty: Lots,
    reserve: OrderTerms,
    client: ClientKey,
}

impl Desk<'_> {
    pub fn place<S: Sink>(
        &mut self,
        order: &Place,
        plan: &Plan,
        algo: AlgoId,
        out: &mut Output<'_, S>,
    ) -> OrderId {
        let id = self.tell_accepted(order, (plan.price, plan.qty), OrderOrigin::Owner, out);
        let leg = order.position_side;
        let open = || self.accounts.open_holding(order.account, self.at, leg);
        let holding = plan.holding.unwrap_or_else(open);
        let owner = self.accounts.holding(holding).account;
        self.accounts.note_use(owner, self.now);
        let mut taker = Taker {
            order: id,
            account: order.account,
            side: order.side,
            limit: plan.limit,
            remaining: plan.qty,
            cum_qty: 0,
            is_forced: false,
            terms: Terms {
                holding,
                client: plan.client,
                reserve: plan.reserve,
                good_till: order.good_till,
                queued: self.turn,
                algo,
                time_in_force: order.time_in_force,
                self_trade: order.self_trade,
                reduce_only: order.reduces(),
                ..Terms::default()
            },
        };
        let stop = self.run(&mut taker, out);
        match end_of(&taker, stop, order.order_type) {
            _ if taker.remaining == 0 => {}
            Some((status, reason)) => {
                self.tell_closed(&Ended::of_taker(&taker), status, reason, out);
            }
            None => self.rest(&taker),
        }
        self.clip(taker.terms.holding, out);
        self.settle(out);
        id
    }

    /// Tells of a new order, at the price and quantity that it has come down to; returns its id.
    pub fn tell_accepted<S: Sink>(
        &mut self,
        order: &Place,
        (price, qty): (Ticks, Lots),
        origin: OrderOrigin,
        out: &mut Output<'_, S>,
    ) -> OrderId {
        let id = self.symbol.book.next_order_id();
        out.emit(&OrderAccepted {
            order: id,
            account: order.account,
            symbol: order.symbol,
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            self_trade: order.self_trade,
            price_match: order.price_match,
            position_side: order.position_side,
            reduce_only: order.reduces(),
            origin,
            _pad: [0; 2],
            price,
            qty,
            good_till: order.good_till,
            client_id: order.client_id,
            _pad2: [0; 4],
        });
        id
    }

    /// Checks an order as it comes now; what would be done with it, or why not.
    pub fn plan(
        &self,
        order: &Place,
        last_try: bool,
        scratch: &mut Foresight,
    ) -> Result<Plan, Refusal> {
        check_form(order, self.now)?;
        self.check_mode(order.account, order.position_side)?;
        self.check_open(order.reduces())?;
        self.check_qty(order.qty, order.order_type)?;
        self.plan_sized(order, last_try, scratch)
    }

    /// As [`Self::plan`], of an order whose form and quantity are known to be right.
    // A plan is large: inlined into both callers it is not moved once more.
    #[inline(always)]
    pub fn plan_sized(
        &self,
        order: &Place,
        last_try: bool,
        scratch: &mut Foresight,
    ) -> Result<Plan, Refusal> {
        let price = match order.order_type {
            OrderType::Market => self.market_price(order.side)?,
            OrderType::Limit => {
                let price = self.limit_of(order.side, order.price, order.price_match)?;
                self.check_price(order.side, price)?;
                price
            }
        };
        let leg = (order.account, self.at, order.position_side);
        let found = self.accounts.find_holding(leg.0, leg.1, leg.2);
        let blank;
        let holding = match found {
            Some(at) => self.accounts.holding(at),
            None => {
                blank = self.accounts.blank(leg.0, leg.1, leg.2);
                &blank
            }
        };
        let qty = self.check_size(order, price, holding)?;
        let rests = rests(order.order_type, order.time_in_force);
        require(!rests || self.has_room(holding, order.account), Reject::TooManyOpenOrders)?;
        require(!rests || self.accounts.resting < ORDERS_MAX, Reject::ShardFull)?;
        let client = self.clients.key(order.account, &order.client_id);
        require(self.clients.find(client).is_none(), Reject::ClientIdDuplicate)?;
        if order.time_in_force == TimeInForce::Gtx {
            require(!self.crosses(order.side, price), Reject::WouldTake)?;
        }
        let mut worst = match rests {
            true => Some(price),
            false => self.foreseen(order, price, qty, scratch)?,
        };
        let closes = order.reduces() || holding.closes(order.side, qty);
        match (worst, found) {
            (Some(limit), Some(at)) if closes => {
                worst = Some(self.guarded(order, at, (limit, qty), last_try, scratch)?);
            }
            (Some(limit), _) => self.check_isolated(holding, order.side, limit, qty)?,
            (None, _) => {}
        }
        let limit = worst.unwrap_or(price);
        let best_bid = self.symbol.book.best(Side::Buy).unwrap_or(0);
        let taker_fee = holding.fees(self.quote()).taker;
        let reserve = OrderTerms::new(order.side, limit, self.quote().mark, best_bid, taker_fee);
        if !order.reduces() {
            let put = reserve.reserve(order.side, qty, self.quote().mult);
            let there = (found, holding);
            self.check_margin(order.account, there, closes, (&none(), &put), last_try)?;
        }
        let shows_limit = rests || order.order_type == OrderType::Market;
        let price = if shows_limit { limit } else { price };
        Ok(Plan { holding: found, price, limit, qty, reserve, client })
    }

    /// Accepts what only closes; else asks that brackets and what is available allow it.
    /// `change` is what the order held back before and what it will; `at` is where the holding is,
    /// unless it is blank.
    pub fn check_margin(
        &self,
        account: AccountId,
        (at, holding): (Option<HoldingAt>, &Holding),
        closes: bool,
        change: (&Reservation, &Reservation),
        last_try: bool,
    ) -> Result<(), Refusal> {
        if closes {
            return Ok(());
        }
        let place = self.accounts.find(account);
        let in_need = |place| {
            let known = self.accounts.account(place);
            known.in_need || known.due.stage != Stage::None
        };
        require(!place.is_some_and(in_need), Reject::InsufficientMargin)?;
        let quote = self.quote();
        let reserved = holding.exposure.reserved.minus(change.0).plus(change.1);
        let after = Exposure { reserved, ..holding.exposure };
        let leverage = holding.leverage(quote);
        let value_max = quote.brackets.as_ref().map_or(0, |brackets| brackets.value_max(leverage));
        let worst = after.worst_value(quote.mark, quote.mult);
        require(worst <= i128::from(value_max), Reject::PositionLimit)?;
        let needed = after.initial_margin(quote.mark, quote.mult, leverage);
        let others = |place| self.accounts.totals_but(place, at, self.quotes).available();
        let lacking = needed - place.map_or(0, others);
        check_lacking(lacking, Reject::InsufficientMargin, last_try)
    }

    /// Asks that an account has so much available; short of it, the ledger may help once.
    pub fn check_available(
        &self,
        account: AccountId,
        needed: i128,
        refused: Reject,
        last_try: bool,
    ) -> Result<(), Refusal> {
        let known = self.accounts.find(account);
        let available = known.map_or(0, |at| self.accounts.totals(at, self.quotes).available());
        check_lacking(needed - available, refused, last_try)
    }

    pub fn cancel<S: Sink>(&mut self, cancel: &Cancel, out: &mut Output<'_, S>) -> Verdict {
        self.check_cancellable()?;
        let slot = self.find_order(cancel.account, cancel.order, &cancel.client_id)?;
        let id = self.symbol.book.order(slot).id();
        self.close(slot, OrderStatus::Canceled, CloseReason::Canceled, out);
        self.settle(out);
        Ok(id)
    }

    /// Ends an account's open orders on the symbol, leg by leg, oldest accept first.
    pub fn cancel_all<S: Sink>(&mut self, account: AccountId, out: &mut Output<'_, S>) -> Verdict {
        self.check_cancellable()?;
        self.close_all(account, OrderStatus::Canceled, CloseReason::Canceled, out);
        Ok(OrderId::NONE)
    }

    /// As [`Self::cancel_all`], whatever the symbol's state is.
    pub fn close_all<S: Sink>(
        &mut self,
        account: AccountId,
        status: OrderStatus,
        reason: CloseReason,
        out: &mut Output<'_, S>,
    ) {
        for side in PositionSide::ALL {
            let Some(at) = self.accounts.find_holding(account, self.at, *side) else { continue };
            while let Some(slot) = self.accounts.holding(at).orders.first.some() {
                self.close(slot, status, reason, out);
            }
        }
        self.settle(out);
    }

    /// Closes a holding's orders that reserve margin, oldest first, to free what they hold back.
    pub fn close_reserving<S: Sink>(&mut self, at: HoldingAt, out: &mut Output<'_, S>) {
        let mut next = self.accounts.holding(at).orders.first;
        while let Some(slot) = next.some() {
            let terms = &self.symbol.book.order(slot).data;
            next = terms.next;
            if !terms.reduce_only {
                self.close(slot, OrderStatus::Expired, CloseReason::Liquidation, out);
            }
        }
        self.settle(out);
    }

    /// An account's open order by its id or, when that is 0, by the client's.
    pub fn find_order(
        &self,
        account: AccountId,
        id: OrderId,
        client_id: &ClientId,
    ) -> Result<Slot, Reject> {
        let id = if id.is_none() {
            let known = self.clients.find(self.clients.key(account, client_id));
            known.filter(|place| place.symbol == self.at).map(|place| place.order)
        } else {
            Some(id)
        };
        let slot = id.and_then(|id| self.symbol.book.find(id));
        slot.filter(|slot| self.symbol.book.order(*slot).account() == account)
            .ok_or(Reject::UnknownOrder)
    }

    /// True when an order at this limit would meet somebody.
    pub fn crosses(&self, side: Side, limit: Ticks) -> bool {
        self.symbol.book.maker(side.opposite(), limit).is_some()
    }

    /// Puts what is left of a new order into the book.
    fn rest(&mut self, taker: &Taker) {
        let place = client_ids::Place { symbol: self.at, order: taker.order };
        self.clients.insert(taker.terms.client, place);
        let (slot, level_qty) = self.symbol.book.rest(Resting {
            id: taker.order,
            account: taker.account,
            side: taker.side,
            price: taker.limit,
            remaining: taker.remaining,
            cum_qty: taker.cum_qty,
            data: taker.terms,
        });
        self.link(slot);
        self.level_changed(taker.side, taker.limit, level_qty, taker.remaining);
        self.remaining_changed(&taker.terms, taker.side, taker.remaining, taker.remaining);
    }

    /// The worst price a market order may trade at; refused when nobody offers one.
    fn market_price(&self, side: Side) -> Result<Ticks, Reject> {
        let limit = instrument::market_limit(&self.symbol.spec, side, self.quote().mark);
        let nobody = self.symbol.book.best(side.opposite()).is_none();
        require(nobody || self.crosses(side, limit), Reject::BeyondMarketBound)?;
        Ok(limit)
    }

    /// The account may have one more order on the symbol.
    fn has_room(&self, holding: &Holding, account: AccountId) -> bool {
        let open = match holding.side {
            PositionSide::Both => holding.orders.count,
            PositionSide::Long | PositionSide::Short => {
                self.accounts.legs(account, self.at).map(|(_, leg)| leg.orders.count).sum()
            }
        };
        open < OPEN_ORDERS_MAX
    }

    /// The order's value is within bounds; returns its quantity, capped to what it can reduce.
    fn check_size(&self, order: &Place, limit: Ticks, holding: &Holding) -> Result<Lots, Reject> {
        let basis = match order.order_type {
            OrderType::Limit => limit,
            OrderType::Market => self.quote().mark,
        };
        let reduce_only = order.reduces();
        if !reduce_only {
            self.check_value(basis, order.qty)?;
        }
        let reserved = holding.exposure.reserved;
        let sizes = Sizes { limit, remaining: order.qty, cum_quote: 0, reduce_only };
        self.check_arithmetic(holding, &sizes, reserved.buy + reserved.sell)?;
        if !reduce_only {
            return Ok(order.qty);
        }
        let closable = holding.exposure.position.closable(order.side.sign());
        require(closable > 0, Reject::ReduceOnly)?;
        Ok(order.qty.min(closable))
    }

    /// The worst price an order that never rests would trade at now, if it meets anybody.
    fn foreseen(
        &self,
        order: &Place,
        limit: Ticks,
        qty: Lots,
        scratch: &mut Foresight,
    ) -> Result<Option<Ticks>, Reject> {
        let (account, side) = (order.account, order.side);
        let outlook = self.dry_run(account, side, limit, qty, order.self_trade, scratch);
        if order.time_in_force == TimeInForce::Fok {
            require(outlook.lots == qty && outlook.fits(self.room), Reject::WouldNotFill)?;
        }
        Ok(outlook.worst)
    }

    pub fn check_cancellable(&self) -> Result<(), Reject> {
        require(!self.is_halted(), Reject::SymbolNotTrading)
    }
}

impl Ended {
    pub fn of_taker(taker: &Taker) -> Self {
        Self {
            order: taker.order,
            account: taker.account,
            side: taker.side,
            qty: taker.cum_qty + taker.remaining,
            cum_qty: taker.cum_qty,
            cum_quote: taker.terms.cum_quote,
            algo: taker.terms.algo,
        }
    }
}

/// Short of so much (not, when that is 0 or less), the ledger may help once.
fn check_lacking(lacking: i128, refused: Reject, last_try: bool) -> Result<(), Refusal> {
    if lacking <= 0 {
        return Ok(());
    }
    if last_try {
        return Err(refused.into());
    }
    let amount = i64::try_from(lacking).unwrap_or(i64::MAX);
    Err(Refusal { reject: Reject::NeedMargin, amount })
}

pub(crate) const fn none() -> Reservation {
    Reservation { buy: 0, sell: 0, loss: 0, fee: 0 }
}

pub(crate) const fn rests(order_type: OrderType, time_in_force: TimeInForce) -> bool {
    match (order_type, time_in_force) {
        (OrderType::Market, _) | (_, TimeInForce::Ioc | TimeInForce::Fok) => false,
        (OrderType::Limit, TimeInForce::Gtc | TimeInForce::Gtx | TimeInForce::Gtd) => true,
    }
}

/// How what is left of a taker ends; `None`: it rests.
pub(crate) fn end_of(
    taker: &Taker,
    stop: Stop,
    order_type: OrderType,
) -> Option<(OrderStatus, CloseReason)> {
    let rests = rests(order_type, taker.terms.time_in_force);
    match stop {
        Stop::SelfTrade => Some((OrderStatus::ExpiredInMatch, CloseReason::SelfTrade)),
        Stop::FillsMax if rests => Some((OrderStatus::Canceled, CloseReason::FillsMax)),
        Stop::FillsMax => Some((OrderStatus::Expired, CloseReason::FillsMax)),
        Stop::Done if rests => None,
        Stop::Done => Some(match order_type {
            OrderType::Market => (OrderStatus::Expired, CloseReason::MarketRemainder),
            OrderType::Limit => (OrderStatus::Expired, CloseReason::IocRemainder),
        }),
    }
}
