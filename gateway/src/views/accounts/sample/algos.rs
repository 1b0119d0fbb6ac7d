//! The toy's conditional orders: they fire and end when they are told to.

use protocol::{
    AccountId, AlgoId, ClientId, CommandKind, Event, Lots, OrderId, Reject, SymbolId, Ticks,
    command::PlaceAlgo,
    event,
    order::{
        AlgoStatus, AlgoType, OrderOrigin, OrderType, PriceMatch, SelfTradePrevention, Side,
        TimeInForce, WorkingType,
    },
};

use super::{Open, Toy, leg_of, shard_of};

/// A conditional order that the toy knows to wait.
pub(super) struct Waiting {
    algo: AlgoId,
    terms: PlaceAlgo,
    status: AlgoStatus,
    activated: bool,
}

impl Toy {
    pub fn place_algo(
        &mut self,
        account: AccountId,
        symbol: SymbolId,
        side: Side,
        price: Ticks,
        qty: Lots,
        trailing: bool,
    ) {
        self.next_id += 1;
        let algo = AlgoId::new(symbol, self.next_id);
        let (trigger_price, callback) = if trailing { (0, 1_500_000) } else { (price, 0) };
        let algo_type = if trailing { AlgoType::TrailingStopMarket } else { AlgoType::Stop };
        let terms = PlaceAlgo {
            account,
            symbol,
            side,
            algo_type,
            time_in_force: TimeInForce::Gtc,
            self_trade: SelfTradePrevention::ExpireMaker,
            price_match: PriceMatch::None,
            position_side: leg_of(account, side),
            working_type: WorkingType::Mark,
            reduce_only: false,
            close_position: false,
            price_protect: true,
            price: if trailing { 0 } else { price },
            qty,
            trigger_price,
            activate_price: if trailing { price } else { 0 },
            callback,
            good_till: 0,
            client_id: ClientId::new(&format!("algo-{}", self.next_id % 16)).unwrap(),
            _pad: [0; 4],
        };
        self.say(shard_of(symbol), Event::AlgoAccepted(event::AlgoAccepted { algo, terms }));
        self.algos.push(Waiting { algo, terms, status: AlgoStatus::New, activated: false });
        self.end(shard_of(symbol), CommandKind::PlaceAlgo);
    }

    /// Lets a condition hold: its order comes at once, after a margin call, or before the news.
    pub fn fire(&mut self, at: usize, how: u16) {
        let count = self.algos.len();
        if count == 0 {
            return;
        }
        let at = at % count;
        let symbol = self.algos[at].terms.symbol;
        if how.is_multiple_of(4) && self.algos[at].status == AlgoStatus::New {
            self.algos[at].status = AlgoStatus::Triggering;
            self.change(at, OrderId::NONE, Reject::None);
            return self.end(shard_of(symbol), CommandKind::IndexPrices);
        }
        if how % 4 == 1 && self.algos[at].terms.callback > 0 && !self.algos[at].activated {
            self.algos[at].activated = true;
            self.change(at, OrderId::NONE, Reject::None);
            return self.end(shard_of(symbol), CommandKind::IndexPrices);
        }
        self.next_id += 1;
        let order = OrderId(self.next_id);
        self.algos[at].status = AlgoStatus::Triggered;
        let order_first = how % 4 == 2;
        if order_first {
            self.born(at, order);
        }
        self.change(at, order, Reject::None);
        if !order_first {
            self.born(at, order);
        }
        let terms = self.algos.remove(at).terms;
        self.level(symbol, terms.side, limit(&terms));
        self.reserved(terms.account, symbol);
        self.end(shard_of(symbol), CommandKind::IndexPrices);
    }

    /// Ends one that waits, by its owner or because its order can not be.
    pub fn end_algo(&mut self, at: usize, how: u16) {
        let count = self.algos.len();
        if count == 0 {
            return;
        }
        let at = at % count;
        let symbol = self.algos[at].terms.symbol;
        let (status, reject) = match how % 3 {
            0 => (AlgoStatus::Canceled, Reject::None),
            1 => (AlgoStatus::Rejected, Reject::InsufficientMargin),
            _ => (AlgoStatus::Expired, Reject::None),
        };
        self.algos[at].status = status;
        self.change(at, OrderId::NONE, reject);
        self.algos.remove(at);
        self.end(shard_of(symbol), CommandKind::CancelAlgo);
    }

    /// With an order ends the conditional order that it was.
    pub(super) fn finish(&mut self, open: &Open) {
        if open.algo.is_none() {
            return;
        }
        let changed = event::AlgoChanged {
            algo: open.algo,
            account: open.account,
            symbol: open.symbol,
            side: open.side,
            status: AlgoStatus::Finished,
            order: open.order,
            reject: Reject::None,
            activated: false,
            _pad: [0; 5],
        };
        self.say(shard_of(open.symbol), Event::AlgoChanged(changed));
    }

    fn change(&mut self, at: usize, order: OrderId, reject: Reject) {
        let waiting = &self.algos[at];
        let changed = event::AlgoChanged {
            algo: waiting.algo,
            account: waiting.terms.account,
            symbol: waiting.terms.symbol,
            side: waiting.terms.side,
            status: waiting.status,
            order,
            reject,
            activated: waiting.activated,
            _pad: [0; 5],
        };
        let shard = shard_of(waiting.terms.symbol);
        self.say(shard, Event::AlgoChanged(changed));
    }

    fn born(&mut self, at: usize, order: OrderId) {
        let terms = self.algos[at].terms;
        let PlaceAlgo { account, symbol, side, qty, .. } = terms;
        let price = limit(&terms);
        let accepted = event::OrderAccepted {
            order,
            account,
            symbol,
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            self_trade: terms.self_trade,
            price_match: terms.price_match,
            position_side: terms.position_side,
            reduce_only: terms.reduce_only,
            origin: OrderOrigin::Owner,
            _pad: [0; 2],
            price,
            qty,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad2: [0; 4],
        };
        self.say(shard_of(symbol), Event::OrderAccepted(accepted));
        let (cum_qty, cum_quote, algo) = (0, 0, self.algos[at].algo);
        let leg = terms.position_side;
        self.open.push(Open {
            order,
            account,
            symbol,
            side,
            leg,
            price,
            qty,
            cum_qty,
            cum_quote,
            algo,
        });
    }
}

/// The toy knows no market orders: what trails becomes a limit at its activation price.
fn limit(terms: &PlaceAlgo) -> Ticks {
    if terms.callback > 0 { terms.activate_price } else { terms.price }
}
