//! The symbols of a shard: what they are, what they cost now, and their books.

use alloc::{boxed::Box, vec::Vec};

use protocol::{
    AlgoId, Event, EventKind, Lots, Micros, OrderId, Reject, ShardId, SymbolId, Ticks, TradeId,
    instrument::{Brackets, SymbolSpec},
    limits::{PRICE_MAX, SYMBOLS_MAX},
    order::{SelfTradePrevention, SymbolState, TimeInForce},
};
use rules::{BracketTable, OrderTerms, funding, instrument};

use crate::{
    accounts::{Fees, HoldingAt},
    book::{Book, Counters, Slot},
    client_ids::ClientKey,
    funding::Round,
    hash::Digest,
    output::{Output, Sink},
    pricing::Pricing,
    saved::{LoadError, Saved, sound},
    triggers::{Prices, Triggers},
    verdict::require,
    work::Work,
};

/// What an engine keeps with a resting order besides what its book needs.
///
/// The first fields share a cache line with what the book needs, the last is alone in its own.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Terms {
    pub holding: HoldingAt,
    /// Neighbours among its holding's open orders.
    pub prev: Slot,
    pub next: Slot,
    pub time_in_force: TimeInForce,
    pub self_trade: SelfTradePrevention,
    pub reduce_only: bool,
    pub reserve: OrderTerms,
    pub cum_quote: i64,
    /// For GTD; else 0.
    pub good_till: u64,
    /// The turn that put it into its queue: a greater one is behind.
    pub queued: u64,
    /// The conditional order it stems from, or none.
    pub algo: AlgoId,
    pub amends: u32,
    pub client: ClientKey,
}

const _: () = assert!(core::mem::offset_of!(Terms, reserve) == 16);
const _: () = assert!(core::mem::offset_of!(Terms, client) == 16 + 64);

impl Default for Terms {
    fn default() -> Self {
        Self {
            holding: HoldingAt::default(),
            client: ClientKey::NONE,
            reserve: OrderTerms::default(),
            cum_quote: 0,
            good_till: 0,
            queued: 0,
            algo: AlgoId::NONE,
            amends: 0,
            time_in_force: TimeInForce::Gtc,
            self_trade: SelfTradePrevention::ExpireMaker,
            reduce_only: false,
            prev: Slot::NONE,
            next: Slot::NONE,
        }
    }
}

impl Terms {
    /// Its date has come.
    pub const fn is_over(&self, now: u64) -> bool {
        self.good_till != 0 && self.good_till <= now
    }
}

/// What margin needs of a symbol, kept apart from its book so that one can be read while the
/// other changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    pub mult: i64,
    /// 0: no index has come yet.
    pub mark: Ticks,
    pub index_e8: i64,
    pub default_leverage: u8,
    pub fees: Fees,
    pub brackets: Option<BracketTable>,
    pub round: Round,
}

pub(crate) struct Symbol {
    pub spec: SymbolSpec,
    pub brackets: Option<Brackets>,
    pub book: Book<Terms>,
    /// Sum of the long positions.
    pub open_interest: Lots,
    /// Sum of the resting orders' lots.
    pub resting: Lots,
    /// Price of the last trade; 0 before the first.
    pub last: Ticks,
    pub pricing: Pricing,
    /// What positions are closed at while the symbol is being settled; else 0.
    pub settlement: Ticks,
    /// What waits for a price; nothing ever did: none.
    pub triggers: Option<Box<Triggers>>,
}

impl Symbol {
    /// Looks which conditions a move of the last price or of the mark has made true.
    pub fn look(&mut self, mark: Ticks, work: &mut Work) {
        let prices = Prices::of(self, mark);
        if let Some(triggers) = &mut self.triggers {
            triggers.look(&prices, self.spec.symbol, work);
        }
    }
}

#[derive(Default)]
pub(crate) struct Symbols {
    /// By symbol id: its place + 1; 0: not of this shard.
    index: Vec<u16>,
    list: Vec<Symbol>,
    quotes: Vec<Quote>,
    orders: usize,
    /// A mark has moved in this frame.
    pub moved: bool,
    /// The last second that a tick has sampled.
    pub second: u64,
    /// The time of the next funding of any symbol.
    pub next_funding: Option<Micros>,
}

