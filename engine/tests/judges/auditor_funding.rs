//! The auditor's eye on prices and funding: marks stay near their index, each position pays once
//! for each funding time and for what it was then, and what is paid is got or insured.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    CommandKind, Event,
    event::{Funding, FundingPaid, Mark},
    instrument::SymbolSpec,
    order::{OrderOrigin, SymbolState},
};

use crate::auditor::{Auditor, Leg, Position};

const ONE: i128 = 100_000_000;

#[derive(Clone)]
struct Open {
    time: u64,
    rate: i64,
    mark: i64,
    /// The lots of those who are to be booked.
    owing: BTreeMap<Leg, i64>,
    pool: i128,
}

#[derive(Clone, Default)]
pub struct FundingBooks {
    specs: BTreeMap<u16, SymbolSpec>,
    caps: BTreeMap<u16, i64>,
    next: BTreeMap<u16, u64>,
    /// When a symbol's index came last.
    index_at: BTreeMap<u16, u64>,
    marked: BTreeSet<u16>,
    /// Those whose index has stayed away.
    away: BTreeSet<u16>,
    ticked: u64,
    open: BTreeMap<u16, Open>,
    past: BTreeSet<(u16, u64)>,
    /// What rounding has left to the insurance fund.
    pub insurance: i128,
    /// Positions that were booked, and times a symbol's index had stayed away.
    pub booked: usize,
    pub stale: usize,
    /// Fundings at a negative rate, at the interest's own, and above it.
    pub rates: [usize; 3],
}

impl FundingBooks {
    /// Something may be booked or begun before the next frame's command, or for it.
    pub fn expect_work(&self, now: u64) -> bool {
        !self.open.is_empty() || self.next.values().any(|next| *next <= now)
    }

