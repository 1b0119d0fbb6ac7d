//! Marks, premiums and funding: everything is kept and counted anew each time.

use std::collections::BTreeMap;

use protocol::{
    AccountId, Event, Reject, SymbolId,
    command::IndexPrices,
    event::{Funding, FundingEnded, FundingPaid, Mark},
    order::{PositionSide, Side, SymbolState},
};

use super::{
    Answer,
    algos::{Job, What},
    margin::{ONE, ceil_div},
    market::PRICE_TOP,
    no,
    shard::{Leg, Market, Shard},
};

const SECOND: u64 = 1_000_000;
/// 5 %.
const BAND: i128 = 5_000_000;

/// All that was sampled of a market.
#[derive(Clone, Default)]
pub struct Pricing {
    index: i128,
    index_at: u64,
    pub stale: bool,
    bases: Vec<i128>,
    premiums: Vec<i128>,
    period: u64,
    last_rate: i128,
    shown_rate: i128,
    next: u64,
}

/// A funding: what it was, and what is to be booked of whom.
#[derive(Clone)]
pub struct Round {
    time: u64,
    owed: BTreeMap<(u32, PositionSide), i128>,
    pool: i128,
}

impl Market {
    pub fn state(&self) -> SymbolState {
        match self.spec.state {
            SymbolState::Trading if self.pricing.stale => SymbolState::ReduceOnly,
            state => state,
        }
    }

    /// Some orders are taken.
    pub fn is_open(&self) -> bool {
        self.state() == SymbolState::Trading || self.state() == SymbolState::ReduceOnly
    }

    /// Funding comes at other hours from now on.
    pub fn plan_funding(&mut self, now: u64) {
        if self.pricing.next > now {
            self.pricing.next = self.next_funding(now);
        }
    }

    fn interval(&self) -> u64 {
        u64::from(self.spec.funding_interval_hours) * 3_600 * SECOND
    }

    /// The first multiple of the interval that is still to come.
    fn next_funding(&self, now: u64) -> u64 {
        (now / self.interval() + 1) * self.interval()
    }

    fn mark_at(&self, index: i128, now: u64) -> Option<i64> {
        let tick = i128::from(self.spec.tick_e8);
        let nearest = |price: i128| (2 * price + tick).div_euclid(2 * tick);
        if !(1..=i128::from(PRICE_TOP)).contains(&nearest(index)) {
            return None;
        }
        let interval = i128::from(self.interval() / SECOND);
        let left = i128::from(self.pricing.next.saturating_sub(now) / SECOND).min(interval);
        let funded = (index * self.pricing.last_rate * left).div_euclid(interval * ONE);
        let latest = &self.pricing.bases[self.pricing.bases.len().saturating_sub(30)..];
        let basis = match latest.len() {
            0 => 0,
            count => latest.iter().sum::<i128>() / count as i128,
        };
        let last = if self.last == 0 { index } else { i128::from(self.last) * tick };
        let mut prices = [index + funded, index + basis, last];
        prices.sort_unstable();
        let band = index * BAND / ONE;
        let price = prices[1].clamp(index - band, index + band);
        Some(nearest(price).clamp(1, PRICE_TOP.into()) as i64)
    }

    fn basis(&self) -> i128 {
        let (index, band) = (self.pricing.index, self.pricing.index * BAND / ONE);
        let (bids, asks) = (self.prices(Side::Buy), self.prices(Side::Sell));
        match (bids.first(), asks.first()) {
            (Some(bid), Some(ask)) if self.is_open() => {
                let sum = i128::from(bid + ask) * i128::from(self.spec.tick_e8);
                (sum.div_euclid(2) - index).clamp(-band, band)
            }
            _ => 0,
        }
    }

    fn premium(&self) -> i128 {
        self.premium_of(Side::Buy) - self.premium_of(Side::Sell)
    }

