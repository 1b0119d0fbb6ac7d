//! The insurance fund can't be milked, by example: what a trader with a second account would try.
//!
//! Account 1 is the one that is to lose more than it has, account 2 the one that is to win it.

use protocol::{
    AccountId, Command, Event, Reject, SymbolId,
    command::{Place, SetLeverage, SetMarginMode},
    order::{CloseReason, MarginMode, OrderStatus, Side, TimeInForce},
};

use crate::{
    bench::{Bench, index, outcome},
    trading::{amend, closed, limit, trades},
    triggers::{changes, stop, tick},
};

const VICTIM: u32 = 1;
const WINNER: u32 = 2;

/// Account 1 is long 10 at 100, which is worth 1,000,000, and has so much cash.
fn long(cash: i64) -> Bench {
    let mut bench = Bench::trading(&[(VICTIM, cash), (WINNER, 90_000_000), (3, 90_000_000)]);
    bench.ok(&Command::Place(limit(WINNER, Side::Sell, 100, 10)));
    bench.ok(&Command::Place(limit(VICTIM, Side::Buy, 100, 10)));
    bench
}

/// The last word on an account's cash.
fn cash(bench: &mut Bench, account: u32, command: &Command) -> i64 {
    let events = bench.send_as(0, true, command);
    let mut told = events.iter().rev().filter_map(|event| match event {
        Event::Trade(trade) => {
            [trade.taker, trade.maker].into_iter().find(|fill| fill.account.0 == account)
        }
        _ => None,
    });
    told.next().unwrap_or_else(|| panic!("no fill in {events:?}")).cash
}

fn close(price: i64, qty: i64) -> Place {
    Place { reduce_only: true, ..limit(VICTIM, Side::Sell, price, qty) }
}

#[test]
fn a_close_far_below_the_mark_is_cut_to_what_the_account_has() {
    // after its fee of 500 it has 60,000: 6 ticks of 10,000, less another fee
    let mut bench = long(60_500);
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 88, 10)));
    let dump = Command::Place(Place { time_in_force: TimeInForce::Ioc, ..close(88, 10) });
    let asked = outcome(&bench.send(&dump));
    // 12 ticks, a fee of 500 and a unit for each of 10 lots, less 60,000
    assert_eq!((asked.reject, asked.amount), (Reject::NeedMargin, 120_000 + 510 - 60_000));
    // nobody buys at 95 or above
    assert_eq!(outcome(&bench.send_as(0, true, &dump)).reject, Reject::BeyondMarketBound);
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 95, 4)));
    let left = cash(&mut bench, VICTIM, &dump);
    assert!(left >= 0, "{left} is left");
}

#[test]
fn with_what_it_lacked_the_close_goes_through() {
    let mut bench = long(60_500);
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 88, 10)));
    let dump = Command::Place(Place { time_in_force: TimeInForce::Ioc, ..close(88, 10) });
    let lacking = outcome(&bench.send(&dump)).amount;
    bench.grant(VICTIM, lacking - 1);
    assert_eq!(outcome(&bench.send(&dump)).amount, 1);
    bench.grant(VICTIM, 1);
    let events = bench.ok(&dump);
    assert_eq!(trades(&events), [(88, 10)]);
}

#[test]
fn a_close_that_rests_is_cut_too() {
    let mut bench = long(60_500);
    let dump = Command::Place(close(88, 10));
    assert_eq!(outcome(&bench.send(&dump)).reject, Reject::NeedMargin);
    let events = bench.send_as(0, true, &dump);
    let price = |event: &Event| match event {
        Event::OrderAccepted(order) => Some(order.price),
        _ => None,
    };
    assert_eq!(events.iter().find_map(price), Some(95));
    // and an amend does not get it any further
    let lower = Command::Amend(amend(VICTIM, Side::Sell, 3, 88, 10));
    assert_eq!(outcome(&bench.send(&lower)).reject, Reject::NeedMargin);
    let refused = outcome(&bench.send_as(0, true, &lower));
    assert_eq!(refused.reject, Reject::InsufficientMargin);
}

