//! Orders that are good till a date, by example: no trade after it, and none left behind.

use protocol::{
    AccountId, Command, Event, Name, OrderId, SymbolId,
    command::{Cancel, Place, SetSymbolState, Tick},
    order::{CloseReason, OrderStatus, Side, SymbolState, TimeInForce},
};

use crate::{
    bench::{Bench, index},
    trading::{amend, closed, limit, trades},
};

/// 11 minutes, in log time.
const AWHILE_US: u64 = 660_000_000;
const OVER: (OrderStatus, CloseReason) = (OrderStatus::Expired, CloseReason::GoodTillDate);

fn bench_with_work(most: usize) -> Bench {
    Bench::trading_with_work(&[(1, 9_000_000), (2, 9_000_000), (3, 9_000_000)], most)
}

fn dated(account: u32, side: Side, price: i64, qty: i64, good_till: u64) -> Command {
    let time_in_force = TimeInForce::Gtd;
    Command::Place(Place { time_in_force, good_till, ..limit(account, side, price, qty) })
}

fn tick(bench: &mut Bench) -> Vec<Event> {
    bench.raw(&Command::Tick(Tick { _reserved: 0 }))
}

fn ended(events: &[Event]) -> Vec<u64> {
    let of = |(order, status, reason)| {
        assert_eq!((status, reason), OVER);
        order
    };
    closed(events).into_iter().map(of).collect()
}

#[test]
fn an_order_ends_at_its_date_also_when_nobody_meets_it() {
    let mut bench = bench_with_work(64);
    let date = bench.ts + AWHILE_US;
    bench.ok(&dated(1, Side::Sell, 105, 5, date));
    assert_eq!(bench.wake_at(), Some(date), "that is when a tick is wanted");
    bench.ts = date - 2;
    assert_eq!(ended(&tick(&mut bench)), [], "a microsecond before it is not over");
    let events = tick(&mut bench);
    assert_eq!(ended(&events), [1]);
    let gone = |event: &Event| matches!(event, Event::Level(level) if level.qty == 0);
    let freed = |event: &Event| matches!(event, Event::Reserved(sums) if sums.sell == 0);
    assert!(events.iter().any(gone) && events.iter().any(freed), "{events:?}");
    assert_eq!(bench.wake_at(), None);
    assert_eq!(ended(&tick(&mut bench)), [], "once");
}

#[test]
fn orders_end_by_their_dates_then_symbols_then_ids_a_bounded_number_a_frame() {
    let mut bench = bench_with_work(2);
    let date = bench.ts + AWHILE_US;
    for (price, till) in [(105, date + 50), (104, date), (103, date + 50), (102, date), (101, date)]
    {
        bench.ok(&dated(1, Side::Sell, price, 5, till));
    }
    bench.ts = date + 1_000;
    assert_eq!(bench.wake_at(), Some(date), "it is due already");
    assert_eq!(ended(&tick(&mut bench)), [2, 4]);
    assert_eq!(ended(&tick(&mut bench)), [5, 1]);
    assert_eq!(bench.wake_at(), Some(date + 50));
    assert_eq!(ended(&tick(&mut bench)), [3]);
    assert_eq!((ended(&tick(&mut bench)), bench.wake_at()), (vec![], None));
}

/// Bounded work may be late, a trade never is.
#[test]
fn a_taker_that_comes_before_the_tidying_meets_nobody() {
    let mut bench = bench_with_work(0);
    let date = bench.ts + AWHILE_US;
    bench.ok(&dated(1, Side::Sell, 100, 2, date));
    bench.ok(&Command::Place(limit(3, Side::Sell, 100, 2)));
    bench.ts = date - 1;
    let events = bench.ok(&Command::Place(limit(2, Side::Buy, 100, 1)));
    assert_eq!((ended(&events), trades(&events)), (vec![1], vec![(100, 1)]));
    assert_eq!(bench.wake_at(), None, "nothing of it is left to do");
}

#[test]
fn what_has_ended_before_its_date_wakes_nobody() {
    let mut bench = bench_with_work(64);
    let date = bench.ts + AWHILE_US;
    let cancel = |order| {
        let (client_id, _pad, _pad2) = (Name::EMPTY, [0; 2], [0; 4]);
        let (account, symbol, order) = (AccountId(1), SymbolId(1), OrderId(order));
        Command::Cancel(Cancel { account, symbol, _pad, order, client_id, _pad2 })
    };
    for till in [date, date + 10, date + 20, date + 30] {
        bench.ok(&dated(1, Side::Sell, 101, 2, till));
    }
    bench.ok(&cancel(1));
    assert_eq!(bench.wake_at(), Some(date + 10));
    bench.ok(&Command::Place(limit(2, Side::Buy, 101, 2)));
    assert_eq!(bench.wake_at(), Some(date + 20), "the second was filled");
    // an amend keeps the date, in its place and in another
    bench.ok(&Command::Amend(amend(1, Side::Sell, 3, 101, 1)));
    bench.ok(&Command::Amend(amend(1, Side::Sell, 3, 103, 4)));
    assert_eq!(bench.wake_at(), Some(date + 20));
    bench.ts = date + 20;
    assert_eq!(ended(&tick(&mut bench)), [3]);
    bench.ok(&cancel(4));
    assert_eq!(bench.wake_at(), None);
    // a place in the book that is used again has no date of the one before
    bench.ok(&index(1, 100));
    bench.ok(&Command::Place(limit(1, Side::Sell, 101, 2)));
    bench.ts = date + 1_000;
    assert_eq!((ended(&tick(&mut bench)), bench.wake_at()), (vec![], None));
}

#[test]
fn dates_pass_on_a_halted_symbol_too() {
    let mut bench = bench_with_work(64);
    let date = bench.ts + AWHILE_US;
    bench.ok(&dated(1, Side::Sell, 101, 2, date));
    let (symbol, state) = (SymbolId(1), SymbolState::Halted);
    bench.ok(&Command::SetSymbolState(SetSymbolState { symbol, state, _pad: [0; 5] }));
    bench.ts = date;
    assert_eq!(ended(&tick(&mut bench)), [1]);
}
