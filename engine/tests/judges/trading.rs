//! Trading rules by example: what a reader of the rules would try first.

use protocol::{
    AccountId, Command, Event, Name, OrderId, Reject, SymbolId,
    command::{Amend, Cancel, CancelAll, Place, SetLeverage},
    order::{
        CloseReason, OrderStatus, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side,
        TimeInForce,
    },
};

use crate::bench::{Bench, index, outcome, spec};

/// A plain limit order on symbol 1.
pub fn limit(account: u32, side: Side, price: i64, qty: i64) -> Place {
    Place {
        account: AccountId(account),
        symbol: SymbolId(1),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        reduce_only: false,
        _pad: [0; 3],
        price,
        qty,
        good_till: 0,
        client_id: Name::EMPTY,
        _pad2: [0; 4],
    }
}

fn market(account: u32, side: Side, qty: i64) -> Place {
    let order_type = OrderType::Market;
    let time_in_force = TimeInForce::Ioc;
    Place { order_type, time_in_force, ..limit(account, side, 0, qty) }
}

pub fn amend(account: u32, side: Side, order: u64, price: i64, qty: i64) -> Amend {
    Amend {
        account: AccountId(account),
        symbol: SymbolId(1),
        side,
        price_match: PriceMatch::None,
        order: OrderId(order),
        price,
        qty,
        client_id: Name::EMPTY,
        reduce_only: false,
        _pad: [0; 3],
    }
}

fn rich() -> Bench {
    Bench::trading(&[(1, 9_000_000), (2, 9_000_000), (3, 9_000_000)])
}

pub fn trades(events: &[Event]) -> Vec<(i64, i64)> {
    let trade = |event: &Event| match event {
        Event::Trade(trade) => Some((trade.price, trade.qty)),
        _ => None,
    };
    events.iter().filter_map(trade).collect()
}

pub fn closed(events: &[Event]) -> Vec<(u64, OrderStatus, CloseReason)> {
    let closed = |event: &Event| match event {
        Event::OrderClosed(closed) => Some((closed.order.0, closed.status, closed.reason)),
        _ => None,
    };
    events.iter().filter_map(closed).collect()
}

#[test]
fn better_prices_first_then_older_orders() {
    let mut bench = rich();
    for (price, qty) in [(101, 2), (100, 3), (100, 4)] {
        bench.ok(&Command::Place(limit(1, Side::Sell, price, qty)));
    }
    let events = bench.ok(&Command::Place(limit(2, Side::Buy, 101, 8)));
    assert_eq!(trades(&events), [(100, 3), (100, 4), (101, 1)]);
}

#[test]
fn margin_is_asked_for_once_and_then_refused() {
    let mut bench = Bench::trading(&[(1, 10_000)]);
    // 2 lots at 100 are worth 200,000: a twentieth and the fee
    let order = Command::Place(limit(1, Side::Buy, 100, 2));
    let events = bench.send(&order);
    let asked = outcome(&events);
    assert_eq!((asked.reject, asked.amount), (Reject::NeedMargin, 100));
    let refused = outcome(&bench.send_as(0, true, &order));
    assert_eq!((refused.reject, refused.amount), (Reject::InsufficientMargin, 0));
    bench.grant(1, 100);
    bench.ok(&order);
    bench.refused(&Command::Place(limit(1, Side::Buy, 90, 2)), Reject::NeedMargin);
}

#[test]
fn a_kafka_session_keeps_its_number_when_short_of_margin() {
    let mut bench = Bench::trading(&[]);
    let order = Command::Place(limit(1, Side::Buy, 100, 2));
    assert_eq!(outcome(&bench.send_as(1, false, &order)).reject, Reject::NeedMargin);
    let number = bench.sessions[1].1;
    bench.grant(1, 1_000_000);
    let outcome = outcome(&bench.send_as(1, true, &order));
    assert_eq!((outcome.reject, outcome.number), (Reject::None, number + 1));
}

