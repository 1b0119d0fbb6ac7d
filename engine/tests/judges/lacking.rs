//! Margin that is lacking, by example: nobody asks for it until it matters, and then for all of it.

use protocol::{
    AccountId, Command, Reject, SymbolId,
    command::{Place, SetMarginMode},
    order::{MarginMode, Side, TimeInForce},
};

use crate::{
    bench::{Bench, index, outcome},
    trading::limit,
};

const ALICE: u32 = 1;
const BOB: u32 = 2;

/// What an order of alice's is refused with.
fn lacks(bench: &mut Bench, order: Place) -> (Reject, i64) {
    let said = bench.send(&Command::Place(order));
    assert_eq!(said.len(), 1, "nothing changes: {said:?}");
    (outcome(&said).reject, outcome(&said).amount)
}

/// Ten lots at 100, of which a tick is 10,000, need 50,000 of alice's 60,000, and 500 were the
/// fee. At 98 she has 39,500 and should have 49,000; that is far above what must stay, so nothing
/// happens. One lot more needs 4,900 and a fee of 49; she is asked for the 9,500 as well.
#[test]
fn the_next_order_asks_for_what_was_missing() {
    let mut bench = Bench::trading(&[(ALICE, 60_000), (BOB, 9_000_000)]);
    bench.ok(&Command::Place(limit(BOB, Side::Sell, 100, 10)));
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 100, 10)));
    let moved = bench.ok(&index(1, 98));
    assert_eq!(moved.len(), 2, "a mark and an outcome: {moved:?}");
    let order = limit(ALICE, Side::Buy, 98, 1);
    assert_eq!(lacks(&mut bench, order), (Reject::NeedMargin, 4_949 + 9_500));
    // what closes is never asked for anything
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 98, 1)));
    bench.ok(&Command::Place(limit(ALICE, Side::Sell, 98, 1)));
}

/// Alice's bids hold back 95,000 and a fee of 950; her asks may be as much without holding back
/// more. Ten of them fill at 110, where the mark is 100: their wallet takes 55,000, her bids still
/// hold back 45,000, and so she has 4,900 less than nothing available. Her profit of 100,000 is in
/// that wallet. The next order asks for it.
#[test]
fn an_isolated_sell_above_the_mark_may_take_more_than_was_held_back() {
    let mut bench = Bench::trading(&[(ALICE, 96_600), (BOB, 9_000_000)]);
    let (account, symbol, mode) = (AccountId(ALICE), SymbolId(1), MarginMode::Isolated);
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 95, 20)));
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 110, 10)));
    let sell = Place { time_in_force: TimeInForce::Ioc, ..limit(ALICE, Side::Sell, 110, 10) };
    bench.ok(&Command::Place(sell));
    let order = limit(ALICE, Side::Buy, 95, 1);
    assert_eq!(lacks(&mut bench, order), (Reject::NeedMargin, 4_798 + 4_900));
}