impl Symbols {
    /// Books of symbols listed later have room for `orders` orders each.
    pub fn with_capacity(orders: usize) -> Self {
        Self { orders, ..Self::default() }
    }

    pub fn find(&self, id: SymbolId) -> Result<u16, Reject> {
        let place = self.index.get(usize::from(id.0)).copied().unwrap_or(0);
        place.checked_sub(1).ok_or(Reject::UnknownSymbol)
    }

    pub fn quotes(&self) -> &[Quote] {
        &self.quotes
    }

    pub fn symbol(&self, at: u16) -> &Symbol {
        &self.list[usize::from(at)]
    }

    /// One symbol and its prices to change.
    pub fn split_mut(&mut self, at: u16) -> (&mut Symbol, &mut Quote) {
        (&mut self.list[usize::from(at)], &mut self.quotes[usize::from(at)])
    }

    /// One symbol to change beside the prices of all.
    pub fn split(&mut self, at: u16) -> (&mut Symbol, &[Quote]) {
        (&mut self.list[usize::from(at)], &self.quotes)
    }

    /// Lists a symbol, or updates one as far as positions and prices stay what they are. Its state
    /// is for others to change, and while it is being settled it stays as it is.
    pub fn list<S: Sink>(
        &mut self,
        spec: &SymbolSpec,
        shard: ShardId,
        now: Micros,
        out: &mut Output<'_, S>,
    ) -> Result<(), Reject> {
        require(instrument::is_valid(spec), Reject::InvalidInstrument)?;
        require(spec.shard == shard, Reject::WrongShard)?;
        match self.find(spec.symbol) {
            Ok(at) => {
                let (symbol, quote) = self.split_mut(at);
                let listed = &symbol.spec;
                require(instrument::may_replace(listed, spec), Reject::InvalidInstrument)?;
                require(listed.state != SymbolState::Settling, Reject::StateInvalid)?;
                let other_hours = listed.funding_interval_hours != spec.funding_interval_hours;
                symbol.spec = SymbolSpec { state: listed.state, ..*spec };
                quote.fees = fees_of(spec);
                quote.default_leverage = default_leverage(spec, quote.brackets.as_ref());
                if other_hours && symbol.pricing.next_funding > now {
                    symbol.pricing.next_funding =
                        funding::next_time(now, spec.funding_interval_hours);
                }
                out.emit(&symbol.spec);
                self.plan_funding();
            }
            Err(_) => {
                require(spec.state != SymbolState::Settling, Reject::InvalidInstrument)?;
                let taken = self.list.iter().any(|symbol| symbol.spec.name == spec.name);
                require(!taken, Reject::InvalidInstrument)?;
                require(self.list.len() < SYMBOLS_MAX, Reject::ShardFull)?;
                _ = self.add(spec);
                out.emit(spec);
            }
        }
        Ok(())
    }

    pub fn set_brackets<S: Sink>(
        &mut self,
        brackets: &Brackets,
        out: &mut Output<'_, S>,
    ) -> Result<(), Reject> {
        let at = usize::from(self.find(brackets.symbol)?);
        let table = BracketTable::new(brackets).ok_or(Reject::InvalidInstrument)?;
        let symbol = &mut self.list[at];
        symbol.brackets = Some(*brackets);
        self.quotes[at].brackets = Some(table);
        self.quotes[at].default_leverage = default_leverage(&symbol.spec, Some(&table));
        out.emit(brackets);
        Ok(())
    }

    pub fn set_state<S: Sink>(
        &mut self,
        id: SymbolId,
        state: SymbolState,
        out: &mut Output<'_, S>,
    ) -> Result<(), Reject> {
        let at = usize::from(self.find(id)?);
        let symbol = &mut self.list[at];
        let settles = [symbol.spec.state, state].contains(&SymbolState::Settling);
        require(!settles, Reject::StateInvalid)?;
        symbol.spec.state = state;
        symbol.tell_state(out);
        Ok(())
    }

