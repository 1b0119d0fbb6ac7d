//! The auditor's books about conditional orders: it watches both prices itself, so it knows what
//! may fire and what has to, and that each fires and ends once.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    command::PlaceAlgo,
    event::AlgoChanged,
    limits::MARGIN_CALL_GRACE_DOWN_US,
    order::{AlgoStatus, AlgoType, Side, WorkingType},
};

use crate::{auditor::Leg, auditor_turns::Turns};

const ONE: i128 = 100_000_000;

#[derive(Clone)]
struct Waiting {
    terms: PlaceAlgo,
    /// Its condition has held at some price since it was accepted, while it could fire.
    held: bool,
    /// Of a trailing stop: its activation price has been met.
    met: bool,
    /// Of a trailing stop that follows.
    extreme: Option<i64>,
    /// Its position has gone since.
    gone: bool,
    /// The other one of its pair has fired in this frame.
    unpaired: bool,
    /// When it has begun to wait for a margin call.
    called: Option<u64>,
    /// Its symbol took no orders when its turn may have come: it fires at the next price.
    parked: bool,
    /// Frames for which it has been due.
    due: usize,
}

#[derive(Clone, Default)]
pub struct AlgoBooks {
    waiting: BTreeMap<u64, Waiting>,
    /// Those that have become orders which are open: by symbol and order.
    orders: BTreeMap<(u16, u64), u64>,
    /// Triggered in this frame, before its order is accepted.
    announced: Option<(u16, u64)>,
    known: BTreeSet<u64>,
    protect: BTreeMap<u16, i64>,
    last: BTreeMap<u16, i64>,
    mark: BTreeMap<u16, i64>,
    pub fired: usize,
    /// Trailing stops among them, and those that were activated.
    pub trailed: usize,
    pub activated: usize,
    /// How many waited for margin calls.
    pub called: usize,
}

impl AlgoBooks {
    /// Something may be done before the next frame's command.
    pub fn expect_work(&self) -> bool {
        self.waiting.values().any(|waiting| {
            waiting.held || waiting.gone || (waiting.met && waiting.extreme.is_none())
        })
    }

    pub fn waits_on(&self, symbol: u16) -> bool {
        self.waiting.values().any(|waiting| waiting.terms.symbol.0 == symbol)
    }

    pub fn listed(&mut self, symbol: u16, protect: i64) {
        self.protect.insert(symbol, protect);
    }

    pub fn marked(&mut self, symbol: u16, mark: i64, takes_orders: bool) {
        self.mark.insert(symbol, mark);
        self.look(symbol, takes_orders);
    }

    pub fn traded(&mut self, symbol: u16, price: i64, takes_orders: bool) {
        self.last.insert(symbol, price);
        self.look(symbol, takes_orders);
    }

    /// A position there is none any more, or it has changed its side.
    pub fn gone(&mut self, leg: Leg) {
        for waiting in self.waiting.values_mut() {
            let terms = &waiting.terms;
            let of = (terms.account.0, terms.symbol.0, terms.position_side as u8);
            waiting.gone |= terms.close_position && of == leg;
        }
    }

    pub fn accepted(&mut self, algo: u64, terms: &PlaceAlgo) {
        assert!(self.known.insert(algo), "an algo id is given once");
        let at_once = terms.algo_type == AlgoType::TrailingStopMarket && terms.activate_price == 0;
        let extreme = at_once.then(|| self.price(terms));
        assert!(at_once || !self.holds(terms), "it does not hold at the accept: {terms:?}");
        let twin = |known: &Waiting| {
            known.terms.close_position
                && (known.terms.account, known.terms.symbol) == (terms.account, terms.symbol)
                && (known.terms.side, known.terms.algo_type) == (terms.side, terms.algo_type)
        };
        assert!(!terms.close_position || !self.waiting.values().any(twin), "{terms:?}");
        self.waiting.insert(
            algo,
            Waiting {
                terms: *terms,
                held: false,
                met: false,
                extreme,
                gone: false,
                unpaired: false,
                called: None,
                parked: false,
                due: 0,
            },
        );
    }

    /// A call of its account's is open from now on, and what waits for one waits for that.
    pub fn call_issued(&mut self, now: u64, account: u32) {
        for waiting in self.waiting.values_mut().filter(|known| known.terms.account.0 == account) {
            waiting.called = waiting.called.map(|_| now);
        }
    }

    pub fn order_accepted(&mut self, symbol: u16, order: u64) {
        if let Some(announced) = self.announced.take() {
            assert_eq!(announced, (symbol, order), "a fired order has the id it was told with");
        }
    }

