//! Marks, premiums and rates against worked examples and their definitions.

extern crate std;

use proptest::prelude::*;

use protocol::{RATE_ONE, limits::LEVERAGE_MAX};

use crate::{
    funding::{self, Impact, Premiums},
    mark::{self, MARK_BAND, MarkTerms},
};

const HOUR_US: u64 = 3_600_000_000;

/// An index of 1,000.00 in ticks of 0.01, an hour before the next of three fundings a day.
const TERMS: MarkTerms = MarkTerms {
    index_e8: 1_000 * RATE_ONE,
    tick_e8: 1_000_000,
    rate: 0,
    left_s: 3_600,
    interval_s: 8 * 3_600,
    basis_e8: 0,
    last: 0,
};

#[test]
fn a_mark_is_the_median_of_funding_basis_and_last_trade() {
    assert_eq!(TERMS.mark(), Some(100_000));
    // an eighth of 0.08 % is left: 1,000.10; the book says 1,000.30, the last trade 1,000.20
    let terms = MarkTerms { rate: 80_000, basis_e8: 30_000_000, last: 100_020, ..TERMS };
    assert_eq!(terms.mark(), Some(100_020));
    assert_eq!(MarkTerms { last: 100_090, ..terms }.mark(), Some(100_030));
    assert_eq!(MarkTerms { last: 1, ..terms }.mark(), Some(100_010));
    // nothing traded yet: the index counts as the third
    assert_eq!(MarkTerms { last: 0, ..terms }.mark(), Some(100_010));
    assert_eq!(MarkTerms { rate: -80_000, basis_e8: -1, last: 0, ..TERMS }.mark(), Some(100_000));
}

#[test]
fn a_mark_stays_in_its_band_and_on_a_tick() {
    let wild = MarkTerms { rate: RATE_ONE, left_s: 28_800, last: 900_000, ..TERMS };
    assert_eq!(wild.mark(), Some(105_000));
    let low = MarkTerms { rate: -RATE_ONE, left_s: 28_800, last: 1, ..TERMS };
    assert_eq!(low.mark(), Some(95_000));
    // 0.005 is half a tick, and goes up
    let half = MarkTerms { index_e8: 100_000_500_000, ..TERMS };
    assert_eq!((half.mark(), MarkTerms { index_e8: 0, ..TERMS }.mark()), (Some(100_001), None));
    assert_eq!(MarkTerms { index_e8: 500_000, ..TERMS }.mark(), Some(1));
}

#[test]
fn a_basis_weighs_no_more_than_the_band() {
    let index = 1_000 * RATE_ONE;
    assert_eq!(mark::basis_e8(99_990, 100_020, 1_000_000, index), 5_000_000);
    assert_eq!(mark::basis_e8(1, 9_000_000, 1_000_000, index), index / 20);
    assert_eq!(mark::basis_e8(1, 2, 1_000_000, index), -index / 20);
}

/// 3 lots at 102 and 10 at 101, each lot worth its price in units of 100: 1,000 units need 3 lots
/// and 694/101 more.
#[test]
fn an_impact_price_is_the_average_of_what_is_taken() {
    let (notional, mult, tick_e8) = (100_000, 100, RATE_ONE);
    let mut impact = Impact::of(notional);
    assert_eq!(impact.take(notional, 102, 3, mult, tick_e8), None);
    let (dividend, divisor) = impact.take(notional, 101, 10, mult, tick_e8).unwrap();
    let exact = 100_000.0 / (300.0 + (100_000.0 - 30_600.0) / 101.0);
    let price = dividend as f64 / divisor as f64 / 1e8;
    assert!((price - exact).abs() < 1e-9, "{price} is not {exact}");
    // 1.3 % above an index of 100, and nothing above one of 102
    let part = funding::bid_premium((dividend, divisor), 100 * RATE_ONE);
    assert!((1_299_000..1_304_000).contains(&part), "{part}");
    assert_eq!(funding::bid_premium((dividend, divisor), 102 * RATE_ONE), 0);
    assert_eq!(funding::ask_premium((dividend, divisor), 100 * RATE_ONE), 0);
    assert_eq!(funding::ask_premium((dividend, divisor), 1_000 * RATE_ONE), MARK_BAND);
}

