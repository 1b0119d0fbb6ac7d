//! What a symbol is worth now: its index, its mark, and the premium that becomes its funding rate.
//!
//! An index price moves the mark at once. Between two of them a tick a second samples the book:
//! how far its middle is from the index, and each few seconds the premium. A symbol whose index
//! stays away only lets positions be reduced until it comes back.

use protocol::{
    Micros, RATE_ONE, Rate, Reject, Ticks,
    command::IndexPrices,
    event::{Mark, SymbolStateChanged},
    limits::INDEX_PRICES_MAX,
    order::{Side, SymbolState},
};
use rules::{
    funding::{self, Impact, Premiums},
    instrument,
    mark::{self, MarkTerms},
};

use crate::{
    hash::Digest,
    limits::{BASIS_SAMPLES, IMPACT_LEVELS_MAX, INDEX_STALE_US, PREMIUM_PERIOD_S},
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    symbols::{Quote, Symbol, Symbols},
    verdict::require,
    work::Work,
};

const SECOND_US: u64 = 1_000_000;

/// The samples of one symbol.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pricing {
    index_at: Micros,
    /// The low bits of how many marks there have been.
    pub marks: u16,
    /// The index has stayed away.
    pub is_stale: bool,
    basis: Basis,
    pub premiums: Premiums,
    /// The period in which a premium was sampled last.
    period: u64,
    /// Of the last funding.
    pub rate: Rate,
    /// What the next funding's would be if it came now.
    pub estimate: Rate,
    /// The next funding time; 0: no index has come yet.
    pub next_funding: Micros,
}

/// The last samples of the basis, the oldest of which the next one replaces.
#[derive(Clone, Copy, Debug, Default)]
struct Basis {
    samples: [i64; BASIS_SAMPLES],
    count: usize,
    next: usize,
    sum: i128,
}

impl Basis {
    fn add(&mut self, basis_e8: i64) {
        let place = &mut self.samples[self.next];
        self.sum += i128::from(basis_e8) - i128::from(*place);
        *place = basis_e8;
        self.next = (self.next + 1) % BASIS_SAMPLES;
        self.count = (self.count + 1).min(BASIS_SAMPLES);
    }

    /// Rounded toward zero; 0 without samples.
    const fn average(&self) -> i64 {
        // between the samples, so it fits
        if self.count == 0 { 0 } else { (self.sum / self.count as i128) as i64 }
    }
}

impl Symbol {
    /// What the symbol accepts: what its operator says, less while its index stays away.
    pub const fn state(&self) -> SymbolState {
        match (self.spec.state, self.pricing.is_stale) {
            (SymbolState::Trading, true) => SymbolState::ReduceOnly,
            (state, _) => state,
        }
    }

    /// Orders are taken, be it only such as reduce: there is trading, and prices mean something.
    pub const fn takes_orders(&self) -> bool {
        matches!(self.state(), SymbolState::Trading | SymbolState::ReduceOnly)
    }

    pub fn tell_state<S: Sink>(&self, out: &mut Output<'_, S>) {
        let (symbol, state) = (self.spec.symbol, self.spec.state);
        let index_stale = self.pricing.is_stale;
        let settlement = self.settlement;
        out.emit(&SymbolStateChanged { symbol, state, index_stale, _pad: [0; 4], settlement });
    }

    fn set_stale<S: Sink>(&mut self, is_stale: bool, out: &mut Output<'_, S>) {
        if self.pricing.is_stale != is_stale {
            self.pricing.is_stale = is_stale;
            self.tell_state(out);
        }
    }

