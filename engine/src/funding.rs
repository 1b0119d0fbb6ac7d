//! Funding: at its times, a symbol's positions pay each other a part of their value.
//!
//! A funding time opens a round, with the rate and the mark of that moment. Each position is
//! booked once in it: by a slice of pending work, or sooner, before it changes or its account is
//! judged, so that everybody pays for what they held when the time came. What is paid goes into
//! the round's pool, what is got comes out of it, and what rounding leaves there in the end goes
//! to the insurance fund. A symbol's next round opens after the last has ended; times that passed
//! meanwhile are one.

use alloc::vec::Vec;

use protocol::{
    AccountId, Micros, RATE_ONE, Rate, SymbolId, Ticks,
    event::{Funding, FundingEnded, FundingPaid},
    limits::{PRICE_MAX, SYMBOLS_MAX},
    order::{MarginMode, PositionSide},
};
use rules::{Exposure, funding, money::cash};

use crate::{
    accounts::{Accounts, Holding, HoldingAt},
    hash::Digest,
    limits::FUNDING_SLICE,
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    symbols::{Quote, Symbols},
    work::{Unit, Work},
};

/// A symbol's last funding that was not at a rate of 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    /// Counts the symbol's rounds; 0: there was none.
    pub number: u32,
    /// Some position may not be booked yet.
    pub is_open: bool,
    pub symbol: SymbolId,
    pub time: Micros,
    pub rate: Rate,
    pub mark: Ticks,
}

/// What the rounds of a shard's symbols hold: paid, and not got yet. By the symbol's place.
pub(crate) struct Pools {
    list: Vec<i128>,
    open: usize,
}

impl Pools {
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(SYMBOLS_MAX), open: 0 }
    }

    /// Nothing is to be booked anywhere.
    pub const fn are_settled(&self) -> bool {
        self.open == 0
    }

    fn open(&mut self, at: u16) {
        let at = usize::from(at);
        if self.list.len() <= at {
            self.list.resize(at + 1, 0);
        }
        self.open += 1;
    }

    /// Ends a round; returns what is left in its pool.
    fn close(&mut self, at: u16) -> i128 {
        self.open -= 1;
        core::mem::take(&mut self.list[usize::from(at)])
    }

    /// Books what a holding owes its symbol's open round, or gets, unless that has been done.
    ///
    /// Whoever changes a position calls this before.
    #[inline]
    pub fn book<S: Sink>(
        &mut self,
        accounts: &mut Accounts,
        at: HoldingAt,
        quotes: &[Quote],
        out: &mut Output<'_, S>,
    ) {
        let holding = accounts.holding(at);
        let quote = &quotes[usize::from(holding.symbol)];
        if holding.funded != quote.round.number {
            self.book_now(accounts, at, quote, out);
        }
    }

    /// As [`Self::book`], for all that an account holds on the shard.
    ///
    /// Whoever judges an account's equity calls this before.
    pub fn book_all<S: Sink>(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        quotes: &[Quote],
        out: &mut Output<'_, S>,
    ) {
        if self.are_settled() {
            return;
        }
        for (quote, at) in quotes.iter().zip(0..) {
            if quote.round.is_open {
                self.book_legs(accounts, account, at, quotes, out);
            }
        }
    }

    /// Books what an account holds of one symbol.
    fn book_legs<S: Sink>(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        symbol: u16,
        quotes: &[Quote],
        out: &mut Output<'_, S>,
    ) {
        for side in PositionSide::ALL {
            if let Some(at) = accounts.find_holding(account, symbol, *side) {
                self.book(accounts, at, quotes, out);
            }
        }
    }

    #[cold]
    fn book_now<S: Sink>(
        &mut self,
        accounts: &mut Accounts,
        at: HoldingAt,
        quote: &Quote,
        out: &mut Output<'_, S>,
    ) {
        let round = &quote.round;
        let holding = accounts.holding_mut(at);
        let qty = holding.exposure.position.qty;
        if qty == 0 {
            holding.funded = round.number;
            return;
        }
        assert!(round.is_open, "a round ends when every position has been booked");
        holding.exposure = quote.settled(holding);
        let charge = quote.owed(holding);
        holding.funded = round.number;
        let (place, symbol) = (holding.account, usize::from(holding.symbol));
        let (position_side, isolated_wallet) = (holding.side, holding.exposure.wallet);
        self.list[symbol] += charge;
        accounts.touch(place);
        let account = accounts.account_mut(place);
        account.cash = cash(i128::from(account.cash) - charge);
        out.emit(&FundingPaid {
            account: account.id,
            symbol: round.symbol,
            position_side,
            _pad: 0,
            time: round.time,
            amount: cash(-charge),
            position: qty,
            cash: account.cash,
            isolated_wallet,
        });
    }

    /// Books the positions of the accounts from an id on, as many as a unit of work may look at.
    /// After the last account it ends the round and returns what is left of it.
    pub fn book_slice<S: Sink>(
        &mut self,
        (symbols, accounts): (&mut Symbols, &mut Accounts),
        symbol: u16,
        from: u32,
        work: &mut Work,
        out: &mut Output<'_, S>,
    ) -> i128 {
        let end = from.saturating_add(FUNDING_SLICE).min(accounts.ids_end());
        for id in from..end {
            self.book_legs(accounts, AccountId(id), symbol, symbols.quotes(), out);
        }
        if end < accounts.ids_end() {
            let id = symbols.symbol(symbol).spec.symbol;
            work.add(id, Unit::Fund { from: end });
            return 0;
        }
        let residue = self.close(symbol);
        assert!(residue >= 0, "what is paid is rounded up, what is got down");
        let round = symbols.end_round(symbol);
        let (symbol, time) = (round.symbol, round.time);
        out.emit(&FundingEnded { symbol, _pad: [0; 6], time, residue: cash(residue) });
        residue
    }

    pub fn digest(&self, into: &mut Digest) {
        into.add_len(self.list.len());
        self.list.iter().for_each(|pool| _ = into.add(*pool));
    }

    pub fn load(quotes: &[Quote], saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut pools = Self::new();
        for _ in 0..saved.len()? {
            pools.list.push(saved.take()?);
        }
        pools.open = quotes.iter().filter(|quote| quote.round.is_open).count();
        let known = |quote: &Quote, place: usize| !quote.round.is_open || place < pools.list.len();
        let all_known = quotes.iter().zip(0..).all(|(quote, place)| known(quote, place));
        sound(all_known && pools.list.len() <= quotes.len())?;
        Ok(pools)
    }
}

