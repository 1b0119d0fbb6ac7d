//! The end of a symbol, by example.

use protocol::{
    AccountId, Command, Event, Reject, SymbolId,
    command::{Place, PlaceAlgo, SetMarginMode},
    event::{FundingPaid, OrderAccepted, PositionSettled},
    limits::{ALGOS_MAX, OPEN_ORDERS_MAX},
    order::{
        AlgoStatus, CloseReason, MarginMode, OrderOrigin, OrderStatus, OrderType, PositionSide,
        Side, SymbolState, WorkingType,
    },
};

use crate::{
    bench::{Bench, brackets, index, spec},
    states::{settle, state, trade},
    trading::{closed, limit},
    triggers::{changes, stop, tick},
    twin::Twin,
};

/// What a symbol came to accept, and at which price it is settled.
fn states(events: &[Event]) -> Vec<(SymbolState, i64)> {
    let state = |event: &Event| match event {
        Event::SymbolStateChanged(change) => Some((change.state, change.settlement)),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

fn settled(events: &[Event]) -> Vec<PositionSettled> {
    let settled = |event: &Event| match event {
        Event::PositionSettled(settled) => Some(*settled),
        _ => None,
    };
    events.iter().filter_map(settled).collect()
}

/// Account, side and profit of each position that was closed.
fn profits(events: &[Event]) -> Vec<(u32, Side, i64)> {
    settled(events).iter().map(|each| (each.fill.account.0, each.side, each.fill.pnl)).collect()
}

/// Empty frames until nothing is due.
fn rest(bench: &mut Bench) -> Vec<Event> {
    let mut events = Vec::new();
    while bench.wake_at().is_some() {
        events.extend(tick(bench));
    }
    events
}

fn rich() -> Bench {
    Bench::trading(&[(1, 9_000_000), (2, 9_000_000), (3, 9_000_000)])
}

#[test]
fn orders_end_then_positions_then_the_symbol_is_halted() {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 100, 10);
    trade(&mut bench, 2, 3, 101, 4);
    bench.ok(&Command::Place(limit(1, Side::Buy, 97, 10)));
    bench.ok(&Command::Place(Place { reduce_only: true, ..limit(1, Side::Sell, 105, 10) }));
    bench.ok(&Command::PlaceAlgo(stop(2, Side::Buy, 110, 10)));
    bench.ok(&index(1, 102));
    let begun = bench.ok(&settle(0));
    assert_eq!(states(&begun), [(SymbolState::Settling, 102)]);
    // the mark may move on: the price stays
    let cleared = bench.ok(&index(1, 90));
    let delisted = |order| (order, OrderStatus::Expired, CloseReason::Delisted);
    assert_eq!(closed(&cleared), [delisted(5), delisted(6)]);
    assert_eq!(changes(&cleared), [(1, AlgoStatus::Expired)]);
    assert_eq!(profits(&cleared), []);
    let ended = tick(&mut bench);
    let buy_sell = [(1, Side::Sell, 20_000), (2, Side::Buy, -24_000), (3, Side::Sell, 4_000)];
    assert_eq!(profits(&ended), buy_sell);
    assert_eq!(states(&ended), [(SymbolState::Halted, 0)]);
    assert_eq!(rest(&mut bench), []);
}

/// A position is closed by an order of the shard's own, filled whole, without a fee.
#[test]
fn a_position_is_closed_by_an_order() {
    let mut bench = rich();
    let (account, symbol, mode) = (AccountId(1), SymbolId(1), MarginMode::Isolated);
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
    let traded = trade(&mut bench, 2, 1, 100, 10);
    let Some(Event::Trade(bought)) = traded.iter().find(|e| matches!(e, Event::Trade(_))) else {
        panic!("it trades")
    };
    assert!(bought.taker.isolated_wallet > 0);
    bench.ok(&settle(98));
    let events = rest(&mut bench);
    let order = events.iter().find_map(|event| match event {
        Event::OrderAccepted(order) if order.account == account => Some(*order),
        _ => None,
    });
    let OrderAccepted { order, side, order_type, reduce_only, origin, price, qty, .. } =
        order.unwrap();
    assert_eq!((order.0, side, order_type), (3, Side::Sell, OrderType::Market));
    assert_eq!((reduce_only, origin), (true, OrderOrigin::Settlement));
    assert_eq!((price, qty), (98, 10));
    let fill = settled(&events)[0].fill;
    assert_eq!(settled(&events)[0].trade.0, 2, "the symbol's second");
    assert_eq!((fill.order, fill.status, fill.cum_qty), (order, OrderStatus::Filled, 10));
    assert_eq!((fill.fee, fill.pnl), (0, -20_000));
    assert_eq!((fill.position, fill.entry, fill.isolated_wallet), (0, 0, 0));
    assert_eq!(fill.cash, bought.taker.cash - 20_000);
}

#[test]
fn both_legs_of_a_hedge_are_closed() {
    let mut bench = rich();
    bench.hedge(1 << 1);
    let leg = |position_side, order| Command::Place(Place { position_side, ..order });
    bench.ok(&Command::Place(limit(2, Side::Sell, 100, 10)));
    bench.ok(&leg(PositionSide::Long, limit(1, Side::Buy, 100, 10)));
    bench.ok(&Command::Place(limit(2, Side::Buy, 99, 4)));
    bench.ok(&leg(PositionSide::Short, limit(1, Side::Sell, 99, 4)));
    bench.ok(&settle(0));
    let told = settled(&rest(&mut bench));
    let legs: Vec<_> = told.iter().map(|each| (each.fill.position_side, each.qty)).collect();
    assert_eq!(legs, [(PositionSide::Long, 10), (PositionSide::Short, 4), (PositionSide::Both, 6)]);
    // the 4,000 that account 2 has made of it are realised already
    assert_eq!(told.iter().map(|each| each.fill.pnl).collect::<Vec<_>>(), [0, -4_000, 0]);
}

/// The price is given, or the mark's; it lies within the filters and the band around the mark.
#[test]
fn a_settlement_price_makes_sense() {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 100, 10);
    bench.refused(&settle(-1), Reject::PriceNotPositive);
    bench.refused(&settle(116), Reject::PriceAboveBand);
    bench.refused(&settle(84), Reject::PriceBelowBand);
    bench.refused(&settle(1_001), Reject::PriceTooHigh);
    bench.ok(&settle(115));
    assert_eq!(profits(&rest(&mut bench))[0], (1, Side::Sell, 150_000));
    let mut fresh = Bench::new(1);
    fresh.refused(&settle(100), Reject::UnknownSymbol);
    fresh.ok(&Command::ListSymbol(spec(1)));
    fresh.refused(&settle(100), Reject::NoMarkPrice);
}

