//! The order book of one symbol: who rests at which price, in price-time order.
//!
//! A price ladder with an occupancy bitmap per side finds levels, a slab holds the orders with
//! their queues linked through them, a ring table finds orders by id. Once warm nothing is
//! allocated; nothing is ever hashed on the usual path; a price far from the market costs a short
//! walk instead of memory in between.
//!
//! The book knows nothing of margin, self-trade rules or events. Whoever matches drives the loop
//! and the book answers each step, so that the caller may remove or clip any order between two
//! steps; the next step sees the book as it is then:
//!
//! ```text
//!   while left > 0 && let Some(slot) = book.maker(side.opposite(), limit) {
//!       let maker = book.order(slot);             // who is it?
//!       if own(maker) { book.remove(slot); continue }
//!       let lots = left.min(maker.remaining());
//!       let fill = book.fill(slot, lots);         // fill.order: after it; remaining 0: gone
//!       left -= lots;
//!   }
//!   if left > 0 { book.rest(Resting { .. }) }
//! ```
//!
//! A dry run walks [`Book::makers`] (orders) or [`Book::levels`] and changes nothing. Every step
//! that changes a level also tells that level's quantity after it, which is what depth feeds want.
//!
//! An order that moves to another price or to the tail of its queue is *lifted*: it leaves its
//! level but keeps slot, id and data while it is matched anew, then rests again or is dropped.

use core::hint::select_unpredictable;

use prefetch::prefetch;
use protocol::{
    Lots, OrderId, Ticks, TradeId,
    limits::{ORDERS_MAX, PRICE_MAX, QTY_MAX},
    order::Side,
};

mod audit;
mod bitmap;
mod far;
mod ids;
mod ladder;
mod order;
mod slab;
#[cfg(any(test, feature = "twin"))]
pub mod twin;

pub use audit::Fault;
pub use order::{Order, Resting, Slot};

use ids::IdIndex;
use ladder::{Ladder, Level, key_of, limit_key, price_of};
use order::State;
use slab::Slab;

// Slots are 32 bits wide, and a level's quantity is a sum over at most all orders.
const _: () = assert!(ORDERS_MAX < u32::MAX as usize);
const _: () = assert!((QTY_MAX as i128) * (ORDERS_MAX as i128) < i64::MAX as i128);

/// The orders of one symbol. `P` is what the caller keeps with each of them.
#[derive(Clone, Debug)]
pub struct Book<P> {
    sides: [Ladder; 2],
    orders: Slab<P>,
    ids: IdIndex,
    counters: Counters,
}

/// The last ids given out; they go with the symbol wherever it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub order: OrderId,
    pub trade: TradeId,
    /// The book update id.
    pub update: u64,
}

/// A price and what rests at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelView {
    pub price: Ticks,
    pub qty: Lots,
}

/// An order after a step that changed its level.
#[derive(Debug)]
pub struct Changed<'a, P> {
    /// The order as it is now; when it has left the book, as it was when it left.
    pub order: &'a mut Order<P>,
    /// What its level holds now; 0: the level is gone.
    pub level_qty: Lots,
}

impl<P: Copy + Default> Default for Book<P> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<P: Copy + Default> Book<P> {
    /// A book that has room for so many orders before it allocates.
    pub fn with_capacity(orders: usize) -> Self {
        Self {
            sides: [Ladder::new(), Ladder::new()],
            orders: Slab::with_capacity(orders),
            ids: IdIndex::new(),
            counters: Counters::default(),
        }
    }

    /// Orders that rest.
    #[inline]
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Ids.

    #[inline]
    pub fn next_order_id(&mut self) -> OrderId {
        self.counters.order.0 += 1;
        self.counters.order
    }

    #[inline]
    pub fn next_trade_id(&mut self) -> TradeId {
        self.counters.trade.0 += 1;
        self.counters.trade
    }

    #[inline]
    pub fn next_update(&mut self) -> u64 {
        self.counters.update += 1;
        self.counters.update
    }

    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Sets the counters of a book that is restored.
    pub fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    // Reading.

    /// The order of this id, if it rests.
    #[inline]
    pub fn find(&self, id: OrderId) -> Option<Slot> {
        self.ids.find(id, &self.orders)
    }

    /// An order in the book; panics when the slot is free.
    #[inline]
    pub fn order(&self, slot: Slot) -> &Order<P> {
        let order = &self.orders[slot];
        assert!(order.state != State::Free, "{slot:?} holds no order");
        order
    }

    /// As [`Self::order`], to change its data.
    #[inline]
    pub fn order_mut(&mut self, slot: Slot) -> &mut Order<P> {
        let order = &mut self.orders[slot];
        assert!(order.state != State::Free, "{slot:?} holds no order");
        order
    }

    /// The best price of a side.
    pub fn best(&self, side: Side) -> Option<Ticks> {
        let best = self.ladder(side).best();
        (best != 0).then(|| price_of(side, best))
    }

