//! What a symbol's states mean, by example. How one ends is in `settling.rs`.
//!
//! | | trading | reduce-only | cancel-only | halted | settling |
//! |---|---|---|---|---|---|
//! | orders, amends, conditional orders | all | what only reduces | none | none | none |
//! | cancels | yes | yes | yes | no | yes |
//! | a condition that comes true | fires | fires | waits | waits | is ended |
//! | a countdown begins, or ends sooner | yes | yes | yes | no | yes |
//! | a countdown is put off or called off, or ends | yes | yes | yes | yes | yes |
//! | a dated order ends at its date | yes | yes | yes | yes | yes |
//! | funding | paid | paid | not paid | not paid | not paid |
//! | the book moves the mark | yes | yes | no | no | no |
//! | leverage, margin, an account's fees | yes | yes | yes | yes | yes |
//!
//! A symbol whose index stays away is as one that is reduce-only until it comes back.

use protocol::{
    AccountId, Command, Event, Name, OrderId, Reject, SymbolId,
    command::{
        Amend, Cancel, CancelAlgo, CancelAll, Countdown, MoveMargin, Place, PlaceAlgo, SetFees,
        SetLeverage, SetMarginMode, SetSymbolState, Settle, Tick,
    },
    event::Funding,
    order::{
        AlgoStatus, CloseReason, MarginMode, OrderStatus, PositionSide, Side, SymbolState,
        WorkingType,
    },
};

use crate::{
    bench::{Bench, WORK_PER_TURN, index, outcome},
    trading::{amend, closed, limit},
    triggers::{changes, stop, tick},
};

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;

pub fn state(state: SymbolState) -> Command {
    Command::SetSymbolState(SetSymbolState { symbol: SymbolId(1), state, _pad: [0; 5] })
}

pub fn settle(price: i64) -> Command {
    Command::Settle(Settle { symbol: SymbolId(1), _pad: [0; 6], price })
}

fn rich() -> Bench {
    Bench::trading(&[(1, 9_000_000), (2, 9_000_000), (3, 9_000_000)])
}

/// A trade between a seller and a buyer that leaves no order behind.
pub fn trade(bench: &mut Bench, seller: u32, buyer: u32, price: i64, qty: i64) -> Vec<Event> {
    bench.ok(&Command::Place(limit(seller, Side::Sell, price, qty)));
    bench.ok(&Command::Place(limit(buyer, Side::Buy, price, qty)))
}

fn cancel(account: u32, order: u64) -> Command {
    Command::Cancel(Cancel {
        account: AccountId(account),
        symbol: SymbolId(1),
        _pad: [0; 2],
        order: OrderId(order),
        client_id: Name::EMPTY,
        _pad2: [0; 4],
    })
}

fn countdown(after: u64) -> Command {
    let (account, symbol) = (AccountId(1), SymbolId(1));
    Command::Countdown(Countdown { account, symbol, _pad: [0; 2], after })
}

/// One of everything that a trader can say, on a symbol where account 1 is long 10 in isolated
/// margin and has order 3, which opens, order 4, which reduces, and a stop.
fn said() -> Vec<(&'static str, Command)> {
    let (account, symbol) = (AccountId(1), SymbolId(1));
    let opens = limit(1, Side::Buy, 97, 10);
    let reduces = Place { reduce_only: true, ..limit(1, Side::Sell, 106, 10) };
    let condition = stop(1, Side::Buy, 109, 10);
    let closes = PlaceAlgo { reduce_only: true, ..stop(1, Side::Sell, 91, 10) };
    let all = CancelAll { account, symbol, _pad: [0; 2] };
    vec![
        ("place", Command::Place(opens)),
        ("test", Command::TestPlace(opens)),
        ("place what reduces", Command::Place(reduces)),
        ("amend", Command::Amend(amend(1, Side::Buy, 3, 98, 10))),
        (
            "amend what reduces",
            Command::Amend(Amend { reduce_only: true, ..amend(1, Side::Sell, 4, 104, 10) }),
        ),
        ("a condition", Command::PlaceAlgo(condition)),
        ("a condition that reduces", Command::PlaceAlgo(closes)),
        ("cancel", cancel(1, 3)),
        ("cancel all", Command::CancelAll(all)),
        (
            "cancel a condition",
            Command::CancelAlgo(CancelAlgo {
                account,
                symbol,
                _pad: [0; 2],
                algo: protocol::AlgoId::new(symbol, 1),
                client_id: Name::EMPTY,
                _pad2: [0; 4],
            }),
        ),
        ("cancel all conditions", Command::CancelAllAlgos(all)),
        ("a countdown", countdown(5)),
        ("leverage", Command::SetLeverage(SetLeverage { account, symbol, leverage: 30, _pad: 0 })),
        (
            "margin",
            Command::MoveMargin(MoveMargin {
                account,
                symbol,
                position_side: PositionSide::Both,
                _pad: 0,
                amount: 1_000,
            }),
        ),
        ("fees", Command::SetFees(SetFees { account, symbol, _pad: [0; 2], maker: 1, taker: 2 })),
    ]
}

