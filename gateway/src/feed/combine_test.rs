//! The combination rule by example, and against a naive form of it.

use proptest::prelude::*;

use super::combine::{Combined, Part, SOURCES_MAX, WEIGHT_MAX, combine};

fn parts(rows: &[(i64, u32)]) -> Vec<Part> {
    rows.iter().map(|(price_e8, weight)| Part { price_e8: *price_e8, weight: *weight }).collect()
}

fn index(rows: &[(i64, u32)]) -> i64 {
    combine(&parts(rows)).unwrap().price_e8
}

fn wild(rows: &[(i64, u32)]) -> Vec<bool> {
    combine(&parts(rows)).unwrap().wild
}

#[test]
fn the_index_is_the_weighted_mean_rounded_down() {
    assert_eq!(combine(&[]), None);
    assert_eq!(index(&[(7, 3)]), 7);
    assert_eq!(index(&[(100, 1), (103, 1)]), 101); // 101.5
    assert_eq!(index(&[(100, 1), (103, 2)]), 102);
    assert_eq!(index(&[(1_000, 5), (1_010, 3), (990, 2)]), 1_001);
}

#[test]
fn one_source_too_far_off_weighs_nothing() {
    let rows = [(1_000, 1), (1_001, 1), (2_000, 98)];
    assert_eq!(wild(&rows), [false, false, true]);
    assert_eq!(index(&rows), 1_000); // 1000.5
    assert_eq!(index(&[(1_000, 1), (1_001, 1), (1, 98)]), 1_000);
}

#[test]
fn five_percent_are_allowed_and_the_least_more_is_not() {
    assert_eq!(wild(&[(1_000, 1), (1_000, 1), (1_050, 1)]), [false, false, false]);
    assert_eq!(wild(&[(1_000, 1), (1_000, 1), (1_051, 1)]), [false, false, true]);
    assert_eq!(wild(&[(1_000, 1), (1_000, 1), (950, 1)]), [false, false, false]);
    assert_eq!(wild(&[(1_000, 1), (1_000, 1), (949, 1)]), [false, false, true]);
    // the median of 190 and 211 is 200.5, from which 211 is 5.2 % and 190 is 5.2 %
    assert_eq!(wild(&[(190, 1), (211, 1)]), [true, true]);
}

#[test]
fn two_sources_too_far_off_leave_the_median() {
    // in whatever direction, and whatever they weigh
    assert_eq!(index(&[(1_000, 1), (1_001, 1), (1_002, 1), (2_000, 9), (3_000, 9)]), 1_002);
    assert_eq!(index(&[(1_000, 1), (1_001, 1), (1_002, 1), (2_000, 9), (1, 9)]), 1_001);
    assert_eq!(index(&[(100, 1), (301, 9)]), 200);
}

#[test]
fn the_largest_prices_and_weights_fit() {
    let rows = [(i64::MAX, WEIGHT_MAX); SOURCES_MAX];
    assert_eq!(index(&rows), i64::MAX);
    let halves: Vec<_> =
        (0..SOURCES_MAX).map(|i| [(1, 1), (i64::MAX, WEIGHT_MAX)][i % 2]).collect();
    assert_eq!(index(&halves), i64::MAX / 2 + 1);
}

/// The rule with as many copies of a source as it has weight, and with the median by its
/// definition: the middle of the least and the greatest price that has half of all on each side.
fn naive(parts: &[Part]) -> Option<Combined> {
    let median = |price: i64| {
        let below = parts.iter().filter(|p| p.price_e8 <= price).count();
        let above = parts.iter().filter(|p| p.price_e8 >= price).count();
        2 * below >= parts.len() && 2 * above >= parts.len()
    };
    let middles = || parts.iter().map(|p| p.price_e8).filter(|price| median(*price));
    let (least, greatest) = (i128::from(middles().min()?), i128::from(middles().max()?));
    let believed = |p: &Part| {
        let price = 200 * i128::from(p.price_e8);
        price >= 95 * (least + greatest) && price <= 105 * (least + greatest)
    };
    let wild: Vec<bool> = parts.iter().map(|p| !believed(p)).collect();
    let mut copies = Vec::new();
    for part in parts.iter().filter(|p| believed(p)) {
        copies.extend(std::iter::repeat_n(i128::from(part.price_e8), part.weight as usize));
    }
    let price = match parts.iter().filter(|p| !believed(p)).count() {
        0 | 1 => copies.iter().sum::<i128>() / copies.len() as i128,
        _ => (least + greatest) / 2,
    };
    Some(Combined { price_e8: i64::try_from(price).unwrap(), wild })
}

/// Sources of a small weight around one price: most of them near it, some at the border of what
/// is believed, some anywhere.
fn sources(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Part>> {
    let base = prop_oneof![1i64..100, 1_000i64..100_000, 1i64 << 40..1 << 48];
    base.prop_flat_map(move |base| {
        let price = prop_oneof![
            4 => (-300i64..=300).prop_map(move |off| base + base * off / 10_000),
            2 => (4_900i64..=5_100).prop_map(move |off| base + base * off / 100_000),
            2 => (4_900i64..=5_100).prop_map(move |off| base - base * off / 100_000),
            1 => 1i64..=base * 4,
            1 => Just(i64::MAX),
        ];
        let part =
            (price, 1u32..=20).prop_map(|(price, weight)| Part { price_e8: price.max(1), weight });
        prop::collection::vec(part, count.clone())
    })
}

proptest! {
    #[test]
    fn the_rule_is_its_naive_form(parts in sources(0..9)) {
        prop_assert_eq!(combine(&parts), naive(&parts));
    }

    #[test]
    fn the_order_of_the_sources_does_not_matter(mut parts in sources(1..9)) {
        let before = combine(&parts).unwrap().price_e8;
        parts.reverse();
        prop_assert_eq!(combine(&parts).unwrap().price_e8, before);
        parts.sort_by_key(|part| part.price_e8);
        prop_assert_eq!(combine(&parts).unwrap().price_e8, before);
    }

    /// Whatever one source of at least three says, the index stays where the others and 5 % are.
    #[test]
    fn one_liar_moves_the_index_within_the_band(
        honest in prop::collection::vec((100_000i64..=101_000, 1u32..=20), 2..8),
        lie in 1i64..=i64::MAX,
        weight in 1u32..=WEIGHT_MAX,
    ) {
        let mut rows = honest;
        rows.push((lie, weight));
        let price = index(&rows);
        prop_assert!((95_000..=106_050).contains(&price), "{}", price);
    }
}
