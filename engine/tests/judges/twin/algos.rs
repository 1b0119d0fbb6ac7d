//! Conditional orders and countdowns: a list that is gone through whenever a price moves.

use protocol::{
    AccountId, AlgoId, ClientId, Event, OrderId, Reject, SymbolId,
    command::{CancelAlgo, Countdown, Place, PlaceAlgo},
    event::{AlgoAccepted, AlgoChanged, CountdownSet},
    instrument::SymbolSpec,
    limits::ALGOS_MAX,
    order::{
        AlgoStatus, AlgoType, CallKind, CloseReason, OrderStatus, OrderType, PositionSide,
        PriceMatch, Side, SymbolState, WorkingType,
    },
};

use super::{
    Answer,
    margin::ONE,
    no,
    orders::reduces,
    shard::{Leg, Market, Shard},
};

/// No unit of work is begun after so many events; and a unit makes no more than so many.
const WORK_EVENTS: usize = 1_024;
const UNIT_EVENTS: usize = 3_072;

#[derive(Clone)]
pub struct Algo {
    pub id: u64,
    pub terms: PlaceAlgo,
    pub due: bool,
    /// Of a trailing stop that has been activated.
    pub extreme: Option<i64>,
    /// It waits for its account's margin call, or has, which is told once.
    pub calls: bool,
    /// It had come true when its symbol took no orders.
    pub parked: bool,
    pub called: bool,
    /// The ledger was asked for what it lacks, and has not said that it is there.
    pub asked: bool,
}

/// What has come due, in the order in which it is done: by symbol, what has lost its position
/// first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub symbol: u16,
    pub what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Gone {
        account: u32,
        leg: PositionSide,
        through: u64,
    },
    Fire(u64),
    Fund(u32),
    Need {
        account: u32,
    },
    Clear(u32),
    Settle(u32),
    Liquidate {
        account: u32,
        leg: PositionSide,
    },
    Deleverage {
        account: u32,
        leg: PositionSide,
        isolated: bool,
        from: u32,
        best: Option<(u32, PositionSide)>,
    },
    Unwind,
}

impl Market {
    fn price_of(&self, working: WorkingType) -> i64 {
        match working {
            WorkingType::Contract if self.last != 0 => self.last,
            WorkingType::Contract | WorkingType::Mark => self.mark,
        }
    }

    fn is_apart(&self) -> bool {
        let last = self.price_of(WorkingType::Contract);
        let protect = i128::from(self.spec.trigger_protect);
        i128::from((last - self.mark).abs()) * ONE > protect * i128::from(self.mark)
    }

    fn holds(&self, terms: &PlaceAlgo) -> bool {
        let price = self.price_of(terms.working_type);
        if terms.algo_type == AlgoType::TrailingStopMarket {
            return match terms.side {
                Side::Buy => price <= terms.activate_price,
                Side::Sell => price >= terms.activate_price,
            };
        }
        let stop = matches!(terms.algo_type, AlgoType::Stop | AlgoType::StopMarket);
        if stop == (terms.side == Side::Buy) {
            price >= terms.trigger_price
        } else {
            price <= terms.trigger_price
        }
    }
}

fn check_range(spec: &SymbolSpec, prices: &[i64]) -> Result<(), (Reject, i64)> {
    for price in prices {
        match *price {
            i64::MIN..=0 => return no(Reject::PriceNotPositive),
            price if price < spec.price_min => return no(Reject::PriceTooLow),
            price if price > spec.price_max => return no(Reject::PriceTooHigh),
            _ => {}
        }
    }
    Ok(())
}

/// A trailing stop's price has come back from its extreme as far as its callback says.
fn has_come_back(terms: &PlaceAlgo, extreme: i64, price: i64) -> bool {
    let (extreme, price) = (i128::from(extreme), i128::from(price) * ONE);
    match terms.side {
        Side::Buy => price >= extreme * (ONE + i128::from(terms.callback)),
        Side::Sell => price <= extreme * (ONE - i128::from(terms.callback)),
    }
}

