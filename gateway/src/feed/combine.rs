//! One index price out of many sources: the rule, and nothing else.
//!
//! ```text
//! index = Σ weight·price / Σ weight       over the live sources
//! ```
//!
//! A source that lies more than 5 % from the median of all weighs nothing. Where two or more do,
//! nobody knows which of them to believe, and the index is the median itself. Everything is
//! integers in units of 1e-8; the only rounding is the last division, down to a whole unit.

/// How far from the median a source may lie, in percent.
pub const WILD_PERCENT: i128 = 5;
/// Sources of one symbol.
pub const SOURCES_MAX: usize = 32;
/// Weight of one source.
pub const WEIGHT_MAX: u32 = 1_000_000;

// the largest sum of the rule is one of i128
const _: () =
    assert!(i64::MAX as i128 <= i128::MAX / (200 * SOURCES_MAX as i128 * WEIGHT_MAX as i128));

/// What one live source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// In quote units of 1e-8, above 0.
    pub price_e8: i64,
    /// From 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

/// What the sources give together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    /// In quote units of 1e-8, between the least and the greatest of the sources.
    pub price_e8: i64,
    /// For each source, in the order given, whether it lies too far off to be believed.
    pub wild: Vec<bool>,
}

/// Combines the live sources of one symbol; `None` without any.
///
/// # Panics
/// Beyond [`SOURCES_MAX`] parts, and with a part that is out of its range.
pub fn combine(parts: &[Part]) -> Option<Combined> {
    assert!(parts.len() <= SOURCES_MAX, "{} sources of one symbol", parts.len());
    for part in parts {
        assert!(part.price_e8 > 0 && (1..=WEIGHT_MAX).contains(&part.weight), "{part:?}");
    }
    let median_x2 = twice_the_median(parts)?;
    let wild: Vec<bool> = parts.iter().map(|part| is_wild(part, median_x2)).collect();
    let price = if wild.iter().filter(|wild| **wild).count() < 2 {
        let tame = || parts.iter().zip(&wild).filter(|(_, wild)| !**wild).map(|(part, _)| part);
        let weights: i128 = tame().map(|part| i128::from(part.weight)).sum();
        let sum: i128 = tame().map(|p| i128::from(p.weight) * i128::from(p.price_e8)).sum();
        sum / weights
    } else {
        median_x2 / 2
    };
    let price_e8 = i64::try_from(price).expect("no mean is greater than all of its parts");
    Some(Combined { price_e8, wild })
}

/// Doubled, because the median of an even number of prices may lie between two units.
fn twice_the_median(parts: &[Part]) -> Option<i128> {
    let mut prices: Vec<i64> = parts.iter().map(|part| part.price_e8).collect();
    prices.sort_unstable();
    let upper = *prices.get(prices.len() / 2)?;
    let lower = prices[(prices.len() - 1) / 2];
    Some(i128::from(lower) + i128::from(upper))
}

fn is_wild(part: &Part, median_x2: i128) -> bool {
    (2 * i128::from(part.price_e8) - median_x2).abs() * 100 > WILD_PERCENT * median_x2
}