#[test]
fn what_only_closes_needs_no_margin() {
    let mut bench = Bench::trading(&[(1, 10_150), (2, 9_000_000)]);
    bench.ok(&Command::Place(limit(2, Side::Sell, 100, 2)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 100, 2)));
    bench.refused(&Command::Place(limit(1, Side::Buy, 100, 1)), Reject::NeedMargin);
    bench.ok(&Command::Place(limit(1, Side::Sell, 110, 2)));
    // the position is spoken for
    bench.refused(&Command::Place(limit(1, Side::Sell, 110, 1)), Reject::NeedMargin);
}

#[test]
fn reduce_only_orders_shrink_with_the_position() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(2, Side::Sell, 100, 10)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 100, 10)));
    let reduce = |price, qty| Place { reduce_only: true, ..limit(1, Side::Sell, price, qty) };
    bench.ok(&Command::Place(reduce(103, 5)));
    bench.ok(&Command::Place(reduce(105, 5)));
    // nearer than both: the farthest gives way
    let events = bench.ok(&Command::Place(reduce(102, 3)));
    let clipped = |event: &Event| match event {
        Event::OrderAmended(amended) => Some((amended.order.0, amended.clipped, amended.qty)),
        _ => None,
    };
    assert_eq!(events.iter().find_map(clipped), Some((4, 1, 2)));
    // the position falls to 4: 1 lot of the order at 103 is left
    bench.ok(&Command::Place(limit(2, Side::Buy, 99, 6)));
    let events = bench.ok(&Command::Place(limit(1, Side::Sell, 99, 6)));
    assert_eq!(events.iter().find_map(clipped), Some((3, 1, 1)));
    assert_eq!(closed(&events), [(4, OrderStatus::Expired, CloseReason::ReduceOnly)]);
    bench.refused(
        &Command::Place(Place { reduce_only: true, ..limit(1, Side::Buy, 99, 1) }),
        Reject::ReduceOnly,
    );
}

#[test]
fn the_takers_mode_decides_about_its_own_orders() {
    let expired = |mode| {
        let mut bench = rich();
        bench.ok(&Command::Place(limit(1, Side::Sell, 100, 2)));
        bench.ok(&Command::Place(limit(2, Side::Sell, 100, 2)));
        let taker = Place { self_trade: mode, ..limit(1, Side::Buy, 100, 2) };
        let events = bench.ok(&Command::Place(taker));
        let closed: Vec<u64> = closed(&events).iter().map(|closed| closed.0).collect();
        (closed, trades(&events).len())
    };
    assert_eq!(expired(SelfTradePrevention::ExpireMaker), (vec![1], 1));
    assert_eq!(expired(SelfTradePrevention::ExpireTaker), (vec![3], 0));
    assert_eq!(expired(SelfTradePrevention::ExpireBoth), (vec![1, 3], 0));
}

#[test]
fn times_in_force() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(1, Side::Sell, 100, 2)));
    let with = |time_in_force, qty| Place { time_in_force, ..limit(2, Side::Buy, 100, qty) };
    bench.refused(&Command::Place(with(TimeInForce::Gtx, 1)), Reject::WouldTake);
    bench.refused(&Command::Place(with(TimeInForce::Fok, 3)), Reject::WouldNotFill);
    let events = bench.ok(&Command::Place(with(TimeInForce::Fok, 1)));
    assert_eq!(trades(&events), [(100, 1)]);
    let events = bench.ok(&Command::Place(with(TimeInForce::Ioc, 3)));
    assert_eq!(trades(&events), [(100, 1)]);
    assert_eq!(closed(&events), [(3, OrderStatus::Expired, CloseReason::IocRemainder)]);
    let events = bench.ok(&Command::Place(market(2, Side::Buy, 1)));
    assert_eq!(closed(&events), [(4, OrderStatus::Expired, CloseReason::MarketRemainder)]);
    bench.ok(&Command::Place(limit(1, Side::Sell, 110, 2)));
    bench.refused(&Command::Place(market(2, Side::Buy, 1)), Reject::BeyondMarketBound);
}

