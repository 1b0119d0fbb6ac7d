//! Conditional orders: how they are taken in, found and ended.

use protocol::{
    AccountId, AlgoId, Lots, OrderId, Reject, Ticks,
    command::{CancelAlgo, Place, PlaceAlgo},
    event::{AlgoAccepted, AlgoChanged},
    limits::{ALGOS_MAX, CALLBACK_MAX, CALLBACK_MIN, CALLBACK_STEP},
    order::{AlgoStatus, AlgoType, OrderType, PositionSide, PriceMatch},
};

use crate::{
    accounts::Holding,
    checks::check_form,
    client_ids,
    desk::Desk,
    limits::ALGOS_SHARD_MAX,
    output::{Output, Sink},
    triggers::{Algo, AlgoAt, Prices, Stage, Triggers, rises},
    verdict::{Verdict, require},
};

impl Desk<'_> {
    /// Takes a conditional order in. It holds back no margin: that is asked for when it fires.
    pub fn place_algo<S: Sink>(&mut self, terms: &PlaceAlgo, out: &mut Output<'_, S>) -> Verdict {
        self.check_algo(terms)?;
        let holding = self.accounts.open_holding(terms.account, self.at, terms.position_side);
        let client = self.algo_clients.key(terms.account, &terms.client_id);
        let prices = Prices::of(self.symbol, self.quote().mark);
        let triggers = self.symbol.triggers.get_or_insert_default();
        let last = self.accounts.holding(holding).algos.last;
        let stage = Stage::Waits;
        let (activated, prev, next) = (false, last, None);
        let terms = *terms;
        let algo = Algo { holding, client, terms, stage, activated, prev, next, ..Algo::default() };
        let (count, at) = triggers.insert(&algo, &prices);
        if let Some(last) = last {
            triggers.get_mut(last).next = Some(at);
        }
        let holding = self.accounts.holding_mut(holding);
        holding.algos.first = holding.algos.first.or(Some(at));
        holding.algos.last = Some(at);
        holding.algos.closing += u32::from(terms.close_position);
        let account = holding.account;
        self.accounts.account_mut(account).algos += 1;
        self.accounts.waiting += 1;
        let place = client_ids::Place { symbol: self.at, order: OrderId(count) };
        self.algo_clients.insert(client, place);
        let algo = AlgoId::new(self.symbol.spec.symbol, count);
        out.emit(&AlgoAccepted { algo, terms });
        Ok(OrderId(algo.0))
    }

    pub fn cancel_algo<S: Sink>(
        &mut self,
        cancel: &CancelAlgo,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        self.check_cancellable()?;
        let at = self.find_algo(cancel).ok_or(Reject::UnknownAlgo)?;
        let algo = self.end_algo(at, AlgoStatus::Canceled, OrderId::NONE, Reject::None, out);
        Ok(OrderId(algo.0))
    }

    pub fn cancel_all_algos<S: Sink>(
        &mut self,
        account: AccountId,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        self.check_cancellable()?;
        self.end_algos(account, AlgoStatus::Canceled, |_, _| true, out);
        Ok(OrderId::NONE)
    }

    /// Ends an account's conditional orders on the symbol that `which` picks, leg by
    /// leg, oldest first.
    pub fn end_algos<S: Sink>(
        &mut self,
        account: AccountId,
        status: AlgoStatus,
        which: impl Fn(u64, &PlaceAlgo) -> bool,
        out: &mut Output<'_, S>,
    ) {
        for side in PositionSide::ALL {
            let leg = self.accounts.find_holding(account, self.at, *side);
            let mut next = leg.and_then(|leg| self.accounts.holding(leg).algos.first);
            while let Some(at) = next {
                let triggers = self.triggers();
                let algo = triggers.get(at);
                next = algo.next;
                if which(triggers.count_of(at), &algo.terms) {
                    self.end_algo(at, status, OrderId::NONE, Reject::None, out);
                }
            }
        }
    }

    /// Takes a conditional order out of all that wait and tells what became of it.
    pub fn end_algo<S: Sink>(
        &mut self,
        at: AlgoAt,
        status: AlgoStatus,
        order: OrderId,
        reject: Reject,
        out: &mut Output<'_, S>,
    ) -> AlgoId {
        let algo = AlgoId::new(self.symbol.spec.symbol, self.triggers().count_of(at));
        let ended = self.triggers_mut().remove(at);
        self.unlink_algo(&ended);
        let PlaceAlgo { account, symbol, side, .. } = ended.terms;
        out.emit(&AlgoChanged {
            algo,
            account,
            symbol,
            side,
            status,
            order,
            reject,
            activated: ended.activated,
            _pad: [0; 5],
        });
        algo
    }

    pub fn triggers(&self) -> &Triggers {
        self.symbol.triggers.as_ref().expect("a symbol with conditional orders has triggers")
    }

    pub fn triggers_mut(&mut self) -> &mut Triggers {
        self.symbol.triggers.as_mut().expect("a symbol with conditional orders has triggers")
    }

    fn unlink_algo(&mut self, algo: &Algo) {
        if let Some(prev) = algo.prev {
            self.triggers_mut().get_mut(prev).next = algo.next;
        }
        if let Some(next) = algo.next {
            self.triggers_mut().get_mut(next).prev = algo.prev;
        }
        let holding = self.accounts.holding_mut(algo.holding);
        if algo.prev.is_none() {
            holding.algos.first = algo.next;
        }
        if algo.next.is_none() {
            holding.algos.last = algo.prev;
        }
        holding.algos.closing -= u32::from(algo.terms.close_position);
        let account = holding.account;
        self.accounts.account_mut(account).algos -= 1;
        self.accounts.waiting -= 1;
        self.algo_clients.remove(algo.client);
    }

    fn find_algo(&self, cancel: &CancelAlgo) -> Option<AlgoAt> {
        let count = if cancel.algo.is_none() {
            let key = self.algo_clients.key(cancel.account, &cancel.client_id);
            let known = self.algo_clients.find(key)?;
            (known.symbol == self.at).then_some(known.order.0)?
        } else {
            (cancel.algo.symbol() == cancel.symbol).then_some(cancel.algo.count())?
        };
        let triggers = self.symbol.triggers.as_ref()?;
        let at = triggers.find(count)?;
        (triggers.get(at).terms.account == cancel.account).then_some(at)
    }

    fn check_algo(&self, terms: &PlaceAlgo) -> Result<(), Reject> {
        check_algo_form(terms)?;
        check_form(&order_of(terms, terms.qty), self.now)?;
        self.check_mode(terms.account, terms.position_side)?;
        self.check_open(terms.reduces())?;
        if !terms.close_position {
            self.check_qty(terms.qty, order_type_of(terms.algo_type))?;
        }
        let reference = Prices::of(self.symbol, self.quote().mark).reference(terms.working_type);
        let basis = self.check_condition(terms, reference)?;
        let priced = order_type_of(terms.algo_type) == OrderType::Limit
            && terms.price_match == PriceMatch::None;
        if priced {
            self.check_range(terms.price)?;
        }
        if !terms.reduces() {
            let basis = if priced { terms.price } else { basis };
            self.check_value(basis, terms.qty)?;
        }
        self.check_algo_count(terms)
    }

    /// The condition makes sense and does not hold yet; the price it looks for, as far as that is
    /// known.
    fn check_condition(&self, terms: &PlaceAlgo, reference: Ticks) -> Result<Ticks, Reject> {
        let follows = terms.algo_type == AlgoType::TrailingStopMarket;
        let (price, already) = match (follows, terms.activate_price) {
            (true, 0) => return Ok(reference),
            (true, price) => (price, Reject::TrailInvalid),
            (false, _) => (terms.trigger_price, Reject::WouldTrigger),
        };
        self.check_range(price)?;
        let holds = match rises(terms.algo_type, terms.side) {
            true => reference >= price,
            false => reference <= price,
        };
        require(!holds, already)?;
        Ok(price)
    }

    fn check_algo_count(&self, terms: &PlaceAlgo) -> Result<(), Reject> {
        let account = self.accounts.find(terms.account).map(|at| self.accounts.account(at));
        let waiting = account.map_or(0, |account| account.algos);
        require(waiting < ALGOS_MAX, Reject::TooManyAlgos)?;
        require(self.accounts.waiting < ALGOS_SHARD_MAX, Reject::ShardFull)?;
        let client = self.algo_clients.key(terms.account, &terms.client_id);
        require(self.algo_clients.find(client).is_none(), Reject::ClientIdDuplicate)?;
        let holding = self.accounts.find_holding(terms.account, self.at, terms.position_side);
        let Some(holding) = holding.map(|at| self.accounts.holding(at)) else { return Ok(()) };
        let closes = terms.close_position && holding.algos.closing > 0;
        require(!closes || !self.closes_alike(holding, terms), Reject::ClosePositionDuplicate)
    }

    /// A waiting conditional order of the holding closes the position on this side by a condition
    /// of this kind already.
    fn closes_alike(&self, holding: &Holding, terms: &PlaceAlgo) -> bool {
        let triggers = self.triggers();
        core::iter::successors(holding.algos.first, |at| triggers.get(*at).next).any(|at| {
            let known = &triggers.get(at).terms;
            known.close_position && known.side == terms.side && known.algo_type == terms.algo_type
        })
    }

    fn check_range(&self, price: Ticks) -> Result<(), Reject> {
        require(price > 0, Reject::PriceNotPositive)?;
        require(price >= self.symbol.spec.price_min, Reject::PriceTooLow)?;
        require(price <= self.symbol.spec.price_max, Reject::PriceTooHigh)
    }
}