    pub fn changed(&mut self, now: u64, change: &AlgoChanged, order_has_ended: bool) {
        let algo = change.algo.0;
        let key = (change.symbol.0, change.order.0);
        match change.status {
            AlgoStatus::Finished => {
                assert_eq!(self.orders.remove(&key), Some(algo), "it finishes once: {change:?}");
                assert!(order_has_ended, "and with its order: {change:?}");
                return;
            }
            AlgoStatus::New => {
                let terms = self.waiting[&algo].terms;
                let price = self.price(&terms);
                let waiting = self.waiting.get_mut(&algo).unwrap();
                assert!(change.activated && waiting.met, "activated when met: {change:?}");
                self.activated += 1;
                waiting.due = 0;
                assert_eq!(waiting.extreme.replace(price), None, "activated once: {change:?}");
                return;
            }
            AlgoStatus::Triggering => {
                let waiting = self.waiting.get_mut(&algo).unwrap();
                let first = waiting.called.replace(now).is_none();
                assert!(waiting.held && first, "waits for margin once: {change:?}");
                assert!(!waiting.unpaired, "one of a pair acts: {change:?}");
                self.called += 1;
                return;
            }
            AlgoStatus::Triggered
            | AlgoStatus::Canceled
            | AlgoStatus::Rejected
            | AlgoStatus::Expired => {}
        }
        let waiting = self.waiting.remove(&algo).unwrap_or_else(|| panic!("ended: {change:?}"));
        let fires = matches!(change.status, AlgoStatus::Triggered | AlgoStatus::Rejected);
        assert!(!fires || !waiting.unpaired, "one of a pair acts: {change:?}");
        assert!(!fires || waiting.held, "fires only when true: {change:?}");
        if change.status == AlgoStatus::Triggered {
            self.fired += 1;
            self.trailed += usize::from(waiting.extreme.is_some());
            self.orders.insert(key, algo);
            self.announced = Some(key);
        }
        if change.status == AlgoStatus::Triggered && waiting.terms.close_position {
            for other in self.waiting.values_mut() {
                other.unpaired |= is_partner(&waiting.terms, &other.terms);
            }
        }
    }

    /// After a frame: what fired has its order, and is the only one of its pair; what ended has
    /// told so; and what is due does not wait for long.
    pub fn check(
        &mut self,
        now: u64,
        turns: &Turns,
        takes_orders: impl Fn(u16) -> bool,
        ended: impl Fn(u16, u64) -> bool,
    ) {
        assert_eq!(self.announced, None, "what fires becomes an order");
        for (symbol, order) in self.orders.keys() {
            assert!(!ended(*symbol, *order), "the end of {order} on {symbol} is told");
        }
        let most = turns.frames(self.waiting.len());
        for (algo, waiting) in &mut self.waiting {
            let terms = &waiting.terms;
            assert!(!waiting.unpaired, "{algo} goes with the other one of its pair: {terms:?}");
            let follows = waiting.met && waiting.extreme.is_none();
            waiting.parked |= waiting.held && !takes_orders(terms.symbol.0);
            let called = waiting.called.is_some_and(|at| now < at + MARGIN_CALL_GRACE_DOWN_US);
            let fires = waiting.held && !waiting.parked && !called;
            waiting.due = if waiting.gone || follows || fires { waiting.due + 1 } else { 0 };
            assert!(waiting.due <= most, "{algo} has its turn: {terms:?}");
        }
    }

    fn look(&mut self, symbol: u16, takes_orders: bool) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting.values_mut().filter(|known| known.terms.symbol.0 == symbol) {
            let protected = waiting.terms.price_protect && self.is_apart(symbol);
            let may_fire = takes_orders && !protected;
            waiting.parked &= !may_fire;
            let (terms, price) = (&waiting.terms, self.price(&waiting.terms));
            match &mut waiting.extreme {
                Some(extreme) => {
                    waiting.held |= may_fire && has_come_back(terms, *extreme, price);
                    let further = match terms.side {
                        Side::Buy => price < *extreme,
                        Side::Sell => price > *extreme,
                    };
                    if further {
                        *extreme = price;
                    }
                }
                None if terms.algo_type == AlgoType::TrailingStopMarket => {
                    waiting.met |= may_fire && self.holds(terms);
                }
                None => waiting.held |= may_fire && self.holds(terms),
            }
        }
        self.waiting = waiting;
    }

    fn is_apart(&self, symbol: u16) -> bool {
        let mark = i128::from(self.mark[&symbol]);
        let last = self.last.get(&symbol).map_or(mark, |last| i128::from(*last));
        (last - mark).abs() * ONE > mark * i128::from(self.protect[&symbol])
    }

    fn price(&self, terms: &PlaceAlgo) -> i64 {
        let symbol = terms.symbol.0;
        let last = match terms.working_type {
            WorkingType::Contract => self.last.get(&symbol),
            WorkingType::Mark => None,
        };
        *last.unwrap_or(&self.mark[&symbol])
    }

    fn holds(&self, terms: &PlaceAlgo) -> bool {
        let (price, trigger) = (self.price(terms), terms.trigger_price);
        match (terms.algo_type, terms.side) {
            (AlgoType::Stop | AlgoType::StopMarket, Side::Buy)
            | (AlgoType::TakeProfit | AlgoType::TakeProfitMarket, Side::Sell) => price >= trigger,
            (AlgoType::Stop | AlgoType::StopMarket, Side::Sell)
            | (AlgoType::TakeProfit | AlgoType::TakeProfitMarket, Side::Buy) => price <= trigger,
            (AlgoType::TrailingStopMarket, Side::Buy) => price <= terms.activate_price,
            (AlgoType::TrailingStopMarket, Side::Sell) => price >= terms.activate_price,
        }
    }
}

/// By the callback, from the extreme since the activation.
fn has_come_back(terms: &PlaceAlgo, extreme: i64, price: i64) -> bool {
    let moved = i128::from(terms.side.sign() * (price - extreme)) * ONE;
    moved >= i128::from(extreme) * i128::from(terms.callback)
}

fn is_partner(fired: &PlaceAlgo, other: &PlaceAlgo) -> bool {
    other.close_position
        && (other.account, other.symbol, other.side) == (fired.account, fired.symbol, fired.side)
}
