//! Mutations without coverage: what a test can try in a bounded time, the same each time.

/// The generator splitmix64.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than `n`, which is not 0.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Numbers at which code decides otherwise, as bytes.
const EDGES: [[u8; 8]; 6] = [
    [0; 8],
    1u64.to_le_bytes(),
    u64::MAX.to_le_bytes(),
    i64::MAX.to_le_bytes(),
    i64::MIN.to_le_bytes(),
    (1u64 << 32).to_le_bytes(),
];

/// One of the seeds with one to eight changes.
pub fn mutant(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        change(&mut bytes, seeds, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below(bytes.len() - at + 1).min(64);
    match random.below(6) {
        0 => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte = random.next() as u8),
        2 => {
            let edge = EDGES[random.below(EDGES.len())];
            bytes[at..end].iter_mut().zip(edge).for_each(|(byte, edge)| *byte = edge);
        }
        3 => _ = bytes.drain(at..end),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
    }
}
