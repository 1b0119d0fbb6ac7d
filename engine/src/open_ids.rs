//! A table of client ids by their hash, which says where it will look.
//!
//! Keys are hashes with a secret already, so their low bits say where an entry is at home; who
//! finds his home taken goes to the next free place behind it. A library's table needs two lines of
//! memory for each look, one after the other, and does not tell which: on a large shard that was a
//! sixth of a command's time. Here key and order lie in one line, mostly.

use alloc::{vec, vec::Vec};

use prefetch::prefetch_head;
use protocol::OrderId;

use crate::client_ids::{ClientKey, Place};

/// Places that a table begins with.
const PLACES_MIN: usize = 16;

/// Two of them are a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Entry {
    /// [`ClientKey::NONE`]: the place is free.
    key: ClientKey,
    order: OrderId,
    symbol: u16,
}

const FREE: Entry = Entry { key: ClientKey::NONE, order: OrderId::NONE, symbol: 0 };

/// Open orders by their client ids. Half of its places are free at least, so a look ends soon.
pub(crate) struct OpenIds {
    entries: Vec<Entry>,
    len: usize,
}

impl OpenIds {
    /// Room for so many before it allocates again.
    pub fn with_capacity(orders: usize) -> Self {
        let places = (2 * orders).next_power_of_two().max(PLACES_MIN);
        Self { entries: vec![FREE; places], len: 0 }
    }

    /// `key` is none but NONE.
    #[inline]
    pub fn find(&self, key: ClientKey) -> Option<Place> {
        let entry = &self.entries[self.place_of(key)];
        let Entry { order, symbol, .. } = *entry;
        (entry.key == key).then_some(Place { symbol, order })
    }

    /// Asks for where a look for a key begins.
    #[inline]
    pub fn prefetch(&self, key: ClientKey) {
        prefetch_head(&self.entries[self.home(key)]);
    }

    /// Puts a key in; false: it is there already, and stays as it is.
    #[inline]
    pub fn insert(&mut self, key: ClientKey, place: Place) -> bool {
        let at = self.place_of(key);
        if self.entries[at].key == key {
            return false;
        }
        let Place { symbol, order } = place;
        self.entries[at] = Entry { key, order, symbol };
        self.len += 1;
        if 2 * self.len > self.entries.len() {
            self.grow();
        }
        true
    }

    /// Takes a key out; false: it was not there.
    #[inline]
    pub fn remove(&mut self, key: ClientKey) -> bool {
        let mut hole = self.place_of(key);
        if self.entries[hole].key != key {
            return false;
        }
        // who has gone past the hole to find a place comes back to it
        let mut next = self.behind(hole);
        while self.entries[next].key != ClientKey::NONE {
            let home = self.home(self.entries[next].key);
            if self.way(home, next) >= self.way(hole, next) {
                self.entries[hole] = self.entries[next];
                hole = next;
            }
            next = self.behind(next);
        }
        self.entries[hole] = FREE;
        self.len -= 1;
        true
    }

    /// Where a key is, or would be put.
    #[inline]
    fn place_of(&self, key: ClientKey) -> usize {
        let mut at = self.home(key);
        while self.entries[at].key != key && self.entries[at].key != ClientKey::NONE {
            at = self.behind(at);
        }
        at
    }

    #[inline]
    const fn home(&self, key: ClientKey) -> usize {
        key.0 as usize & (self.entries.len() - 1)
    }

    #[inline]
    const fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// Places from one to another, forward and round.
    #[inline]
    const fn way(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.entries.len() - 1)
    }

    #[cold]
    fn grow(&mut self) {
        let places = 2 * self.entries.len();
        let before = core::mem::replace(&mut self.entries, vec![FREE; places]);
        for entry in before.into_iter().filter(|entry| entry.key != ClientKey::NONE) {
            let at = self.place_of(entry.key);
            self.entries[at] = entry;
        }
    }
}