    /// Symbols in the order of their listing; what is open on them is told apart.
    pub fn digest(&self, into: &mut Digest) {
        into.add_len(self.list.len()).add(self.second);
        for (symbol, quote) in self.list.iter().zip(&self.quotes) {
            into.add_bytes(Event::SymbolListed(symbol.spec).body());
            match &symbol.brackets {
                None => into.add(0u8),
                Some(brackets) => into.add(1u8).add_bytes(Event::BracketsSet(*brackets).body()),
            };
            into.add(quote.mark).add(quote.index_e8);
            into.add(symbol.open_interest).add(symbol.resting).add(symbol.last);
            into.add(symbol.settlement);
            symbol.pricing.digest(into);
            quote.round.digest(into);
            let counters = symbol.book.counters();
            into.add(counters.order.0).add(counters.trade.0).add(counters.update);
        }
    }

    /// Their books are empty until what is open is loaded.
    pub fn load(orders: usize, saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut symbols = Self::with_capacity(orders);
        let count = saved.len()?;
        symbols.second = saved.take()?;
        for _ in 0..count {
            let listed = saved.event::<SymbolSpec>(EventKind::SymbolListed)?;
            let Event::SymbolListed(spec) = listed else { return Err(LoadError::Damaged) };
            let free = symbols.find(spec.symbol).is_err() && symbols.list.len() < SYMBOLS_MAX;
            sound(free && instrument::is_valid(&spec))?;
            let at = symbols.add(&spec);
            let (symbol, quote) = (&mut symbols.list[at], &mut symbols.quotes[at]);
            if saved.flag()? {
                let set = saved.event::<Brackets>(EventKind::BracketsSet)?;
                let Event::BracketsSet(brackets) = set else { return Err(LoadError::Damaged) };
                let table = BracketTable::new(&brackets).ok_or(LoadError::Damaged)?;
                (symbol.brackets, quote.brackets) = (Some(brackets), Some(table));
                quote.default_leverage = default_leverage(&spec, Some(&table));
            }
            (quote.mark, quote.index_e8) = (saved.take()?, saved.take()?);
            (symbol.open_interest, symbol.resting) = (saved.take()?, saved.take()?);
            (symbol.last, symbol.settlement) = (saved.take()?, saved.take()?);
            let settles = symbol.spec.state == SymbolState::Settling;
            let prices = if settles { 1..=PRICE_MAX } else { 0..=0 };
            sound(prices.contains(&symbol.settlement))?;
            symbol.pricing = Pricing::load(saved)?;
            quote.round = Round::load(spec.symbol, saved)?;
            symbol.book.set_counters(Counters {
                order: OrderId(saved.take()?),
                trade: TradeId(saved.take()?),
                update: saved.take()?,
            });
        }
        symbols.plan_funding();
        Ok(symbols)
    }

    /// In the order of their listing.
    pub fn iter(&self) -> impl Iterator<Item = &Symbol> {
        self.list.iter()
    }

    pub fn len(&self) -> u16 {
        self.list.len() as u16
    }

    /// Returns its place.
    fn add(&mut self, spec: &SymbolSpec) -> usize {
        let id = usize::from(spec.symbol.0);
        if self.index.len() <= id {
            self.index.resize(id + 1, 0);
        }
        self.list.push(Symbol {
            spec: *spec,
            brackets: None,
            book: Book::with_capacity(self.orders),
            open_interest: 0,
            resting: 0,
            last: 0,
            pricing: Pricing::default(),
            settlement: 0,
            triggers: None,
        });
        self.quotes.push(Quote {
            mult: spec.mult,
            mark: 0,
            index_e8: 0,
            default_leverage: spec.default_leverage,
            fees: fees_of(spec),
            brackets: None,
            round: Round::default(),
        });
        self.index[id] = self.list.len() as u16;
        self.list.len() - 1
    }
}

fn fees_of(spec: &SymbolSpec) -> Fees {
    Fees { maker: spec.maker_fee, taker: spec.taker_fee }
}

fn default_leverage(spec: &SymbolSpec, brackets: Option<&BracketTable>) -> u8 {
    let of_symbol = spec.default_leverage;
    brackets.map_or(of_symbol, |table| table.default_leverage(of_symbol))
}