    /// How far an order of the impact notional would trade beyond the index, as a part of that.
    fn premium_of(&self, side: Side) -> i128 {
        let Some(brackets) = self.brackets else { return 0 };
        let wanted = 200 * ONE * i128::from(brackets.rows[0].max_leverage);
        let (mult, index) = (i128::from(self.spec.mult), self.pricing.index);
        let (mut worth, mut lots) = (0, 0);
        for price in self.prices(side).into_iter().take(200) {
            let (level, price) = (i128::from(self.level(side, price)), i128::from(price));
            if worth + level * price * mult < wanted {
                worth += level * price * mult;
                lots += level * mult;
                continue;
            }
            // wanted / (lots + rest / price), in units of 1e-8
            let above = wanted * price * i128::from(self.spec.tick_e8);
            let below = lots * price + (wanted - worth);
            let beyond = match side {
                Side::Buy => above.div_euclid(below) - index,
                Side::Sell => index - ceil_div(above, below),
            };
            return (beyond.clamp(0, index) * ONE / index).min(BAND);
        }
        0
    }

    fn rate(&self) -> i128 {
        if self.pricing.premiums.is_empty() {
            return 0;
        }
        let weighted = (1..).zip(&self.pricing.premiums);
        let (sum, weights) =
            weighted.fold((0, 0), |(sum, weights), (i, premium)| (sum + i * premium, weights + i));
        let average: i128 = sum / weights;
        let pulled = average + (10_000 - average).clamp(-50_000, 50_000);
        let cap = self.brackets.map_or(0, |table| i128::from(table.rows[0].maintenance) * 3 / 4);
        (pulled * i128::from(self.spec.funding_interval_hours) / 8).clamp(-cap, cap)
    }
}

impl Shard {
    pub fn set_index(&mut self, prices: &IndexPrices) -> Answer {
        if usize::from(prices.count) > prices.rows.len() {
            return no(Reject::Malformed);
        }
        for row in prices.rows.iter().take(prices.count.into()) {
            let (now, symbol) = (self.now, row.symbol.0);
            let Some(market) = self.markets.get_mut(&symbol) else { continue };
            let index = i128::from(row.price_e8);
            if market.mark_at(index, now).is_none() {
                continue;
            }
            if market.pricing.next == 0 {
                market.pricing.next = market.next_funding(now);
            }
            (market.pricing.index_at, market.pricing.index) = (now, index);
            self.set_stale(symbol, false);
            self.move_mark(symbol);
        }
        Ok(0)
    }

    fn set_stale(&mut self, symbol: u16, stale: bool) {
        let market = self.markets.get_mut(&symbol).unwrap();
        if market.pricing.stale != stale {
            market.pricing.stale = stale;
            self.tell_state(symbol);
        }
    }

    fn move_mark(&mut self, symbol: u16) {
        let now = self.now;
        let market = self.markets.get_mut(&symbol).unwrap();
        market.mark = market.mark_at(market.pricing.index, now).unwrap();
        self.events.push(Event::Mark(Mark {
            symbol: SymbolId(symbol),
            _pad: [0; 6],
            index_e8: market.pricing.index as i64,
            mark: market.mark,
            funding_rate: market.pricing.shown_rate as i64,
            next_funding: market.pricing.next,
        }));
        self.look(symbol);
        self.parted.retain(|leg| leg.1 != symbol);
        self.moved = true;
    }

    pub fn tick(&mut self) {
        let second = self.now / SECOND;
        if second == self.second {
            return;
        }
        self.second = second;
        let symbols: Vec<u16> = self.markets.keys().copied().collect();
        for symbol in symbols {
            let now = self.now;
            let market = self.markets.get_mut(&symbol).unwrap();
            if market.mark == 0 {
                continue;
            }
            if now - market.pricing.index_at >= 10 * SECOND {
                self.set_stale(symbol, true);
                continue;
            }
            market.pricing.bases.push(market.basis());
            let period = (second + u64::from(symbol)) / 5;
            if market.is_open() && market.pricing.period != period {
                market.pricing.period = period;
                market.pricing.premiums.push(market.premium());
                market.pricing.shown_rate = market.rate();
            }
            if market.mark_at(market.pricing.index, now) != Some(market.mark) {
                self.move_mark(symbol);
            }
        }
    }

