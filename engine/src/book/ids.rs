//! From an order's id to its slot.
//!
//! Ids are dense and mostly young, so a ring table indexed by their low bits answers without
//! hashing; the order in the slot verifies the id. An order that lives on while the ids go once
//! round the ring gives its entry up and moves to a small map. When many do, the ring doubles.

use alloc::{vec, vec::Vec};
use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use protocol::OrderId;

use super::{order::Slot, slab::Slab};

/// Entries a ring starts with.
const RING_MIN: usize = 1 << 12;
/// Entries a ring may grow to; what is lapped then stays in the map.
const RING_MAX: usize = 1 << 22;
/// The ring doubles when more than one entry in this many is lapped.
const LAPPED_SHARE: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct IdIndex {
    /// `Slot::NONE` where no living order has the entry.
    ring: Vec<u32>,
    lapped: HashMap<u64, u32, BuildHasherDefault<IdHasher>>,
}

impl IdIndex {
    pub fn new() -> Self {
        Self { ring: vec![0; RING_MIN], lapped: HashMap::default() }
    }

    #[inline]
    pub fn find<P: Copy + Default>(&self, id: OrderId, orders: &Slab<P>) -> Option<Slot> {
        let slot = Slot(self.ring[self.entry(id)]);
        if !slot.is_none() && orders[slot].id == id {
            return Some(slot);
        }
        if self.lapped.is_empty() { None } else { self.lapped.get(&id.0).copied().map(Slot) }
    }

    /// The entry where an id is looked up first: in the slot it names another order may be.
    #[inline]
    pub fn guess(&self, id: OrderId) -> &u32 {
        &self.ring[self.entry(id)]
    }

    /// Living orders, counted.
    pub fn len(&self) -> usize {
        self.ring.iter().filter(|slot| **slot != Slot::NONE.0).count() + self.lapped.len()
    }

    /// `id` is in no slot yet. The younger of two ids that want one entry gets it.
    #[inline]
    pub fn insert<P: Copy + Default>(&mut self, id: OrderId, slot: Slot, orders: &Slab<P>) {
        let entry = self.entry(id);
        let occupant = Slot(self.ring[entry]);
        if occupant.is_none() {
            self.ring[entry] = slot.0;
        } else {
            self.lap(entry, id, slot, orders);
        }
    }

    #[cold]
    fn lap<P: Copy + Default>(&mut self, entry: usize, id: OrderId, slot: Slot, orders: &Slab<P>) {
        let occupant = Slot(self.ring[entry]);
        let occupant_id = orders[occupant].id;
        assert_ne!(occupant_id, id, "an order id is used once");
        let (young, old) =
            if occupant_id < id { (slot, (occupant_id, occupant)) } else { (occupant, (id, slot)) };
        self.ring[entry] = young.0;
        let known = self.lapped.insert(old.0.0, old.1.0);
        assert!(known.is_none(), "an order id is used once");
        if self.lapped.len() * LAPPED_SHARE > self.ring.len() && self.ring.len() < RING_MAX {
            self.double(orders);
        }
    }

    #[inline]
    pub fn remove(&mut self, id: OrderId, slot: Slot) {
        let entry = self.entry(id);
        if self.ring[entry] == slot.0 {
            self.ring[entry] = Slot::NONE.0;
        } else {
            let known = self.lapped.remove(&id.0);
            assert_eq!(known, Some(slot.0), "a living order is in the index");
        }
    }

    fn entry(&self, id: OrderId) -> usize {
        id.0 as usize & (self.ring.len() - 1)
    }

    fn double<P: Copy + Default>(&mut self, orders: &Slab<P>) {
        let wider = vec![0; self.ring.len() * 2];
        let ring = core::mem::replace(&mut self.ring, wider);
        let lapped = core::mem::take(&mut self.lapped);
        let living = ring.into_iter().filter(|slot| *slot != Slot::NONE.0).map(Slot);
        for slot in living {
            self.insert(orders[slot].id, slot, orders);
        }
        self.lapped.reserve(lapped.len());
        for (id, slot) in lapped {
            self.insert(OrderId(id), Slot(slot), orders);
        }
    }
}

/// Spreads ids over a table. The engine gives them out itself, so nobody can choose them to
/// collide, and a multiplication is enough.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, id: u64) {
        /// 2^64 divided by the golden ratio, odd.
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let product = (self.0 ^ id).wrapping_mul(SPREAD);
        self.0 = product ^ (product >> 32);
    }
}
