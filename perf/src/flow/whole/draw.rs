//! Who acts next: accounts drawn alike, or as Zipf has it.

use clap::ValueEnum;
use protocol::AccountId;
use serde::Serialize;

use crate::flow::random::SplitMix;

/// How accounts are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// The account of rank r acts 1/r times as often as the first: exponent 1.
    Zipf,
    Uniform,
}

/// Draws accounts from 1 to as many as there are.
#[derive(Debug)]
pub struct Accounts {
    count: u64,
    /// Zipf: the sum of all weights up to each rank; uniform: empty.
    sums: Vec<u64>,
}

/// The first rank's weight, so that the weight of any rank is an integer worth drawing.
const WEIGHT: u64 = 1 << 32;
/// A prime above any number of accounts: neighbours in rank are no neighbours in memory.
const STRIDE: u64 = 4_000_037;

impl Accounts {
    pub fn new(count: u32, spread: Spread) -> Self {
        let weights = (1..=u64::from(count)).map(|rank| WEIGHT / rank);
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let sums = if spread == Spread::Zipf { sums.collect() } else { Vec::new() };
        Self { count: count.into(), sums }
    }

    pub fn draw(&self, random: &mut SplitMix) -> AccountId {
        let rank = match self.sums.last() {
            None => random.below(self.count),
            Some(total) => {
                let drawn = random.wide() % total;
                self.sums.partition_point(|sum| *sum <= drawn) as u64
            }
        };
        self.nth(rank)
    }

    /// The account of a rank from 0, or of any number that goes round.
    pub fn nth(&self, rank: u64) -> AccountId {
        AccountId(1 + (rank * STRIDE % self.count) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 100_000;

    fn counts(spread: Spread) -> Vec<usize> {
        let accounts = Accounts::new(100, spread);
        let mut random = SplitMix::new(1);
        let mut counts = vec![0; 101];
        (0..DRAWS).for_each(|_| counts[accounts.draw(&mut random).0 as usize] += 1);
        counts.sort_unstable();
        counts
    }

    #[test]
    fn zipf_draws_the_first_twice_as_often_as_the_second() {
        let counts = counts(Spread::Zipf);
        let (first, second) = (counts[100] as f64, counts[99] as f64);
        assert!((1.9..2.1).contains(&(first / second)), "{first} to {second}");
        // 1 of 1 + 1/2 + .. + 1/100, which is 5.19
        assert!((0.18..0.205).contains(&(first / DRAWS as f64)), "{first}");
    }

    #[test]
    fn uniform_draws_all_alike() {
        let counts = counts(Spread::Uniform);
        assert_eq!(counts[0], 0, "nobody is account 0");
        assert!(counts[1] > 800 && counts[100] < 1_200, "{counts:?}");
    }
}
