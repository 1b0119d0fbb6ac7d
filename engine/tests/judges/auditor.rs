//! An auditor that believes nothing but events: it keeps books of its own from them and holds
//! each frame to the invariants.

use std::collections::BTreeMap;

use protocol::{
    CommandKind, Event, Reject,
    event::{Fill, OrderAmended, OrderClosed, Trade},
    instrument::Brackets,
    order::{
        CashReason, CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide, Side,
        TimeInForce, TradeKind,
    },
};

use crate::{
    auditor_algos::AlgoBooks,
    auditor_funding::FundingBooks,
    auditor_links::Links,
    auditor_liquidation::LiquidationBooks,
    auditor_margin::Modes,
    auditor_orders::{HeldBack, Rates},
    auditor_rest::Rests,
    auditor_turns::Turns,
};

#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub account: u32,
    pub origin: OrderOrigin,
    pub leg: PositionSide,
    pub side: Side,
    order_type: OrderType,
    tif: TimeInForce,
    pub price: i64,
    pub qty: i64,
    pub filled: i64,
    quote: i128,
    pub reduce_only: bool,
    pub good_till: u64,
    /// Frames for which it has outlived its date.
    pub late: usize,
    pub held_back: HeldBack,
    pub ended: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    pub qty: i64,
    pub entry: i64,
    /// Of the account's cash, what an isolated position has for itself.
    pub wallet: i64,
}

/// An account's position on a symbol, or its long or short one, by number.
pub type Leg = (u32, u16, u8);

#[derive(Clone, Copy)]
pub struct Symbol {
    pub mult: i64,
    pub mark: i64,
    pub brackets: Option<Brackets>,
    pub trades: u64,
    updates: u64,
    pub default_leverage: u8,
    pub top_leverage: u8,
    /// What its positions are closed at, while it is being settled.
    pub settlement: i64,
}

#[derive(Clone, Default)]
pub struct Auditor {
    pub symbols: BTreeMap<u16, Symbol>,
    pub orders: BTreeMap<(u16, u64), Order>,
    pub levels: BTreeMap<(u16, u8, i64), i64>,
    pub positions: BTreeMap<Leg, Position>,
    pub reserved: BTreeMap<Leg, [i64; 4]>,
    pub modes: Modes,
    pub cash: BTreeMap<u32, i64>,
    fees: i128,
    pub rates: Rates,
    pub links: Links,
    /// What was taken for a return that is still to be told.
    taken: Option<(u32, i64)>,
    /// Granted less returned.
    paid_in: i128,
    pub now: u64,
    /// The exposure-adding order accepted in this frame, the fills since, and what these may take
    /// beyond what it held back.
    pub accepted: Option<(u32, usize, i128)>,
    pub algos: AlgoBooks,
    /// Margin calls of accounts in need.
    pub needs: usize,
    pub liquidation: LiquidationBooks,
    pub funding: FundingBooks,
    /// Symbols that were settled.
    pub settled: usize,
    pub turns: Turns,
    pub rests: Rests,
}

impl Auditor {
    /// Takes a frame's events and holds everything to the invariants.
    pub fn take(&mut self, ts: u64, events: &[Event]) {
        self.now = ts;
        self.accepted = None;
        self.links.begin_frame();
        let works = self.algos.expect_work()
            || self.funding.expect_work(ts)
            || self.rests.expect_work(ts)
            || self.turns.expect_work(ts)
            || self.symbols.values().any(|symbol| symbol.settlement != 0)
            || self.expects_liquidation()
            || self.orders.values().any(|order| order.is_over(ts));
        let outcomes = events.iter().filter(|event| matches!(event, Event::Outcome(_))).count();
        assert_eq!(outcomes, 1, "one outcome a frame");
        assert!(matches!(events.last(), Some(Event::Outcome(_))), "and it is the last event");
        let asked = matches!(events.last(), Some(Event::Outcome(outcome))
            if outcome.command == CommandKind::Countdown as u16 && outcome.reject.is_none());
        for (at, event) in events.iter().enumerate() {
            self.turns.asked = asked && at + 2 == events.len();
            self.funding.hear(ts, event, &self.positions);
            self.rests.hear(ts, event);
            self.hear(event);
        }
        if let Some(Event::Outcome(outcome)) = events.last()
            && outcome.reject != Reject::None
            && !works
        {
            // a call is pending work that only marks make
            let quiet = |event: &Event| {
                let call = matches!(event, Event::MarginCallIssued(_));
                call || matches!(event, Event::Outcome(_) | Event::LinkApplied(_))
            };
            assert!(events.iter().all(quiet), "a refused command changes nothing: {events:?}");
        }
        let takes_orders = |symbol| self.funding.takes_orders(symbol);
        let ended = |symbol, order| self.orders[&(symbol, order)].ended;
        self.algos.check(ts, &self.turns, takes_orders, ended);
        self.check_dates();
        self.check_held(events);
        self.check_countdowns();
        self.check_money();
        self.check_debts(events);
        self.check_books();
        self.check_reserved();
        self.check_margin(events);
    }

