//! Judges liquidation by a reading of its rules alone: whose turn it is, at which price, how much,
//! in which order, and who has to give what for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{
    Command, Event,
    event::OrderAccepted,
    limits::{LIQUIDATION_LARGE, LIQUIDATION_PARTS, LIQUIDATION_TAKEOVER},
    order::{CallKind, CloseReason, OrderOrigin, PositionSide, SymbolState, TradeKind},
};

use crate::{
    reading::{Backing, Key, Order, Reading, div_ceil},
    reading_deals::Asked,
};

pub const E8: i128 = 100_000_000;
pub const FUND: u32 = 0;
/// Frames that may pass, with one unit of work in each, before a counterparty is found.
const SEARCH_FRAMES: usize = 16;

/// How often what is judged has come about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub booked: u64,
    pub taken: u64,
    pub deleveraged: u64,
    pub fees: u64,
    pub parts: u64,
    pub quarters: u64,
    pub isolated: u64,
    pub hedged: u64,
    pub passed: u64,
    pub ranked: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.booked += other.booked;
        self.taken += other.taken;
        self.deleveraged += other.deleveraged;
        self.fees += other.fees;
        self.parts += other.parts;
        self.quarters += other.quarters;
        self.isolated += other.isolated;
        self.hedged += other.hedged;
        self.ranked += other.ranked;
        self.passed += other.passed;
    }
}

#[derive(Default)]
pub struct Judge {
    pub reading: Reading,
    pub seen: Seen,
    pub faults: Vec<String>,
    /// Events so far.
    pub step: u64,
    pub seq: u64,
    /// Since which event somebody is due: an account (as no symbol), or an isolated position.
    pub due: BTreeMap<Key, u64>,
    /// By account, when it was called last.
    pub called: BTreeMap<u32, u64>,
    /// Positions of which a quarter was taken since the last mark of their symbol.
    pub quarters: BTreeSet<Key>,
    /// The same, as long as it was so at each rest.
    pub spells: BTreeMap<Key, u64>,
    /// Those that were dealt with since the last mark.
    pub attended: BTreeSet<Key>,
    pub fund_calls: Vec<u64>,
    /// At which event a position was the first of its pool last.
    pub firsts: BTreeMap<Key, u64>,
    /// With which events the last frames began.
    pub begun: VecDeque<u64>,
    pub owing: BTreeMap<u32, u64>,
    pub marked: u64,
    /// Which event the frame began with.
    pub frame: u64,
    /// Whose call's grace is over: that it is closed is pending work, before which the ledger may
    /// have gone away, which makes the grace longer.
    pub ending: BTreeSet<u32>,
    /// By account, until which event its call was open.
    pub open: BTreeMap<u32, u64>,
    pub asked: BTreeMap<(u16, u64), Asked>,
}

