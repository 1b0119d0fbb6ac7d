//! Hedge mode by example: two legs a symbol, each with orders, margin and a wallet of its own.

use protocol::{
    AccountId, Command, Event, Name, Reject, SymbolId,
    command::{CancelAll, MoveMargin, Place, PlaceAlgo, SetLeverage, SetMarginMode},
    event::{Fill, Reserved},
    order::{
        AlgoStatus, AlgoType, MarginMode, ModeChange, PositionSide, PriceMatch,
        SelfTradePrevention, Side, TimeInForce, WorkingType,
    },
};

use crate::{
    bench::{Bench, outcome},
    trading::limit,
};

const ALICE: u32 = 1;
const BOB: u32 = 2;
const CAROL: u32 = 3;
const LONG: PositionSide = PositionSide::Long;
const SHORT: PositionSide = PositionSide::Short;

/// One lot at one tick is worth 1,000; at the mark of 100 and a leverage of 20 a lot needs 5,000.
fn alice_hedges(cash: i64) -> Bench {
    let mut bench = Bench::trading(&[(ALICE, cash), (BOB, 9_000_000)]);
    bench.set_mode(ALICE, ModeChange::Hedge);
    bench
}

fn order(side: Side, position_side: PositionSide, price: i64, qty: i64) -> Place {
    Place { position_side, ..limit(ALICE, side, price, qty) }
}

fn place(side: Side, position_side: PositionSide, price: i64, qty: i64) -> Command {
    Command::Place(order(side, position_side, price, qty))
}

/// Bob offers the other side; alice's fill.
fn trade(bench: &mut Bench, side: Side, leg: PositionSide, price: i64, qty: i64) -> Fill {
    bench.ok(&Command::Place(limit(BOB, side.opposite(), price, qty)));
    let events = bench.ok(&place(side, leg, price, qty));
    let fill = events.iter().find_map(|event| match event {
        Event::Trade(trade) => Some(trade.taker),
        _ => None,
    });
    fill.expect("bob is there")
}

fn reserved(events: &[Event]) -> Vec<Reserved> {
    let sums = |event: &Event| match event {
        Event::Reserved(sums) => Some(*sums),
        _ => None,
    };
    events.iter().filter_map(sums).collect()
}

#[test]
fn legs_stand_side_by_side() {
    let mut bench = alice_hedges(100_000);
    let long = trade(&mut bench, Side::Buy, LONG, 100, 2);
    assert_eq!((long.position_side, long.position, long.entry), (LONG, 2, 200_000));
    let short = trade(&mut bench, Side::Sell, SHORT, 101, 3);
    assert_eq!((short.position_side, short.position, short.entry), (SHORT, -3, -303_000));
    // each closes at its own price
    let long = trade(&mut bench, Side::Sell, LONG, 102, 2);
    assert_eq!((long.position, long.pnl, long.reduce_only), (0, 4_000, true));
    let short = trade(&mut bench, Side::Buy, SHORT, 102, 3);
    assert_eq!((short.position, short.pnl), (0, -3_000));
}

#[test]
fn orders_name_a_leg_where_there_are_two() {
    let mut bench = alice_hedges(100_000);
    let both = place(Side::Buy, PositionSide::Both, 100, 1);
    bench.refused(&both, Reject::PositionSideMismatch);
    let of_bob = Place { account: AccountId(BOB), ..order(Side::Buy, LONG, 100, 1) };
    bench.refused(&Command::Place(of_bob), Reject::PositionSideMismatch);
    let opens = Place { reduce_only: true, ..order(Side::Buy, LONG, 100, 1) };
    bench.refused(&Command::Place(opens), Reject::InvalidCombination);
    // there is nothing to close
    bench.refused(&place(Side::Sell, LONG, 100, 1), Reject::ReduceOnly);
    bench.refused(&place(Side::Buy, SHORT, 100, 1), Reject::ReduceOnly);
}

/// What closes a leg holds nothing back, needs no margin and never turns the leg around.
#[test]
fn closing_orders_only_reduce() {
    let mut bench = alice_hedges(11_000);
    trade(&mut bench, Side::Buy, LONG, 100, 2);
    // 900 are left, too little for any margin
    let events = bench.ok(&place(Side::Sell, LONG, 104, 2));
    assert_eq!(reserved(&events), []);
    let events = bench.ok(&place(Side::Sell, LONG, 105, 9));
    // nine were asked for, two can be closed, and the nearer order closes them already
    assert!(events.iter().any(|event| matches!(event, Event::OrderClosed(_))), "{events:?}");
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 104, 1)));
    let left = trade(&mut bench, Side::Sell, LONG, 100, 1);
    assert_eq!(left.position, 0);
}

