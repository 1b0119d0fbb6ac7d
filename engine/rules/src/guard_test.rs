//! The bound of a close against its definition: what an account is left with.

extern crate std;

use proptest::prelude::*;

use crate::{BracketTable, Position, fees::fee, guard::Closing, liquidation::Solvency};

const MULT: i64 = 10;
const TAKER_FEE: i64 = 50_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_close_at_the_bound_leaves_nobody_negative(
        qty in prop_oneof![-2_000i64..=-1, 1i64..=2_000], entry in 100i64..2_000,
        mark in 100i64..2_000, price in 1i64..4_000, equity in -50_000i128..3_000_000,
        others in 0i128..200_000, fills in 1i64..50,
    ) {
        let table = BracketTable::new(&crate::rules_test::three_brackets()).unwrap();
        let position = Position { qty, entry: entry * qty * MULT };
        let maintenance = table.maintenance(position.value(mark, MULT).abs());
        let pool = Solvency { equity, maintenance: maintenance + others };
        let closing =
            Closing { position, mark, mult: MULT, maintenance, pool, taker_fee: TAKER_FEE };
        let bound = closing.bound(price);
        let side = qty.signum();
        prop_assert_eq!(bound == price, closing.affords(price));
        prop_assert!(side * (bound - price) >= 0, "{bound} lets trade beyond {price}");
        prop_assert!(side * (price - mark) < 0 || bound == price, "the mark is free to all");
        let lacking = i128::from(closing.lacking(price));
        prop_assert_eq!(lacking == 0, bound == price);
        let pool = Solvency { equity: equity + lacking, ..pool };
        let helped = Closing { pool, ..closing };
        prop_assert!(helped.affords(price), "what it lacks is enough");
        let pool = Solvency { equity: pool.equity - 1, ..pool };
        let less = Closing { pool, ..closing };
        prop_assert!(lacking == 0 || !less.affords(price), "and no more than that");

        // beyond the mark the account pays by itself, in however many fills
        if side * (bound - mark) < 0 {
            let fills = fills.min(qty.abs());
            let each = qty / fills;
            let (mut rest, mut left) = (position, equity - position.pnl(mark, MULT));
            while rest.qty != 0 {
                let lots = if rest.qty.abs() < 2 * each.abs() { rest.qty } else { each };
                let cost = fee(i128::from(bound * lots.abs() * MULT), TAKER_FEE);
                left += rest.trade(-lots, bound, MULT) - cost;
            }
            prop_assert!(left >= 0, "{left} of {equity}");
        }
    }
}

#[test]
fn a_lone_position_is_closed_down_to_its_bankruptcy_price() {
    let position = Position { qty: 10, entry: 100_000 };
    let closing = |equity| Closing {
        position,
        mark: 1_000,
        mult: MULT,
        maintenance: 500,
        pool: Solvency { equity, maintenance: 500 },
        taker_fee: TAKER_FEE,
    };
    // a close of 100,000 costs 50 and a unit for each of 10 lots
    assert_eq!(closing(5_060).bound(900), 950);
    assert_eq!(closing(5_059).bound(900), 951);
    assert_eq!(closing(5_059).lacking(950), 1);
    // who has nothing may trade at the mark
    assert_eq!(closing(-7).bound(900), 1_000);
    assert_eq!(closing(-7).bound(1_001), 1_001);
}
