//! What every source last said of every symbol, and what index follows from it now.
//!
//! It has no clock and does no IO: times are milliseconds of one monotonic clock, given with
//! each call.

use std::collections::BTreeMap;

use super::{
    announced::Announced,
    combine::{Part, combine},
    config::Plan,
};

/// A source, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub usize);

/// A price, and since when it has been so at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// In quote units of 1e-8, above 0.
    pub price_e8: i64,
    pub at_ms: i64,
}

/// What a source is worth for a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has said nothing yet, or nothing for too long.
    Stale,
    /// It counts.
    Live,
    /// It is live and too far from the median to be believed.
    Wild,
}

/// Something an operator wants to know, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Source {
        source: SourceId,
        symbol: String,
        standing: Standing,
    },
    /// Whether a symbol has an index.
    Index {
        symbol: String,
        is_there: bool,
        live: usize,
    },
}

/// The sources of all symbols that are not simulated.
#[derive(Debug)]
pub struct Board {
    sources_min: usize,
    symbols: BTreeMap<String, Row>,
}

#[derive(Debug)]
struct Row {
    slots: Vec<Slot>,
    is_there: Announced<bool>,
}

#[derive(Debug)]
struct Slot {
    source: SourceId,
    weight: u32,
    max_age_ms: i64,
    quote: Option<Quote>,
    standing: Announced<Standing>,
}

impl Board {
    pub fn new(plan: &Plan) -> Self {
        let mut symbols: BTreeMap<String, Row> = BTreeMap::new();
        for (place, source) in plan.http.iter().enumerate() {
            for symbol in source.symbols.keys() {
                let row = symbols.entry(symbol.clone()).or_insert_with(Row::new);
                row.slots.push(Slot {
                    source: SourceId(place),
                    weight: source.weight,
                    max_age_ms: source.max_age_ms as i64,
                    quote: None,
                    standing: Announced::new(Standing::Stale),
                });
            }
        }
        Self { sources_min: plan.sources_min, symbols }
    }

    /// Notes what a source says, unless it said something newer before.
    ///
    /// # Panics
    /// For a symbol that the source was not configured for.
    pub fn note(&mut self, source: SourceId, symbol: &str, quote: Quote) {
        let row = self.symbols.get_mut(symbol);
        let slot = row.and_then(|row| row.slots.iter_mut().find(|slot| slot.source == source));
        let slot = slot.expect("a source says only what it was configured for");
        if slot.quote.is_none_or(|last| last.at_ms <= quote.at_ms) {
            slot.quote = Some(quote);
        }
    }

    /// The index of each symbol that has one, in quote units of 1e-8, and what there is to tell.
    pub fn indices(&mut self, now_ms: i64) -> (Vec<(String, i64)>, Vec<Change>) {
        let (mut indices, mut changes) = (Vec::new(), Vec::new());
        for (symbol, row) in &mut self.symbols {
            let index = row.index(symbol, self.sources_min, now_ms, &mut changes);
            indices.extend(index.map(|price_e8| (symbol.clone(), price_e8)));
        }
        (indices, changes)
    }
}

impl Row {
    fn new() -> Self {
        Self { slots: Vec::new(), is_there: Announced::new(false) }
    }

    fn index(
        &mut self,
        symbol: &str,
        sources_min: usize,
        now_ms: i64,
        changes: &mut Vec<Change>,
    ) -> Option<i64> {
        let part = |slot: &Slot| {
            let fresh = slot.quote.filter(|quote| now_ms - quote.at_ms <= slot.max_age_ms);
            fresh.map(|quote| Part { price_e8: quote.price_e8, weight: slot.weight })
        };
        let parts: Vec<Option<Part>> = self.slots.iter().map(part).collect();
        let live: Vec<Part> = parts.iter().copied().flatten().collect();
        let combined = combine(&live);
        let mut wild = combined.iter().flat_map(|combined| &combined.wild);
        for (slot, part) in self.slots.iter_mut().zip(&parts) {
            let standing = match part {
                None => Standing::Stale,
                Some(_) if wild.next() == Some(&true) => Standing::Wild,
                Some(_) => Standing::Live,
            };
            if slot.standing.is_news(standing, now_ms) {
                let (source, symbol) = (slot.source, symbol.to_owned());
                changes.push(Change::Source { source, symbol, standing });
            }
        }
        let index =
            combined.filter(|_| live.len() >= sources_min).map(|combined| combined.price_e8);
        if self.is_there.is_news(index.is_some(), now_ms) {
            let (symbol, live) = (symbol.to_owned(), live.len());
            changes.push(Change::Index { symbol, is_there: index.is_some(), live });
        }
        index
    }
}