/// Which of these a state refuses.
fn refused_in(to: SymbolState) -> Vec<&'static str> {
    let refuses = |(_, command): &(&str, Command)| {
        // no pending work, so that what settles stays as it is
        let grants = [(1, 9_000_000), (2, 9_000_000)];
        let mut bench = Bench::trading_with_work(&grants, 0);
        let (account, symbol, mode) = (AccountId(1), SymbolId(1), MarginMode::Isolated);
        bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
        trade(&mut bench, 2, 1, 100, 10);
        bench.ok(&Command::Place(limit(1, Side::Buy, 96, 10)));
        bench.ok(&Command::Place(Place { reduce_only: true, ..limit(1, Side::Sell, 105, 10) }));
        bench.ok(&Command::PlaceAlgo(stop(1, Side::Buy, 110, 10)));
        match to {
            SymbolState::Settling => bench.ok(&settle(0)),
            to => bench.ok(&state(to)),
        };
        match outcome(&bench.send(command)).reject {
            Reject::None => false,
            Reject::SymbolNotTrading => true,
            other => panic!("{command:?} in {to:?}: {other:?}"),
        }
    };
    said().iter().filter(|each| refuses(each)).map(|(name, _)| *name).collect()
}

#[test]
fn each_state_takes_its_own() {
    let opening = ["place", "test", "amend", "a condition"];
    let orders = [
        "place",
        "test",
        "place what reduces",
        "amend",
        "amend what reduces",
        "a condition",
        "a condition that reduces",
    ];
    let cancels =
        ["cancel", "cancel all", "cancel a condition", "cancel all conditions", "a countdown"];
    assert_eq!(refused_in(SymbolState::Trading), [""; 0]);
    assert_eq!(refused_in(SymbolState::ReduceOnly), opening);
    assert_eq!(refused_in(SymbolState::CancelOnly), orders);
    assert_eq!(refused_in(SymbolState::Settling), orders);
    assert_eq!(refused_in(SymbolState::Halted), [&orders[..], &cancels[..]].concat());
}

#[test]
fn what_rests_stays_and_trades_again() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(2, Side::Sell, 100, 10)));
    let told = bench.ok(&state(SymbolState::Halted));
    assert_eq!(told.len(), 2, "the state and no more: {told:?}");
    bench.refused(&Command::Place(limit(1, Side::Buy, 100, 10)), Reject::SymbolNotTrading);
    bench.ok(&state(SymbolState::Trading));
    let events = bench.ok(&Command::Place(limit(1, Side::Buy, 100, 10)));
    assert!(events.iter().any(|event| matches!(event, Event::Trade(_))));
}

/// In a reduce-only market whoever reduces meets orders that open: these came before.
#[test]
fn reduce_only_orders_meet_those_that_rest() {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 100, 10);
    bench.ok(&Command::Place(limit(3, Side::Buy, 99, 10)));
    bench.ok(&state(SymbolState::ReduceOnly));
    let sell = Place { reduce_only: true, ..limit(1, Side::Sell, 99, 10) };
    let events = bench.ok(&Command::Place(sell));
    assert!(events.iter().any(|event| matches!(event, Event::Trade(_))));
}

/// Of stops that come true at once a frame fires so many; six are still to fire when the next command
/// halts the symbol.
#[test]
fn what_has_come_true_waits_for_trading() {
    let mut bench = rich();
    trade(&mut bench, 2, 3, 100, 20);
    let (most, all) = (WORK_PER_TURN as u64, WORK_PER_TURN as u64 + 6);
    for _ in 0..all {
        let algo = PlaceAlgo { working_type: WorkingType::Mark, ..stop(1, Side::Buy, 103, 1) };
        bench.ok(&Command::PlaceAlgo(PlaceAlgo { qty: 10, ..algo }));
    }
    bench.ok(&index(1, 103));
    let halting = bench.ok(&state(SymbolState::Halted));
    let fired = |events: &[Event]| {
        let fired = changes(events).into_iter().filter(|(_, now)| *now == AlgoStatus::Triggered);
        fired.map(|(count, _)| count).collect::<Vec<_>>()
    };
    assert_eq!(fired(&halting), (1..=most).collect::<Vec<_>>());
    // whatever the mark does
    for mark in [101, 103] {
        bench.ok(&index(1, mark));
        assert_eq!(changes(&tick(&mut bench)), []);
    }
    assert_eq!(bench.wake_at(), None, "nothing is due");
    bench.ok(&index(1, 100));
    bench.ok(&state(SymbolState::Trading));
    // at the next price, which may be any: that it had come true is enough
    bench.ok(&index(1, 100));
    assert_eq!(fired(&tick(&mut bench)), (most + 1..=all).collect::<Vec<_>>());
}

