//! Dead-man switches: when an account's orders on a symbol are cancelled unless it speaks again.
//!
//! A heap knows the next deadline, and where each holding's is in it, so saying it again moves an
//! entry instead of leaving an old one behind.

use alloc::vec::Vec;

use protocol::{AccountId, Micros, SymbolId};

use crate::{
    accounts::HoldingAt,
    hash::Digest,
    saved::{LoadError, Saved, sound},
};

/// Of one account on one symbol. Earlier ones come first, then by ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub at: Micros,
    pub account: AccountId,
    pub symbol: SymbolId,
    pub holding: HoldingAt,
}

#[derive(Default)]
pub(crate) struct Countdowns {
    /// No entry is before its parent, which is at half its place.
    heap: Vec<Deadline>,
    /// By holding: its place in the heap + 1; 0: none.
    places: Vec<u32>,
}

impl Countdowns {
    /// Sets a holding's deadline, instead of the one it has.
    pub fn set(&mut self, deadline: Deadline) {
        self.clear(deadline.holding);
        let index = deadline.holding.index();
        if self.places.len() <= index {
            self.places.resize((index + 1).next_power_of_two(), 0);
        }
        self.heap.push(deadline);
        self.rise(self.heap.len() - 1);
    }

    /// Forgets a holding's deadline.
    pub fn clear(&mut self, holding: HoldingAt) {
        let known = self.places.get(holding.index()).copied().unwrap_or(0);
        let Some(place) = known.checked_sub(1) else { return };
        self.places[holding.index()] = 0;
        let (place, last) = (place as usize, self.heap.len() - 1);
        self.heap.swap_remove(place);
        if place < last {
            self.sink(place);
            self.rise(place);
        }
    }

    /// When the next one ends.
    #[inline]
    pub fn next_at(&self) -> Option<Micros> {
        self.heap.first().map(|deadline| deadline.at)
    }

    /// Takes the first of those that have ended.
    pub fn take_ended(&mut self, now: Micros) -> Option<Deadline> {
        let first = *self.heap.first().filter(|deadline| deadline.at <= now)?;
        self.clear(first.holding);
        Some(first)
    }

    pub fn digest(&self, into: &mut Digest) {
        let mut all = self.heap.clone();
        all.sort_unstable();
        into.add_len(all.len());
        for Deadline { at, account, symbol, .. } in all {
            into.add(at).add(account.0).add(symbol.0);
        }
    }

    /// `holding_of` knows where an account's holding of a symbol is.
    pub fn load(
        saved: &mut Saved<'_>,
        holding_of: impl Fn(AccountId, SymbolId) -> Option<HoldingAt>,
    ) -> Result<Self, LoadError> {
        let mut countdowns = Self::default();
        for _ in 0..saved.len()? {
            let at = saved.take()?;
            let (account, symbol) = (AccountId(saved.take()?), SymbolId(saved.take()?));
            let holding = holding_of(account, symbol).ok_or(LoadError::Damaged)?;
            let before = countdowns.heap.len();
            countdowns.set(Deadline { at, account, symbol, holding });
            sound(countdowns.heap.len() > before)?;
        }
        Ok(countdowns)
    }

    /// Moves an entry towards the root until its parent is before it, and notes where it is.
    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            let parent = (place - 1) / 2;
            self.heap.swap(place, parent);
            self.note(place);
            place = parent;
        }
        self.note(place);
    }

    /// Moves an entry away from the root until its children are behind it.
    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let child = children.filter(|child| *child < self.heap.len());
            let Some(child) = child.min_by_key(|child| self.heap[*child]) else { return };
            if self.heap[place] <= self.heap[child] {
                return;
            }
            self.heap.swap(place, child);
            self.note(place);
            self.note(child);
            place = child;
        }
    }

    fn note(&mut self, place: usize) {
        self.places[self.heap[place].holding.index()] = place as u32 + 1;
    }
}