impl Judge {
    pub fn take(&mut self, command: &Command, seq: u64, ts: u64, events: &[Event], works: bool) {
        self.seq = seq;
        self.begin(ts);
        self.frame = self.step;
        self.begun.push_back(self.step);
        if self.begun.len() > SEARCH_FRAMES {
            self.begun.pop_front();
        }
        self.asked.clear();
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::OrderAccepted(order) if order.origin == OrderOrigin::Liquidation => {
                    self.judge_order(order, &events[at + 1..]);
                }
                Event::OrderAccepted(order) if order.origin == OrderOrigin::Unwind => {
                    self.judge_unwind(order);
                }
                Event::Trade(trade) => self.judge_trade(trade),
                Event::OrderClosed(closed) if closed.reason == CloseReason::Liquidation => {
                    self.judge_cancel(command, closed.symbol.0, closed.order.0);
                }
                Event::LiquidationFeePaid(fee) => {
                    let key = (fee.account.0, fee.symbol.0, fee.position_side as u8);
                    let asked = self.asked.values_mut().find(|asked| asked.key == key);
                    match asked {
                        Some(asked) => asked.paid += i128::from(fee.amount),
                        None => self.fault(format!("a fee without an order: {fee:?}")),
                    }
                    self.seen.fees += 1;
                }
                Event::CashChanged(change)
                    if change.reason == protocol::order::CashReason::Advance =>
                {
                    let account = change.account.0;
                    let asked = self.called.contains_key(&account);
                    let open = self.reading.is_called(account);
                    let held = self.reading.crossed(account).count();
                    let cash = self.reading.wallet(account);
                    if !asked || open || held > 0 || cash + i128::from(change.delta) != 0 {
                        self.fault(format!("advanced: {asked} {open} {held} {cash} {change:?}"));
                    }
                }
                Event::MarginCallIssued(call) => {
                    if self.reading.is_called(call.account.0) {
                        self.fault(format!("two calls at once: {call:?}"));
                    }
                    if call.account.0 == FUND {
                        self.fund_calls.push(self.step);
                    }
                    let due = self.due.contains_key(&(call.account.0, 0, 0));
                    if due || call.account.0 == FUND || call.kind == CallKind::Debt {
                        self.called.insert(call.account.0, self.step);
                    }
                }
                _ => {}
            }
            let before: Vec<_> = self.before(event);
            self.reading.hear(event);
            self.after(event, &before);
            self.step += 1;
            self.reading.step = self.step;
            self.note();
        }
        self.judge_fees();
        for account in self.reading.calls.keys().filter(|a| self.reading.is_called(**a)) {
            // and the next frame's beginning
            self.open.insert(*account, self.step);
        }
        for key in self.due.keys() {
            let asked = [key.0, FUND]
                .into_iter()
                .any(|account| self.reading.is_called(account) || self.ending.contains(&account));
            let rests = |of: &Key| self.has_parted(*of) || !self.takers(*of);
            // a search that has been in vain may have begun for one that was first then
            let sought = |of: &Key| self.firsts.get(of).is_some_and(|step| self.is_recent(*step));
            let in_vain = self.pool(*key).iter().any(|of| sought(of) && rests(of));
            if asked || in_vain || self.target(*key).is_none_or(|of| rests(&of)) {
                self.attended.insert(*key);
            }
        }
        self.reading.told(command);
        if !works {
            self.ending.retain(|account| !self.reading.is_over(*account));
            self.judge_rest();
        }
    }

    fn begin(&mut self, ts: u64) {
        let calls = self.reading.calls.keys().copied();
        let open: Vec<_> = calls.filter(|account| self.reading.is_called(*account)).collect();
        self.reading.begin(ts);
        let ended = open.into_iter().filter(|account| !self.reading.is_called(*account));
        self.ending.extend(ended);
    }

    pub fn fault(&mut self, text: String) {
        self.faults.push(format!("{}: {text}", self.seq));
    }

    /// Who is due now.
    fn note(&mut self) {
        if self.reading.marks.len() < self.reading.specs.len() {
            return;
        }
        let reading = &self.reading;
        let mut now = Vec::new();
        for account in reading.cash.keys() {
            if reading.crossed(*account).count() > 0 && reading.cross(*account).is_due() {
                now.push((*account, 0, 0));
            }
            let isolated = reading.held(*account).filter(|key| reading.is_isolated(*key));
            now.extend(isolated.filter(|key| reading.backing(*key).is_due()));
        }
        self.due.retain(|key, _| now.contains(key));
        self.attended.retain(|key| now.contains(key));
        for key in &now {
            if let Some(first) = self.target(*key) {
                self.firsts.insert(first, self.step);
            }
        }
        for key in now {
            self.due.entry(key).or_insert(self.step);
            self.spells.entry(key).or_insert(self.step);
        }
    }

    /// It is large, and the next quarter of it waits for a mark of its own.
    fn has_parted(&self, key: Key) -> bool {
        let is_marked = !self.reading.away.contains(&key.1);
        self.quarters.contains(&key) && is_marked && self.most(key).1
    }

    /// Somebody else could take it over.
    fn takers(&self, key: Key) -> bool {
        let (most, _) = self.most(key);
        let price = self.reading.bankruptcy(key);
        let sign = self.reading.positions[&key].q.signum();
        let others = self.reading.positions.iter().filter(|(of, position)| {
            of.1 == key.1 && of.0 != key.0 && of.0 != FUND && position.q.signum() == -sign
        });
        let mut ranked = others.map(|(of, _)| *of).filter(|of| self.rank(*of).is_some());
        ranked.any(|of| self.equity_after(of, most, price) >= 0)
    }

    /// The positions that are due with it.
    fn pool(&self, key: Key) -> Vec<Key> {
        match key.1 {
            0 => self.reading.crossed(key.0).collect(),
            _ => vec![key],
        }
    }

    /// The pool's position that must keep most, on a symbol that trades; of equals the first.
    fn target(&self, key: Key) -> Option<Key> {
        let open = self.pool(key).into_iter().rev().filter(|of| self.takes_orders(of.1));
        open.max_by_key(|of| self.reading.maintenance(of.1, self.reading.positions[of].q))
    }

    pub fn scope(&self, key: Key) -> Key {
        if self.reading.is_isolated(key) { key } else { (key.0, 0, 0) }
    }

    fn takes_orders(&self, symbol: u16) -> bool {
        matches!(self.reading.states[&symbol], SymbolState::Trading | SymbolState::ReduceOnly)
    }

    /// There is time for parts.
    pub fn spares(backing: Backing) -> bool {
        backing.equity * LIQUIDATION_TAKEOVER.1 >= backing.maintenance * LIQUIDATION_TAKEOVER.0
    }

    /// The most that may go of a position at once, and whether it is a quarter.
    pub fn most(&self, key: Key) -> (i128, bool) {
        let held = self.reading.positions[&key].q.abs();
        if !Self::spares(self.reading.backing(key)) {
            return (held, false);
        }
        let unit = self.reading.marks[&key.1] * self.reading.mult(key.1);
        let at = self.reading.bracket(key.1, held * unit);
        if at > 0 {
            let floor = i128::from(self.reading.brackets[&key.1][at].floor);
            return (held - floor.div_euclid(unit), false);
        }
        if held * unit > LIQUIDATION_LARGE {
            return (div_ceil(held, LIQUIDATION_PARTS.into()), true);
        }
        (held, false)
    }

    fn judge_order(&mut self, order: &OrderAccepted, rest: &[Event]) {
        let key = (order.account.0, order.symbol.0, order.position_side as u8);
        let held = self.reading.positions.get(&key).map_or(0, |position| position.q);
        let qty = i128::from(order.qty);
        let sign = held.signum();
        let closes = sign == -i128::from(order.side.sign()) && qty <= held.abs();
        if !closes || !order.reduce_only {
            return self.fault(format!("{order:?} closes nothing of {held}"));
        }
        let backing = self.reading.backing(key);
        if !backing.is_due() {
            self.fault(format!("not due: {key:?} {backing:?}"));
        }
        if !self.takes_orders(key.1) {
            self.fault(format!("a symbol that takes no orders: {key:?}"));
        }
        let isolated = self.reading.is_isolated(key);
        self.seen.isolated += u64::from(isolated);
        self.seen.hedged += u64::from(key.2 != PositionSide::Both as u8);
        let reading = &self.reading;
        let own = reading.orders.values().filter(|own| own.account == key.0 && own.reserves());
        let open = own.filter(|own| match isolated {
            true => own.key() == key,
            false => !reading.isolated.contains(&(key.0, own.symbol)),
        });
        let open = open.filter(|own| !self.is_fresh(own, key)).count();
        if open > 0 {
            self.fault(format!("{key:?} has {open} orders open"));
        }
        let since = self.spells.get(&self.scope(key)).copied().unwrap_or(self.step);
        let called = self.called.get(&key.0).copied();
        let open = self.open.get(&key.0).copied().unwrap_or(0);
        if !isolated && called.is_none_or(|called| called.max(open) < since) {
            self.fault(format!("{key:?} was not called: {called:?} {since} {}", self.step));
        }
        if !isolated && self.reading.is_called(key.0) {
            self.fault(format!("{key:?} is called"));
        }
        self.attended.insert(self.scope(key));
        let bankruptcy = self.reading.bankruptcy(key);
        if bankruptcy != i128::from(order.price) {
            self.fault(format!("{key:?} bankrupt at {bankruptcy}, not {}", order.price));
        }
        let (most, quarter) = self.most(key);
        if qty > most {
            self.fault(format!("{key:?} {qty} of {held}, {most} at most, quarter {quarter}"));
        }
        if quarter {
            self.seen.quarters += 1;
            if !self.quarters.insert(key) && !self.reading.away.contains(&key.1) {
                self.fault(format!("{key:?} loses two quarters at a mark"));
            }
        }
        self.seen.parts += u64::from(qty < held.abs());
        let own = |event: &&Event| match event {
            Event::Trade(trade) => trade.taker.order == order.order && trade.symbol == order.symbol,
            _ => false,
        };
        let kind = rest.iter().find(own).map(|event| match event {
            Event::Trade(trade) => trade.kind,
            _ => unreachable!(),
        });
        // a search goes on for the position it began for, which its owner may have reduced since
        let was_first = self.firsts.get(&key).is_some_and(|step| self.is_recent(*step));
        if !isolated && !was_first {
            let least = |key: Key| self.reading.maintenance(key.1, self.reading.positions[&key].q);
            let larger = self
                .reading
                .crossed(key.0)
                .find(|other| self.takes_orders(other.1) && least(*other) > least(key));
            if let Some(larger) = larger {
                self.fault(format!("{key:?} before {larger:?}"));
            }
        }
        let spared = Self::spares(backing);
        match kind {
            None | Some(TradeKind::Book) => {
                if !spared {
                    self.fault(format!("{key:?} asks the book with {backing:?}"));
                }
                self.seen.booked += 1;
                self.asked.insert(
                    (key.1, order.order.0),
                    Asked { key, bankruptcy, sign, notional: 0, above: 0, paid: 0 },
                );
            }
            Some(_) if spared => {
                let (side, mark) = (order.side, self.reading.marks[&key.1]);
                let book = self.reading.orders.values().filter(|maker| {
                    maker.symbol == key.1
                        && maker.account != key.0
                        && maker.side != side
                        && maker.left > 0
                        && (maker.good_till == 0 || maker.good_till > self.reading.now)
                        // one that loses against the mark may go when it is met
                        && sign * (maker.price - mark) <= 0
                        && sign * (maker.price - bankruptcy) >= 0
                });
                if book.count() > 0 {
                    self.fault(format!("{key:?} {kind:?} past the book"));
                }
            }
            Some(_) => {}
        }
    }

    /// It came while its position was being liquidated.
    fn is_fresh(&self, order: &Order, key: Key) -> bool {
        self.spells.get(&self.scope(key)).is_some_and(|since| order.since >= *since)
    }

    /// In the frames that a search may have taken.
    fn is_recent(&self, step: u64) -> bool {
        self.begun.front().is_some_and(|begun| step >= *begun)
    }

    fn judge_unwind(&mut self, order: &OrderAccepted) {
        let mark = self.reading.marks[&order.symbol.0];
        let better = i128::from(order.side.sign()) * (mark - i128::from(order.price)) >= 0;
        if order.account.0 != FUND || !better || !order.reduce_only {
            self.fault(format!("unwound at {mark}: {order:?}"));
        }
    }

    fn judge_cancel(&mut self, command: &Command, symbol: u16, order: u64) {
        let order = &self.reading.orders[&(symbol, order)];
        let account = order.account;
        let owes =
            self.reading.crossed(account).count() == 0 && self.reading.cross(account).is_due();
        let due =
            owes || self.due.keys().any(|key| key.0 == account && (key.1 == 0 || key.1 == symbol));
        let urgent = matches!(command, Command::Recall(recall) if recall.urgent && recall.account.0 == account);
        let mark = self.reading.marks[&symbol];
        let losing = i128::from(order.side.sign()) * (order.price - mark) > 0;
        // what would fill an isolated wallet out of too little, or might: its leverage is unknown here
        let cross = self.reading.cross(account);
        let value = order.left * order.price * self.reading.mult(symbol);
        let isolated = self.reading.isolated.contains(&(account, symbol));
        let drains = isolated && cross.equity - value < cross.maintenance;
        if !(due || urgent || losing || drains) {
            self.fault(format!("cancelled {account} {symbol} {}", order.price));
        }
    }

    fn judge_rest(&mut self) {
        for key in self.due.clone().into_keys() {
            let keys = self.pool(key);
            let since = self.due[&key];
            if since < self.marked && self.attended.insert(key) {
                let all: Vec<_> = keys
                    .iter()
                    .map(|of| {
                        (
                            of,
                            self.reading.positions[of].q,
                            self.reading.marks[&of.1],
                            self.reading.bankruptcy(*of),
                            self.reading.backing(*of),
                        )
                    })
                    .collect();
                self.fault(format!(
                    "{key:?} is due for {} steps and nobody cares {all:?} fund {:?}",
                    self.step - since,
                    self.reading.cross(FUND)
                ));
            }
        }
        let reading = &self.reading;
        let marked = self.marked >= self.frame;
        self.spells.retain(|key, _| {
            self.due.contains_key(key) || !marked || reading.is_called(key.0) && key.1 == 0
        });
        for account in self.reading.cash.clone().into_keys().filter(|account| *account != FUND) {
            let debt = self.reading.held(account).count() == 0 && self.reading.wallet(account) < 0;
            let asked = self.reading.is_called(account);
            match debt && !asked {
                true => _ = self.owing.entry(account).or_insert(self.step),
                false => _ = self.owing.remove(&account),
            }
            if self.owing.get(&account).is_some_and(|since| *since < self.marked) {
                self.fault(format!("{account} owes and nobody asks"));
            }
        }
    }
}