/// A trail that has come back waits too, and a condition that opens finds no way in where only
/// reducing is allowed.
#[test]
fn in_a_reduce_only_market_conditions_that_open_are_refused() {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 100, 20);
    let by_mark = |algo| PlaceAlgo { working_type: WorkingType::Mark, ..algo };
    bench.ok(&Command::PlaceAlgo(by_mark(stop(3, Side::Sell, 98, 10))));
    let closes = PlaceAlgo { reduce_only: true, ..stop(1, Side::Sell, 98, 10) };
    bench.ok(&Command::PlaceAlgo(by_mark(closes)));
    bench.ok(&state(SymbolState::ReduceOnly));
    bench.ok(&index(1, 98));
    let became = changes(&tick(&mut bench));
    assert_eq!(became[..2], [(1, AlgoStatus::Rejected), (2, AlgoStatus::Triggered)]);
}

/// A halt keeps everybody where he is, so a countdown can't be begun to get out of it; one that
/// runs is still answered for, and is kept to.
#[test]
fn a_countdown_in_a_halt_can_only_be_put_off() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(1, Side::Buy, 97, 10)));
    bench.ok(&state(SymbolState::Halted));
    bench.refused(&countdown(50), Reject::SymbolNotTrading);
    bench.ok(&state(SymbolState::Trading));
    bench.ok(&countdown(50));
    bench.ok(&state(SymbolState::Halted));
    bench.refused(&countdown(5), Reject::SymbolNotTrading);
    bench.ok(&countdown(60));
    bench.ts += 60;
    let gone = (1, OrderStatus::Canceled, CloseReason::Canceled);
    assert_eq!(closed(&tick(&mut bench)), [gone]);
    bench.ok(&countdown(0));
}

fn fundings(events: &[Event]) -> Vec<Funding> {
    let funding = |event: &Event| match event {
        Event::Funding(funding) => Some(*funding),
        _ => None,
    };
    events.iter().filter_map(funding).collect()
}

/// The rate of the funding of an hour that ends in a state, six seconds after it began.
fn rate_in(to: SymbolState) -> i64 {
    let mut bench = Bench::funded(&[(1, 1 << 45), (2, 1 << 45)]);
    trade(&mut bench, 2, 1, 1_000, 3);
    for _ in 0..6 {
        bench.ts += SECOND;
        bench.ok(&index(1, 1_000));
        tick(&mut bench);
    }
    bench.ok(&state(to));
    bench.ts += HOUR - bench.ts % HOUR - 100;
    bench.ok(&index(1, 1_000));
    bench.ts += 100;
    let [funding] = fundings(&tick(&mut bench))[..] else { panic!("an hour has ended") };
    assert_eq!(funding.time, bench.ts - bench.ts % HOUR);
    funding.rate
}

/// The hour passes, and it is told, but at a rate of 0.
#[test]
fn nobody_pays_for_a_position_that_can_not_be_left() {
    assert_eq!(rate_in(SymbolState::Trading), 1_250);
    assert_eq!(rate_in(SymbolState::ReduceOnly), 1_250);
    assert_eq!(rate_in(SymbolState::CancelOnly), 0);
    assert_eq!(rate_in(SymbolState::Halted), 0);
}

/// The mark after half a minute with the book's middle 3 above an index of 100, where it was
/// traded too.
fn mark_in(to: SymbolState) -> i64 {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 103, 10);
    bench.ok(&Command::Place(limit(1, Side::Buy, 102, 10)));
    bench.ok(&Command::Place(limit(2, Side::Sell, 104, 10)));
    for _ in 0..30 {
        bench.ts += SECOND;
        bench.ok(&index(1, 100));
        tick(&mut bench);
    }
    bench.ok(&state(to));
    let mut mark = 0;
    for _ in 0..31 {
        bench.ts += SECOND;
        let events = [bench.ok(&index(1, 100)), bench.raw(&Command::Tick(Tick { _reserved: 0 }))];
        for event in events.concat() {
            if let Event::Mark(moved) = event {
                mark = moved.mark;
            }
        }
    }
    mark
}

#[test]
fn a_book_that_nobody_trades_with_is_not_the_mark() {
    assert_eq!(mark_in(SymbolState::Trading), 103);
    assert_eq!(mark_in(SymbolState::Halted), 100);
    assert_eq!(mark_in(SymbolState::CancelOnly), 100);
}

/// Nobody comes into settling but by its command, and out of it but by its end.
#[test]
fn a_state_that_can_not_be_said_changes_nothing() {
    let mut bench = Bench::trading_with_work(&[(1, 9_000_000), (2, 9_000_000)], 0);
    trade(&mut bench, 2, 1, 100, 10);
    bench.refused(&state(SymbolState::Settling), Reject::StateInvalid);
    bench.ok(&settle(0));
    bench.refused(&settle(0), Reject::StateInvalid);
    bench.refused(&state(SymbolState::Trading), Reject::StateInvalid);
}
