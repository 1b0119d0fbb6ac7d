//! The state in a canonical order, as a fingerprint or as bytes; and hashes of ids that index a
//! table.

use alloc::vec::Vec;
use core::hash::Hasher;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Integers, told as their little-endian bytes.
pub(crate) trait Hashed {
    fn add_to(self, into: &mut Digest);
}

macro_rules! integers {
    ($($int:ty),+) => { $(
        impl Hashed for $int {
            fn add_to(self, into: &mut Digest) {
                into.add_bytes(&self.to_le_bytes());
            }
        }
    )+ };
}
integers!(u8, u16, u32, u64, u128, i64, i128);

/// Takes state in a canonical order: equal digests, equal states.
///
/// What is hashed is what a snapshot holds, so nothing can be in the one and not in the other:
/// beside each `digest` stands the `load` that reads the same fields back.
pub(crate) struct Digest {
    hash: Xxh3,
    /// The bytes themselves, when they are asked for instead of their hash.
    kept: Option<Vec<u8>>,
}

impl Digest {
    pub fn new() -> Self {
        Self { hash: Xxh3::new(), kept: None }
    }

    /// Keeps what it is told.
    pub fn keeping() -> Self {
        Self { kept: Some(Vec::new()), ..Self::new() }
    }

    pub fn add(&mut self, value: impl Hashed) -> &mut Self {
        value.add_to(self);
        self
    }

    pub fn add_len(&mut self, len: usize) -> &mut Self {
        self.add(len as u64)
    }

    pub fn add_flag(&mut self, flag: bool) -> &mut Self {
        self.add(u8::from(flag))
    }

    pub fn add_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        match &mut self.kept {
            None => self.hash.update(bytes),
            Some(kept) => kept.extend_from_slice(bytes),
        }
        self
    }

    /// The hash of what was told, unless that is kept.
    pub fn finish(&self) -> u64 {
        self.hash.digest()
    }

    /// What was told, if it is kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept.unwrap_or_default()
    }
}

/// The hash of bytes that a [`Digest`] kept, as it would have told it itself.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Spreads integers that clients can't choose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IntHasher(u64);

impl Hasher for IntHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        /// 2^64 divided by the golden ratio, odd.
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let product = (self.0 ^ value).wrapping_mul(SPREAD);
        self.0 = product ^ (product >> 32);
    }
}