impl Symbols {
    /// The symbol whose funding time has come first, unless its last round is still open.
    pub fn due_funding(&self, now: Micros) -> Option<u16> {
        if self.next_funding.is_none_or(|time| time > now) {
            return None;
        }
        let due = |at: &u16| self.funding_time(*at).is_some_and(|time| time <= now);
        (0..self.len()).filter(due).min_by_key(|at| self.funding_time(*at))
    }

    /// Opens a symbol's round. Nobody pays where nobody could have left: then the rate is 0.
    pub fn begin_round<S: Sink>(
        &mut self,
        at: u16,
        now: Micros,
        pools: &mut Pools,
        work: &mut Work,
        out: &mut Output<'_, S>,
    ) {
        let (symbol, quote) = self.split_mut(at);
        let rate = if symbol.takes_orders() { symbol.funding_rate(quote) } else { 0 };
        let (id, time, mark) = (symbol.spec.symbol, symbol.pricing.next_funding, quote.mark);
        symbol.pricing.next_funding = funding::next_time(now, symbol.spec.funding_interval_hours);
        symbol.pricing.premiums = Default::default();
        symbol.pricing.rate = rate;
        out.emit(&Funding { symbol: id, _pad: [0; 6], time, rate, mark });
        // at a rate of 0 nobody pays
        if rate != 0 {
            let number = quote.round.number + 1;
            quote.round = Round { number, is_open: true, symbol: id, time, rate, mark };
            pools.open(at);
            work.add(id, Unit::Fund { from: 0 });
        }
        self.plan_funding();
    }

    fn end_round(&mut self, at: u16) -> Round {
        let (_, quote) = self.split_mut(at);
        quote.round.is_open = false;
        let round = quote.round;
        self.plan_funding();
        round
    }

    /// Finds the time of the next round.
    pub fn plan_funding(&mut self) {
        self.next_funding = (0..self.len()).filter_map(|at| self.funding_time(at)).min();
    }

    fn funding_time(&self, at: u16) -> Option<Micros> {
        let time = self.symbol(at).pricing.next_funding;
        (time != 0 && !self.quotes()[usize::from(at)].round.is_open).then_some(time)
    }
}

/// What is to be booked, for those who judge an account and must not change it.
impl Quote {
    /// What a holding is to pay to the symbol's open round; negative: to get.
    pub fn owed(&self, holding: &Holding) -> i128 {
        if !self.round.is_open || holding.funded == self.round.number {
            return 0;
        }
        let qty = holding.exposure.position.qty;
        funding::charge(qty, self.round.mark, self.mult, self.round.rate)
    }

    /// A holding's exposure as its booking will leave it.
    pub fn settled(&self, holding: &Holding) -> Exposure {
        let mut exposure = holding.exposure;
        if exposure.mode == MarginMode::Isolated {
            exposure.wallet = cash(i128::from(exposure.wallet) - self.owed(holding));
        }
        exposure
    }
}

impl Round {
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.number).add_flag(self.is_open).add(self.time);
        into.add(self.rate).add(self.mark);
    }

    pub fn load(symbol: SymbolId, saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let (number, is_open, time) = (saved.take()?, saved.flag()?, saved.take()?);
        let (rate, mark) = (saved.take()?, saved.take()?);
        sound((-RATE_ONE..=RATE_ONE).contains(&rate) && (0..=PRICE_MAX).contains(&mark))?;
        Ok(Self { number, is_open, symbol, time, rate, mark })
    }
}