    /// Traders who hold something and the trades there were: a flow without them judges nothing.
    pub fn activity(&self) -> (usize, u64) {
        let held = self.positions.values().filter(|position| position.qty != 0).count();
        (held, self.symbols.values().map(|symbol| symbol.trades).sum())
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::OrderAccepted(order) => {
                self.check_settling(order);
                self.check_leg(order);
                self.hear_forced(order);
                self.algos.order_accepted(order.symbol.0, order.order.0);
                let leg = (order.account.0, order.symbol.0, order.position_side as u8);
                let closable = match self.position(leg).qty {
                    qty if (qty > 0) == (order.side == Side::Buy) => 0,
                    qty => qty.abs(),
                };
                let resting = self.resting(leg, order.side);
                let owned = order.origin == OrderOrigin::Owner;
                if owned
                    && !order.reduce_only
                    && resting + order.qty > closable
                    && !self.is_lost(leg)
                {
                    self.accepted = Some((order.account.0, 0, 0));
                }
                let (account, symbol) = (order.account.0, order.symbol.0);
                let held_back = self.held_back(account, symbol, order.side, order.price);
                let known = self.orders.insert(
                    (order.symbol.0, order.order.0),
                    Order {
                        account: order.account.0,
                        origin: order.origin,
                        leg: order.position_side,
                        side: order.side,
                        order_type: order.order_type,
                        tif: order.time_in_force,
                        price: order.price,
                        qty: order.qty,
                        filled: 0,
                        quote: 0,
                        reduce_only: order.reduce_only,
                        good_till: order.good_till,
                        late: 0,
                        held_back,
                        ended: false,
                    },
                );
                assert!(known.is_none(), "an order id is given once");
            }
            Event::Trade(trade) => self.hear_trade(trade),
            Event::OrderAmended(amended) => self.hear_amended(amended),
            Event::OrderClosed(closed) => self.hear_closed(closed),
            Event::AlgoAccepted(accepted) => {
                self.algos.accepted(accepted.algo.0, &accepted.terms);
            }
            Event::AlgoChanged(change) => {
                let order = self.orders.get(&(change.symbol.0, change.order.0));
                self.algos.changed(self.now, change, order.is_some_and(|order| order.ended));
            }
            Event::CountdownSet(set) => self.hear_countdown(set),
            Event::Level(level) => {
                let symbol = self.symbols.get_mut(&level.symbol.0).unwrap();
                symbol.updates += 1;
                assert_eq!(level.update, symbol.updates, "book updates are dense");
                let key = (level.symbol.0, level.side as u8, level.price);
                let before = self.levels.insert(key, level.qty).unwrap_or(0);
                assert_ne!(before, level.qty, "a level that has changed");
                if level.qty == 0 {
                    self.levels.remove(&key);
                }
            }
            Event::Reserved(sums) => {
                let now = [sums.buy, sums.sell, sums.loss, sums.fee];
                assert!(now.iter().all(|sum| *sum >= 0), "{sums:?}");
                let leg = (sums.account.0, sums.symbol.0, sums.position_side as u8);
                let before = self.reserved.insert(leg, now);
                assert_ne!(before.unwrap_or([0; 4]), now, "reservations that have changed");
            }
            Event::SettingsChanged(set) => {
                self.hear_settings(set);
            }
            Event::MarginMoved(moved) => self.hear_margin(moved),
            Event::SymbolListed(spec) => {
                let fresh = Symbol {
                    mult: spec.mult,
                    mark: 0,
                    brackets: None,
                    trades: 0,
                    updates: 0,
                    default_leverage: spec.default_leverage,
                    top_leverage: 125,
                    settlement: 0,
                };
                let symbol = self.symbols.entry(spec.symbol.0).or_insert(fresh);
                symbol.default_leverage = spec.default_leverage;
                self.rates.symbols.insert(spec.symbol.0, (spec.maker_fee, spec.taker_fee));
                self.algos.listed(spec.symbol.0, spec.trigger_protect);
            }
            Event::BracketsSet(brackets) => {
                let symbol = self.symbols.get_mut(&brackets.symbol.0).unwrap();
                symbol.top_leverage = brackets.rows[0].max_leverage as u8;
                symbol.brackets = Some(*brackets);
            }
            Event::Mark(mark) => {
                self.symbols.get_mut(&mark.symbol.0).unwrap().mark = mark.mark;
                let open = self.funding.takes_orders(mark.symbol.0);
                self.algos.marked(mark.symbol.0, mark.mark, open);
                self.let_parts_go(mark.symbol.0);
                // what was accepted before it, in this frame, was judged by another mark
                self.accepted = None;
            }
            Event::CashChanged(change) => {
                let inside = matches!(change.reason, CashReason::Insurance | CashReason::Advance);
                self.paid_in += if inside { 0 } else { i128::from(change.delta) };
                let cash = self.cash.entry(change.account.0).or_default();
                *cash += change.delta;
                assert_eq!(*cash, change.cash);
                if change.reason == CashReason::GrantApplied {
                    self.links.come_of_one(change);
                }
                if change.reason == CashReason::ReturnIssued {
                    let told = self.taken.replace((change.account.0, change.delta));
                    assert_eq!(told, None, "each return is told");
                }
                if change.reason == CashReason::Advance {
                    self.hear_advance(change);
                }
            }
            Event::PositionModeChanged(change) => self.hear_mode(change),
            Event::FundingPaid(paid) => self.hear_funding(paid),
            Event::SymbolStateChanged(change) => self.hear_state(change),
            Event::PositionSettled(settled) => self.hear_settled(settled),
            Event::Funding(_)
            | Event::FundingEnded(_)
            | Event::Outcome(_)
            | Event::SessionOpened(_)
            | Event::LinkAcked(_) => {}
            Event::FeesChanged(fees) => {
                let key = (fees.account.0, fees.symbol.0);
                self.rates.accounts.insert(key, (fees.maker, fees.taker));
            }
            Event::ReturnIssued(back) => {
                self.links.hear_sent(back.link_seq);
                if back.lend != 0 {
                    self.links.come_of_one(back);
                }
                let taken = self.taken.take().unwrap_or((back.account.0, 0));
                assert_eq!(taken, (back.account.0, -back.amount), "{back:?}");
                self.hear_return(back);
                // a call may take more than what nothing needs
                self.accepted = self.accepted.filter(|accepted| accepted.0 != back.account.0);
                self.check_sweep(back);
            }
            Event::LiquidationFeePaid(fee) => self.hear_liquidation_fee(fee),
            Event::DebtIssued(debt) => {
                self.links.hear_sent(debt.link_seq);
                self.hear_debt(debt);
            }
            Event::LinkApplied(told) => self.hear_applied(told),
            Event::MarginCallIssued(call) => {
                self.links.hear_sent(call.link_seq);
                self.algos.call_issued(self.now, call.account.0);
                self.hear_call(call);
            }
            Event::HeldIssued(held) => {
                self.links.hear_sent(held.link_seq);
                self.links.come_of_one(held);
                self.hear_held(held);
            }
            Event::LendSettled(_)
            | Event::WithdrawalSettled(_)
            | Event::GrantIssued(_)
            | Event::RecallIssued(_)
            | Event::HoldIssued(_)
            | Event::ReleaseIssued(_)
            | Event::PositionModeSettled(_) => {
                panic!("a trading shard does not say {event:?}")
            }
        }
    }

    fn hear_trade(&mut self, trade: &Trade) {
        let symbol_id = trade.symbol.0;
        let symbol = self.symbols.get_mut(&symbol_id).unwrap();
        symbol.trades += 1;
        assert_eq!(trade.trade.0, symbol.trades, "trade ids are dense");
        let value = i128::from(trade.price) * i128::from(trade.qty) * i128::from(symbol.mult);
        assert!(trade.qty > 0 && trade.taker.account != trade.maker.account, "{trade:?}");
        let maker = self.orders[&(symbol_id, trade.maker.order.0)];
        self.count_part(trade);
        let is_market = trade.kind == TradeKind::Book;
        if is_market {
            let best = self.best(symbol_id, maker.side).unwrap();
            let told = (trade.price, best);
            assert_eq!(told, (maker.price, maker.price), "the best maker, at its price");
        } else {
            self.check_counterparty(trade);
        }
        let taker = self.orders[&(symbol_id, trade.taker.order.0)];
        assert_eq!((taker.side, maker.side), (trade.taker_side, trade.taker_side.opposite()));
        assert!(taker.tif != TimeInForce::Gtx, "post-only never takes: {trade:?}");
        let worse = trade.taker_side.sign() * (trade.price - taker.price);
        assert!(worse <= 0, "no worse than the limit");
        let before = [&trade.taker, &trade.maker].map(|fill| self.worth(symbol_id, fill));
        let sides = [(&trade.taker, taker.side), (&trade.maker, maker.side)];
        let moved: i128 = sides
            .map(|(fill, side)| {
                let leg = (fill.account.0, symbol_id, fill.position_side as u8);
                let before = self.position(leg);
                let moved = self.hear_fill(symbol_id, fill, side, trade.qty, value);
                self.check_isolated_loss(leg, before, fill, fill.order == trade.taker.order);
                moved
            })
            .iter()
            .sum();
        let realised = i128::from(trade.taker.pnl) + i128::from(trade.maker.pnl);
        assert_eq!(moved, realised, "what is realised leaves the entries");
        if is_market {
            self.check_fees(trade, value);
            self.check_fill(trade, before);
            let open = self.funding.takes_orders(symbol_id);
            self.algos.traded(symbol_id, trade.price, open);
        } else {
            self.check_forced_trade(trade, before);
        }
        if let Some((account, fills, more)) = self.accepted {
            let more = more + self.beyond_reserve(account, trade);
            self.accepted = Some((account, fills + 1, more));
        }
    }

    /// Books one side; returns how much its entry value has grown.
    pub fn hear_fill(
        &mut self,
        symbol: u16,
        fill: &Fill,
        side: Side,
        qty: i64,
        value: i128,
    ) -> i128 {
        let order = self.orders.get_mut(&(symbol, fill.order.0)).unwrap();
        assert!(!order.ended, "nothing after the end: {fill:?}");
        assert!(order.good_till == 0 || self.now < order.good_till, "never late: {fill:?}");
        order.filled += qty;
        order.quote += value;
        assert_eq!((order.filled, order.quote), (fill.cum_qty, fill.cum_quote.into()));
        assert_eq!((order.account, order.reduce_only), (fill.account.0, fill.reduce_only));
        order.ended = order.filled == order.qty;
        let status = if order.ended { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        assert_eq!(fill.status, status);

        assert_eq!(order.leg, fill.position_side);
        let leg = (fill.account.0, symbol, fill.position_side as u8);
        let before = self.position(leg);
        let wallet = fill.isolated_wallet;
        let after = Position { qty: fill.position, entry: fill.entry, wallet };
        assert_eq!(after.qty, before.qty + side.sign() * qty);
        assert_eq!(after.entry.signum(), after.qty.signum(), "{fill:?}");
        if fill.reduce_only {
            let same_side = after.qty == 0 || after.qty.signum() == before.qty.signum();
            assert!(same_side && after.qty.abs() < before.qty.abs(), "only reduces: {fill:?}");
        }
        self.check_wallet(leg, before, after, value / i128::from(qty));
        self.positions.insert(leg, after);
        if before.qty != 0 && before.qty.signum() != after.qty.signum() {
            self.algos.gone(leg);
        }
        let cash = self.cash.entry(fill.account.0).or_default();
        *cash += fill.pnl - fill.fee;
        assert_eq!(*cash, fill.cash);
        self.fees += i128::from(fill.fee);
        i128::from(after.entry) - i128::from(before.entry)
    }

    fn hear_amended(&mut self, amended: &OrderAmended) {
        let key = (amended.symbol.0, amended.order.0);
        let held_back = self.amended_held_back(&self.orders[&key], amended);
        let order = self.orders.get_mut(&key).unwrap();
        assert!(!order.ended && amended.qty > amended.cum_qty, "{amended:?}");
        assert_eq!((order.filled, order.quote), (amended.cum_qty, amended.cum_quote.into()));
        if amended.clipped == 1 {
            let shrinks = amended.qty < order.qty && amended.price == order.price;
            assert!(order.reduce_only && shrinks, "{amended:?}");
        }
        (order.price, order.qty) = (amended.price, amended.qty);
        order.held_back = held_back;
    }

    fn hear_closed(&mut self, closed: &OrderClosed) {
        let order = self.orders.get_mut(&(closed.symbol.0, closed.order.0)).unwrap();
        assert!(!order.ended, "an order ends once: {closed:?}");
        order.ended = true;
        assert_eq!((order.qty, order.filled), (closed.qty, closed.cum_qty));
        assert_eq!(order.quote, closed.cum_quote.into());
        assert!(closed.cum_qty < closed.qty, "what is filled ended with its trade");
        assert!(order.tif != TimeInForce::Fok, "all or nothing: {closed:?}");
        if closed.reason == CloseReason::GoodTillDate {
            assert!(order.good_till != 0 && order.good_till <= self.now, "not yet: {closed:?}");
        }
    }

    fn check_money(&self) {
        let entries: i128 = self.positions.values().map(|held| i128::from(held.entry)).sum();
        let cash: i128 = self.cash.values().map(|cash| i128::from(*cash)).sum();
        let mut settling = 0;
        for (id, symbol) in &self.symbols {
            let held = self.positions.iter().filter(|((_, of, _), _)| of == id);
            let net: i64 = held.map(|(_, held)| held.qty).sum();
            assert!(net == 0 || symbol.settlement != 0, "all positions cancel out");
            // what closing the others will bring
            settling += i128::from(net) * i128::from(symbol.settlement) * i128::from(symbol.mult);
        }
        let worth = cash + self.fees + self.funding.pools() + settling - entries;
        assert_eq!(worth, self.paid_in, "money is conserved");
    }

    fn check_books(&self) {
        let mut levels: BTreeMap<(u16, u8, i64), i64> = BTreeMap::new();
        let mut reducing: BTreeMap<Leg, i64> = BTreeMap::new();
        for ((symbol, id), order) in self.orders.iter().filter(|(_, order)| !order.ended) {
            let may_rest = order.order_type == OrderType::Limit
                && !matches!(order.tif, TimeInForce::Ioc | TimeInForce::Fok);
            assert!(may_rest, "order {id} of {symbol} rests: {order:?}");
            let left = order.qty - order.filled;
            *levels.entry((*symbol, order.side as u8, order.price)).or_default() += left;
            if order.reduce_only {
                let leg = (order.account, *symbol, order.leg as u8);
                let lots = reducing.entry(leg).or_default();
                *lots += order.side.sign() * left;
            }
        }
        assert_eq!(levels, self.levels, "each level is the sum of its orders");
        for symbol in self.symbols.keys() {
            if let (Some(bid), Some(ask)) =
                (self.best(*symbol, Side::Buy), self.best(*symbol, Side::Sell))
            {
                assert!(bid < ask, "the book is not crossed");
            }
        }
        for (leg, lots) in reducing {
            let held = self.position(leg).qty;
            let left = held + lots;
            assert!(held != 0 && left.signum() != -held.signum(), "reduce-only orders only reduce");
        }
    }

    fn best(&self, symbol: u16, side: Side) -> Option<i64> {
        let live = self.orders.iter().filter(|((of, _), order)| {
            *of == symbol && order.side == side && !order.ended && self.rests(order)
        });
        let prices = live.map(|(_, order)| order.price);
        match side {
            Side::Buy => prices.max(),
            Side::Sell => prices.min(),
        }
    }

    /// Not the order that is being matched: one whose level is known.
    fn rests(&self, order: &Order) -> bool {
        self.levels
            .keys()
            .any(|(_, side, price)| (*side, *price) == (order.side as u8, order.price))
    }

    pub fn position(&self, leg: Leg) -> Position {
        self.positions.get(&leg).copied().unwrap_or_default()
    }

    pub fn resting(&self, leg: Leg, side: Side) -> i64 {
        let own = self.orders.iter().filter(|((of, _), order)| {
            (order.account, *of, order.leg as u8) == leg && order.side == side && !order.ended
        });
        own.map(|(_, order)| order.qty - order.filled).sum()
    }
}
