//! A reading of the rules of margin, for judges of liquidation: what everybody has and needs, by
//! what a shard was told and what it said, slowly and exactly.
//!
//! Nothing here knows how the engine does it: positions, wallets and brackets as events name them,
//! and the formulas as they are documented.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    Command, Event, ShardId,
    event::Fill,
    instrument::{Bracket, SymbolSpec},
    limits::{MARGIN_CALL_GRACE_DOWN_US, MARGIN_CALL_GRACE_US},
    order::{MarginMode, OrderOrigin, PositionMode, PositionSide, Side, SymbolState},
};

/// Of an account, on a symbol, by leg.
pub type Key = (u32, u16, u8);

const E8: i128 = 100_000_000;

#[derive(Clone, Default)]
pub struct Position {
    pub q: i128,
    pub entry: i128,
    /// What an isolated one has of its own.
    pub wallet: i128,
    /// Fundings whose time has come that are not booked: the time, and what it gets.
    pub unbooked: Vec<(u64, i128)>,
}

#[derive(Clone)]
pub struct Order {
    pub account: u32,
    pub symbol: u16,
    pub side: Side,
    pub leg: PositionSide,
    pub price: i128,
    pub left: i128,
    pub reduce_only: bool,
    pub good_till: u64,
    pub origin: OrderOrigin,
    /// The event that it came with, or was changed by.
    pub since: u64,
}

/// A margin call that was made.
#[derive(Clone, Copy)]
pub struct Call {
    pub number: u64,
    pub at: u64,
    /// By an answer, or as its grace is over.
    pub closed: bool,
}

/// What backs some positions, and the least that may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backing {
    pub equity: i128,
    pub maintenance: i128,
}

impl Backing {
    pub const fn is_due(&self) -> bool {
        self.equity <= self.maintenance
    }
}

#[derive(Default)]
pub struct Reading {
    pub now: u64,
    /// Events so far.
    pub step: u64,
    pub link_down: bool,
    /// Since when the ledger is heard of, for the first time or again.
    pub link_up: u64,
    link_said: bool,
    /// How far its messages have been applied, and had been when the frame began.
    applied: [u64; 2],
    pub specs: BTreeMap<u16, SymbolSpec>,
    pub brackets: BTreeMap<u16, Vec<Bracket>>,
    pub states: BTreeMap<u16, SymbolState>,
    /// Symbols without an index, so without marks.
    pub away: BTreeSet<u16>,
    pub marks: BTreeMap<u16, i128>,
    pub cash: BTreeMap<u32, i128>,
    pub positions: BTreeMap<Key, Position>,
    pub isolated: BTreeSet<(u32, u16)>,
    pub hedged: BTreeSet<u32>,
    pub orders: BTreeMap<(u16, u64), Order>,
    /// The last of each account.
    pub calls: BTreeMap<u32, Call>,
}

pub const fn div_ceil(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + (a.rem_euclid(b) != 0) as i128
}

impl Order {
    pub fn key(&self) -> Key {
        (self.account, self.symbol, self.leg as u8)
    }

    /// It may open something, so margin is reserved for it.
    pub fn reserves(&self) -> bool {
        !(self.reduce_only || self.leg.closed_by(self.side))
    }
}

impl Reading {
    pub fn mult(&self, symbol: u16) -> i128 {
        self.specs[&symbol].mult.into()
    }

    /// The place of the bracket in which so much lies: a floor belongs to the one below.
    pub fn bracket(&self, symbol: u16, notional: i128) -> usize {
        let rows = &self.brackets[&symbol];
        rows.iter().rposition(|row| notional > row.floor.into()).unwrap_or(0)
    }

    pub fn notional(&self, symbol: u16, q: i128) -> i128 {
        q.abs() * self.marks[&symbol] * self.mult(symbol)
    }

    pub fn maintenance(&self, symbol: u16, q: i128) -> i128 {
        let notional = self.notional(symbol, q);
        let at = self.bracket(symbol, notional);
        let rows = &self.brackets[&symbol];
        let cum = |i: usize| i128::from(rows[i].floor) * rate(&rows[i]);
        let below = |i: usize| i128::from(rows[i].floor) * rate(&rows[i - 1]);
        let cum: i128 = (1..=at).map(|i| cum(i) - below(i)).sum();
        div_ceil(notional * rate(&rows[at]) - cum, E8).max(0)
    }

    /// At the mark, with what funding has not booked yet.
    pub fn unrealised(&self, key: Key) -> i128 {
        let position = &self.positions[&key];
        let unbooked: i128 = position.unbooked.iter().map(|(_, amount)| amount).sum();
        position.q * self.marks[&key.1] * self.mult(key.1) - position.entry + unbooked
    }

