//! Isolated margin by example: a position that risks what is set aside for it, and no more of the
//! account.

use protocol::{
    AccountId, Command, Event, Reject, SymbolId,
    command::{MoveMargin, Place, SetLeverage, SetMarginMode},
    event::{Fill, MarginMoved},
    order::{MarginMode, PositionSide, Side},
};

use crate::{
    bench::{Bench, index, outcome},
    trading::limit,
};

const ALICE: u32 = 1;
const BOB: u32 = 2;

/// One lot at one tick is worth 1,000; at the mark of 100 and a leverage of 20 a lot needs 5,000.
fn alice_is_isolated(cash: i64) -> Bench {
    let mut bench = Bench::trading(&[(ALICE, cash), (BOB, 9_000_000)]);
    bench.ok(&mode(MarginMode::Isolated));
    bench
}

fn mode(mode: MarginMode) -> Command {
    let (account, symbol) = (AccountId(ALICE), SymbolId(1));
    Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 })
}

fn leverage(leverage: u8) -> Command {
    let (account, symbol) = (AccountId(ALICE), SymbolId(1));
    Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
}

fn margin(amount: i64) -> Command {
    let (account, symbol) = (AccountId(ALICE), SymbolId(1));
    let (position_side, _pad) = (PositionSide::Both, 0);
    Command::MoveMargin(MoveMargin { account, symbol, position_side, _pad, amount })
}

/// Bob offers the other side; alice's fill.
fn trade(bench: &mut Bench, side: Side, price: i64, qty: i64) -> Fill {
    bench.ok(&Command::Place(limit(BOB, side.opposite(), price, qty)));
    let events = bench.ok(&Command::Place(limit(ALICE, side, price, qty)));
    let fill = events.iter().find_map(|event| match event {
        Event::Trade(trade) => Some(trade.taker),
        _ => None,
    });
    fill.expect("bob is there")
}

fn moved(events: &[Event]) -> MarginMoved {
    match events {
        [Event::MarginMoved(moved), Event::Outcome(_)] => *moved,
        other => panic!("one move of margin, not {other:?}"),
    }
}

/// What an order of so many lots at the mark lacks, in units of cash.
fn lacking(bench: &mut Bench, lots: i64) -> i64 {
    let order = limit(ALICE, Side::Buy, 100, lots);
    let outcome = outcome(&bench.send(&Command::TestPlace(Place { ..order })));
    assert!(matches!(outcome.reject, Reject::NeedMargin | Reject::None), "{outcome:?}");
    outcome.amount
}

#[test]
fn the_mode_changes_while_nothing_is_open() {
    let mut bench = Bench::trading(&[(ALICE, 900_000), (BOB, 900_000)]);
    bench.refused(&mode(MarginMode::Cross), Reject::MarginModeUnchanged);
    bench.ok(&mode(MarginMode::Isolated));
    bench.refused(&mode(MarginMode::Isolated), Reject::MarginModeUnchanged);
    let order = outcome(&bench.ok(&Command::Place(limit(ALICE, Side::Buy, 90, 1)))).order;
    bench.refused(&mode(MarginMode::Cross), Reject::OrdersOpen);
    let (account, symbol, client_id) = (AccountId(ALICE), SymbolId(1), protocol::Name::EMPTY);
    let (_pad, _pad2) = ([0; 2], [0; 4]);
    let cancel = protocol::command::Cancel { account, symbol, _pad, order, client_id, _pad2 };
    bench.ok(&Command::Cancel(cancel));
    trade(&mut bench, Side::Buy, 100, 1);
    bench.refused(&mode(MarginMode::Cross), Reject::PositionOpen);
    trade(&mut bench, Side::Sell, 100, 1);
    let events = bench.ok(&mode(MarginMode::Cross));
    let Event::SettingsChanged(set) = events[0] else { panic!("{events:?}") };
    assert_eq!((set.margin_mode, set.leverage), (MarginMode::Cross, 0));
}

#[test]
fn a_fill_sets_its_margin_aside() {
    let mut bench = alice_is_isolated(100_000);
    let bought = trade(&mut bench, Side::Buy, 100, 2);
    // the fee is 100; the cash is still hers, 10,000 of it back the position
    assert_eq!((bought.cash, bought.isolated_wallet), (99_900, 10_000));
    let bought = trade(&mut bench, Side::Buy, 101, 1);
    assert_eq!((bought.position, bought.isolated_wallet), (3, 15_050));
    // a third goes, a third of the wallet with it; what she gains is cross
    let sold = trade(&mut bench, Side::Sell, 102, 1);
    assert_eq!((sold.pnl, sold.position, sold.isolated_wallet), (1_666, 2, 10_034));
    // a flip gives all of it back and sets the new position's margin aside
    let sold = trade(&mut bench, Side::Sell, 100, 3);
    assert_eq!((sold.position, sold.isolated_wallet), (-1, 5_000));
    let flat = trade(&mut bench, Side::Buy, 100, 1);
    assert_eq!((flat.position, flat.isolated_wallet), (0, 0));
}