    /// Samples the book: its basis, where one of no two sides is none, and in a new period the
    /// premium. A book that nobody can trade with says nothing about either.
    fn sample(&mut self, quote: &Quote, second: u64) {
        let (tick_e8, index_e8) = (self.spec.tick_e8, quote.index_e8);
        let basis = match (self.book.best(Side::Buy), self.book.best(Side::Sell)) {
            (Some(bid), Some(ask)) if self.takes_orders() => {
                mark::basis_e8(bid, ask, tick_e8, index_e8)
            }
            _ => 0,
        };
        self.pricing.basis.add(basis);
        if !self.takes_orders() {
            return;
        }
        // spread over the seconds, so that no tick samples all
        let period = (second + u64::from(self.spec.symbol.0)) / PREMIUM_PERIOD_S;
        if period == self.pricing.period {
            return;
        }
        self.pricing.period = period;
        let premium = self.premium(quote);
        self.pricing.premiums.add(premium);
        self.pricing.estimate = self.funding_rate(quote);
    }

    /// The rate of a funding now; 0 when no premium was sampled.
    pub fn funding_rate(&self, quote: &Quote) -> Rate {
        if self.pricing.premiums.count == 0 {
            return 0;
        }
        let first = quote.brackets.as_ref().and_then(|brackets| brackets.rows().first().copied());
        let cap = first.map_or(0, |row| funding::cap(row.maintenance));
        let average = self.pricing.premiums.average();
        funding::rate(average, self.spec.funding_interval_hours, cap)
    }

    /// How far bids are above the index, less how far asks are below it, at their impact prices.
    fn premium(&self, quote: &Quote) -> Rate {
        let above = |impact| funding::bid_premium(impact, quote.index_e8);
        let below = |impact| funding::ask_premium(impact, quote.index_e8);
        self.impact(Side::Buy, quote).map_or(0, above)
            - self.impact(Side::Sell, quote).map_or(0, below)
    }

    /// The average price that the impact notional would trade at with a side's orders, if there
    /// are so many, and if its best price leaves a premium at all.
    fn impact(&self, side: Side, quote: &Quote) -> Option<(i128, i128)> {
        let best_e8 = i128::from(self.book.best(side)?) * i128::from(self.spec.tick_e8);
        let index_e8 = i128::from(quote.index_e8);
        let beyond = match side {
            Side::Buy => best_e8 > index_e8,
            Side::Sell => best_e8 < index_e8,
        };
        let leverage = quote.brackets.as_ref()?.leverage_max();
        if !beyond {
            return None;
        }
        let notional = funding::impact_notional(leverage);
        let mut impact = Impact::of(notional);
        self.book.levels(side).take(IMPACT_LEVELS_MAX).find_map(|level| {
            impact.take(notional, level.price, level.qty, quote.mult, self.spec.tick_e8)
        })
    }

    fn mark(&self, index_e8: i64, now: Micros) -> Option<Ticks> {
        let terms = MarkTerms {
            index_e8,
            tick_e8: self.spec.tick_e8,
            rate: self.pricing.rate,
            left_s: self.pricing.next_funding.saturating_sub(now) / SECOND_US,
            interval_s: funding::interval_us(self.spec.funding_interval_hours) / SECOND_US,
            basis_e8: self.pricing.basis.average(),
            last: self.last,
        };
        terms.mark()
    }
}

impl Symbols {
    /// Takes index prices, each of which moves its symbol's mark.
    pub fn set_index<S: Sink>(
        &mut self,
        prices: &IndexPrices,
        now: Micros,
        work: &mut Work,
        out: &mut Output<'_, S>,
    ) -> Result<(), Reject> {
        let count = usize::from(prices.count);
        require(count <= INDEX_PRICES_MAX, Reject::Malformed)?;
        for row in &prices.rows[..count] {
            let Ok(at) = self.find(row.symbol) else { continue };
            let (symbol, _) = self.split(at);
            if instrument::to_ticks(row.price_e8, symbol.spec.tick_e8).is_none() {
                continue;
            }
            symbol.pricing.index_at = now;
            symbol.set_stale(false, out);
            if symbol.pricing.next_funding == 0 {
                let hours = symbol.spec.funding_interval_hours;
                symbol.pricing.next_funding = funding::next_time(now, hours);
                self.plan_funding();
            }
            let mark = self.symbol(at).mark(row.price_e8, now).expect("the index is a price");
            self.move_mark(at, mark, row.price_e8, work, out);
        }
        Ok(())
    }