/// Two long and two short need margin each: no leg answers for the other.
#[test]
fn each_leg_has_its_own_margin() {
    let mut bench = alice_hedges(30_000);
    trade(&mut bench, Side::Buy, LONG, 100, 2);
    trade(&mut bench, Side::Sell, SHORT, 100, 2);
    // fees of 200 and two times 10,000: one more lot needs 5,050 of 9,800
    bench.ok(&place(Side::Buy, LONG, 100, 1));
    let events = bench.send(&place(Side::Sell, SHORT, 101, 1));
    // 5,050 for its value, a fee of 51
    let outcome = outcome(&events);
    assert_eq!((outcome.reject, outcome.amount), (Reject::NeedMargin, 351));
}

#[test]
fn what_is_chosen_holds_for_both_legs() {
    let mut bench = alice_hedges(100_000);
    let (account, symbol) = (AccountId(ALICE), SymbolId(1));
    bench.ok(&Command::SetLeverage(SetLeverage { account, symbol, leverage: 10, _pad: 0 }));
    let mode = MarginMode::Isolated;
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
    assert_eq!(trade(&mut bench, Side::Buy, LONG, 100, 2).isolated_wallet, 20_000);
    assert_eq!(trade(&mut bench, Side::Sell, SHORT, 100, 1).isolated_wallet, 10_000);
    let lower = SetLeverage { account, symbol, leverage: 5, _pad: 0 };
    bench.refused(&Command::SetLeverage(lower), Reject::IsolatedLeverage);
    // margin goes to one leg
    let margin = MoveMargin { account, symbol, position_side: SHORT, _pad: 0, amount: 500 };
    let events = bench.ok(&Command::MoveMargin(margin));
    let Event::MarginMoved(moved) = events[0] else { panic!("{events:?}") };
    assert_eq!((moved.position_side, moved.isolated_wallet), (SHORT, 10_500));
    let both = MoveMargin { position_side: PositionSide::Both, ..margin };
    bench.refused(&Command::MoveMargin(both), Reject::NoPosition);
}

fn stop(side: Side, position_side: PositionSide, trigger_price: i64) -> PlaceAlgo {
    PlaceAlgo {
        account: AccountId(ALICE),
        symbol: SymbolId(1),
        side,
        algo_type: AlgoType::StopMarket,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side,
        working_type: WorkingType::Contract,
        reduce_only: false,
        close_position: true,
        price_protect: false,
        price: 0,
        qty: 0,
        trigger_price,
        activate_price: 0,
        callback: 0,
        good_till: 0,
        client_id: Name::EMPTY,
        _pad: [0; 4],
    }
}

fn algo_ends(events: &[Event]) -> Vec<(u64, AlgoStatus)> {
    let ends = |event: &Event| match event {
        Event::AlgoChanged(change) => Some((change.algo.count(), change.status)),
        _ => None,
    };
    events.iter().filter_map(ends).collect()
}

/// A stop closes its leg and leaves the other alone; with a leg goes what was to close it.
#[test]
fn stops_close_their_leg() {
    let mut bench = alice_hedges(100_000);
    trade(&mut bench, Side::Buy, LONG, 100, 2);
    trade(&mut bench, Side::Sell, SHORT, 100, 3);
    let wrong = stop(Side::Buy, LONG, 103);
    bench.refused(&Command::PlaceAlgo(wrong), Reject::InvalidCombination);
    bench.ok(&Command::PlaceAlgo(stop(Side::Sell, LONG, 98)));
    bench.ok(&Command::PlaceAlgo(stop(Side::Buy, SHORT, 102)));
    bench.grant(CAROL, 900_000);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 98, 9)));
    bench.ok(&Command::Place(limit(CAROL, Side::Sell, 98, 1)));
    let events = bench.ok(&Command::Place(limit(CAROL, Side::Sell, 102, 1)));
    let fills: Vec<_> = events.iter().filter_map(of_alice).collect();
    assert_eq!(fills, [(LONG, 0)]);
    assert_eq!(algo_ends(&events), [(1, AlgoStatus::Triggered), (1, AlgoStatus::Finished)]);
    // she closes the short herself: its stop has nothing left to close
    trade(&mut bench, Side::Buy, SHORT, 100, 3);
    let all = CancelAll { account: AccountId(ALICE), symbol: SymbolId(1), _pad: [0; 2] };
    let events = bench.ok(&Command::CancelAllAlgos(all));
    assert_eq!(algo_ends(&events), [(2, AlgoStatus::Expired)]);
}

fn of_alice(event: &Event) -> Option<(PositionSide, i64)> {
    let Event::Trade(trade) = event else { return None };
    let mut fills = [trade.taker, trade.maker].into_iter();
    let own = fills.find(|fill| fill.account == AccountId(ALICE));
    own.map(|fill| (fill.position_side, fill.position))
}
