//! One side of a book: its price levels, the best of them always at hand.
//!
//! Both sides look alike from here: a level has a *key* that is higher the better its price, so
//! the best bid and the best ask are both the highest key. Keys start at 1; 0 is "no level".
//!
//! Levels near the market stand in a window of consecutive keys, stored as a ring that a key
//! indexes directly; a bitmap finds the next one. Levels elsewhere, better or worse, are in a tree
//! ([`FarLevels`]), so a price costs what it is worth wherever it lies:
//!
//! ```text
//!    far (tree)     |  window: base .. base + width (ring, bitmap)  |     far (tree)
//!   ----x-------x---|-----x--x-xx-xxx-xxxxxXX|                      |--------------
//!                   base                     best                              keys ->
//! ```
//!
//! The window follows the market lazily. Each use of a far level is a miss; when misses outnumber
//! what a move would carry, the window moves so that the best level is in its upper half, or, when
//! it is there already, doubles. So moves are paid for by the commands that made them necessary,
//! and nobody can make them dear by placing and cancelling one far order.

use alloc::{vec, vec::Vec};

use prefetch::prefetch;
use protocol::{Lots, Ticks, limits::PRICE_MAX, order::Side};

use super::{bitmap::Bitmap, far::FarLevels, order::Slot};

/// Keys in a window at first.
const WIDTH_MIN: usize = 1 << 10;
/// Keys a window may grow to.
const WIDTH_MAX: usize = 1 << 16;
/// A window moves, or grows, after at least one miss for so many of its keys.
const KEYS_PER_MISS: usize = 64;

/// The orders at one price.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    /// The sum of its orders' remaining quantities.
    pub qty: Lots,
    pub head: Slot,
    pub tail: Slot,
}

