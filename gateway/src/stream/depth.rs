//! Changes of a book, gathered until it is time to send them, in an unbroken chain.
//!
//! Each event covers the updates `U` to `u` and names the last update before it as `pu`, which is
//! the `u` of the event before. A chain begins with the book that a snapshot shows when it is
//! asked for after the subscription was confirmed.

use std::collections::BTreeMap;

use protocol::{Lots, Micros, Ticks, order::Side};

/// The changes since the last event.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The last update that went out, or that the chain began with.
    last: u64,
    newest: u64,
    ts: Micros,
    bids: BTreeMap<Ticks, Lots>,
    asks: BTreeMap<Ticks, Lots>,
}

/// One event of the chain: the levels as they are now, zero for those that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    pub first: u64,
    pub last: u64,
    pub previous: u64,
    pub ts: Micros,
    /// Highest first.
    pub bids: Vec<(Ticks, Lots)>,
    /// Lowest first.
    pub asks: Vec<(Ticks, Lots)>,
}

impl Gathered {
    /// Begins a chain behind an update.
    pub fn after(update: u64) -> Self {
        Self { last: update, newest: update, ts: 0, bids: BTreeMap::new(), asks: BTreeMap::new() }
    }

    /// Takes a change; those from before the chain began are passed over.
    pub fn take(&mut self, side: Side, price: Ticks, qty: Lots, update: u64, ts: Micros) {
        if update <= self.newest {
            return;
        }
        (self.newest, self.ts) = (update, ts);
        match side {
            Side::Buy => self.bids.insert(price, qty),
            Side::Sell => self.asks.insert(price, qty),
        };
    }

    /// What has gathered, if anything has.
    pub fn flush(&mut self) -> Option<Diff> {
        if self.newest == self.last {
            return None;
        }
        let diff = Diff {
            first: self.last + 1,
            last: self.newest,
            previous: self.last,
            ts: self.ts,
            bids: std::mem::take(&mut self.bids).into_iter().rev().collect(),
            asks: std::mem::take(&mut self.asks).into_iter().collect(),
        };
        self.last = self.newest;
        Some(diff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::{SymbolId, event::Level};

    use crate::views::market::book::Book;

    proptest! {
        /// A client that syncs as the API's documents say ends with the book.
        #[test]
        fn a_chain_on_a_snapshot_is_the_book(
            changes in prop::collection::vec(
                (any::<bool>(), 1i64..12, 0i64..4, 0u8..4), 1..200,
            ),
            begin in 0usize..100,
            wait in 0usize..30,
        ) {
            let mut book = Book::default();
            let mut chain: Option<Gathered> = None;
            let mut diffs = Vec::new();
            let mut snapshot = None;
            let begin = begin.min(changes.len() - 1);
            for (at, (buy, price, qty, flush)) in changes.iter().enumerate() {
                if at == begin {
                    chain = Some(Gathered::after(book.update));
                }
                if at == begin + wait {
                    snapshot = Some(book.clone());
                }
                let side = if *buy { Side::Buy } else { Side::Sell };
                let update = at as u64 + 1;
                let (symbol, price, qty) = (SymbolId(1), *price, *qty);
                let level = Level { symbol, side, _pad: [0; 5], price, qty, update };
                book.apply(&level, update);
                if let Some(chain) = &mut chain {
                    chain.take(side, price, qty, update, update);
                    if *flush == 0 {
                        diffs.extend(chain.flush());
                    }
                }
            }
            diffs.extend(chain.as_mut().and_then(Gathered::flush));
            for pair in diffs.windows(2) {
                prop_assert_eq!(pair[1].previous, pair[0].last);
                prop_assert_eq!(pair[1].first, pair[0].last + 1);
            }
            let mut client = snapshot.unwrap_or_else(|| book.clone());
            let mut synced = false;
            for diff in diffs {
                if diff.last < client.update {
                    continue;
                }
                if !synced {
                    let fits = diff.first <= client.update && client.update <= diff.last;
                    prop_assert!(fits || diff.previous == client.update);
                }
                synced = true;
                let rows = diff.bids.iter().map(|row| (Side::Buy, row));
                let asks = diff.asks.iter().map(|row| (Side::Sell, row));
                for (side, (price, qty)) in rows.chain(asks) {
                    let level = Level {
                        symbol: SymbolId(1), side, _pad: [0; 5],
                        price: *price, qty: *qty, update: diff.last,
                    };
                    client.apply(&level, diff.ts);
                }
            }
            prop_assert!(client.bids(100).eq(book.bids(100)));
            prop_assert!(client.asks(100).eq(book.asks(100)));
        }
    }
}
