//! Fingerprints: of the state, and of ids that index a table.

use core::hash::Hasher;

use xxhash_rust::xxh3::Xxh3;

/// Integers, hashed as their little-endian bytes.
pub(crate) trait Hashed {
    fn add_to(self, hash: &mut Xxh3);
}

macro_rules! integers {
    ($($int:ty),+) => { $(
        impl Hashed for $int {
            fn add_to(self, hash: &mut Xxh3) {
                hash.update(&self.to_le_bytes());
            }
        }
    )+ };
}
integers!(u8, u16, u32, u64, u128, i64, i128);

/// Takes state in a canonical order: equal digests, equal states.
pub(crate) struct Digest(Xxh3);

impl Digest {
    pub fn new() -> Self {
        Self(Xxh3::new())
    }

    pub fn add(&mut self, value: impl Hashed) -> &mut Self {
        value.add_to(&mut self.0);
        self
    }

    pub fn add_len(&mut self, len: usize) -> &mut Self {
        self.add(len as u64)
    }

    pub fn add_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

/// Spreads integers that clients can't choose, or that are hashes with a secret already.
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

    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64 ^ (value >> 64) as u64);
    }
}