#[test]
fn a_good_till_date_is_kept_when_the_order_is_met() {
    // no pending work is done, so nobody tidies before
    let grants = [(1, 9_000_000), (2, 9_000_000), (3, 9_000_000)];
    let mut bench = Bench::trading_with_work(&grants, 0);
    let good_till = bench.ts + 700_000_000;
    let dated =
        Place { time_in_force: TimeInForce::Gtd, good_till, ..limit(1, Side::Sell, 100, 2) };
    bench.ok(&Command::Place(dated));
    bench.ok(&Command::Place(limit(3, Side::Sell, 100, 2)));
    let early = Place { good_till: bench.ts + 599_000_000, ..dated };
    bench.refused(&Command::Place(early), Reject::GoodTillInvalid);
    bench.ts = good_till - 1;
    let events = bench.ok(&Command::Place(limit(2, Side::Buy, 100, 1)));
    assert_eq!(closed(&events), [(1, OrderStatus::Expired, CloseReason::GoodTillDate)]);
    assert_eq!(trades(&events), [(100, 1)]);
}

#[test]
fn amends() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(1, Side::Sell, 100, 5)));
    bench.ok(&Command::Place(limit(3, Side::Sell, 100, 5)));
    bench.refused(&Command::Amend(amend(1, Side::Sell, 1, 100, 5)), Reject::Unchanged);
    bench.refused(&Command::Amend(amend(1, Side::Buy, 1, 100, 4)), Reject::WrongSide);
    bench.refused(&Command::Amend(amend(2, Side::Sell, 1, 100, 4)), Reject::UnknownOrder);
    bench.refused(&Command::Amend(amend(1, Side::Sell, 1, 100, 201)), Reject::QtyTooHigh);
    // less keeps the place: account 1 is met first
    bench.ok(&Command::Amend(amend(1, Side::Sell, 1, 100, 4)));
    let first = |events: &[Event]| {
        events.iter().find_map(|event| match event {
            Event::Trade(trade) => Some(trade.maker.account.0),
            _ => None,
        })
    };
    let events = bench.ok(&Command::Place(limit(2, Side::Buy, 100, 1)));
    assert_eq!(first(&events), Some(1));
    // more goes to the tail
    bench.ok(&Command::Amend(amend(1, Side::Sell, 1, 100, 6)));
    let events = bench.ok(&Command::Place(limit(2, Side::Buy, 100, 1)));
    assert_eq!(first(&events), Some(3));
    // to what is filled: the end
    let events = bench.ok(&Command::Amend(amend(1, Side::Sell, 1, 100, 1)));
    assert_eq!(closed(&events), [(1, OrderStatus::Canceled, CloseReason::Amended)]);
}

#[test]
fn client_ids_are_unique_while_open() {
    let mut bench = rich();
    let named = Place { client_id: Name::new("mine").unwrap(), ..limit(1, Side::Sell, 100, 5) };
    bench.ok(&Command::Place(named));
    bench.refused(&Command::Place(named), Reject::ClientIdDuplicate);
    bench.ok(&Command::Place(Place { account: AccountId(2), ..named }));
    let cancel = Cancel {
        account: AccountId(1),
        symbol: SymbolId(1),
        _pad: [0; 2],
        order: OrderId::NONE,
        client_id: named.client_id,
        _pad2: [0; 4],
    };
    assert_eq!(outcome(&bench.ok(&Command::Cancel(cancel))).order, OrderId(1));
    bench.refused(&Command::Cancel(cancel), Reject::UnknownOrder);
    bench.ok(&Command::Place(named));
    let bad = Name::new("two words").unwrap();
    bench.refused(&Command::Place(Place { client_id: bad, ..named }), Reject::ClientIdInvalid);
}