#[test]
fn later_premiums_weigh_more() {
    let mut premiums = Premiums::default();
    assert_eq!(premiums.average(), 0);
    for premium in [600, 0, -301] {
        premiums.add(premium);
    }
    // (1*600 - 3*301) / 6 = -50.5, toward zero
    assert_eq!(premiums.average(), -50);
}

#[test]
fn a_rate_follows_the_premium_beyond_the_reach_of_interest() {
    let cap = funding::cap(400_000);
    assert_eq!(cap, 300_000);
    let rate = |premium| funding::rate(premium, 8, cap);
    // within 0.05 % of the interest nothing else counts
    assert_eq!([rate(0), rate(60_000), rate(-40_000)], [10_000; 3]);
    assert_eq!([rate(61_000), rate(-41_000)], [11_000, 9_000]);
    assert_eq!([rate(9_000_000), rate(-9_000_000)], [cap, -cap]);
    // an hour has an eighth of it, rounded toward zero
    assert_eq!([1, 4].map(|hours| funding::rate(61_001, hours, cap)), [1_375, 5_500]);
    assert_eq!(funding::rate(-60_009, 1, cap), -1_251);
    assert_eq!(funding::cap(3), 2);
}

#[test]
fn funding_times_are_multiples_of_the_interval() {
    assert_eq!(funding::next_time(0, 8), 8 * HOUR_US);
    assert_eq!(funding::next_time(8 * HOUR_US - 1, 8), 8 * HOUR_US);
    assert_eq!(funding::next_time(8 * HOUR_US, 8), 16 * HOUR_US);
}

proptest! {
    /// Who pays pays enough for all who get, and no more than a unit each too much.
    #[test]
    fn charges_cover_receipts(
        lots in prop::collection::vec(-1_000i64..1_000, 1..9),
        mark in 1i64..1_000_000, mult in 1i64..1_000_000, rate in -300_000i64..=300_000,
    ) {
        let rest = -lots.iter().sum::<i64>();
        let all = lots.iter().chain([&rest]);
        let sum: i128 = all.map(|qty| funding::charge(*qty, mark, mult, rate)).sum();
        prop_assert!((0..=lots.len() as i128).contains(&sum), "{}", sum);
    }

    #[test]
    fn the_widest_values_fit(
        index_e8 in 1i64..=i64::MAX, bits in 0u32..63, rate in -RATE_ONE..=RATE_ONE,
        left_s in 0u64..=918_000, basis in -MARK_BAND..=MARK_BAND, last in 0i64..=1 << 40,
        qty in 1i64..=1 << 40, notional in 0usize..2,
    ) {
        let tick_e8 = 1i64 << bits;
        let basis_e8 = (i128::from(index_e8) * i128::from(basis) / i128::from(RATE_ONE)) as i64;
        let interval_s = 918_000;
        let terms = MarkTerms { index_e8, tick_e8, rate, left_s, interval_s, basis_e8, last };
        if let Some(mark) = terms.mark() {
            let apart = i128::from(mark) * i128::from(tick_e8) - i128::from(index_e8);
            let reach = i128::from(mark::band_e8(index_e8)) + i128::from(tick_e8) / 2 + 1;
            prop_assert!(apart.abs() <= reach || mark == 1, "{} of {:?}", mark, terms);
        }
        // prices reach a hundred times their mark
        let most = 100 * i128::from(index_e8) / i128::from(tick_e8);
        let price = i128::from(last).min(most).max(1) as i64;
        let notional = funding::impact_notional([1, LEVERAGE_MAX][notional]);
        let taken = Impact::of(notional).take(notional, price, qty, 1, tick_e8);
        if let Some(impact) = taken {
            prop_assert!((0..=MARK_BAND).contains(&funding::bid_premium(impact, index_e8)));
            prop_assert!((0..=MARK_BAND).contains(&funding::ask_premium(impact, index_e8)));
        }
    }
}