    /// The first order of `side` (the makers' side), if its price is within the taker's `limit`.
    #[inline]
    pub fn maker(&self, side: Side, limit: Ticks) -> Option<Slot> {
        let ladder = self.ladder(side);
        let best = ladder.best();
        if best < limit_key(side, limit) {
            return None;
        }
        ladder.get(best).map(|level| level.head)
    }

    /// The order that a taker from this side meets first.
    pub fn first(&self, side: Side) -> Option<&Order<P>> {
        let ladder = self.ladder(side);
        ladder.get(ladder.best()).map(|level| self.order(level.head))
    }

    /// The last order at a price, which may be any number.
    pub fn last_at(&self, side: Side, price: Ticks) -> Option<&Order<P>> {
        let is_price = (0..=PRICE_MAX).contains(&price);
        is_price.then(|| self.tail(side, price)).flatten().map(|slot| self.order(slot))
    }

    /// The order behind another at its price.
    pub fn behind(&self, order: &Order<P>) -> Option<&Order<P>> {
        order.next.some().map(|slot| self.order(slot))
    }

    /// Asks for where an order's id is looked up.
    #[inline]
    pub fn prefetch_id(&self, id: OrderId) {
        prefetch(self.ids.guess(id));
    }

    /// Asks for the order that an id most likely leads to, without looking at it.
    #[inline]
    pub fn prefetch_order(&self, id: OrderId) {
        prefetch(&self.orders[Slot(*self.ids.guess(id))]);
    }

    /// Asks for the level of a price, which may be any number.
    pub fn prefetch_level(&self, side: Side, price: Ticks) {
        if (0..=PRICE_MAX).contains(&price) {
            self.ladder(side).prefetch(key_of(side, price));
        }
    }

    /// What rests at a price; nothing: a quantity of 0.
    pub fn level(&self, side: Side, price: Ticks) -> LevelView {
        let level = match price {
            0..=PRICE_MAX => self.ladder(side).get(key_of(side, price)),
            _ => None,
        };
        LevelView { price, qty: level.map_or(0, |level| level.qty) }
    }

