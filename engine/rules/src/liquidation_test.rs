//! The displayed liquidation price and the bankruptcy price against their definitions: the
//! condition itself, evaluated on both sides of the price.

extern crate std;

use proptest::prelude::*;

use crate::{
    BracketTable, Position,
    liquidation::{Backing, Solvency, bankruptcy_price, liquidation_price},
    money::value,
    rules_test::three_brackets,
};

const MULT: i64 = 10;

fn is_due(position: &Position, backing: &Backing, table: &BracketTable, mark: i64) -> bool {
    let equity = backing.cash + backing.other_pnl + position.pnl(mark, MULT);
    let maintenance = table.maintenance(position.value(mark, MULT).abs());
    equity <= maintenance + backing.other_maintenance
}

proptest! {
    #[test]
    fn the_shown_price_divides_safe_from_due(
        qty in prop_oneof![-100i64..=-1, 1i64..=100], entry in 100i64..2_000,
        cash in 0i128..2_000_000, other_pnl in -100_000i128..100_000, other_maintenance in 0i128..9_000,
    ) {
        let table = BracketTable::new(&three_brackets()).unwrap();
        let position = Position { qty, entry: value(entry, qty, MULT) };
        let backing = Backing { cash, other_pnl, other_maintenance };
        let due = |mark: i64| is_due(&position, &backing, &table, mark);
        match liquidation_price(&position, &backing, &table, MULT) {
            Some(price) if qty > 0 => {
                prop_assert!(!due(price + 1));
                prop_assert!(price <= 1 || due(price - 1));
            }
            Some(price) => {
                prop_assert!(due(price + 1));
                prop_assert!(price <= 1 || !due(price - 1));
            }
            // a long that no fall reaches, or a short that is due at any price
            None => prop_assert_eq!(due(1), qty < 0),
        }
    }

    /// A close at the bankruptcy price takes no more than the account has; one tick beyond does
    /// when the rounding left less than a tick.
    #[test]
    fn a_close_at_bankruptcy_leaves_nothing_negative(
        qty in prop_oneof![-100i64..=-1, 1i64..=100], entry in 1_000i64..2_000,
        mark in 1_000i64..2_000, equity in 1i128..400_000,
    ) {
        let table = BracketTable::new(&three_brackets()).unwrap();
        let mut position = Position { qty, entry: value(entry, qty, MULT) };
        let maintenance = table.maintenance(position.value(mark, MULT).abs());
        let cash = equity - position.pnl(mark, MULT);
        let account = Solvency { equity, maintenance };
        let price = bankruptcy_price(&position, mark, MULT, maintenance, &account).unwrap();
        prop_assume!(price > 0);
        let mut further = position;
        let left = cash + position.trade(-qty, price as i64, MULT);
        prop_assert!(left >= 0);
        let beyond = price as i64 - qty.signum();
        prop_assert!(cash + further.trade(-qty, beyond, MULT) < 0);
    }
}