    /// A second has passed: samples each symbol's book and moves its mark, or, without an index
    /// of late, lets positions only be reduced.
    pub fn tick<S: Sink>(&mut self, now: Micros, work: &mut Work, out: &mut Output<'_, S>) {
        let second = now / SECOND_US;
        if second == self.second {
            return;
        }
        self.second = second;
        for at in 0..self.len() {
            let (symbol, quotes) = self.split(at);
            let quote = &quotes[usize::from(at)];
            if quote.mark == 0 {
                continue;
            }
            if now - symbol.pricing.index_at >= INDEX_STALE_US {
                symbol.set_stale(true, out);
                continue;
            }
            symbol.sample(quote, second);
            let mark = symbol.mark(quote.index_e8, now).expect("the index is a price");
            if mark != quote.mark {
                let index_e8 = quote.index_e8;
                self.move_mark(at, mark, index_e8, work, out);
            }
        }
    }

    /// Sets a symbol's index and mark, tells them, and looks what they make true.
    fn move_mark<S: Sink>(
        &mut self,
        at: u16,
        mark: Ticks,
        index_e8: i64,
        work: &mut Work,
        out: &mut Output<'_, S>,
    ) {
        let (symbol, quote) = self.split_mut(at);
        (quote.mark, quote.index_e8) = (mark, index_e8);
        symbol.pricing.marks = symbol.pricing.marks.wrapping_add(1);
        out.emit(&Mark {
            symbol: symbol.spec.symbol,
            _pad: [0; 6],
            index_e8,
            mark,
            funding_rate: symbol.pricing.estimate,
            next_funding: symbol.pricing.next_funding,
        });
        symbol.look(mark, work);
        self.moved = true;
    }
}

impl Pricing {
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.index_at).add(self.marks).add_flag(self.is_stale);
        self.basis.samples.iter().for_each(|sample| _ = into.add(*sample));
        into.add(self.basis.count as u8).add(self.basis.next as u8);
        into.add(self.premiums.count).add(self.premiums.sum).add(self.period);
        into.add(self.rate).add(self.estimate).add(self.next_funding);
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let (index_at, marks, is_stale) = (saved.take()?, saved.take()?, saved.flag()?);
        let basis = Basis::load(saved)?;
        let premiums = Premiums { count: saved.take()?, sum: saved.take()? };
        let period = saved.take()?;
        let (rate, estimate): (Rate, Rate) = (saved.take()?, saved.take()?);
        let rates = -RATE_ONE..=RATE_ONE;
        let weighed = premiums.count <= u64::from(u32::MAX)
            && premiums.sum.unsigned_abs() <= RATE_ONE as u128 * u128::from(premiums.count).pow(2);
        sound(weighed && rates.contains(&rate) && rates.contains(&estimate))?;
        let next_funding = saved.take()?;
        Ok(Self {
            index_at,
            marks,
            is_stale,
            basis,
            premiums,
            period,
            rate,
            estimate,
            next_funding,
        })
    }
}

impl Basis {
    fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut basis = Self::default();
        for sample in &mut basis.samples {
            *sample = saved.take()?;
            basis.sum += i128::from(*sample);
        }
        let (count, next) = (saved.take::<u8>()?, saved.take::<u8>()?);
        (basis.count, basis.next) = (count.into(), next.into());
        sound(basis.count <= BASIS_SAMPLES && basis.next < BASIS_SAMPLES)?;
        let rest = &basis.samples[basis.count..];
        let partly = basis.count == basis.next && rest.iter().all(|sample| *sample == 0);
        sound(basis.count == BASIS_SAMPLES || partly)?;
        Ok(basis)
    }
}

const _: () = assert!(BASIS_SAMPLES <= u8::MAX as usize);
const _: () = assert!(funding::impact_notional(protocol::limits::LEVERAGE_MAX) < 1 << 42);
const _: () = assert!(mark::MARK_BAND < RATE_ONE);
