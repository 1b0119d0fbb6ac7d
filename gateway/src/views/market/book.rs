//! A symbol's order book as its shard tells it, level by level.

use std::collections::BTreeMap;

use protocol::{Lots, Micros, Ticks, event::Level, order::Side};

/// A price and the quantity that rests there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceLevel {
    pub price: Ticks,
    pub qty: Lots,
}

/// The best price of each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Best {
    pub bid: Option<PriceLevel>,
    pub ask: Option<PriceLevel>,
}

/// The levels of both sides, and how many changes made them.
#[derive(Clone, Debug, Default)]
pub struct Book {
    bids: BTreeMap<Ticks, Lots>,
    asks: BTreeMap<Ticks, Lots>,
    /// The last change's number and time.
    pub update: u64,
    pub ts: Micros,
}

impl Book {
    pub fn apply(&mut self, level: &Level, ts: Micros) {
        let side = self.side(level.side);
        if level.qty == 0 {
            side.remove(&level.price);
        } else {
            side.insert(level.price, level.qty);
        }
        self.update = level.update;
        self.ts = ts;
    }

    /// Adds what an order that was open before a restart still has resting.
    pub fn restore(&mut self, side: Side, price: Ticks, remaining: Lots) {
        if remaining > 0 {
            *self.side(side).entry(price).or_default() += remaining;
        }
    }

    /// The best bids, highest first.
    pub fn bids(&self, limit: usize) -> impl Iterator<Item = PriceLevel> {
        self.bids.iter().rev().take(limit).map(|(price, qty)| PriceLevel::new(*price, *qty))
    }

    /// The best asks, lowest first.
    pub fn asks(&self, limit: usize) -> impl Iterator<Item = PriceLevel> {
        self.asks.iter().take(limit).map(|(price, qty)| PriceLevel::new(*price, *qty))
    }

    pub fn best(&self) -> Best {
        Best { bid: self.bids(1).next(), ask: self.asks(1).next() }
    }

    fn side(&mut self, side: Side) -> &mut BTreeMap<Ticks, Lots> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

impl PriceLevel {
    const fn new(price: Ticks, qty: Lots) -> Self {
        Self { price, qty }
    }
}