/// What can be said of the condition by itself.
fn check_algo_form(terms: &PlaceAlgo) -> Result<(), Reject> {
    let may_close = matches!(terms.algo_type, AlgoType::StopMarket | AlgoType::TakeProfitMarket);
    let closes = !terms.close_position || (may_close && terms.qty == 0 && !terms.reduce_only);
    let follows = terms.algo_type == AlgoType::TrailingStopMarket;
    let fitting = match follows {
        true => terms.trigger_price == 0,
        false => terms.callback == 0 && terms.activate_price == 0,
    };
    require(closes && fitting, Reject::InvalidCombination)?;
    let known = (CALLBACK_MIN..=CALLBACK_MAX).contains(&terms.callback)
        && terms.callback % CALLBACK_STEP == 0;
    require(!follows || known, Reject::TrailInvalid)
}

/// The order that a conditional order becomes.
pub(crate) fn order_of(terms: &PlaceAlgo, qty: Lots) -> Place {
    Place {
        account: terms.account,
        symbol: terms.symbol,
        side: terms.side,
        order_type: order_type_of(terms.algo_type),
        time_in_force: terms.time_in_force,
        self_trade: terms.self_trade,
        price_match: terms.price_match,
        position_side: terms.position_side,
        reduce_only: terms.reduce_only || terms.close_position,
        _pad: [0; 3],
        price: terms.price,
        qty,
        good_till: terms.good_till,
        client_id: terms.client_id,
        _pad2: [0; 4],
    }
}

const fn order_type_of(algo_type: AlgoType) -> OrderType {
    match algo_type {
        AlgoType::Stop | AlgoType::TakeProfit => OrderType::Limit,
        AlgoType::StopMarket | AlgoType::TakeProfitMarket | AlgoType::TrailingStopMarket => {
            OrderType::Market
        }
    }
}
