//! The book's naive twin: ordered maps of queues, no links, no windows, no reuse.
//!
//! It is so plain that its answers can be believed by reading it. Property tests run it beside
//! the real thing, and benchmarks name it as the baseline. It matches too, with owners, times in
//! force and self-trade prevention, because price-time priority only shows when orders meet.

use alloc::collections::{BTreeMap, VecDeque};

use protocol::{
    AccountId, Lots, OrderId, Ticks,
    order::{SelfTradePrevention, Side, TimeInForce},
};

/// An order of the twin: resting, or coming in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinOrder {
    pub id: OrderId,
    pub account: AccountId,
    pub side: Side,
    pub price: Ticks,
    pub remaining: Lots,
    pub cum_qty: Lots,
}

/// What happened to a maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Filled {
        maker: OrderId,
        price: Ticks,
        qty: Lots,
        level_qty: Lots,
    },
    /// It was the taker's own.
    Expired {
        maker: OrderId,
        level_qty: Lots,
    },
}

/// How a taker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Filled,
    Rests {
        remaining: Lots,
        level_qty: Lots,
    },
    /// The time in force leaves nothing to rest.
    Expired {
        remaining: Lots,
    },
    /// An own order was in the way.
    SelfTrade {
        remaining: Lots,
    },
    /// A FOK that can't be filled, a post-only order that would take: no order came to be.
    Refused,
}

/// What an amend did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amended {
    /// Less of it, in its place.
    Reduced { level_qty: Lots },
    /// Nothing was left of it.
    Cancelled { level_qty: Lots },
    /// It came in anew.
    Requeued { left_level_qty: Lots, ended: Ended },
}

/// How a taker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub time_in_force: TimeInForce,
    pub self_trade: SelfTradePrevention,
}

/// A book made of the standard library's maps.
#[derive(Clone, Debug, Default)]
pub struct Twin {
    sides: [BTreeMap<Ticks, VecDeque<TwinOrder>>; 2],
    places: BTreeMap<OrderId, (Side, Ticks)>,
}

impl Twin {
    /// Brings an order in: matches it, then lets it rest if it may.
    pub fn place(&mut self, taker: TwinOrder, terms: Terms, met: &mut impl FnMut(Met)) -> Ended {
        let refused = match terms.time_in_force {
            TimeInForce::Gtx => self.maker_for(&taker).is_some(),
            TimeInForce::Fok => !self.can_fill(&taker, terms.self_trade),
            TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Gtd => false,
        };
        if refused { Ended::Refused } else { self.take(taker, terms, met) }
    }

    /// Removes an order; returns it and what its level holds after.
    pub fn cancel(&mut self, id: OrderId) -> Option<(TwinOrder, Lots)> {
        let (side, price) = self.places.remove(&id)?;
        let queue = self.sides[side as usize].get_mut(&price)?;
        let at = queue.iter().position(|order| order.id == id)?;
        let order = queue.remove(at)?;
        if queue.is_empty() {
            self.sides[side as usize].remove(&price);
        }
        Some((order, self.level_qty(side, price)))
    }

    /// Gives an order another price and whole quantity.
    pub fn amend(
        &mut self,
        id: OrderId,
        price: Ticks,
        qty: Lots,
        terms: Terms,
        met: &mut impl FnMut(Met),
    ) -> Option<Amended> {
        let old = *self.find(id)?;
        let remaining = qty - old.cum_qty;
        if remaining > 0 && price == old.price && remaining < old.remaining {
            self.find_mut(id)?.remaining = remaining;
            return Some(Amended::Reduced { level_qty: self.level_qty(old.side, old.price) });
        }
        let (old, level_qty) = self.cancel(id)?;
        if remaining <= 0 {
            return Some(Amended::Cancelled { level_qty });
        }
        let ended = self.take(TwinOrder { price, remaining, ..old }, terms, met);
        Some(Amended::Requeued { left_level_qty: level_qty, ended })
    }

