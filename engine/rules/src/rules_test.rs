//! The arithmetic against its definitions.

extern crate std;

use proptest::prelude::*;
use std::vec::Vec;

use protocol::{
    SymbolId,
    instrument::{Bracket, Brackets},
    limits::BRACKETS_MAX,
    order::{MarginMode, Side},
};

use crate::{
    BracketTable, Exposure, OrderTerms, Position, Reserved, fees,
    instrument::to_ticks,
    margin::Totals,
    money::{cash, div_ceil, div_floor, unscale_ceil, unscale_floor, value},
};

pub(crate) fn brackets(rows: &[(i64, i64, u32, u32)]) -> Brackets {
    let mut table = Brackets {
        symbol: SymbolId(1),
        count: rows.len() as u16,
        _pad: 0,
        rows: [Bracket::default(); BRACKETS_MAX],
    };
    for (row, (floor, cap, maintenance, max_leverage)) in table.rows.iter_mut().zip(rows) {
        *row = Bracket {
            floor: *floor,
            cap: *cap,
            maintenance: *maintenance,
            max_leverage: *max_leverage,
        };
    }
    table
}

pub(crate) fn three_brackets() -> Brackets {
    brackets(&[
        (0, 50_000, 400_000, 125),
        (50_000, 250_000, 500_000, 100),
        (250_000, 1_000_000, 1_000_000, 50),
    ])
}

#[test]
fn contradicting_brackets_are_refused() {
    let good = three_brackets();
    assert!(BracketTable::new(&good).is_some());
    for break_it in [
        (|b| b.count = 0) as fn(&mut Brackets),
        |b| b.count = 11,
        |b| b.rows[0].floor = 1,
        |b| b.rows[1].floor = 50_001,
        |b| b.rows[1].cap = 50_000,
        |b| b.rows[1].maintenance = 399_999,
        |b| b.rows[1].max_leverage = 126,
        |b| b.rows[0].max_leverage = 126,
        |b| b.rows[2].max_leverage = 0,
        |b| b.rows[0].maintenance = 900_000,
        |b| b.rows[2].cap = i64::MAX,
    ] {
        let mut bad = good;
        break_it(&mut bad);
        assert!(BracketTable::new(&bad).is_none(), "{bad:?}");
    }
}

#[test]
fn a_leverage_allows_the_brackets_that_allow_it() {
    let table = BracketTable::new(&three_brackets()).unwrap();
    assert_eq!(table.leverage_max(), 125);
    assert_eq!(table.value_max(125), 50_000);
    assert_eq!(table.value_max(101), 50_000);
    assert_eq!(table.value_max(100), 250_000);
    assert_eq!(table.value_max(1), 1_000_000);
    assert_eq!(table.value_max(126), 0);
    assert_eq!(table.cum_shown(1), 50);
}

#[test]
fn fees_round_against_the_user() {
    assert_eq!(fees::fee(1, 50_000), 1);
    assert_eq!(fees::fee(200_000, 50_000), 100);
    assert_eq!(fees::fee(200_001, 50_000), 101);
    assert_eq!(fees::fee(200_001, -10_000), -20);
    assert_eq!(fees::fee(1, -10_000), 0);
}

#[test]
fn an_index_rounds_to_the_nearest_tick() {
    assert_eq!(to_ticks(149, 100), Some(1));
    assert_eq!(to_ticks(150, 100), Some(2));
    assert_eq!(to_ticks(49, 100), None);
    assert_eq!(to_ticks(i64::MAX, 1), None);
}

#[test]
fn break_even_covers_both_fees() {
    let long = Position { qty: 10, entry: cash(value(60_000, 10, 100)) };
    assert_eq!(long.entry_price(100, 1), 60_000);
    assert_eq!(long.break_even_price(100, 1, 50_000), 60_030);
    let short = Position { qty: -10, entry: cash(value(60_000, -10, 100)) };
    assert_eq!(short.break_even_price(100, 1, 50_000), 59_970);
}

