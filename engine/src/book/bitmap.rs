//! A ring of bits that is searched downwards: which levels of a window hold orders.
//!
//! A summary bit stands for each word, so that a search over 65,536 levels reads one word, one
//! summary word, and at worst the few other summary words.

use alloc::{vec, vec::Vec};

const WORD_BITS: usize = u64::BITS as usize;

#[derive(Clone, Debug)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    /// Bit i of it: word i is not zero.
    summary: Vec<u64>,
}

impl Bitmap {
    /// `bits` is a multiple of 64.
    pub fn new(bits: usize) -> Self {
        let words = bits / WORD_BITS;
        Self { words: vec![0; words], summary: vec![0; words.div_ceil(WORD_BITS)] }
    }

    #[inline]
    pub fn set(&mut self, index: usize) {
        let word = index / WORD_BITS;
        self.words[word] |= 1 << (index % WORD_BITS);
        self.summary[word / WORD_BITS] |= 1 << (word % WORD_BITS);
    }

    #[inline]
    pub fn clear(&mut self, index: usize) {
        let word = index / WORD_BITS;
        self.words[word] &= !(1 << (index % WORD_BITS));
        let emptied = u64::from(self.words[word] == 0);
        self.summary[word / WORD_BITS] &= !(emptied << (word % WORD_BITS));
    }

    /// The first set bit at `index` or below it, going on at the top after bit 0, round to
    /// `index` again.
    pub fn down_from(&self, index: usize) -> Option<usize> {
        let word = index / WORD_BITS;
        let here = self.words[word] & (u64::MAX >> (WORD_BITS - 1 - index % WORD_BITS));
        if here != 0 {
            return Some(word * WORD_BITS + top(here));
        }
        let group = word / WORD_BITS;
        let below = self.summary[group] & ((1 << (word % WORD_BITS)) - 1);
        if below != 0 {
            return Some(self.top_of(group * WORD_BITS + top(below)));
        }
        self.down_from_group(group)
    }

    /// Any group below `group`, then round the ring, `group` itself last.
    fn down_from_group(&self, group: usize) -> Option<usize> {
        let below = (0..group).rev();
        let around = (group..self.summary.len()).rev();
        let group = below.chain(around).find(|g| self.summary[*g] != 0)?;
        Some(self.top_of(group * WORD_BITS + top(self.summary[group])))
    }

    fn top_of(&self, word: usize) -> usize {
        word * WORD_BITS + top(self.words[word])
    }
}

/// The highest set bit of a word that is not zero.
fn top(word: u64) -> usize {
    WORD_BITS - 1 - word.leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_scan_finds() {
        const BITS: usize = 8_192;
        for set in [&[5usize][..], &[0, 63, 64, 4_095, 4_096, 8_191], &[700, 701, 8_000], &[]] {
            let mut bitmap = Bitmap::new(BITS);
            set.iter().for_each(|index| bitmap.set(*index));
            for from in 0..BITS {
                let around = (0..BITS).map(|down| (from + BITS - down) % BITS);
                let expected = around.into_iter().find(|index| set.contains(index));
                assert_eq!(bitmap.down_from(from), expected, "from {from} in {set:?}");
            }
            set.iter().for_each(|index| bitmap.clear(*index));
            assert_eq!(bitmap.down_from(77), None);
        }
    }
}
