//! The two generators of random numbers that the flows are defined with.

/// The linear congruential generator of java.util.Random, as its documentation defines it.
#[derive(Debug)]
pub struct JavaRandom(u64);

const JAVA_BITS: u32 = 48;
const JAVA_MASK: u64 = (1 << JAVA_BITS) - 1;
const JAVA_FACTOR: u64 = 0x5_DEEC_E66D;

impl JavaRandom {
    pub fn new(seed: i64) -> Self {
        Self((seed as u64 ^ JAVA_FACTOR) & JAVA_MASK)
    }

    /// An integer in `0..bound`.
    pub fn int(&mut self, bound: i32) -> i32 {
        let mut bits = self.next(31);
        if (bound & (bound - 1)) == 0 {
            return ((i64::from(bound) * i64::from(bits)) >> 31) as i32;
        }
        // Draws from the last, incomplete run of `bound` values are thrown away.
        while bits - bits % bound > i32::MAX - (bound - 1) {
            bits = self.next(31);
        }
        bits % bound
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        const SCALE: f64 = (1u64 << 53) as f64;
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 / SCALE
    }

    fn next(&mut self, bits: u32) -> i32 {
        const ADDEND: u64 = 11;
        self.0 = self.0.wrapping_mul(JAVA_FACTOR).wrapping_add(ADDEND) & JAVA_MASK;
        (self.0 >> (JAVA_BITS - bits)) as i32
    }
}

/// Steele, Lea and Flood's splitmix64.
#[derive(Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An integer in `0..bound`, from the upper half of a draw.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((self.wide() >> 32) * bound) >> 32
    }

    /// A whole draw.
    pub fn wide(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