/// Alice has 20,000 and buys 2 for 10,000 of margin. What the position gains or loses is not there
/// for other orders, and nothing else of hers backs it.
#[test]
fn cross_money_does_not_feel_the_position() {
    let mut bench = alice_is_isolated(20_000);
    trade(&mut bench, Side::Buy, 100, 2);
    // 9,900 are left; 3 lots hold 15,000 and a fee of 150 back
    assert_eq!(lacking(&mut bench, 3), 5_250);
    bench.ok(&index(1, 97));
    // a buy at 100 would lose 3 at once, and the fee is the same
    assert_eq!(lacking(&mut bench, 3), 5_250 + 9_000);
    bench.ok(&index(1, 104));
    assert_eq!(lacking(&mut bench, 3), 5_250);
}

/// What closes needs no margin, a flip only that of what it opens.
#[test]
fn an_order_holds_back_what_it_opens() {
    let mut bench = alice_is_isolated(15_000);
    trade(&mut bench, Side::Buy, 100, 2);
    // 4,900 are left: not enough for one more lot and its fee
    assert_eq!(lacking(&mut bench, 1), 150);
    let sell = |lots| Command::Place(limit(ALICE, Side::Sell, 105, lots));
    // 210,000 against a position of 200,000: 500, and a fee of 105
    bench.ok(&sell(2));
    // 115,000 would open: 5,250 more and a fee of 53, where 4,295 are left
    let outcome = outcome(&bench.send(&sell(1)));
    assert_eq!((outcome.reject, outcome.amount), (Reject::NeedMargin, 1_008));
}

#[test]
fn margin_is_added_and_taken_out() {
    let mut bench = alice_is_isolated(100_000);
    bench.refused(&margin(1_000), Reject::NoPosition);
    trade(&mut bench, Side::Buy, 100, 2);
    bench.refused(&margin(0), Reject::AmountInvalid);
    let added = moved(&bench.ok(&margin(5_000)));
    assert_eq!((added.delta, added.isolated_wallet, added.cash), (5_000, 15_000, 99_900));
    bench.refused(&margin(-5_001), Reject::IsolatedInsufficient);
    let out = moved(&bench.ok(&margin(-1_000)));
    assert_eq!((out.isolated_wallet, out.cash), (14_000, 99_900));
    // a gain does not go out, a loss and a dearer mark stay in
    bench.ok(&index(1, 102));
    bench.refused(&margin(-14_000), Reject::IsolatedInsufficient);
    bench.ok(&index(1, 99));
    bench.refused(&margin(-2_101), Reject::IsolatedInsufficient);
    assert_eq!(moved(&bench.ok(&margin(-2_100))).isolated_wallet, 11_900);
}

/// 85,900 lie beside a wallet of 14,000: adding more asks the ledger first, and then is refused.
#[test]
fn only_what_is_available_is_added() {
    let mut bench = alice_is_isolated(100_000);
    trade(&mut bench, Side::Buy, 100, 2);
    let first = outcome(&bench.send(&margin(90_000)));
    assert_eq!((first.reject, first.amount), (Reject::NeedMargin, 100));
    let last = outcome(&bench.send_as(0, true, &margin(90_000)));
    assert_eq!(last.reject, Reject::CrossInsufficient);
    bench.ok(&margin(89_900));
    assert_eq!(lacking(&mut bench, 1), 5_050);
}

#[test]
fn cross_margin_can_not_be_moved() {
    let mut bench = Bench::trading(&[(ALICE, 900_000), (BOB, 900_000)]);
    trade(&mut bench, Side::Buy, 100, 2);
    bench.refused(&margin(1), Reject::NotIsolated);
}

#[test]
fn the_leverage_of_an_isolated_position_only_rises() {
    let mut bench = alice_is_isolated(100_000);
    bench.ok(&leverage(10));
    let bought = trade(&mut bench, Side::Buy, 100, 2);
    assert_eq!(bought.isolated_wallet, 20_000);
    bench.refused(&leverage(9), Reject::IsolatedLeverage);
    bench.ok(&leverage(20));
    // what is set aside stays until she takes it out
    assert_eq!(moved(&bench.ok(&margin(-10_000))).isolated_wallet, 10_000);
    trade(&mut bench, Side::Sell, 100, 2);
    bench.ok(&leverage(5));
}