fn is_market(algo_type: AlgoType) -> bool {
    !matches!(algo_type, AlgoType::Stop | AlgoType::TakeProfit)
}

fn becomes(terms: &PlaceAlgo, qty: i64) -> Place {
    Place {
        account: terms.account,
        symbol: terms.symbol,
        side: terms.side,
        order_type: if is_market(terms.algo_type) { OrderType::Market } else { OrderType::Limit },
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

impl Shard {
    pub fn place_algo(&mut self, terms: &PlaceAlgo) -> Answer {
        self.check_algo(terms)?;
        self.holding_mut((terms.account.0, terms.symbol.0, terms.position_side));
        let market = self.markets.get_mut(&terms.symbol.0).unwrap();
        market.algo_ids += 1;
        let id = market.algo_ids;
        let trails = terms.algo_type == AlgoType::TrailingStopMarket && terms.activate_price == 0;
        let extreme = trails.then(|| market.price_of(terms.working_type));
        let terms = *terms;
        let (due, calls, parked, called, asked) = (false, false, false, false, false);
        market.algos.push(Algo { id, terms, due, extreme, calls, parked, called, asked });
        let algo = AlgoId(id << 16 | u64::from(terms.symbol.0));
        self.events.push(Event::AlgoAccepted(AlgoAccepted { algo, terms }));
        Ok(algo.0)
    }

    fn check_algo(&self, terms: &PlaceAlgo) -> Result<(), (Reject, i64)> {
        let symbol = terms.symbol.0;
        let closes = matches!(terms.algo_type, AlgoType::StopMarket | AlgoType::TakeProfitMarket)
            && terms.qty == 0
            && !terms.reduce_only;
        let trails = terms.algo_type == AlgoType::TrailingStopMarket;
        let strange = match trails {
            true => terms.trigger_price != 0,
            false => terms.callback != 0 || terms.activate_price != 0,
        };
        if terms.close_position && !closes || strange {
            return no(Reject::InvalidCombination);
        }
        let tenths = terms.callback / 100_000;
        if trails && !((1..=100).contains(&tenths) && terms.callback == tenths * 100_000) {
            return no(Reject::TrailInvalid);
        }
        self.check_form(&becomes(terms, terms.qty))?;
        self.check_mode(terms.account.0, terms.position_side)?;
        let exempt = reduces(&becomes(terms, terms.qty));
        self.check_open(symbol, exempt)?;
        if !terms.close_position {
            self.check_qty(symbol, terms.qty, is_market(terms.algo_type))?;
        }
        let market = &self.markets[&symbol];
        let at_once = trails && terms.activate_price == 0;
        let mut prices = match trails {
            true if at_once => vec![],
            true => vec![terms.activate_price],
            false => vec![terms.trigger_price],
        };
        check_range(&market.spec, &prices)?;
        if !at_once && market.holds(terms) {
            return no(if trails { Reject::TrailInvalid } else { Reject::WouldTrigger });
        }
        if !is_market(terms.algo_type) && terms.price_match == PriceMatch::None {
            prices.push(terms.price);
        }
        check_range(&market.spec, &prices)?;
        let lots = i128::from(terms.qty) * i128::from(market.spec.mult);
        let reference = market.price_of(terms.working_type);
        let value = i128::from(*prices.last().unwrap_or(&reference)) * lots;
        if !exempt && value < market.spec.notional_min.into() {
            return no(Reject::NotionalTooLow);
        }
        let all = self.markets.values().flat_map(|market| &market.algos);
        let own = all.filter(|algo| algo.terms.account == terms.account);
        if own.clone().count() >= ALGOS_MAX as usize {
            return no(Reject::TooManyAlgos);
        }
        let named = !terms.client_id.is_empty();
        if named && own.clone().any(|algo| algo.terms.client_id == terms.client_id) {
            return no(Reject::ClientIdDuplicate);
        }
        let alike = |known: &PlaceAlgo| {
            (known.symbol, known.close_position) == (terms.symbol, true)
                && (known.side, known.algo_type) == (terms.side, terms.algo_type)
        };
        if terms.close_position && own.clone().any(|algo| alike(&algo.terms)) {
            return no(Reject::ClosePositionDuplicate);
        }
        Ok(())
    }

    pub fn cancel_algo(&mut self, cancel: &CancelAlgo) -> Answer {
        let symbol = cancel.symbol.0;
        if self.markets[&symbol].spec.state == SymbolState::Halted {
            return no(Reject::SymbolNotTrading);
        }
        let found = self.markets[&symbol].algos.iter().find(|algo| {
            algo.terms.account == cancel.account
                && match cancel.algo.0 {
                    0 => !cancel.client_id.is_empty() && algo.terms.client_id == cancel.client_id,
                    id => id == algo.id << 16 | u64::from(symbol),
                }
        });
        let Some(found) = found else { return no(Reject::UnknownAlgo) };
        Ok(self.end_algo(symbol, found.id, AlgoStatus::Canceled, 0, Reject::None))
    }

    pub fn cancel_all_algos(&mut self, account: u32, symbol: u16) -> Answer {
        if self.markets[&symbol].spec.state == SymbolState::Halted {
            return no(Reject::SymbolNotTrading);
        }
        self.end_algos(symbol, AlgoStatus::Canceled, |algo| algo.terms.account.0 == account);
        Ok(0)
    }

    pub fn end_algos(&mut self, symbol: u16, status: AlgoStatus, which: impl Fn(&Algo) -> bool) {
        let algos = self.markets[&symbol].algos.iter();
        let ended = algos.filter(|algo| which(algo));
        let mut ids: Vec<_> = ended.map(|algo| (algo.terms.position_side, algo.id)).collect();
        ids.sort_unstable();
        for (_, id) in ids {
            self.end_algo(symbol, id, status, 0, Reject::None);
        }
    }

    fn end_algo(
        &mut self,
        symbol: u16,
        id: u64,
        status: AlgoStatus,
        order: u64,
        reject: Reject,
    ) -> u64 {
        let algos = &mut self.markets.get_mut(&symbol).unwrap().algos;
        let place = algos.iter().position(|algo| algo.id == id).unwrap();
        let Algo { terms, extreme, .. } = algos.remove(place);
        self.tell_changed(
            extreme.is_some(),
            (terms.account.0, symbol, terms.side),
            id,
            status,
            order,
            reject,
        )
    }

    pub fn tell_algo(
        &mut self,
        whose: (u32, u16, Side),
        id: u64,
        status: AlgoStatus,
        order: u64,
        reject: Reject,
    ) -> u64 {
        self.tell_changed(false, whose, id, status, order, reject)
    }

    fn tell_changed(
        &mut self,
        activated: bool,
        (account, symbol, side): (u32, u16, Side),
        id: u64,
        status: AlgoStatus,
        order: u64,
        reject: Reject,
    ) -> u64 {
        let algo = AlgoId(id << 16 | u64::from(symbol));
        self.events.push(Event::AlgoChanged(AlgoChanged {
            algo,
            account: AccountId(account),
            symbol: SymbolId(symbol),
            side,
            status,
            order: OrderId(order),
            reject,
            activated,
            _pad: [0; 5],
        }));
        algo.0
    }

    /// A price has moved: what does it make true?
    pub fn look(&mut self, symbol: u16) {
        let market = &self.markets[&symbol];
        let open = market.is_open();
        let mut algos = market.algos.clone();
        for algo in algos.iter_mut().filter(|algo| !algo.due) {
            let price = market.price_of(algo.terms.working_type);
            let holds = match algo.extreme {
                _ if algo.parked => true,
                Some(extreme) => has_come_back(&algo.terms, extreme, price),
                None => market.holds(&algo.terms),
            };
            if holds && open && !(algo.terms.price_protect && market.is_apart()) {
                (algo.due, algo.parked) = (true, false);
                self.fresh.push(Job { symbol, what: What::Fire(algo.id) });
                continue;
            }
            algo.extreme = algo.extreme.map(|extreme| match algo.terms.side {
                Side::Buy => extreme.min(price),
                Side::Sell => extreme.max(price),
            });
        }
        self.markets.get_mut(&symbol).unwrap().algos = algos;
    }

    /// Notes that an account has no position any more, or one on the other side.
    pub fn gone(&mut self, (account, symbol, leg): Leg) {
        let market = &self.markets[&symbol];
        let closes = |algo: &Algo| {
            (algo.terms.account.0, algo.terms.position_side) == (account, leg)
                && algo.terms.close_position
        };
        if market.algos.iter().any(closes) {
            let what = What::Gone { account, leg, through: market.algo_ids };
            self.fresh.push(Job { symbol, what });
        }
    }

    pub fn set_countdown(&mut self, set: &Countdown) -> Answer {
        let (account, symbol) = (set.account.0, set.symbol.0);
        let at = if set.after == 0 { 0 } else { self.now.saturating_add(set.after) };
        let running = self.countdowns.get(&(account, symbol)).copied();
        let sooner = at != 0 && running.is_none_or(|running| at < running);
        if sooner && self.markets[&symbol].spec.state == SymbolState::Halted {
            return no(Reject::SymbolNotTrading);
        }
        self.countdowns.remove(&(account, symbol));
        if at != 0 {
            self.accounts.entry(account).or_default();
            self.countdowns.insert((account, symbol), at);
        }
        self.tell_countdown(account, symbol, at);
        Ok(0)
    }

    fn tell_countdown(&mut self, account: u32, symbol: u16, at: u64) {
        let (account, symbol) = (AccountId(account), SymbolId(symbol));
        self.events.push(Event::CountdownSet(CountdownSet { account, symbol, _pad: [0; 2], at }));
    }

    /// Ends the first countdown that is over.
    fn end_countdown(&mut self) -> bool {
        let over = self.countdowns.iter().filter(|(_, at)| **at <= self.now);
        let Some((account, symbol)) =
            over.min_by_key(|(key, at)| (**at, **key)).map(|(key, _)| *key)
        else {
            return false;
        };
        self.countdowns.remove(&(account, symbol));
        self.tell_countdown(account, symbol, 0);
        self.close_all(account, symbol, (OrderStatus::Canceled, CloseReason::Canceled));
        let own = |algo: &Algo| algo.terms.account.0 == account;
        self.end_algos(symbol, AlgoStatus::Canceled, own);
        true
    }

    pub fn work(&mut self, most: usize) {
        let mut done = 0;
        while done < most && self.events.len() <= WORK_EVENTS {
            done += 1;
            self.ceiling = self.events.len() + UNIT_EVENTS;
            if self.end_countdown() || self.end_call() || self.begin_round() {
                continue;
            }
            if self.queue.is_empty() {
                if self.end_dated() || self.sweep_one() {
                    continue;
                }
                return;
            }
            let Job { symbol, what } = self.queue.remove(0);
            if matches!(what, What::Deleverage { .. }) {
                // two of these a frame
                done += 7;
            }
            match what {
                What::Gone { account, leg, through } => {
                    self.end_algos(symbol, AlgoStatus::Expired, |algo| {
                        (algo.terms.account.0, algo.terms.position_side) == (account, leg)
                            && algo.terms.close_position
                            && algo.id <= through
                    });
                }
                What::Fire(id) => self.fire(symbol, id),
                What::Fund(from) => self.book_slice(symbol, from),
                What::Need { account } => self.call_for_need(account),
                What::Liquidate { account, leg } => self.liquidate((account, symbol, leg)),
                What::Deleverage { account, leg, isolated, from, best } => {
                    self.seek((account, symbol, leg), isolated, from, best);
                }
                What::Unwind => self.unwind(symbol),
                What::Clear(from) => self.clear_slice(symbol, from),
                What::Settle(from) => self.settle_slice(symbol, from),
            }
        }
    }

    pub fn close_frame(&mut self) {
        if std::mem::take(&mut self.moved) {
            self.look_for_need();
        }
        self.fresh.sort_unstable();
        self.fresh.dedup();
        self.queue.append(&mut self.fresh);
    }

    fn fire(&mut self, symbol: u16, id: u64) {
        let algos = &self.markets[&symbol].algos;
        let Some(algo) = algos.iter().find(|algo| algo.id == id) else { return };
        let Algo { terms, called, asked, .. } = *algo;
        if terms.algo_type == AlgoType::TrailingStopMarket && algo.extreme.is_none() {
            let market = self.markets.get_mut(&symbol).unwrap();
            let price = market.price_of(terms.working_type);
            let algo = market.algos.iter_mut().find(|algo| algo.id == id).unwrap();
            (algo.due, algo.extreme) = (false, Some(price));
            let whose = (terms.account.0, symbol, terms.side);
            self.tell_changed(true, whose, id, AlgoStatus::New, 0, Reject::None);
            return;
        }
        let account = terms.account.0;
        if !self.markets[&symbol].is_open() {
            let market = self.markets.get_mut(&symbol).unwrap();
            let algo = market.algos.iter_mut().find(|algo| algo.id == id).unwrap();
            (algo.due, algo.parked) = (false, true);
            return;
        }
        if called {
            self.accounts.get_mut(&account).unwrap().earmark = 0;
        }
        self.book_account(account);
        let waits = !asked && self.may_wait(account);
        let leg = (account, symbol, terms.position_side);
        let closable = self.closable(leg, terms.side);
        let over = terms.good_till != 0 && terms.good_till <= self.now;
        if over || closable == 0 && reduces(&becomes(&terms, 0)) {
            self.end_algo(symbol, id, AlgoStatus::Expired, 0, Reject::None);
            return;
        }
        let qty = if terms.close_position { closable.min(1 << 40) as i64 } else { terms.qty };
        let order = Place { client_id: ClientId::EMPTY, ..becomes(&terms, qty) };
        let checked = self.clone().place_fired(&order, 0, terms.close_position, !waits);
        let has_call = self.has_call(account);
        // an open call for the account's own need comes first
        let in_need = waits && self.needs_call(account);
        let order_id = match checked {
            Err((reject, amount))
                if reject == Reject::NeedMargin
                    || in_need && reject == Reject::InsufficientMargin =>
            {
                let algos = &mut self.markets.get_mut(&symbol).unwrap().algos;
                let algo = algos.iter_mut().find(|algo| algo.id == id).unwrap();
                let told = algo.called;
                (algo.calls, algo.called, algo.asked) = (true, true, !has_call);
                let activated = algo.extreme.is_some();
                let (whose, status) = ((account, symbol, terms.side), AlgoStatus::Triggering);
                if !told {
                    self.tell_changed(activated, whose, id, status, 0, Reject::None);
                }
                if !has_call {
                    self.call(account, CallKind::Order, amount);
                }
                return;
            }
            Err((reject, _)) => {
                self.end_algo(symbol, id, AlgoStatus::Rejected, 0, reject);
                return;
            }
            Ok(order_id) => order_id,
        };
        self.end_algo(symbol, id, AlgoStatus::Triggered, order_id, Reject::None);
        if terms.close_position {
            self.end_algos(symbol, AlgoStatus::Expired, |algo| {
                algo.terms.account == terms.account
                    && algo.terms.side == terms.side
                    && algo.terms.close_position
            });
        }
        let placed = self.place_fired(&order, id, terms.close_position, true);
        assert_eq!(placed, Ok(order_id));
    }

    fn place_fired(&mut self, order: &Place, algo: u64, closes: bool, last_try: bool) -> Answer {
        self.check_open(order.symbol.0, reduces(order))?;
        if !closes {
            let is_market = order.order_type == OrderType::Market;
            self.check_qty(order.symbol.0, order.qty, is_market)?;
        }
        self.place_sized(order, algo, last_try)
    }
}
