//! The last trades of a symbol, one by one and as takers' orders made them.

use std::collections::VecDeque;

use protocol::{Lots, Micros, OrderId, Ticks, TradeId, order::Side};

/// Trades, and aggregate trades, kept of a symbol.
pub const TRADES_MAX: usize = 1_000;

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicTrade {
    pub id: TradeId,
    pub ts: Micros,
    pub price: Ticks,
    pub qty: Lots,
    /// Its value in units of 1e-8.
    pub quote: i128,
    pub taker_side: Side,
    /// The order that met the resting one.
    pub taker: OrderId,
}

impl PublicTrade {
    /// The buyer's order was in the book.
    pub fn is_buyer_maker(&self) -> bool {
        self.taker_side == Side::Sell
    }
}

/// All trades of one order with one command at one price; its first trade's id is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggTrade {
    pub first: TradeId,
    pub last: TradeId,
    pub ts: Micros,
    pub price: Ticks,
    pub qty: Lots,
    pub taker_side: Side,
    taker: OrderId,
}

impl AggTrade {
    pub fn is_buyer_maker(&self) -> bool {
        self.taker_side == Side::Sell
    }

    fn of(trade: &PublicTrade) -> Self {
        Self {
            first: trade.id,
            last: trade.id,
            ts: trade.ts,
            price: trade.price,
            qty: trade.qty,
            taker_side: trade.taker_side,
            taker: trade.taker,
        }
    }

    /// Takes the trade in if it belongs to it; one command has one time.
    fn take(&mut self, trade: &PublicTrade) -> bool {
        let same = self.taker == trade.taker && self.price == trade.price && self.ts == trade.ts;
        if same {
            self.last = trade.id;
            self.qty += trade.qty;
        }
        same
    }
}

/// The last trades, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    trades: VecDeque<PublicTrade>,
    aggregates: VecDeque<AggTrade>,
    /// The aggregate that the command under way is still adding to.
    growing: Option<AggTrade>,
}

impl Tape {
    /// Takes the next trade; returns the aggregate that it ended.
    pub fn push(&mut self, trade: PublicTrade) -> Option<AggTrade> {
        keep(&mut self.trades, trade);
        if self.growing.as_mut().is_some_and(|growing| growing.take(&trade)) {
            return None;
        }
        let ended = self.end_command();
        self.growing = Some(AggTrade::of(&trade));
        ended
    }

    /// No more trades come from the command under way; returns its last aggregate.
    pub fn end_command(&mut self) -> Option<AggTrade> {
        let ended = self.growing.take()?;
        keep(&mut self.aggregates, ended);
        Some(ended)
    }

    pub fn last(&self) -> Option<&PublicTrade> {
        self.trades.back()
    }

    /// The kept trades, oldest first.
    pub fn trades(&self) -> impl DoubleEndedIterator<Item = &PublicTrade> + ExactSizeIterator {
        self.trades.iter()
    }

    /// The kept aggregates, oldest first.
    pub fn aggregates(&self) -> impl DoubleEndedIterator<Item = &AggTrade> + ExactSizeIterator {
        self.aggregates.iter()
    }
}

/// Groups trades that follow each other, as [`Tape`] does while they come.
pub fn aggregate(trades: impl IntoIterator<Item = PublicTrade>) -> Vec<AggTrade> {
    let mut aggregates: Vec<AggTrade> = Vec::new();
    for trade in trades {
        if !aggregates.last_mut().is_some_and(|last| last.take(&trade)) {
            aggregates.push(AggTrade::of(&trade));
        }
    }
    aggregates
}

fn keep<T>(kept: &mut VecDeque<T>, next: T) {
    if kept.len() == TRADES_MAX {
        kept.pop_front();
    }
    kept.push_back(next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn aggregates_hold_every_trade_once(
            steps in prop::collection::vec((0u64..3, 1i64..4, 0u64..2, any::<bool>()), 0..200),
        ) {
            let mut tape = Tape::default();
            let mut all = Vec::new();
            let mut ts = 1;
            let mut ended = Vec::new();
            for (id, (taker, price, wait, end)) in (1..).zip(steps) {
                ts += wait;
                let trade = PublicTrade {
                    id: TradeId(id),
                    ts,
                    price,
                    qty: 2,
                    quote: 2 * i128::from(price),
                    taker_side: Side::Buy,
                    taker: OrderId(taker),
                };
                all.push(trade);
                ended.extend(tape.push(trade));
                if end {
                    ended.extend(tape.end_command());
                    // the next command has a later time
                    ts += 1;
                }
            }
            ended.extend(tape.end_command());
            prop_assert_eq!(&ended, &aggregate(all.iter().copied()));
            prop_assert_eq!(ended.iter().map(|a| a.qty).sum::<i64>(), 2 * all.len() as i64);
            let mut next = 1;
            for aggregate in &ended {
                prop_assert_eq!(aggregate.first.0, next);
                next = aggregate.last.0 + 1;
            }
        }
    }
}