    pub fn is_isolated(&self, key: Key) -> bool {
        self.isolated.contains(&(key.0, key.1))
    }

    /// The account's positions.
    pub fn held(&self, account: u32) -> impl Iterator<Item = Key> {
        let of = self.positions.range((account, 0, 0)..=(account, u16::MAX, u8::MAX));
        of.filter(|(_, position)| position.q != 0).map(|(key, _)| *key)
    }

    pub fn crossed(&self, account: u32) -> impl Iterator<Item = Key> {
        self.held(account).filter(|key| !self.is_isolated(*key))
    }

    /// The account's cash apart from its isolated wallets.
    pub fn wallet(&self, account: u32) -> i128 {
        let set_aside: i128 = self.held(account).map(|key| self.positions[&key].wallet).sum();
        self.cash.get(&account).copied().unwrap_or(0) - set_aside
    }

    pub fn cross(&self, account: u32) -> Backing {
        let gains: i128 = self.crossed(account).map(|key| self.unrealised(key)).sum();
        let least = self.crossed(account).map(|(_, symbol, leg)| {
            self.maintenance(symbol, self.positions[&(account, symbol, leg)].q)
        });
        Backing { equity: self.wallet(account) + gains, maintenance: least.sum() }
    }

    /// What stands behind a position: its own wallet, or all of the account.
    pub fn backing(&self, key: Key) -> Backing {
        if !self.is_isolated(key) {
            return self.cross(key.0);
        }
        let position = &self.positions[&key];
        let equity = position.wallet + self.unrealised(key);
        Backing { equity, maintenance: self.maintenance(key.1, position.q) }
    }

    /// The position's part of its equity, as a fraction.
    pub fn share(&self, key: Key) -> (i128, i128) {
        let Backing { equity, maintenance } = self.backing(key);
        if self.is_isolated(key) || self.crossed(key.0).count() == 1 {
            return (equity, 1);
        }
        (equity * self.maintenance(key.1, self.positions[&key].q), maintenance)
    }

    /// The first price, from the mark on, at which a close of it leaves nothing of its share; a
    /// price is a tick at least.
    pub fn bankruptcy(&self, key: Key) -> i128 {
        let q = self.positions[&key].q;
        let (share, of) = self.share(key);
        let value = q.abs() * self.mult(key.1) * of;
        let zero = self.marks[&key.1] * value - q.signum() * share;
        let price = if q > 0 { div_ceil(zero, value) } else { zero.div_euclid(value) };
        price.max(1)
    }

    /// When it is closed without an answer. When the ledger is heard of again the answer has a
    /// whole grace to come.
    fn end_of(&self, call: &Call) -> u64 {
        let longest = call.at + MARGIN_CALL_GRACE_DOWN_US;
        match self.link_down {
            true => longest,
            false => longest.min(call.at.max(self.link_up) + MARGIN_CALL_GRACE_US),
        }
    }

    /// The grace of the account's last call has passed.
    pub fn is_over(&self, account: u32) -> bool {
        self.calls.get(&account).is_some_and(|call| self.end_of(call) <= self.now)
    }

    /// The account's last call waits for its answer.
    pub fn is_called(&self, account: u32) -> bool {
        self.calls.get(&account).is_some_and(|call| !call.closed)
    }

    fn book(&mut self, symbol: u16, qty: i64, fill: &Fill) {
        let key = (fill.account.0, symbol, fill.position_side as u8);
        self.cash.insert(key.0, fill.cash.into());
        let position = self.positions.entry(key).or_default();
        (position.q, position.entry) = (fill.position.into(), fill.entry.into());
        position.wallet = fill.isolated_wallet.into();
        if let Some(order) = self.orders.get_mut(&(symbol, fill.order.0)) {
            order.left -= i128::from(qty);
            if order.left == 0 {
                self.orders.remove(&(symbol, fill.order.0));
            }
        }
    }

    fn set(&mut self, key: Key, cash: i64, wallet: i64) {
        self.cash.insert(key.0, cash.into());
        self.positions.entry(key).or_default().wallet = wallet.into();
    }