    /// Some symbol's funding is being booked.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub fn pools(&self) -> i128 {
        self.open.values().map(|open| open.pool).sum()
    }

    /// What a position has yet to pay; negative: to get.
    pub fn owed(&self, leg: Leg, mult: i64) -> i128 {
        let Some(open) = self.open.get(&leg.1) else { return 0 };
        let qty = open.owing.get(&leg).copied().unwrap_or(0);
        let value = i128::from(qty) * i128::from(open.mark) * i128::from(mult);
        -(-value * i128::from(open.rate)).div_euclid(ONE)
    }

    fn owes(&self, leg: Leg) -> bool {
        self.open.get(&leg.1).is_some_and(|open| open.owing.contains_key(&leg))
    }

    fn is_clear(&self, account: u32) -> bool {
        let mut owing = self.open.values().flat_map(|open| open.owing.keys());
        owing.all(|leg| leg.0 != account)
    }

    pub fn hear(&mut self, now: u64, event: &Event, positions: &BTreeMap<Leg, Position>) {
        match event {
            Event::SymbolListed(spec) => {
                let before = self.specs.insert(spec.symbol.0, *spec);
                let hours = before.map(|before| before.funding_interval_hours);
                let next = self.next.get_mut(&spec.symbol.0).filter(|next| **next > now);
                if let (Some(next), true) = (next, hours != Some(spec.funding_interval_hours)) {
                    *next = now - now % interval(spec) + interval(spec);
                }
            }
            Event::BracketsSet(brackets) => {
                let cap = i64::from(brackets.rows[0].maintenance) * 3 / 4;
                self.caps.insert(brackets.symbol.0, cap);
            }
            Event::SymbolStateChanged(change) => {
                let spec = self.specs.get_mut(&change.symbol.0).unwrap();
                spec.state = change.state;
                match change.index_stale {
                    true => self.away.insert(change.symbol.0),
                    false => self.away.remove(&change.symbol.0),
                };
            }
            Event::Mark(mark) => self.mark(mark),
            Event::Funding(funding) => self.begin(now, funding, positions),
            Event::FundingEnded(ended) => {
                let open = self.open.remove(&ended.symbol.0).unwrap();
                assert!(open.owing.is_empty() && open.time == ended.time, "{ended:?}");
                assert!(ended.residue >= 0, "rounding leaves something: {ended:?}");
                assert_eq!(open.pool, ended.residue.into());
                self.insurance += open.pool;
            }
            Event::OrderAccepted(order) => {
                // what is closed for good is not judged, so only its own funding comes first
                let leg = (order.account.0, order.symbol.0, order.position_side as u8);
                let booked = match order.origin {
                    OrderOrigin::Settlement => !self.owes(leg),
                    _ => self.is_clear(leg.0),
                };
                assert!(booked, "judged after its funding: {order:?}");
                let state = self.state(order.symbol.0);
                let reduces = match state {
                    SymbolState::ReduceOnly => {
                        order.reduce_only || order.origin == OrderOrigin::Takeover
                    }
                    SymbolState::Settling => order.origin == OrderOrigin::Settlement,
                    SymbolState::Trading | SymbolState::CancelOnly | SymbolState::Halted => false,
                };
                assert!(state == SymbolState::Trading || reduces, "in {state:?}: {order:?}");
            }
            Event::Trade(trade) => {
                for fill in [&trade.taker, &trade.maker] {
                    let leg = (fill.account.0, trade.symbol.0, fill.position_side as u8);
                    assert!(!self.owes(leg), "a position changes after its funding: {trade:?}");
                }
            }
            Event::Outcome(outcome) => self.end_frame(now, outcome.command),
            _ => {}
        }
    }

    /// Its index has stayed away.
    pub fn is_away(&self, symbol: u16) -> bool {
        self.away.contains(&symbol)
    }

    pub fn takes_orders(&self, symbol: u16) -> bool {
        matches!(self.state(symbol), SymbolState::Trading | SymbolState::ReduceOnly)
    }

    fn state(&self, symbol: u16) -> SymbolState {
        match self.specs[&symbol].state {
            SymbolState::Trading if self.away.contains(&symbol) => SymbolState::ReduceOnly,
            state => state,
        }
    }

    fn mark(&mut self, mark: &Mark) {
        let tick = i128::from(self.specs[&mark.symbol.0].tick_e8);
        let (price, index) = (i128::from(mark.mark) * tick, i128::from(mark.index_e8));
        // a mark of one tick is the least there is
        let apart = 2 * (price - index).abs() <= index / 10 + tick + 2;
        assert!(apart || mark.mark == 1, "a mark stays near its index: {mark:?}");
        let cap = self.caps.get(&mark.symbol.0).copied().unwrap_or(0);
        assert!(mark.funding_rate.abs() <= cap, "{mark:?}");
        self.next.insert(mark.symbol.0, mark.next_funding);
        self.marked.insert(mark.symbol.0);
    }

    fn begin(&mut self, now: u64, funding: &Funding, positions: &BTreeMap<Leg, Position>) {
        let &Funding { symbol, time, rate, mark, .. } = funding;
        let interval = interval(&self.specs[&symbol.0]);
        assert!(Some(&time) == self.next.get(&symbol.0) && time <= now, "{funding:?}");
        let open = matches!(self.state(symbol.0), SymbolState::Trading | SymbolState::ReduceOnly);
        assert!(open || rate == 0, "nobody pays where nobody can leave: {funding:?}");
        assert!(self.past.insert((symbol.0, time)), "a funding time comes once: {funding:?}");
        assert!(rate.abs() <= self.caps.get(&symbol.0).copied().unwrap_or(0), "{funding:?}");
        self.next.insert(symbol.0, now - now % interval + interval);
        let hours = i64::from(self.specs[&symbol.0].funding_interval_hours);
        let interest = 10_000 * hours / 8;
        self.rates[usize::from(rate >= 0) + usize::from(rate > interest)] += 1;
        if rate == 0 {
            return;
        }
        let held = positions.iter().filter(|(leg, held)| leg.1 == symbol.0 && held.qty != 0);
        let owing = held.map(|(leg, held)| (*leg, held.qty)).collect();
        let open = Open { time, rate, mark, owing, pool: 0 };
        assert!(self.open.insert(symbol.0, open).is_none(), "one at a time: {funding:?}");
    }

    /// An index that came, or one that has been away when a second passed.
    fn end_frame(&mut self, now: u64, command: u16) {
        let marked = std::mem::take(&mut self.marked);
        if command == CommandKind::IndexPrices as u16 {
            self.index_at.extend(marked.into_iter().map(|symbol| (symbol, now)));
        }
        if command != CommandKind::Tick as u16 || now / 1_000_000 == self.ticked {
            return;
        }
        self.ticked = now / 1_000_000;
        for (symbol, at) in &self.index_at {
            if now - at >= 10_000_000 {
                let state = self.state(*symbol);
                assert_ne!(state, SymbolState::Trading, "{symbol} without an index");
                self.stale += 1;
            }
        }
    }
}

const fn interval(spec: &SymbolSpec) -> u64 {
    spec.funding_interval_hours as u64 * 3_600_000_000
}

impl Auditor {
    pub fn hear_funding(&mut self, paid: &FundingPaid) {
        let leg = (paid.account.0, paid.symbol.0, paid.position_side as u8);
        let mult = i128::from(self.symbols[&leg.1].mult);
        let open = self.funding.open.get_mut(&leg.1).expect("a funding that is open");
        let qty = open.owing.remove(&leg).expect("a position is booked once");
        let mut held = self.positions[&leg];
        assert_eq!((qty, held.qty, open.time), (paid.position, paid.position, paid.time));
        let charge = -i128::from(paid.amount);
        let exact = i128::from(qty) * i128::from(open.mark) * mult * i128::from(open.rate);
        let up = charge * ONE - exact;
        assert!((0..ONE).contains(&up), "paid rounded up, got rounded down: {paid:?}");
        open.pool += charge;
        self.funding.booked += 1;
        let cash = self.cash.get_mut(&leg.0).unwrap();
        *cash += paid.amount;
        assert_eq!(*cash, paid.cash);
        if self.is_isolated(leg) {
            held.wallet += paid.amount;
        }
        assert_eq!(held.wallet, paid.isolated_wallet, "{paid:?}");
        self.positions.insert(leg, held);
    }
}