/// When the index has stayed away for ten seconds, the mark says nothing of now: an operator has
/// to say a price.
#[test]
fn an_old_mark_is_no_settlement_price() {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 100, 10);
    bench.ts += 11_000_000;
    tick(&mut bench);
    bench.refused(&settle(0), Reject::NoMarkPrice);
    bench.ok(&settle(103));
    assert_eq!(profits(&rest(&mut bench))[0], (1, Side::Sell, 30_000));
}

#[test]
fn a_symbol_without_anything_open_ends_too() {
    let mut bench = rich();
    bench.ok(&state(SymbolState::Halted));
    bench.ok(&settle(0));
    assert_eq!(states(&rest(&mut bench)), [(SymbolState::Halted, 0)]);
}

/// It takes an operator's word to open it again; ids go on, and what accounts chose stays.
#[test]
fn a_symbol_that_has_ended_can_trade_again() {
    let mut bench = rich();
    trade(&mut bench, 2, 1, 100, 10);
    bench.ok(&settle(0));
    rest(&mut bench);
    bench.refused(&Command::Place(limit(1, Side::Buy, 100, 10)), Reject::SymbolNotTrading);
    // a listing changes terms, never the state
    bench.ok(&Command::ListSymbol(spec(1)));
    bench.refused(&Command::Place(limit(1, Side::Buy, 100, 10)), Reject::SymbolNotTrading);
    bench.ok(&state(SymbolState::Trading));
    let traded = trade(&mut bench, 2, 1, 100, 10);
    let ids = traded.iter().find_map(|event| match event {
        Event::Trade(trade) => Some((trade.trade.0, trade.taker.order.0, trade.taker.position)),
        _ => None,
    });
    assert_eq!(ids, Some((4, 6, 10)));
}

/// A loss is booked in full, also where the cash does not cover it.
#[test]
fn a_loss_is_not_cut() {
    let mut bench = Bench::trading(&[(1, 60_500), (2, 9_000_000)]);
    trade(&mut bench, 2, 1, 100, 10);
    bench.ok(&index(1, 91));
    bench.ok(&settle(85));
    let fills = settled(&rest(&mut bench));
    assert_eq!((fills[0].fill.pnl, fills[1].fill.pnl), (-150_000, 150_000));
    assert_eq!(fills[0].fill.cash, 60_500 - 500 - 150_000);
}

