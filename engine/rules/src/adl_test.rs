//! Ranks by example, and their bounds.

extern crate std;

use proptest::prelude::*;

use crate::{
    Position,
    adl::{rank, share_of},
    liquidation::Solvency,
};

/// One lot more or less at 100, at a mark of 110, of which 11 must stay.
fn long(entry: i64, equity: i128) -> Option<i128> {
    let pool = Solvency { equity, maintenance: 11 };
    rank(&Position { qty: 1, entry }, 110, 1, 11, &pool)
}

#[test]
fn profit_counts_the_more_with_leverage() {
    // 10 % of profit at a leverage of 110 / 22
    assert_eq!(long(100, 22), Some(50_000_000));
    assert_eq!(long(100, 11), Some(100_000_000));
    assert!(long(50, 22) > long(100, 22));
}

#[test]
fn a_loss_counts_the_less_with_leverage() {
    // 10 / 120, truncated, by a leverage of 5
    assert_eq!(long(120, 22), Some(-8_333_333 / 5));
    assert!(long(120, 11) > long(120, 22));
    assert!(long(110, 22) == Some(0) && long(120, 22) < Some(0));
}

/// A short wins as the mark falls; its share of the pool is by its part of what must stay.
#[test]
fn a_short_stands_where_a_long_would() {
    let pool = Solvency { equity: 66, maintenance: 33 };
    let short = Position { qty: -1, entry: -120 };
    assert_eq!(share_of(11, &pool), Some(22));
    // 10 / 120, truncated, times 5
    assert_eq!(rank(&short, 110, 1, 11, &pool), Some(8_333_333 * 5));
}

#[test]
fn who_has_nothing_stands_outside() {
    assert_eq!(long(100, 0), None);
    assert_eq!(long(100, -5), None);
    let pool = Solvency { equity: 22, maintenance: 0 };
    assert_eq!(rank(&Position { qty: 1, entry: 100 }, 110, 1, 11, &pool), None);
    let flat = Position { qty: 0, entry: 0 };
    assert_eq!(rank(&flat, 110, 1, 11, &Solvency { equity: 22, maintenance: 11 }), None);
}

proptest! {
    /// Whatever fits an engine gives a rank, and more profit never gives a lower one.
    #[test]
    fn ranks_are_bounded_and_rise_with_profit(
        qty in 1i64..1 << 44, mark in 1i64..1 << 40, mult in 1i64..1_000_000_000,
        entry in 1i64..1 << 60, more in 0i64..1 << 59, equity in 1i128..1 << 60,
        maintenance in 1i128..1 << 59, others in 0i128..1 << 59,
    ) {
        let pool = Solvency { equity, maintenance: maintenance + others };
        let of = |entry| rank(&Position { qty, entry }, mark, mult, maintenance, &pool);
        let (cheap, dear) = (of(entry), of(entry + more));
        prop_assert_eq!(cheap.is_some(), share_of(maintenance, &pool).unwrap() > 0);
        prop_assert!(cheap >= dear, "{:?} {:?}", cheap, dear);
    }
}