#[test]
fn what_a_stop_becomes_is_cut_too() {
    let mut bench = long(60_500);
    let stop = protocol::command::PlaceAlgo {
        algo_type: protocol::order::AlgoType::Stop,
        reduce_only: true,
        price: 88,
        ..stop(VICTIM, Side::Sell, 99, 10)
    };
    bench.ok(&Command::PlaceAlgo(stop));
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 99, 1)));
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 94, 10)));
    bench.ok(&Command::Place(limit(3, Side::Sell, 99, 1)));
    let waits = tick(&mut bench);
    assert_eq!(changes(&waits)[0].1, protocol::order::AlgoStatus::Triggering);
    // the ledger has nothing for it
    bench.ts += protocol::limits::MARGIN_CALL_GRACE_US;
    tick(&mut bench);
    let events = tick(&mut bench);
    assert_eq!(changes(&events)[0].1, protocol::order::AlgoStatus::Triggered);
    assert_eq!(trades(&events), [], "it rests at 95");
}

#[test]
fn who_has_nothing_left_may_still_close_at_the_mark() {
    let mut bench = long(60_500);
    bench.ok(&index(1, 90));
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 89, 2)));
    let sell = |price| Command::Place(Place { time_in_force: TimeInForce::Ioc, ..close(price, 2) });
    let refused = outcome(&bench.send_as(0, true, &sell(89)));
    assert_eq!(refused.reject, Reject::BeyondMarketBound);
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 90, 2)));
    assert_eq!(trades(&bench.ok(&sell(90))), [(90, 2)]);
}

/// A mark that jumps leaves orders behind at prices that nobody would give.
#[test]
fn a_stale_maker_goes_when_its_owner_can_not_bear_the_fill() {
    let mut bench = Bench::trading(&[(VICTIM, 60_000), (WINNER, 90_000_000), (3, 90_000_000)]);
    bench.ok(&Command::Place(limit(VICTIM, Side::Buy, 100, 10)));
    bench.ok(&Command::Place(limit(3, Side::Buy, 98, 10)));
    bench.ok(&index(1, 90));
    let events = bench.ok(&Command::Place(limit(WINNER, Side::Sell, 92, 10)));
    assert_eq!(closed(&events), [(1, OrderStatus::Expired, CloseReason::Liquidation)]);
    assert_eq!(trades(&events), [(98, 10)], "who can bear it fills, and matching goes on");
}

#[test]
fn a_stale_maker_fills_as_far_as_its_owner_can_bear_it() {
    // 3 lots lose 30,000 against the mark: what is left must exceed their maintenance margin
    let mut bench = Bench::trading(&[(VICTIM, 60_000), (WINNER, 90_000_000)]);
    bench.ok(&Command::Place(limit(VICTIM, Side::Buy, 100, 10)));
    bench.ok(&index(1, 90));
    let events = bench.ok(&Command::Place(limit(WINNER, Side::Sell, 92, 3)));
    assert_eq!(trades(&events), [(100, 3)]);
    let events = bench.ok(&Command::Place(limit(WINNER, Side::Sell, 92, 3)));
    assert_eq!(closed(&events), [(1, OrderStatus::Expired, CloseReason::Liquidation)]);
}

/// What a dry run promises, the match does: makers that will go don't count.
#[test]
fn a_dry_run_knows_which_makers_will_go() {
    let mut bench = Bench::trading(&[(VICTIM, 60_000), (WINNER, 90_000_000), (3, 90_000_000)]);
    for price in [100, 99] {
        bench.ok(&Command::Place(limit(VICTIM, Side::Buy, price, 4)));
    }
    bench.ok(&Command::Place(limit(3, Side::Buy, 98, 4)));
    bench.ok(&index(1, 90));
    // the first fill is borne, the second no more
    let fok = |qty| Place { time_in_force: TimeInForce::Fok, ..limit(WINNER, Side::Sell, 92, qty) };
    bench.refused(&Command::Place(fok(12)), Reject::WouldNotFill);
    let events = bench.ok(&Command::Place(fok(8)));
    assert_eq!(trades(&events), [(100, 4), (98, 4)]);
    assert_eq!(closed(&events), [(2, OrderStatus::Expired, CloseReason::Liquidation)]);
}