/// A funding that has begun is paid for what was held then.
#[test]
fn an_open_funding_is_booked_before_a_position_goes() {
    const HOUR: u64 = 3_600_000_000;
    let grants: Vec<_> = (1..=150).map(|account| (account, 1 << 45)).collect();
    let mut bench = Bench::funded(&grants);
    trade(&mut bench, 150, 1, 1_000, 3);
    for _ in 0..6 {
        bench.ts += 1_000_000;
        bench.ok(&index(1, 1_000));
        tick(&mut bench);
    }
    bench.ts += HOUR - bench.ts % HOUR - 10;
    bench.ok(&index(1, 1_000));
    bench.ts += 20;
    // the round begins, and its first slices are booked while the symbol is cleared
    let events = [bench.ok(&settle(0)), rest(&mut bench)].concat();
    let paid: Vec<FundingPaid> = events
        .iter()
        .filter_map(|event| match event {
            Event::FundingPaid(paid) => Some(*paid),
            _ => None,
        })
        .collect();
    assert_eq!(paid.iter().map(|paid| paid.position).collect::<Vec<_>>(), [3, -3]);
    let place = |wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let last_paid = place(|event| matches!(event, Event::FundingPaid(paid) if paid.position < 0));
    let last_closed =
        place(|event| matches!(event, Event::PositionSettled(closed) if closed.side == Side::Buy));
    assert!(last_paid < last_closed);
    assert_eq!(settled(&events).len(), 2);
}

/// 150 accounts take three slices for their positions, and more for their orders, when some have as
/// many as they may.
#[test]
fn the_end_comes_in_slices() {
    let accounts = 1..=150u32;
    let grants: Vec<_> = accounts.clone().map(|account| (account, 1 << 40)).collect();
    let mut bench = Bench::trading(&grants);
    for account in accounts.clone().filter(|account| account % 2 == 0) {
        trade(&mut bench, account, account - 1, 100, 10);
    }
    for account in 3..=10 {
        for _ in 0..OPEN_ORDERS_MAX {
            bench.ok(&Command::Place(limit(account, Side::Buy, 90, 1)));
        }
        for _ in 0..ALGOS_MAX {
            let algo =
                PlaceAlgo { working_type: WorkingType::Mark, ..stop(account, Side::Buy, 120, 10) };
            bench.ok(&Command::PlaceAlgo(algo));
        }
    }
    let mut twin = Twin::new();
    for (header, payload) in &bench.log {
        twin.apply(header, payload);
    }
    let mut frames = vec![bench.ok(&settle(0))];
    while bench.wake_at().is_some() {
        frames.push(tick(&mut bench));
    }
    let from = bench.log.len() - frames.len();
    for ((header, payload), said) in bench.log[from..].iter().zip(&frames) {
        assert_eq!(&twin.apply(header, payload), said);
    }
    let done: Vec<_> = frames
        .iter()
        .map(|events| (closed(events).len(), settled(events).len()))
        .filter(|done| *done != (0, 0))
        .collect();
    let orders = OPEN_ORDERS_MAX as usize;
    // the first slice begins with the insurance fund
    assert_eq!(done, [(6 * orders, 0), (2 * orders, 0), (0, 63), (0, 64), (0, 23)]);
    assert!(frames.iter().all(|events| events.len() < 3_100));
    let fills = frames.concat();
    assert_eq!(settled(&fills).iter().map(|each| each.fill.pnl).sum::<i64>(), 0);
}

/// Terms can't be changed while a symbol is being settled, brackets can.
#[test]
fn an_end_is_not_interfered_with() {
    let mut bench = Bench::trading_with_work(&[(1, 9_000_000), (2, 9_000_000)], 0);
    trade(&mut bench, 2, 1, 100, 10);
    bench.ok(&settle(0));
    bench.refused(&Command::ListSymbol(spec(1)), Reject::StateInvalid);
    bench.ok(&Command::SetBrackets(brackets(1)));
    let listing = protocol::instrument::SymbolSpec {
        symbol: SymbolId(3),
        name: protocol::Name::new("THREEUSDT").unwrap(),
        state: SymbolState::Settling,
        ..spec(1)
    };
    bench.refused(&Command::ListSymbol(listing), Reject::InvalidInstrument);
}
