//! The displayed liquidation price and the bankruptcy price against their definitions: the
//! condition itself, evaluated on both sides of the price.

extern crate std;

use proptest::prelude::*;

use crate::{
    BracketTable, Position,
    liquidation::{
        Backing, Portion, Solvency, bankruptcy_price, legs_liquidation_price, liquidation_fee,
        liquidation_price, portion,
    },
    money::{self, value},
    rules_test::three_brackets,
};

const MULT: i64 = 10;

fn is_due(position: &Position, backing: &Backing, table: &BracketTable, mark: i64) -> bool {
    let equity = backing.cash + backing.other_pnl + position.pnl(mark, MULT);
    let maintenance = table.maintenance(position.value(mark, MULT).abs());
    equity <= maintenance + backing.other_maintenance
}

/// What is left of two legs after maintenance, exactly, in units of `1 / RATE_ONE`.
fn left_of_legs(long: &Position, short: &Position, backing: &Backing, mark: i64) -> i128 {
    let table = BracketTable::new(&three_brackets()).unwrap();
    let pnl = long.pnl(mark, MULT) + short.pnl(mark, MULT);
    let equity = backing.cash + backing.other_pnl + pnl - backing.other_maintenance;
    let rows = table.rows();
    let maintenance = |leg: &Position| -> i128 {
        let value = leg.value(mark, MULT).abs();
        let part = |(i, row): (usize, &protocol::instrument::Bracket)| {
            let cap = if i + 1 == rows.len() { i128::MAX } else { i128::from(row.cap) };
            (value.min(cap) - i128::from(row.floor)).max(0) * i128::from(row.maintenance)
        };
        rows.iter().enumerate().map(part).sum()
    };
    equity * i128::from(protocol::RATE_ONE) - maintenance(long) - maintenance(short)
}

/// A first bracket of 200,000 units of the asset, a second up to twice that.
fn wide_brackets() -> BracketTable {
    let mut brackets = three_brackets();
    brackets.count = 2;
    (brackets.rows[0].cap, brackets.rows[1].floor) = (20_000_000_000_000, 20_000_000_000_000);
    brackets.rows[1].cap = 40_000_000_000_000;
    BracketTable::new(&brackets).unwrap()
}

/// In the first bracket all goes at once, or a quarter where it is worth more than 100,000.
#[test]
fn a_large_position_is_closed_in_quarters() {
    let portion_of =
        |qty| portion(&Position { qty, entry: 0 }, 1_000_000, 1_000_000, &wide_brackets());
    assert_eq!(portion_of(10), Portion { lots: 10, large: false });
    assert_eq!(portion_of(-11), Portion { lots: 3, large: true });
    assert_eq!(portion_of(20), Portion { lots: 5, large: true });
}

/// Above it goes what is worth more than the bracket's floor.
#[test]
fn a_position_above_the_first_bracket_comes_down_to_the_one_below() {
    let portion_of =
        |mark, qty| portion(&Position { qty, entry: 0 }, mark, 1_000_000, &wide_brackets());
    assert_eq!(portion_of(1_000_000, 21), Portion { lots: 1, large: false });
    assert_eq!(portion_of(1_000_000, -40), Portion { lots: 20, large: false });
    // 18 of 1.1 are worth 19.8, 19 would be above 20
    assert_eq!(portion_of(1_100_000, 30), Portion { lots: 12, large: false });
}

/// The fee is a part of the value, and of what was got better than the bankruptcy price.
#[test]
fn a_liquidation_fee_leaves_the_bankruptcy_price() {
    use protocol::order::Side::{Buy, Sell};
    let fee = |side, quote| liquidation_fee(side, (quote, 10), 100, MULT, 1_000_000);
    assert_eq!(fee(Sell, 11_000), 110);
    assert_eq!(fee(Sell, 10_050), 50);
    assert_eq!(fee(Sell, 10_000), 0);
    assert_eq!(fee(Buy, 9_001), 91);
    assert_eq!(fee(Buy, 9_999), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Of two legs the shown price is the one that the mark meets first on its way out.
    #[test]
    fn legs_share_the_price_that_divides_safe_from_due(
        long in 1i64..=100, short in 1i64..=100, entries in prop::array::uniform2(100i64..2_000),
        mark in 50i64..2_500, spare in 1i128..900_000, other_pnl in -100_000i128..100_000,
        other_maintenance in 0i128..9_000,
    ) {
        let table = BracketTable::new(&three_brackets()).unwrap();
        let leg = |qty: i64, entry| Position { qty, entry: money::cash(value(entry, qty, MULT)) };
        let (long, short) = (leg(long, entries[0]), leg(-short, entries[1]));
        let kept = [&long, &short].map(|leg| {
            table.maintenance(leg.value(mark, MULT).abs()) - leg.pnl(mark, MULT)
        });
        let cash = spare + kept[0] + kept[1] + other_maintenance - other_pnl;
        let backing = Backing { cash, other_pnl, other_maintenance };
        let left = |mark: i64| left_of_legs(&long, &short, &backing, mark);
        prop_assert!(left(mark) > 0);
        match legs_liquidation_price(&long, &short, mark, &backing, &table, MULT) {
            Some(price) if price < mark => {
                prop_assert!(left(price + 1) > 0);
                prop_assert!(price == 1 || left(price - 1) <= 0);
            }
            Some(price) if price > mark => {
                prop_assert!(left(price - 1) > 0 && left(price + 1) <= 0);
            }
            Some(price) => prop_assert!(left(price - 1) <= 0 || left(price + 1) <= 0),
            None => prop_assert!(left(1) > 0 && left(1 << 40) > 0),
        }
    }

    #[test]
    fn a_leg_alone_has_the_price_of_a_position(
        qty in prop_oneof![-100i64..=-1, 1i64..=100], entry in 100i64..2_000, cash in 0i128..900_000,
    ) {
        let table = BracketTable::new(&three_brackets()).unwrap();
        let position = Position { qty, entry: money::cash(value(entry, qty, MULT)) };
        let backing = Backing { cash, ..Backing::default() };
        let (long, short) = if qty > 0 { (position, Position::FLAT) } else { (Position::FLAT, position) };
        prop_assert_eq!(
            legs_liquidation_price(&long, &short, 100, &backing, &table, MULT),
            liquidation_price(&position, &backing, &table, MULT)
        );
    }
}

proptest! {
    #[test]
    fn the_shown_price_divides_safe_from_due(
        qty in prop_oneof![-100i64..=-1, 1i64..=100], entry in 100i64..2_000,
        cash in 0i128..2_000_000, other_pnl in -100_000i128..100_000, other_maintenance in 0i128..9_000,
    ) {
        let table = BracketTable::new(&three_brackets()).unwrap();
        let position = Position { qty, entry: money::cash(value(entry, qty, MULT)) };
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
        let mut position = Position { qty, entry: money::cash(value(entry, qty, MULT)) };
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