#[test]
fn leverage_is_bounded_by_brackets_and_margin() {
    let mut bench = Bench::trading(&[(1, 60_000)]);
    let set = |leverage| {
        let (account, symbol) = (AccountId(1), SymbolId(1));
        Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
    };
    for wrong in [0, 126] {
        bench.refused(&set(wrong), Reject::LeverageInvalid);
    }
    bench.ok(&Command::Place(limit(1, Side::Buy, 100, 11)));
    bench.refused(&set(125), Reject::PositionLimit);
    bench.ok(&set(50));
    bench.refused(&set(10), Reject::NeedMargin);
    let refused = outcome(&bench.send_as(0, true, &set(10)));
    assert_eq!(refused.reject, Reject::LeverageNeedsMargin);
}

#[test]
fn a_test_place_changes_nothing() {
    let mut bench = Bench::trading(&[(1, 60_000)]);
    let events = bench.ok(&Command::TestPlace(limit(1, Side::Buy, 100, 1)));
    assert_eq!(events.len(), 1);
    bench.refused(&Command::TestPlace(limit(1, Side::Buy, 100, 35)), Reject::NeedMargin);
    let all = CancelAll { account: AccountId(1), symbol: SymbolId(1), _pad: [0; 2] };
    assert_eq!(bench.ok(&Command::CancelAll(all)).len(), 1);
}

#[test]
fn filters() {
    let mut bench = rich();
    let mut refuse = |order: Place, reject| bench.refused(&Command::Place(order), reject);
    refuse(limit(1, Side::Buy, -1, 1), Reject::PriceNotPositive);
    refuse(limit(1, Side::Buy, 1_001, 1), Reject::PriceTooHigh);
    refuse(limit(1, Side::Buy, 116, 1), Reject::PriceAboveBand);
    refuse(limit(1, Side::Sell, 84, 1), Reject::PriceBelowBand);
    refuse(limit(1, Side::Buy, 100, 0), Reject::QtyNotPositive);
    refuse(limit(1, Side::Buy, 100, 201), Reject::QtyTooHigh);
    refuse(market(1, Side::Buy, 101), Reject::QtyTooHigh);
    refuse(Place { price: 5, ..market(1, Side::Buy, 1) }, Reject::InvalidCombination);
    refuse(limit(0, Side::Buy, 100, 1), Reject::UnknownAccount);
    refuse(Place { symbol: SymbolId(3), ..limit(1, Side::Buy, 100, 1) }, Reject::UnknownSymbol);
    let queue = Place { price_match: PriceMatch::Queue, ..limit(1, Side::Buy, 0, 1) };
    refuse(queue, Reject::NoDepth);
    let mut fresh = Bench::new(1);
    fresh.ok(&Command::ListSymbol(spec(1)));
    fresh.refused(&Command::Place(limit(1, Side::Buy, 100, 1)), Reject::SymbolNotTrading);
    fresh.ok(&Command::SetBrackets(crate::bench::brackets(1)));
    fresh.refused(&Command::Place(limit(1, Side::Buy, 100, 1)), Reject::NoMarkPrice);
    fresh.ok(&index(1, 100));
    fresh.refused(&Command::Place(limit(1, Side::Buy, 100, 1)), Reject::NeedMargin);
}

#[test]
fn a_price_match_takes_its_limit_from_the_book() {
    let mut bench = rich();
    for price in [101, 102, 103, 104, 105] {
        bench.ok(&Command::Place(limit(1, Side::Sell, price, 1)));
    }
    let matched = |side, price_match| Place { price_match, ..limit(2, side, 0, 1) };
    let price = |events: &[Event]| match events[0] {
        Event::OrderAccepted(order) => order.price,
        event => panic!("{event:?}"),
    };
    assert_eq!(price(&bench.ok(&Command::Place(matched(Side::Buy, PriceMatch::Opponent5)))), 105);
    assert_eq!(price(&bench.ok(&Command::Place(matched(Side::Sell, PriceMatch::Queue)))), 102);
}
