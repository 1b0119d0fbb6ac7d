//! What becomes of a conditional order whose condition has come true.

use protocol::{
    AccountId, AlgoId, Cash, ClientId, OrderId, Reject,
    command::{Place, PlaceAlgo},
    event::AlgoChanged,
    limits::QTY_MAX,
    order::{AlgoStatus, AlgoType, PositionSide},
};

use crate::{
    algos::order_of,
    desk::Desk,
    foresight::Foresight,
    orders::Plan,
    output::{Output, Sink},
    triggers::{Algo, AlgoAt, Prices, Stage},
    verdict::Refusal,
};

/// What a condition that holds leads to.
enum Fate {
    Order(Place, Plan),
    /// There is nothing left to do.
    Expired,
    /// Collateral is lacking, which may be asked for.
    Short(Cash),
    Refused(Reject),
}

/// What a fired order lacks.
pub(crate) struct Short {
    /// The account's place in this shard.
    pub account: u32,
    pub amount: Cash,
}

impl Desk<'_> {
    /// Makes an order of a conditional order that is due, or lets a trailing stop follow, unless it
    /// has been ended meanwhile.
    ///
    /// It waits while its symbol takes no orders.
    /// Short of margin, or while its account is in need, it waits for the account's margin call;
    /// returned is what is to be asked for if no call is open yet.
    pub fn fire<S: Sink>(
        &mut self,
        count: u64,
        may_call: bool,
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) -> Option<Short> {
        let at = self.triggers().find(count)?;
        let Algo { terms, activated, called, asked, holding, .. } = *self.triggers().get(at);
        if terms.algo_type == AlgoType::TrailingStopMarket && !activated {
            self.activate(at, out);
            return None;
        }
        if !self.symbol.takes_orders() {
            self.triggers_mut().park(at);
            return None;
        }
        let before = out.events();
        self.pools.book_all(self.accounts, terms.account, self.quotes, out);
        self.room -= out.events() - before;
        let account = self.accounts.holding(holding).account;
        if called {
            // what was granted for it is for it to take
            self.accounts.account_mut(account).earmark = 0;
        }
        let known = self.accounts.account(account);
        let (is_open, in_need) = (known.call != 0, known.in_need);
        let waits = !asked && (is_open || may_call);
        match self.fate_of(&terms, !waits, scratch) {
            Fate::Short(amount) => {
                self.await_call(at, !is_open, out);
                return (!is_open).then_some(Short { account, amount });
            }
            Fate::Refused(Reject::InsufficientMargin) if waits && in_need => {
                self.await_call(at, false, out);
            }
            Fate::Expired => {
                self.end_algo(at, AlgoStatus::Expired, OrderId::NONE, Reject::None, out);
            }
            Fate::Refused(reject) => {
                self.end_algo(at, AlgoStatus::Rejected, OrderId::NONE, reject, out);
            }
            Fate::Order(order, plan) => {
                let id = OrderId(self.symbol.book.counters().order.0 + 1);
                let algo = self.end_algo(at, AlgoStatus::Triggered, id, Reject::None, out);
                if terms.close_position {
                    self.expire_partner(&terms, out);
                }
                let placed = self.place(&order, &plan, algo, out);
                assert_eq!(placed, id, "an order's id is the next");
            }
        }
        None
    }

    /// Lets it wait for the account's call, which is made for what it lacks or is open already; the
    /// first time it is told.
    fn await_call<S: Sink>(&mut self, at: AlgoAt, asked: bool, out: &mut Output<'_, S>) {
        let algo = self.triggers_mut().get_mut(at);
        (algo.stage, algo.asked) = (Stage::Calls, asked);
        if !core::mem::replace(&mut algo.called, true) {
            self.tell_triggering(at, out);
        }
    }

    /// Its condition held; its order waits for margin.
    fn tell_triggering<S: Sink>(&self, at: AlgoAt, out: &mut Output<'_, S>) {
        let triggers = self.triggers();
        let Algo { terms, activated, .. } = *triggers.get(at);
        out.emit(&AlgoChanged {
            algo: AlgoId::new(terms.symbol, triggers.count_of(at)),
            account: terms.account,
            symbol: terms.symbol,
            side: terms.side,
            status: AlgoStatus::Triggering,
            order: OrderId::NONE,
            reject: Reject::None,
            activated,
            _pad: [0; 5],
        });
    }

    /// A trailing stop has met its activation price: it follows the price from where that is now.
    fn activate<S: Sink>(&mut self, at: AlgoAt, out: &mut Output<'_, S>) {
        let prices = Prices::of(self.symbol, self.quote().mark);
        let triggers = self.triggers_mut();
        triggers.activate(at, &prices);
        let (count, PlaceAlgo { account, symbol, side, .. }) =
            (triggers.count_of(at), triggers.get(at).terms);
        out.emit(&AlgoChanged {
            algo: AlgoId::new(symbol, count),
            account,
            symbol,
            side,
            status: AlgoStatus::New,
            order: OrderId::NONE,
            reject: Reject::None,
            activated: true,
            _pad: [0; 5],
        });
    }

    /// Ends what was to close a position that has gone.
    pub fn expire_closing<S: Sink>(
        &mut self,
        account: AccountId,
        leg: PositionSide,
        through: u64,
        out: &mut Output<'_, S>,
    ) {
        let closes = |count, terms: &PlaceAlgo| {
            terms.close_position && terms.position_side == leg && count <= through
        };
        self.end_algos(account, AlgoStatus::Expired, closes, out);
    }

    /// Of a stop and a take-profit that close one position on one side, only one fires. In hedge
    /// mode the side says which leg.
    fn expire_partner<S: Sink>(&mut self, fired: &PlaceAlgo, out: &mut Output<'_, S>) {
        let pair = |_, terms: &PlaceAlgo| terms.close_position && terms.side == fired.side;
        self.end_algos(fired.account, AlgoStatus::Expired, pair, out);
    }

    fn fate_of(&self, terms: &PlaceAlgo, last_try: bool, scratch: &mut Foresight) -> Fate {
        let over = terms.good_till != 0 && terms.good_till <= self.now;
        let mut qty = terms.qty;
        if terms.reduces() {
            let holding = self.accounts.find_holding(terms.account, self.at, terms.position_side);
            let closable = holding.map_or(0, |at| {
                self.accounts.holding(at).exposure.position.closable(terms.side.sign())
            });
            if closable == 0 {
                return Fate::Expired;
            }
            if terms.close_position {
                qty = closable.min(QTY_MAX);
            }
        }
        if over {
            return Fate::Expired;
        }
        let order = Place { client_id: ClientId::EMPTY, ..order_of(terms, qty) };
        match self.plan_fired(&order, terms.close_position, last_try, scratch) {
            Ok(plan) => Fate::Order(order, plan),
            Err(Refusal { reject: Reject::NeedMargin, amount }) => Fate::Short(amount),
            Err(refusal) => Fate::Refused(refusal.reject),
        }
    }

    #[cold]
    fn plan_fired(
        &self,
        order: &Place,
        closes: bool,
        last_try: bool,
        scratch: &mut Foresight,
    ) -> Result<Plan, Refusal> {
        self.check_open(order.reduces())?;
        if !closes {
            self.check_qty(order.qty, order.order_type)?;
        }
        self.plan_sized(order, last_try, scratch)
    }
}