impl Level {
    pub const fn is_empty(&self) -> bool {
        self.head.is_none()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ladder {
    /// The lowest key of the window.
    base: u64,
    /// The highest key with a level; 0: the side is empty.
    best: u64,
    levels: Vec<Level>,
    bits: Bitmap,
    /// Levels in the window.
    near: usize,
    misses: usize,
    far: FarLevels,
}

/// The key of a price. Prices better for whoever takes from this side have higher keys.
#[inline]
pub(super) fn key_of(side: Side, price: Ticks) -> u64 {
    debug_assert!((0..=PRICE_MAX).contains(&price));
    mirrored(side, price) as u64
}

/// The lowest key that a taker with this limit, which may be any number, still takes.
#[inline]
pub(super) fn limit_key(side: Side, limit: Ticks) -> u64 {
    // A tick beyond the range says the same as any number beyond it.
    mirrored(side, limit.clamp(-1, PRICE_MAX + 1)).max(1) as u64
}

/// The price of a key.
#[inline]
pub(super) fn price_of(side: Side, key: u64) -> Ticks {
    mirrored(side, key as Ticks - 1) - 1
}

/// 1 + `price` for bids, 1 + `PRICE_MAX` - `price` for asks; without a branch, since sides come
/// in no order that a processor could guess.
#[inline]
fn mirrored(side: Side, price: Ticks) -> i64 {
    let sell = -(side as i64);
    1 + ((price ^ sell) - sell) + (PRICE_MAX & sell)
}

impl Ladder {
    pub fn new() -> Self {
        Self {
            base: 0,
            best: 0,
            levels: vec![Level::default(); WIDTH_MIN],
            bits: Bitmap::new(WIDTH_MIN),
            near: 0,
            misses: 0,
            far: FarLevels::new(),
        }
    }

    /// The key of the best level; 0 when there is none.
    pub const fn best(&self) -> u64 {
        self.best
    }

    #[inline]
    pub fn prefetch(&self, key: u64) {
        if self.is_near(key) {
            prefetch(&self.levels[self.index(key)]);
        }
    }

    #[inline]
    pub fn get(&self, key: u64) -> Option<&Level> {
        if self.is_near(key) {
            let level = &self.levels[self.index(key)];
            return (!level.is_empty()).then_some(level);
        }
        self.far.get(key)
    }

    /// A level that exists.
    #[inline]
    pub fn get_mut(&mut self, key: u64) -> &mut Level {
        if self.is_near(key) {
            let index = self.index(key);
            return &mut self.levels[index];
        }
        self.far_level(key)
    }

    /// The level to queue an order in, made when there is none: the caller adds an order to it.
    #[inline]
    pub fn level_for(&mut self, key: u64) -> &mut Level {
        if !self.is_near(key) && !self.draws_near(key) {
            return self.far_level_for(key);
        }
        let index = self.index(key);
        // Set whether it was or not: no branch is cheaper than a guess.
        self.bits.set(index);
        self.near += usize::from(self.levels[index].is_empty());
        self.best = self.best.max(key);
        &mut self.levels[index]
    }

    /// Forgets a level whose last order has left.
    #[inline]
    pub fn remove_empty(&mut self, key: u64) {
        if self.is_near(key) {
            let index = self.index(key);
            self.bits.clear(index);
            self.near -= 1;
        } else {
            let level = self.far.remove(key);
            assert!(level.is_some_and(|level| level.is_empty()), "only an empty level goes");
        }
        if key == self.best {
            self.best = self.below(key).unwrap_or(0);
        }
    }

    /// The highest key below `key` that has a level.
    pub fn below(&self, key: u64) -> Option<u64> {
        let near = self.near_below(key);
        if self.far.is_empty() { near } else { near.max(self.far.highest_below(key)) }
    }

    fn near_below(&self, key: u64) -> Option<u64> {
        if self.near == 0 || key <= self.base {
            return None;
        }
        let from = (key - 1).min(self.base + self.levels.len() as u64 - 1);
        let found = self.key_at(self.bits.down_from(self.index(from))?);
        // The search goes round the ring: what it finds above its start is no answer.
        (found <= from).then_some(found)
    }

    #[cold]
    fn far_level(&mut self, key: u64) -> &mut Level {
        self.misses += 1;
        self.far.get_mut(key).expect("a queued order's level exists")
    }

    #[cold]
    fn far_level_for(&mut self, key: u64) -> &mut Level {
        self.best = self.best.max(key);
        if self.far.get(key).is_none() {
            self.far.insert(key, Level::default());
        }
        self.far.get_mut(key).expect("just made")
    }

    fn is_near(&self, key: u64) -> bool {
        key.wrapping_sub(self.base) < self.levels.len() as u64
    }

    fn index(&self, key: u64) -> usize {
        key as usize & (self.levels.len() - 1)
    }

    fn key_at(&self, index: usize) -> u64 {
        let offset = index.wrapping_sub(self.base as usize) & (self.levels.len() - 1);
        self.base + offset as u64
    }

    /// Counts a use of a far level that is about to be made, and moves or widens the window when
    /// that has been paid for; whether the key is in the window now.
    #[cold]
    fn draws_near(&mut self, key: u64) -> bool {
        self.misses += 1;
        let price = self.near + self.levels.len() / KEYS_PER_MISS;
        if self.misses <= price && !(self.near == 0 && self.far.is_empty()) {
            return false;
        }
        self.misses = 0;
        let best = self.best.max(key);
        let width = self.levels.len() as u64;
        let offset = best.wrapping_sub(self.base);
        if offset < width / 2 || offset >= width - width / 16 {
            self.move_window(best);
        } else if self.levels.len() < WIDTH_MAX {
            self.widen(best);
        }
        self.is_near(key)
    }

    /// Moves the window to where `best` is a quarter below its top. Levels of both the old and
    /// the new window keep their places in the ring.
    fn move_window(&mut self, best: u64) {
        let width = self.levels.len() as u64;
        let base = base_below(best, width);
        let mut next = self.near_below(u64::MAX);
        while let Some(key) = next {
            next = self.near_below(key);
            if key.wrapping_sub(base) >= width {
                let index = self.index(key);
                let level = core::mem::take(&mut self.levels[index]);
                self.bits.clear(index);
                self.near -= 1;
                self.far.insert(key, level);
            }
        }
        self.base = base;
        self.draw_near();
    }

    fn widen(&mut self, best: u64) {
        let width = self.levels.len() * 2;
        let mut wider = Self {
            base: base_below(best, width as u64),
            best: self.best,
            levels: vec![Level::default(); width],
            bits: Bitmap::new(width),
            near: 0,
            misses: 0,
            far: core::mem::replace(&mut self.far, FarLevels::new()),
        };
        let mut next = self.near_below(u64::MAX);
        while let Some(key) = next {
            next = self.near_below(key);
            let level = self.levels[self.index(key)];
            if wider.is_near(key) {
                wider.put_near(key, level)
            } else {
                wider.far.insert(key, level)
            }
        }
        wider.draw_near();
        *self = wider;
    }

    /// Takes into the window the far levels that lie in it.
    fn draw_near(&mut self) {
        let mut next = self.far.highest_below(self.base + self.levels.len() as u64);
        while let Some(key) = next.filter(|key| *key >= self.base) {
            let level = self.far.remove(key).expect("just found");
            self.put_near(key, level);
            next = self.far.highest_below(key);
        }
    }

    fn put_near(&mut self, key: u64, level: Level) {
        let index = self.index(key);
        self.levels[index] = level;
        self.bits.set(index);
        self.near += 1;
    }
}

/// The base of a window in which `best` stands a quarter below the top.
fn base_below(best: u64, width: u64) -> u64 {
    best.saturating_sub(width / 4 * 3)
}