    /// Begins the funding whose time came first.
    pub fn begin_round(&mut self) -> bool {
        let due = self.markets.iter().filter(|(_, market)| {
            market.round.is_none() && (1..=self.now).contains(&market.pricing.next)
        });
        let first = due.min_by_key(|(symbol, market)| (market.pricing.next, **symbol));
        let Some(symbol) = first.map(|(symbol, _)| *symbol) else { return false };
        let now = self.now;
        let market = self.markets.get_mut(&symbol).unwrap();
        let rate = if market.is_open() { market.rate() } else { 0 };
        let (time, mark) = (market.pricing.next, market.mark);
        let unit = i128::from(mark) * i128::from(market.spec.mult) * rate;
        let mut owed = BTreeMap::new();
        for (account, known) in &self.accounts {
            for ((of, side), holding) in &known.holdings {
                if *of == symbol && holding.qty != 0 {
                    owed.insert((*account, *side), ceil_div(holding.qty * unit, ONE));
                }
            }
        }
        market.pricing.next = market.next_funding(now);
        market.pricing.premiums.clear();
        market.pricing.last_rate = rate;
        if rate != 0 {
            market.round = Some(Round { time, owed, pool: 0 });
            self.fresh.push(Job { symbol, what: What::Fund(0) });
        }
        self.events.push(Event::Funding(Funding {
            symbol: SymbolId(symbol),
            _pad: [0; 6],
            time,
            rate: rate as i64,
            mark,
        }));
        true
    }

    /// Books what is still owed by an account.
    pub fn book_account(&mut self, account: u32) {
        let symbols: Vec<u16> = self.markets.keys().copied().collect();
        for symbol in symbols {
            self.book_legs(symbol, account);
        }
    }

    fn book_legs(&mut self, symbol: u16, account: u32) {
        for side in [PositionSide::Both, PositionSide::Long, PositionSide::Short] {
            self.book((account, symbol, side));
        }
    }

    pub fn book(&mut self, (account, symbol, side): Leg) {
        let isolated = self.chosen(account, symbol).isolated;
        let market = self.markets.get_mut(&symbol).unwrap();
        let Some(round) = &mut market.round else { return };
        let Some(charge) = round.owed.remove(&(account, side)) else { return };
        round.pool += charge;
        let time = round.time;
        let known = self.accounts.get_mut(&account).unwrap();
        known.cash -= charge;
        let cash = known.cash as i64;
        let holding = known.holdings.get_mut(&(symbol, side)).unwrap();
        if isolated {
            holding.wallet -= charge;
        }
        self.events.push(Event::FundingPaid(FundingPaid {
            account: AccountId(account),
            symbol: SymbolId(symbol),
            position_side: side,
            _pad: 0,
            time,
            amount: -charge as i64,
            position: holding.qty as i64,
            cash,
            isolated_wallet: holding.wallet as i64,
        }));
    }

    pub fn book_slice(&mut self, symbol: u16, from: u32) {
        let last = self.accounts.keys().last().copied().unwrap_or(0);
        for account in from..from + 64 {
            self.book_legs(symbol, account);
        }
        if from + 64 <= last {
            self.fresh.push(Job { symbol, what: What::Fund(from + 64) });
            return;
        }
        let Round { time, owed, pool } =
            self.markets.get_mut(&symbol).unwrap().round.take().unwrap();
        assert!(owed.is_empty());
        let residue = pool as i64;
        let event = FundingEnded { symbol: SymbolId(symbol), _pad: [0; 6], time, residue };
        self.events.push(Event::FundingEnded(event));
        self.move_fund(pool);
    }
}