    pub fn find(&self, id: OrderId) -> Option<&TwinOrder> {
        let (side, price) = self.places.get(&id)?;
        self.sides[*side as usize].get(price)?.iter().find(|order| order.id == id)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The levels of a side from the best on.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = (Ticks, &VecDeque<TwinOrder>)> + '_ {
        let levels = &self.sides[side as usize];
        let (mut up, mut down) = (levels.iter(), levels.iter().rev());
        core::iter::from_fn(move || match side {
            Side::Buy => down.next(),
            Side::Sell => up.next(),
        })
        .map(|(price, queue)| (*price, queue))
    }

    fn take(&mut self, mut taker: TwinOrder, terms: Terms, met: &mut impl FnMut(Met)) -> Ended {
        while taker.remaining > 0 {
            let Some(maker) = self.maker_for(&taker).copied() else { break };
            if maker.account == taker.account {
                if terms.self_trade != SelfTradePrevention::ExpireTaker {
                    self.expire(maker.id, met);
                }
                if terms.self_trade != SelfTradePrevention::ExpireMaker {
                    return Ended::SelfTrade { remaining: taker.remaining };
                }
                continue;
            }
            let qty = taker.remaining.min(maker.remaining);
            taker.remaining -= qty;
            taker.cum_qty += qty;
            let level_qty = self.fill(&maker, qty);
            met(Met::Filled { maker: maker.id, price: maker.price, qty, level_qty });
        }
        if taker.remaining == 0 {
            return Ended::Filled;
        }
        match terms.time_in_force {
            TimeInForce::Ioc | TimeInForce::Fok => Ended::Expired { remaining: taker.remaining },
            TimeInForce::Gtc | TimeInForce::Gtx | TimeInForce::Gtd => self.rest(taker),
        }
    }

    fn rest(&mut self, order: TwinOrder) -> Ended {
        let TwinOrder { id, side, price, remaining, .. } = order;
        self.places.insert(id, (side, price));
        self.sides[side as usize].entry(price).or_default().push_back(order);
        Ended::Rests { remaining, level_qty: self.level_qty(side, price) }
    }

    fn fill(&mut self, maker: &TwinOrder, qty: Lots) -> Lots {
        if maker.remaining == qty {
            return self.cancel(maker.id).map_or(0, |(_, level_qty)| level_qty);
        }
        if let Some(order) = self.find_mut(maker.id) {
            order.remaining -= qty;
            order.cum_qty += qty;
        }
        self.level_qty(maker.side, maker.price)
    }

    fn expire(&mut self, maker: OrderId, met: &mut impl FnMut(Met)) {
        if let Some((_, level_qty)) = self.cancel(maker) {
            met(Met::Expired { maker, level_qty });
        }
    }

    /// Whether a FOK order finds all it wants. Its owner's orders never count.
    fn can_fill(&self, taker: &TwinOrder, self_trade: SelfTradePrevention) -> bool {
        let mut wanted = taker.remaining;
        let levels =
            self.levels(taker.side.opposite()).take_while(|(price, _)| taker.takes(*price));
        for maker in levels.flat_map(|(_, queue)| queue) {
            if wanted <= 0 {
                break;
            }
            if maker.account != taker.account {
                wanted -= maker.remaining;
            } else if self_trade != SelfTradePrevention::ExpireMaker {
                return false;
            }
        }
        wanted <= 0
    }

    fn maker_for(&self, taker: &TwinOrder) -> Option<&TwinOrder> {
        let (price, queue) = self.levels(taker.side.opposite()).next()?;
        if taker.takes(price) { queue.front() } else { None }
    }

    fn find_mut(&mut self, id: OrderId) -> Option<&mut TwinOrder> {
        let (side, price) = self.places.get(&id)?;
        self.sides[*side as usize].get_mut(price)?.iter_mut().find(|order| order.id == id)
    }

    fn level_qty(&self, side: Side, price: Ticks) -> Lots {
        let queue = self.sides[side as usize].get(&price);
        queue.into_iter().flatten().map(|order| order.remaining).sum()
    }
}

impl TwinOrder {
    /// Whether its limit allows this price.
    fn takes(&self, price: Ticks) -> bool {
        match self.side {
            Side::Buy => price <= self.price,
            Side::Sell => price >= self.price,
        }
    }
}