    /// The levels of a side from the best on.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = LevelView> + '_ {
        self.levels_from_best(side)
            .map(move |(key, level)| LevelView { price: price_of(side, key), qty: level.qty })
    }

    /// The orders of a side in price-time order.
    pub fn makers(&self, side: Side) -> impl Iterator<Item = (Slot, &Order<P>)> + '_ {
        self.levels_from_best(side).flat_map(|(_, level)| self.queue_from(level.head))
    }

    /// The orders at one price in time order.
    pub fn queue(&self, side: Side, price: Ticks) -> impl Iterator<Item = (Slot, &Order<P>)> + '_ {
        let level = match price {
            0..=PRICE_MAX => self.ladder(side).get(key_of(side, price)),
            _ => None,
        };
        self.queue_from(level.map_or(Slot::NONE, |level| level.head))
    }

    // Changing.

    /// Puts a new order at the tail of its level. Returns its slot and the level's quantity.
    ///
    /// Panics when the price, the quantity or the id is out of range: filters come before the
    /// book. Whether it crosses the other side is the caller's business too.
    #[inline]
    pub fn rest(&mut self, order: Resting<P>) -> (Slot, Lots) {
        assert!((0..=PRICE_MAX).contains(&order.price), "price {} out of range", order.price);
        assert!((1..=QTY_MAX).contains(&order.remaining), "qty {} out of range", order.remaining);
        assert!(!order.id.is_none(), "an order has an id");
        assert!(self.len() < ORDERS_MAX, "more orders than a shard holds");
        let id = order.id;
        let slot = self.orders.insert(order);
        self.ids.insert(id, slot, &self.orders);
        (slot, self.enqueue(slot))
    }

    /// Fills `lots` of a resting order. With nothing left of it, it leaves the book.
    #[inline]
    pub fn fill(&mut self, slot: Slot, lots: Lots) -> Changed<'_, P> {
        let order = self.order_mut(slot);
        assert!(0 < lots && lots <= order.remaining, "{lots} lots are not there to fill");
        order.cum_qty += lots;
        order.remaining -= lots;
        let level_qty = if order.remaining == 0 {
            let level_qty = self.dequeue(slot, lots);
            self.forget(slot);
            level_qty
        } else {
            self.shrink_level(slot, lots)
        };
        Changed { order: &mut self.orders[slot], level_qty }
    }

    /// Takes `lots` from what remains of an order, which keeps its place; some must be left.
    #[inline]
    pub fn reduce(&mut self, slot: Slot, lots: Lots) -> Changed<'_, P> {
        let order = self.order_mut(slot);
        assert!(0 < lots && lots < order.remaining, "a reduce by {lots} lots leaves nothing");
        order.remaining -= lots;
        let level_qty = self.shrink_level(slot, lots);
        Changed { order: &mut self.orders[slot], level_qty }
    }

    /// Takes an order out of the book.
    #[inline]
    pub fn remove(&mut self, slot: Slot) -> Changed<'_, P> {
        let level_qty = self.dequeue(slot, self.order(slot).remaining);
        self.forget(slot);
        Changed { order: &mut self.orders[slot], level_qty }
    }

    /// Takes an order out of its level only: it can be found by slot and id, but not met. It is
    /// to be followed by [`Self::rest_lifted`] or [`Self::drop_lifted`].
    #[inline]
    pub fn lift(&mut self, slot: Slot) -> Changed<'_, P> {
        let level_qty = self.dequeue(slot, self.order(slot).remaining);
        Changed { order: &mut self.orders[slot], level_qty }
    }

    /// Puts a lifted order at the tail of a level, with what is left of it now.
    #[inline]
    pub fn rest_lifted(
        &mut self,
        slot: Slot,
        price: Ticks,
        remaining: Lots,
        cum_qty: Lots,
    ) -> Changed<'_, P> {
        assert!((0..=PRICE_MAX).contains(&price), "price {price} out of range");
        assert!((1..=QTY_MAX).contains(&remaining), "qty {remaining} out of range");
        let order = self.order_mut(slot);
        assert!(order.state == State::Lifted, "{slot:?} rests already");
        (order.price, order.remaining, order.cum_qty) = (price, remaining, cum_qty);
        let level_qty = self.enqueue(slot);
        Changed { order: &mut self.orders[slot], level_qty }
    }

    /// Ends a lifted order.
    #[inline]
    pub fn drop_lifted(&mut self, slot: Slot) -> &mut Order<P> {
        assert!(self.order(slot).state == State::Lifted, "{slot:?} rests");
        self.forget(slot);
        &mut self.orders[slot]
    }

    #[inline]
    fn ladder(&self, side: Side) -> &Ladder {
        &self.sides[side as usize]
    }

    fn levels_from_best(&self, side: Side) -> impl Iterator<Item = (u64, &Level)> + '_ {
        let ladder = self.ladder(side);
        let best = Some(ladder.best()).filter(|key| *key != 0);
        core::iter::successors(best, move |key| ladder.below(*key))
            .filter_map(move |key| ladder.get(key).map(|level| (key, level)))
    }

    fn queue_from(&self, head: Slot) -> impl Iterator<Item = (Slot, &Order<P>)> + '_ {
        let head = Some(head).filter(|slot| !slot.is_none());
        core::iter::successors(head, |slot| {
            Some(self.orders[*slot].next).filter(|next| !next.is_none())
        })
        .map(|slot| (slot, &self.orders[slot]))
    }

    fn tail(&self, side: Side, price: Ticks) -> Option<Slot> {
        self.ladder(side).get(key_of(side, price)).map(|level| level.tail)
    }

    /// Links an order to the tail of its level; returns the level's quantity.
    #[inline]
    fn enqueue(&mut self, slot: Slot) -> Lots {
        let order = &mut self.orders[slot];
        let level = self.sides[order.side as usize].level_for(key_of(order.side, order.price));
        let tail = core::mem::replace(&mut level.tail, slot);
        level.head = select_unpredictable(tail.is_none(), slot, level.head);
        level.qty += order.remaining;
        let level_qty = level.qty;
        (order.prev, order.next, order.state) = (tail, Slot::NONE, State::Queued);
        self.orders[tail].next = slot;
        level_qty
    }

    /// Unlinks an order of which the level still counts `lots`; returns the level's quantity.
    #[inline]
    fn dequeue(&mut self, slot: Slot, lots: Lots) -> Lots {
        let order = &mut self.orders[slot];
        assert!(order.state == State::Queued, "{slot:?} is in no queue");
        order.state = State::Lifted;
        let (prev, next, side) = (order.prev, order.next, order.side);
        let key = key_of(side, order.price);
        self.orders[prev].next = next;
        self.orders[next].prev = prev;
        let ladder = &mut self.sides[side as usize];
        let level = ladder.get_mut(key);
        level.head = select_unpredictable(prev.is_none(), next, level.head);
        level.tail = select_unpredictable(next.is_none(), prev, level.tail);
        level.qty -= lots;
        let level_qty = level.qty;
        if level.is_empty() {
            assert!(level_qty == 0, "an empty level holds {level_qty} lots");
            ladder.remove_empty(key);
        }
        level_qty
    }

    #[inline]
    fn shrink_level(&mut self, slot: Slot, lots: Lots) -> Lots {
        let order = &self.orders[slot];
        assert!(order.state == State::Queued, "{slot:?} is in no queue");
        let level = self.sides[order.side as usize].get_mut(key_of(order.side, order.price));
        level.qty -= lots;
        level.qty
    }

    #[inline]
    fn forget(&mut self, slot: Slot) {
        self.ids.remove(self.orders[slot].id, slot);
        self.orders.free(slot);
    }
}

#[cfg(test)]
mod book_test;
