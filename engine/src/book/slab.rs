//! The orders' storage: one array with a list of free slots through it.
//!
//! Slot 0 is never given out, so that 0 can stand for "none": as it is a real place all the same,
//! the ends of a queue may be linked to it without asking whether they are ends, which spares
//! branches that can't be predicted. Its links mean nothing. A freed slot is used next, while it
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
    #[inline]
    pub fn insert(&mut self, order: Resting<P>) -> Slot {
        if self.free.is_none() {
            self.grow();
        }
        let slot = self.free;
        let place = &mut self.orders[slot.index()];
        self.free = place.next;
        self.live += 1;
        // Field by field, so that the data is copied once.
        place.id = order.id;
        place.price = order.price;
        place.remaining = order.remaining;
        place.cum_qty = order.cum_qty;
        place.account = order.account;
        place.side = order.side;
        place.state = State::Lifted;
        place.data = order.data;
        slot
    }

    /// Adds a free slot.
    #[cold]
    fn grow(&mut self) {
        let slot = Slot(self.orders.len() as u32);
        self.orders.push(Order { next: Slot::NONE, ..self.orders[0] });
        self.free = slot;
    }

    /// Frees a slot. What was in it can be read until the next insert.
    #[inline]
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

    #[inline]
    fn index(&self, slot: Slot) -> &Order<P> {
        &self.orders[slot.index()]
    }
}

impl<P> core::ops::IndexMut<Slot> for Slab<P> {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut Order<P> {
        &mut self.orders[slot.index()]
    }
}
