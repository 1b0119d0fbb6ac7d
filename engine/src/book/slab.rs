//! The orders' storage: one array with a list of free slots through it.
//!
//! Slot 0 is never given out, so that 0 can stand for "none". A freed slot is used next, while it
//! is still in the cache. The array grows and never shrinks: once warm, nothing allocates.

use alloc::{vec, vec::Vec};

use protocol::{AccountId, OrderId, order::Side};

use super::order::{Order, Resting, Slot, State};

#[derive(Clone, Debug)]
pub(super) struct Slab<P> {
    orders: Vec<Order<P>>,
    free: Slot,
    live: usize,
}

impl<P: Copy + Default> Slab<P> {
    pub fn with_capacity(orders: usize) -> Self {
        let nobody = Order {
            next: Slot::NONE,
            prev: Slot::NONE,
            id: OrderId::NONE,
            price: 0,
            remaining: 0,
            cum_qty: 0,
            account: AccountId::NONE,
            side: Side::Buy,
            state: State::Free,
            data: P::default(),
        };
        let mut slab = Self { orders: vec![nobody], free: Slot::NONE, live: 0 };
        slab.orders.reserve(orders);
        slab
    }

    pub fn len(&self) -> usize {
        self.live
    }

    /// Stores an order that is in no queue yet.
    pub fn insert(&mut self, order: Resting<P>) -> Slot {
        let Resting { id, account, side, price, remaining, cum_qty, data } = order;
        let (next, prev, state) = (Slot::NONE, Slot::NONE, State::Lifted);
        let order = Order { next, prev, id, price, remaining, cum_qty, account, side, state, data };
        self.live += 1;
        let slot = self.free;
        if slot.is_none() {
            self.orders.push(order);
            return Slot((self.orders.len() - 1) as u32);
        }
        let place = &mut self.orders[slot.index()];
        self.free = place.next;
        *place = order;
        slot
    }

    /// Frees a slot. What was in it can be read until the next insert.
    pub fn free(&mut self, slot: Slot) {
        let free = self.free;
        let order = &mut self[slot];
        order.state = State::Free;
        order.next = free;
        self.free = slot;
        self.live -= 1;
    }
}

impl<P> core::ops::Index<Slot> for Slab<P> {
    type Output = Order<P>;

    fn index(&self, slot: Slot) -> &Order<P> {
        &self.orders[slot.index()]
    }
}

impl<P> core::ops::IndexMut<Slot> for Slab<P> {
    fn index_mut(&mut self, slot: Slot) -> &mut Order<P> {
        &mut self.orders[slot.index()]
    }
}
