//! Levels outside a ladder's window: a crit-bit tree over their keys.
//!
//! A far level costs two small nodes and a walk of at most one step a bit of the key, wherever it
//! lies; nothing is rebalanced and freed nodes are used again. Inner nodes name the bit in which
//! their two halves differ, so the keys are in order from left to right:
//!
//! ```text
//!            bit 9
//!           /     \
//!        bit 3    700
//!        /   \
//!      192   200
//! ```

use alloc::vec::Vec;

use super::ladder::Level;

/// A node's place: inner nodes and leaves have arrays of their own, told apart by the top bit.
type Link = u32;

const LEAF: Link = 1 << 31;
const NONE: Link = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Inner {
    bit: u32,
    /// Keys with the bit clear, keys with the bit set.
    half: [Link; 2],
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    key: u64,
    level: Level,
}

#[derive(Clone, Debug)]
pub(super) struct FarLevels {
    root: Link,
    inner: Vec<Inner>,
    leaves: Vec<Leaf>,
    free_inner: Vec<u32>,
    free_leaves: Vec<u32>,
}

impl FarLevels {
    pub const fn new() -> Self {
        Self {
            root: NONE,
            inner: Vec::new(),
            leaves: Vec::new(),
            free_inner: Vec::new(),
            free_leaves: Vec::new(),
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.root == NONE
    }

    pub fn get(&self, key: u64) -> Option<&Level> {
        let leaf = &self.leaves[self.nearest(key)?];
        (leaf.key == key).then_some(&leaf.level)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut Level> {
        let at = self.nearest(key)?;
        let leaf = &mut self.leaves[at];
        (leaf.key == key).then_some(&mut leaf.level)
    }

    /// `key` has no level yet.
    pub fn insert(&mut self, key: u64, level: Level) {
        let leaf = Leaf { key, level };
        let Some(nearest) = self.nearest(key) else {
            self.root = store(&mut self.leaves, &mut self.free_leaves, leaf) | LEAF;
            return;
        };
        let difference = self.leaves[nearest].key ^ key;
        assert_ne!(difference, 0, "a level is stored once");
        let bit = difference.ilog2();
        let leaf = store(&mut self.leaves, &mut self.free_leaves, leaf) | LEAF;
        // The new node stands above the first one that tells keys apart by a lower bit.
        let (mut parent, mut link) = (None, self.root);
        while link & LEAF == 0 && self.inner[link as usize].bit > bit {
            let side = bit_of(key, self.inner[link as usize].bit);
            parent = Some((link, side));
            link = self.inner[link as usize].half[side];
        }
        let half = if bit_of(key, bit) == 1 { [link, leaf] } else { [leaf, link] };
        let inner = store(&mut self.inner, &mut self.free_inner, Inner { bit, half });
        self.relink(parent, inner);
    }

    pub fn remove(&mut self, key: u64) -> Option<Level> {
        let (mut grandparent, mut parent, mut link) = (None, None, self.root);
        if link == NONE {
            return None;
        }
        while link & LEAF == 0 {
            let node = &self.inner[link as usize];
            let side = bit_of(key, node.bit);
            (grandparent, parent) = (parent, Some((link, side)));
            link = node.half[side];
        }
        let leaf = self.leaves[(link ^ LEAF) as usize];
        if leaf.key != key {
            return None;
        }
        self.free_leaves.push(link ^ LEAF);
        match parent {
            None => self.root = NONE,
            Some((node, side)) => {
                let sibling = self.inner[node as usize].half[1 - side];
                self.free_inner.push(node);
                self.relink(grandparent, sibling);
            }
        }
        Some(leaf.level)
    }

    /// The highest key below `bound`.
    pub fn highest_below(&self, bound: u64) -> Option<u64> {
        let nearest = self.leaves[self.nearest(bound)?].key;
        let (mut link, mut left_of_path) = (self.root, None);
        // `bound`, unless it is stored itself, leaves the tree where it first differs from the
        // nearest key; all keys below that place are on one side of it.
        let difference = nearest ^ bound;
        while link & LEAF == 0 {
            let node = &self.inner[link as usize];
            if difference != 0 && node.bit < difference.ilog2() {
                break;
            }
            let side = bit_of(bound, node.bit);
            if side == 1 {
                left_of_path = Some(node.half[0]);
            }
            link = node.half[side];
        }
        if nearest < bound {
            Some(self.highest(link))
        } else {
            left_of_path.map(|l| self.highest(l))
        }
    }

    fn highest(&self, mut link: Link) -> u64 {
        while link & LEAF == 0 {
            link = self.inner[link as usize].half[1];
        }
        self.leaves[(link ^ LEAF) as usize].key
    }

    /// The leaf that a walk along the bits of `key` ends at.
    fn nearest(&self, key: u64) -> Option<usize> {
        let mut link = self.root;
        if link == NONE {
            return None;
        }
        while link & LEAF == 0 {
            let node = &self.inner[link as usize];
            link = node.half[bit_of(key, node.bit)];
        }
        Some((link ^ LEAF) as usize)
    }

    fn relink(&mut self, parent: Option<(Link, usize)>, link: Link) {
        match parent {
            None => self.root = link,
            Some((node, side)) => self.inner[node as usize].half[side] = link,
        }
    }
}

fn bit_of(key: u64, bit: u32) -> usize {
    (key >> bit & 1) as usize
}

fn store<T>(nodes: &mut Vec<T>, free: &mut Vec<u32>, node: T) -> u32 {
    if let Some(at) = free.pop() {
        nodes[at as usize] = node;
        return at;
    }
    nodes.push(node);
    // So that freeing never allocates.
    free.reserve(nodes.len());
    (nodes.len() - 1) as u32
}
