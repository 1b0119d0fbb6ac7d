//! One command's work is bounded, and what the bounds cut off is told.

use protocol::{
    AccountId, Command, Envelope, Event, Name, Reject, SymbolId,
    command::{CancelAll, Place, PlaceAlgo, Recall},
    instrument::{Brackets, SymbolSpec},
    limits::{COMMAND_BYTES_MAX, EVENTS_PER_COMMAND_MAX, FILLS_MAX, OPEN_ORDERS_MAX},
    order::{CloseReason, OrderStatus, Side, TimeInForce, WorkingType},
};

use crate::{
    bench::{Bench, brackets, index, outcome, spec},
    trading::limit,
    triggers::stop,
    twin::Twin,
};

const MAKERS: u32 = 8;

/// A book with more makers than one command may meet.
fn deep() -> Bench {
    let grants: Vec<_> = (1..=MAKERS + 1).map(|account| (account, 1 << 40)).collect();
    let mut bench = Bench::trading(&grants);
    for account in 1..=MAKERS {
        for n in 0..OPEN_ORDERS_MAX {
            let price = 95 + i64::from(n % 10);
            bench.ok(&Command::Place(limit(account, Side::Sell, price, 1)));
        }
    }
    bench
}

/// Sends to the bench and to a twin of it; both must say the same.
fn same(bench: &mut Bench, command: &Command) -> Vec<Event> {
    let mut twin = Twin::new();
    for (header, payload) in &bench.log {
        twin.apply(header, payload);
    }
    let said = bench.send(command);
    let (header, payload) = bench.log.last().unwrap();
    assert_eq!(said, twin.apply(header, payload));
    assert!(said.len() <= EVENTS_PER_COMMAND_MAX);
    said
}

#[test]
fn an_account_has_a_bounded_number_of_open_orders() {
    let mut bench = deep();
    let order = limit(1, Side::Sell, 110, 1);
    bench.refused(&Command::Place(order), Reject::TooManyOpenOrders);
    let elsewhere = Place { symbol: SymbolId(2), ..order };
    bench.ok(&Command::Place(Place { qty: 20, ..elsewhere }));
}

/// However many orders an urgent recall finds, it closes what one frame may tell of; the next one
/// goes on.
#[test]
fn an_urgent_recall_is_bounded() {
    const SYMBOLS: u16 = 30;
    let mut bench = Bench::trading(&[(1, 1 << 40)]);
    let mut say = |command: &Command, link_seq: u64| {
        let envelope = if link_seq == 0 { bench.envelope(0, false) } else { Envelope::default() };
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut payload);
        let events = bench.apply_bytes(command.kind() as u16, &payload[..len]).events();
        bench.sessions[0].1 += u64::from(link_seq == 0);
        assert_eq!(outcome(&events).reject, Reject::None, "{command:?}");
        events
    };
    for symbol in 3..3 + SYMBOLS {
        let symbol_id = SymbolId(symbol);
        let name = Name::new(&format!("N{symbol}USDT")).unwrap();
        say(&Command::ListSymbol(SymbolSpec { symbol: symbol_id, name, ..spec(1) }), 0);
        say(&Command::SetBrackets(Brackets { symbol: symbol_id, ..brackets(1) }), 0);
        say(&index(symbol, 100), 0);
        for n in 0..OPEN_ORDERS_MAX {
            let price = 86 + i64::from(n % 14);
            let order = Place { symbol: symbol_id, ..limit(1, Side::Buy, price, 1) };
            say(&Command::Place(order), 0);
        }
    }
    let mut left = usize::from(SYMBOLS) * OPEN_ORDERS_MAX as usize;
    for link_seq in 2..=3 {
        let (account, _pad) = (AccountId(1), [0; 3]);
        let recall = Recall { link_seq, account, urgent: true, _pad, amount: 5, lend: 9 };
        let events = say(&Command::Recall(recall), link_seq);
        assert!(events.len() <= EVENTS_PER_COMMAND_MAX);
        left -= events.iter().filter(|event| matches!(event, Event::OrderClosed(_))).count();
        assert_eq!(left == 0, link_seq == 3, "{left} are left");
        assert!(events.iter().any(|event| matches!(event, Event::ReturnIssued(_))));
    }
}