proptest! {
    #[test]
    fn divisions_bound_the_quotient(dividend in -(1i128 << 90)..1i128 << 90, divisor in 1i128..1 << 40) {
        let (down, up) = (div_floor(dividend, divisor), div_ceil(dividend, divisor));
        prop_assert!(down * divisor <= dividend && dividend < (down + 1) * divisor);
        prop_assert!((up - 1) * divisor < dividend && dividend <= up * divisor);
    }

    /// One unit more of value costs at most the rate of its bracket, and never less than before.
    #[test]
    fn a_scale_is_taken_off_as_a_division_would(
        scaled in prop_oneof![-(1i128 << 90)..1i128 << 90, -(1i128 << 126)..1i128 << 126, any::<i64>().prop_map(i128::from)],
    ) {
        let by = i128::from(protocol::RATE_ONE);
        prop_assert_eq!(unscale_floor(scaled), div_floor(scaled, by));
        prop_assert_eq!(unscale_ceil(scaled), div_ceil(scaled, by));
        let whole = scaled / by * by;
        prop_assert_eq!(unscale_floor(whole), unscale_ceil(whole));
    }

    /// What an order holds back changes by what it will hold back, less what it did.
    #[test]
    fn reservations_change_by_their_difference(
        sell: bool, before in 0i64..1 << 30, now in 0i64..1 << 30, mult in 1i64..1_000,
        assumed in 1i64..1 << 20, loss in 0i64..1 << 20, taker_fee in 0i64..1_000_000,
    ) {
        let side = if sell { Side::Sell } else { Side::Buy };
        let terms = OrderTerms { assumed, loss, taker_fee };
        let [old, new] = [before, now].map(|lots| terms.reserve(side, lots, mult));
        let sums = Reserved::default().plus(&old);
        let changed = sums.plus(&terms.change(side, now, now - before, mult));
        prop_assert_eq!(changed, sums.minus(&old).plus(&new));
    }

    #[test]
    fn maintenance_is_continuous(value in 0i128..2_000_000) {
        let table = BracketTable::new(&three_brackets()).unwrap();
        let (here, there) = (table.maintenance(value), table.maintenance(value + 1));
        prop_assert!(here <= there && there <= here + 1);
        let rows = table.rows();
        let exact: i128 = rows.iter().enumerate().map(|(i, row)| {
            let cap = if i + 1 == rows.len() { i128::MAX } else { i128::from(row.cap) };
            (value.min(cap) - i128::from(row.floor)).max(0) * i128::from(row.maintenance)
        }).sum();
        prop_assert_eq!(here, div_ceil(exact, 100_000_000));
    }

    /// Whatever is traded, profit and entry value together are what was paid and received.
    #[test]
    fn a_position_conserves_money(
        trades in prop::collection::vec((-50i64..=50, 1i64..=1_000), 1..60), mult in 1i64..7,
    ) {
        let mut position = Position::FLAT;
        let (mut realised, mut paid) = (0i128, 0i128);
        for (qty, price) in trades.iter().filter(|trade| trade.0 != 0) {
            realised += position.trade(*qty, *price, mult);
            paid += value(*price, *qty, mult);
            prop_assert_eq!(i128::from(position.entry), paid + realised);
            prop_assert_eq!(position.entry.signum(), position.qty.signum());
        }
        let all: i64 = trades.iter().map(|trade| trade.0).sum();
        prop_assert_eq!(position.qty, all);
    }

    /// What is reserved for parts is what is reserved for the whole, but for the fee's rounding.
    #[test]
    fn reservations_add_up(
        sell: bool, limit in 1i64..2_000, mark in 1i64..2_000, bid in 0i64..2_000,
        a in 1i64..100, b in 1i64..100,
    ) {
        let side = if sell { Side::Sell } else { Side::Buy };
        let terms = OrderTerms::new(side, limit, mark, bid, 50_000);
        let [of_a, of_b, whole] = [a, b, a + b].map(|qty| terms.reserve(side, qty, 3));
        prop_assert_eq!(of_a.buy + of_b.buy, whole.buy);
        prop_assert_eq!(of_a.sell + of_b.sell, whole.sell);
        prop_assert_eq!(of_a.loss + of_b.loss, whole.loss);
        prop_assert!((0..=1).contains(&(of_a.fee + of_b.fee - whole.fee)));
        let none = Reserved::default();
        prop_assert_eq!(none.plus(&whole).minus(&whole), none);
    }

    /// A fill at a resting order's limit, at the mark of its accept, leaves no less available.
    #[test]
    fn a_reserved_fill_never_lacks_margin(
        qty in -20i64..=20, sell: bool, limit in 90i64..=110, lots in 1i64..=20, leverage in 1u8..=50,
    ) {
        const MARK: i64 = 100;
        let mult = 1_000;
        let side = if sell { Side::Sell } else { Side::Buy };
        let terms = OrderTerms::new(side, limit, MARK, 0, 50_000);
        let mut exposure = Exposure {
            position: Position { qty, entry: cash(value(MARK, qty, mult)) },
            reserved: Reserved::default().plus(&terms.reserve(side, lots, mult)),
            ..Exposure::default()
        };
        let mut before = Totals::of_cash(0);
        before.add(&exposure, MARK, mult, leverage);
        let pnl = exposure.position.trade(side.sign() * lots, limit, mult);
        exposure.reserved = Reserved::default();
        let fee = fees::fee(value(limit, lots, mult), 50_000);
        let mut after = Totals::of_cash(pnl - fee);
        after.add(&exposure, MARK, mult, leverage);
        prop_assert!(after.available() >= before.available());
    }

    /// An isolated wallet is empty without a position, gives back its part of what closes, and
    /// with what it holds no fill at an unchanged mark takes more than was held back for it.
    #[test]
    fn an_isolated_wallet_follows_its_position(
        trades in prop::collection::vec((-20i64..=20, 90i64..=110), 1..30), leverage in 1u8..=50,
    ) {
        const MARK: i64 = 100;
        let mult = 1_000;
        let mut exposure = Exposure { mode: MarginMode::Isolated, ..Exposure::default() };
        let mut twin = Position::FLAT;
        for (qty, price) in trades.iter().filter(|trade| trade.0 != 0) {
            let side = if *qty > 0 { Side::Buy } else { Side::Sell };
            let before = exposure;
            let terms = OrderTerms::new(side, *price, MARK, 0, 50_000);
            let held_back = terms.reserve(side, qty.abs(), mult);
            let opens = before.position.closable(qty.signum()) < qty.abs();
            exposure.reserved = Reserved::default().plus(&held_back);
            let mut totals = Totals::of_cash(0);
            totals.add(&exposure, MARK, mult, leverage);
            exposure.reserved = Reserved::default();
            let pnl = exposure.trade(*qty, *price, mult, leverage);
            prop_assert_eq!(pnl, twin.trade(*qty, *price, mult));
            prop_assert_eq!(exposure.position, twin);
            prop_assert!(exposure.wallet >= 0);
            prop_assert_eq!(exposure.wallet == 0, twin.qty == 0);
            let grew = twin.qty.signum() == before.position.qty.signum() && opens;
            prop_assert!(!grew || exposure.wallet > before.wallet);
            // what closes at a loss is its owner's risk, what opens is not
            if before.position.qty == 0 || grew {
                let mut after = Totals::of_cash(pnl - fees::fee(value(*price, qty.abs(), mult), 50_000));
                after.add(&exposure, MARK, mult, leverage);
                prop_assert!(after.available() >= totals.available());
            }
            let least = exposure.position_margin(MARK, mult, leverage);
            let out = exposure.removable(MARK, mult, leverage);
            prop_assert!((0..=i128::from(exposure.wallet)).contains(&out));
            prop_assert!(out == 0 || exposure.isolated_equity(MARK, mult) - out >= least);
        }
    }

    /// A symbol that is isolated holds back its orders alone, and less than if it were cross.
    #[test]
    fn isolated_orders_hold_back_what_they_can_open(
        qty in -20i64..=20, buy in 0i64..9_000, sell in 0i64..9_000, leverage in 1u8..=125,
    ) {
        let position = Position { qty, entry: cash(value(100, qty, 3)) };
        let reserved = Reserved { buy, sell, loss: 5, fee: 7 };
        let cross = Exposure { position, reserved, ..Exposure::default() };
        let isolated = Exposure { mode: MarginMode::Isolated, wallet: 50, ..cross };
        let value = qty * 300;
        let opens = match qty {
            0.. => buy.max((sell - value).max(0)),
            _ => sell.max((buy + value).max(0)),
        };
        let held_back = div_ceil(opens.into(), leverage.into()) + 12;
        prop_assert_eq!(isolated.initial_margin(100, 3, leverage), held_back);
        prop_assert_eq!(isolated.order_margin(100, 3, leverage), held_back);
        prop_assert!(held_back <= cross.initial_margin(100, 3, leverage));
        prop_assert_eq!(isolated.cross_equity(110, 3), -50);
        prop_assert_eq!(isolated.isolated_equity(110, 3), 50 + position.pnl(110, 3));
    }

    #[test]
    fn the_parts_of_initial_margin_are_the_whole(
        qty in -20i64..=20, buy in 0i64..9_000, sell in 0i64..9_000, leverage in 1u8..=125,
    ) {
        let position = Position { qty, entry: cash(value(100, qty, 3)) };
        let reserved = Reserved { buy, sell, loss: 5, fee: 7 };
        let exposure = Exposure { position, reserved, ..Exposure::default() };
        let parts = [exposure.position_margin(100, 3, leverage), exposure.order_margin(100, 3, leverage)];
        prop_assert!(parts.iter().all(|part| *part >= 0));
        prop_assert_eq!(parts[0] + parts[1], exposure.initial_margin(100, 3, leverage));
    }

    #[test]
    fn random_brackets_are_refused_or_consistent(
        rows in prop::collection::vec((any::<i64>(), any::<i64>(), any::<u32>(), any::<u32>()), 0..10),
        count: u16, value in 0i128..1 << 100,
    ) {
        let mut table = brackets(&rows);
        table.count = count;
        if let Some(table) = BracketTable::new(&table) {
            prop_assert!(table.maintenance(value) <= value);
            let caps: Vec<_> = (1..=125).map(|leverage| table.value_max(leverage)).collect();
            prop_assert!(caps.is_sorted_by(|a, b| a >= b));
        }
    }
}