    /// A frame begins.
    pub fn begin(&mut self, now: u64) {
        self.now = now;
        self.applied[1] = self.applied[0];
        let ended = |call: &Call| self.end_of(call) <= now;
        let ended: Vec<_> =
            self.calls.iter().filter(|(_, call)| ended(call)).map(|(a, _)| *a).collect();
        for account in ended {
            self.calls.get_mut(&account).unwrap().closed = true;
        }
    }

    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::SymbolListed(spec) => {
                self.specs.insert(spec.symbol.0, *spec);
                self.states.insert(spec.symbol.0, spec.state);
            }
            Event::BracketsSet(table) => {
                let rows = table.rows[..table.count.into()].to_vec();
                self.brackets.insert(table.symbol.0, rows);
            }
            Event::SymbolStateChanged(now) => {
                self.states.insert(now.symbol.0, now.state);
                match now.index_stale {
                    true => _ = self.away.insert(now.symbol.0),
                    false => _ = self.away.remove(&now.symbol.0),
                }
            }
            Event::Mark(mark) => _ = self.marks.insert(mark.symbol.0, mark.mark.into()),
            Event::CashChanged(now) => _ = self.cash.insert(now.account.0, now.cash.into()),
            Event::SettingsChanged(now) => {
                let key = (now.account.0, now.symbol.0);
                match now.margin_mode {
                    MarginMode::Isolated => _ = self.isolated.insert(key),
                    MarginMode::Cross => _ = self.isolated.remove(&key),
                }
            }
            Event::PositionModeChanged(now) => match now.mode {
                PositionMode::Hedge => _ = self.hedged.insert(now.account.0),
                PositionMode::OneWay => _ = self.hedged.remove(&now.account.0),
            },
            Event::MarginMoved(now) => {
                let key = (now.account.0, now.symbol.0, now.position_side as u8);
                self.set(key, now.cash, now.isolated_wallet);
            }
            Event::LiquidationFeePaid(now) => {
                let key = (now.account.0, now.symbol.0, now.position_side as u8);
                self.set(key, now.cash, now.isolated_wallet);
            }
            Event::LinkApplied(link) => self.applied[0] = link.link_seq,
            Event::Funding(due) => self.fund(due.symbol.0, due.time, due.rate, due.mark),
            Event::FundingPaid(now) => {
                let key = (now.account.0, now.symbol.0, now.position_side as u8);
                self.set(key, now.cash, now.isolated_wallet);
                let position = self.positions.get_mut(&key).unwrap();
                position.unbooked.retain(|unbooked| *unbooked != (now.time, now.amount.into()));
            }
            Event::OrderAccepted(order) => {
                let id = (order.symbol.0, order.order.0);
                let order = Order {
                    account: order.account.0,
                    symbol: order.symbol.0,
                    side: order.side,
                    leg: order.position_side,
                    price: order.price.into(),
                    left: order.qty.into(),
                    reduce_only: order.reduce_only,
                    good_till: order.good_till,
                    origin: order.origin,
                    since: self.step,
                };
                self.orders.insert(id, order);
            }
            Event::OrderAmended(now) => {
                let order = self.orders.get_mut(&(now.symbol.0, now.order.0)).unwrap();
                order.price = now.price.into();
                order.since = self.step;
                order.left = i128::from(now.qty) - i128::from(now.cum_qty);
            }
            Event::OrderClosed(now) => _ = self.orders.remove(&(now.symbol.0, now.order.0)),
            Event::Trade(trade) => {
                self.book(trade.symbol.0, trade.qty, &trade.taker);
                self.book(trade.symbol.0, trade.qty, &trade.maker);
            }
            Event::PositionSettled(now) => self.book(now.symbol.0, now.qty, &now.fill),
            Event::MarginCallIssued(call) => {
                let number = call.link_seq;
                let call = (call.account.0, Call { number, at: self.now, closed: false });
                self.calls.insert(call.0, call.1);
            }
            _ => {}
        }
    }

    /// A payer pays what is rounded up, a receiver gets what is rounded down.
    fn fund(&mut self, symbol: u16, time: u64, rate: i64, mark: i64) {
        let unit = self.mult(symbol) * i128::from(mark) * i128::from(rate);
        for (key, position) in &mut self.positions {
            if key.1 == symbol && position.q != 0 {
                position.unbooked.push((time, (-position.q * unit).div_euclid(E8)));
            }
        }
    }

    /// What a shard hears of others, behind the work that its frame does first.
    pub fn told(&mut self, command: &Command) {
        match command {
            Command::LinkState(link) if link.peer == ShardId::LEDGER => {
                if link.up && (self.link_down || !self.link_said) {
                    self.link_up = self.now;
                }
                (self.link_down, self.link_said) = (!link.up, true);
            }
            Command::Grant(grant) if grant.call != 0 && self.applied[0] > self.applied[1] => {
                let call = self.calls.get_mut(&grant.account.0);
                if let Some(call) = call.filter(|call| call.number == grant.call) {
                    call.closed = true;
                }
            }
            _ => {}
        }
    }
}

fn rate(row: &Bracket) -> i128 {
    row.maintenance.into()
}