#[test]
fn fills_are_bounded() {
    let mut update = spec(1);
    update.qty_max = 10_000;
    let mut bench = deep();
    bench.ok(&Command::ListSymbol(update));
    let big = limit(MAKERS + 1, Side::Buy, 115, i64::from(FILLS_MAX) + 1);
    let fok = Place { time_in_force: TimeInForce::Fok, ..big };
    let mut rows = crate::bench::brackets(1);
    rows.rows[2].cap = 1 << 50;
    bench.ok(&Command::SetBrackets(rows));
    bench.refused(&Command::Place(fok), Reject::WouldNotFill);
    let events = same(&mut bench, &Command::Place(big));
    let trades = events.iter().filter(|event| matches!(event, Event::Trade(_))).count();
    assert_eq!(trades, FILLS_MAX as usize);
    let closed = events.iter().find_map(|event| match event {
        Event::OrderClosed(closed) => Some((closed.status, closed.reason, closed.cum_qty)),
        _ => None,
    });
    let told = (OrderStatus::Canceled, CloseReason::FillsMax, i64::from(FILLS_MAX));
    assert_eq!(closed, Some(told));
    // what one command may fill at once, it fills
    let rest = i64::from(MAKERS * OPEN_ORDERS_MAX - FILLS_MAX);
    let events = same(&mut bench, &Command::Place(Place { qty: rest, ..fok }));
    assert_eq!(outcome(&events).reject, Reject::None);
}

/// Traders whose closing sells rest, and the lots of each.
const REDUCERS: u32 = 45;
const REDUCED: i64 = 190;

/// A book in which every fill clips hundreds of reduce-only orders.
fn clipping() -> Bench {
    let (makers, lots) = (REDUCERS, REDUCED);
    let grants: Vec<_> = (1..=makers + 1).map(|account| (account, 1 << 40)).collect();
    let mut bench = Bench::trading(&grants);
    let mut rows = crate::bench::brackets(1);
    rows.rows[2].cap = 1 << 50;
    bench.ok(&Command::SetBrackets(rows));
    for account in 1..=makers {
        bench.ok(&Command::Place(limit(makers + 1, Side::Sell, 100, lots)));
        bench.ok(&Command::Place(limit(account, Side::Buy, 100, lots)));
        for n in 0..lots {
            let price = 101 + n % 10;
            let reduce = Place { reduce_only: true, ..limit(account, Side::Sell, price, 1) };
            bench.ok(&Command::Place(reduce));
        }
    }
    for account in 1..=makers {
        bench.ok(&Command::Place(limit(account, Side::Sell, 99, lots)));
    }
    let mut update = spec(1);
    (update.qty_max, update.market_qty_max) = (10_000, 10_000);
    bench.ok(&Command::ListSymbol(update));
    bench
}

/// The events run out before the fills do.
#[test]
fn events_are_bounded() {
    let (makers, lots) = (REDUCERS, REDUCED);
    let mut bench = clipping();
    let big = limit(makers + 1, Side::Buy, 99, i64::from(makers) * lots);
    let fok = Place { time_in_force: TimeInForce::Fok, ..big };
    bench.refused(&Command::Place(fok), Reject::WouldNotFill);
    let events = same(&mut bench, &Command::Place(big));
    let cut = events.iter().any(|event| {
        matches!(event, Event::OrderClosed(closed) if closed.reason == CloseReason::FillsMax)
    });
    assert!(cut && events.len() > EVENTS_PER_COMMAND_MAX / 2, "{} events", events.len());
}

/// A conditional order that fires is cut sooner, so that the frame's command has its events too.
#[test]
fn the_events_of_a_fired_order_are_bounded() {
    let mut bench = clipping();
    let qty = i64::from(REDUCERS) * REDUCED;
    let working_type = WorkingType::Mark;
    let stop = PlaceAlgo { working_type, ..stop(REDUCERS + 1, Side::Buy, 101, qty) };
    bench.ok(&Command::PlaceAlgo(stop));
    bench.ok(&index(1, 101));
    let nothing = CancelAll { account: AccountId(77), symbol: SymbolId(1), _pad: [0; 2] };
    let events = same(&mut bench, &Command::CancelAll(nothing));
    let cut = events.iter().any(|event| {
        matches!(event, Event::OrderClosed(closed) if closed.reason == CloseReason::FillsMax)
    });
    let bounded = (1_000..EVENTS_PER_COMMAND_MAX / 2).contains(&events.len());
    assert!(cut && bounded, "{} events", events.len());
}