/// Of three closing sells one is clipped by the first fill, on account of one that then goes.
#[test]
fn a_dry_run_knows_what_was_clipped_for_an_order_that_went() {
    let mut bench = long(57_300);
    let other = |account, side| Place { symbol: SymbolId(2), ..limit(account, side, 100, 190) };
    bench.ok(&Command::Place(other(WINNER, Side::Buy)));
    bench.ok(&Command::Place(other(VICTIM, Side::Sell)));
    bench.ok(&Command::Place(limit(VICTIM, Side::Sell, 101, 3)));
    bench.ok(&Command::Place(close(102, 5)));
    bench.ok(&Command::Place(close(109, 5)));
    // what the long wins the short loses
    bench.ok(&index(1, 110));
    bench.ok(&index(2, 186));
    // 3 lots are borne, then not one at 102, and of the last 5 lots 2 are left
    let fok = |qty| Place { time_in_force: TimeInForce::Fok, ..limit(3, Side::Buy, 109, qty) };
    bench.refused(&Command::Place(fok(6)), Reject::WouldNotFill);
    let events = bench.ok(&Command::Place(fok(5)));
    assert_eq!(trades(&events), [(101, 3), (109, 2)]);
}

#[test]
fn a_flip_needs_margin_for_all_that_it_loses() {
    let mut bench = long(60_500);
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 95, 20)));
    // closing at 95 is affordable, opening a short there is not
    let flip = Command::Place(limit(VICTIM, Side::Sell, 95, 20));
    let refused = outcome(&bench.send_as(0, true, &flip));
    assert_eq!(refused.reject, Reject::InsufficientMargin);
    let left = cash(&mut bench, VICTIM, &Command::Place(limit(VICTIM, Side::Sell, 95, 10)));
    assert!((0..=10_000).contains(&left), "{left} is left");
}

/// Of two positions each has its share, so closing one leaves the other what is its own.
#[test]
fn a_close_may_cost_its_positions_share_alone() {
    let mut bench = long(120_500);
    let other = |account, side| Place { symbol: SymbolId(2), ..limit(account, side, 100, 190) };
    bench.ok(&Command::Place(other(WINNER, Side::Sell)));
    bench.ok(&Command::Place(other(VICTIM, Side::Buy)));
    bench.ok(&Command::Place(limit(WINNER, Side::Buy, 86, 10)));
    let dump =
        |price| Command::Place(Place { time_in_force: TimeInForce::Ioc, ..close(price, 10) });
    // 4,000 of maintenance margin here, 4,438 there
    let lacking = outcome(&bench.send(&dump(86))).amount;
    assert_eq!(lacking, 140_000 * 8_438 / 4_000 + 510 - (120_000 - 67), "its share of all");
}

#[test]
fn an_isolated_position_does_not_open_where_its_wallet_can_not_bear_it() {
    let mut bench = Bench::trading(&[(VICTIM, 9_000_000), (WINNER, 90_000_000)]);
    let (account, symbol) = (protocol::AccountId(VICTIM), SymbolId(1));
    let mode = MarginMode::Isolated;
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
    bench.ok(&Command::SetLeverage(SetLeverage { account, symbol, leverage: 50, _pad: 0 }));
    bench.ok(&Command::Place(limit(WINNER, Side::Sell, 102, 10)));
    // 2 % of margin, all of it lost at once, and the rest would be for others to pay
    let buy = |price| Command::Place(limit(VICTIM, Side::Buy, price, 5));
    bench.refused(&buy(102), Reject::BeyondMarketBound);
    bench.ok(&buy(101));
}

/// An account that is due has orders on two symbols, which are closed one after the other. The
/// second would carry a part of what it owes into an isolated wallet.
#[test]
fn what_is_due_fills_no_isolated_wallet() {
    let other = |order: Place| Place { symbol: SymbolId(2), ..order };
    let mut bench = long(60_500);
    let mode = MarginMode::Isolated;
    let (account, symbol) = (AccountId(VICTIM), SymbolId(2));
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
    bench.ok(&Command::Place(limit(VICTIM, Side::Buy, 80, 1)));
    bench.ok(&Command::Place(other(limit(VICTIM, Side::Buy, 100, 20))));
    let mut solvent = bench.fork();
    assert_eq!(
        trades(&solvent.ok(&Command::Place(other(limit(WINNER, Side::Sell, 100, 20))))).len(),
        1
    );
    bench.ok(&index(1, 94));
    let events = bench.ok(&Command::Place(other(limit(WINNER, Side::Sell, 100, 20))));
    assert!(trades(&events).is_empty(), "{events:?}");
    let gone = (1, OrderStatus::Expired, CloseReason::Liquidation);
    assert!(closed(&events).contains(&gone), "{events:?}");
}
