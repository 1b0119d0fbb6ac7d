//! The simulated index price of one symbol: a seeded random walk that is drawn back to its base.

/// How far one step goes at most, in units of 1e-6 of the price: 0.03 %.
const STEP_PPM: i64 = 300;
/// A step closes this part (1/PULL) of the distance to the base, so that the walk stays near it.
const PULL: i64 = 200;

/// Gives the next price forever; the same seed and start give the same prices.
#[derive(Clone, Debug)]
pub struct Walk {
    base_e8: i64,
    price_e8: i64,
    state: u64,
}

impl Walk {
    /// Walks around `base_e8`, going on from `price_e8`; both in quote units of 1e-8, above 0.
    pub fn new(base_e8: i64, price_e8: i64, seed: u64) -> Self {
        Self { base_e8, price_e8, state: seed }
    }

    pub fn step(&mut self) -> i64 {
        // the mean of two uniform draws: small steps are likelier than large ones
        let draw = (self.uniform() + self.uniform()) / 2;
        let shock = i128::from(self.price_e8) * i128::from(draw) / 1_000_000;
        let pull = (self.base_e8 - self.price_e8) / PULL;
        let next = i128::from(self.price_e8) + shock + i128::from(pull);
        self.price_e8 = i64::try_from(next).unwrap_or(self.base_e8).max(1);
        self.price_e8
    }

    /// From -STEP_PPM to STEP_PPM.
    fn uniform(&mut self) -> i64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let span = 2 * STEP_PPM as u64 + 1;
        (z % span) as i64 - STEP_PPM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_near_its_base_and_repeats_with_its_seed() {
        let base = 60_000 * 100_000_000;
        let (mut one, mut two) = (Walk::new(base, base, 7), Walk::new(base, base, 7));
        for _ in 0..1_000_000 {
            let price = one.step();
            assert_eq!(price, two.step());
            assert!((price - base).abs() < base / 20, "{price}");
        }
    }

    #[test]
    fn goes_on_from_where_it_was() {
        let base = 100_000_000;
        let mut walk = Walk::new(base, base * 11 / 10, 1);
        assert!(walk.step() > base * 109 / 100);
        for _ in 0..10_000 {
            walk.step();
        }
        assert!(walk.step() < base * 105 / 100);
    }

    #[test]
    fn the_smallest_price_is_still_a_price() {
        let mut walk = Walk::new(1, 1, 3);
        for _ in 0..1_000 {
            assert!(walk.step() >= 1);
        }
    }
}
