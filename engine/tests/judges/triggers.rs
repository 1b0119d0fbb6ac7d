//! Conditional orders by example.

use protocol::{
    AccountId, AlgoId, Command, Event, Name, Reject, SymbolId,
    command::{CancelAlgo, CancelAll, Countdown, Grant, PlaceAlgo, SetSymbolState, Tick},
    limits::{ALGOS_MAX, MARGIN_CALL_GRACE_US},
    order::{
        AlgoStatus, AlgoType, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side,
        SymbolState, TimeInForce, WorkingType,
    },
};

use crate::{
    bench::{Bench, WORK_PER_TURN, index, outcome},
    trading::limit,
};

/// A conditional market order on symbol 1 by the last trade.
fn conditional(account: u32, algo_type: AlgoType, side: Side, trigger: i64, qty: i64) -> PlaceAlgo {
    PlaceAlgo {
        account: AccountId(account),
        symbol: SymbolId(1),
        side,
        algo_type,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        working_type: WorkingType::Contract,
        reduce_only: false,
        close_position: false,
        price_protect: false,
        price: 0,
        qty,
        trigger_price: trigger,
        activate_price: 0,
        callback: 0,
        good_till: 0,
        client_id: Name::EMPTY,
        _pad: [0; 4],
    }
}

pub fn stop(account: u32, side: Side, trigger: i64, qty: i64) -> PlaceAlgo {
    conditional(account, AlgoType::StopMarket, side, trigger, qty)
}

pub fn closing(account: u32, algo_type: AlgoType, side: Side, trigger: i64) -> PlaceAlgo {
    PlaceAlgo { close_position: true, ..conditional(account, algo_type, side, trigger, 0) }
}

/// Three rich traders; the last trade was at 100.
fn traded() -> Bench {
    let mut bench = Bench::trading(&[(1, 9_000_000), (2, 9_000_000), (3, 9_000_000)]);
    trade(&mut bench, 100);
    bench
}

/// A trade between accounts 2 and 3 that leaves no order behind.
fn trade(bench: &mut Bench, price: i64) {
    bench.ok(&Command::Place(limit(2, Side::Sell, price, 20)));
    bench.ok(&Command::Place(limit(3, Side::Buy, price, 20)));
}

pub fn tick(bench: &mut Bench) -> Vec<Event> {
    bench.raw(&Command::Tick(Tick { _reserved: 0 }))
}

/// Count and status of each change.
pub fn changes(events: &[Event]) -> Vec<(u64, AlgoStatus)> {
    let change = |event: &Event| match event {
        Event::AlgoChanged(change) => Some((change.algo.count(), change.status)),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

fn accepted(events: &[Event]) -> Vec<(OrderType, Side, i64, bool)> {
    let accept = |event: &Event| match event {
        Event::OrderAccepted(order) => {
            Some((order.order_type, order.side, order.qty, order.reduce_only))
        }
        _ => None,
    };
    events.iter().filter_map(accept).collect()
}

#[test]
fn a_stop_becomes_a_market_order_when_the_price_is_reached() {
    let mut bench = traded();
    let placed = bench.ok(&Command::PlaceAlgo(stop(1, Side::Buy, 103, 5)));
    assert_eq!(outcome(&placed).order.0, AlgoId::new(SymbolId(1), 1).0);
    trade(&mut bench, 102);
    assert_eq!(tick(&mut bench).len(), 1, "102 is not 103");
    bench.ok(&Command::Place(limit(2, Side::Sell, 103, 9)));
    bench.ok(&Command::Place(limit(3, Side::Buy, 103, 2)));
    assert!(bench.wake_at().is_some());
    let events = tick(&mut bench);
    assert_eq!(accepted(&events), [(OrderType::Market, Side::Buy, 5, false)]);
    assert_eq!(changes(&events), [(1, AlgoStatus::Triggered), (1, AlgoStatus::Finished)]);
    assert_eq!(tick(&mut bench).len(), 1, "it fires once");
    assert!(bench.wake_at().is_none());
}

#[test]
fn each_kind_fires_on_its_side_of_the_price() {
    let kinds = [
        (AlgoType::StopMarket, Side::Buy, 104),
        (AlgoType::StopMarket, Side::Sell, 96),
        (AlgoType::TakeProfitMarket, Side::Buy, 96),
        (AlgoType::TakeProfitMarket, Side::Sell, 104),
    ];
    for (algo_type, side, trigger) in kinds {
        let mut bench = traded();
        let algo = conditional(1, algo_type, side, trigger, 20);
        let beyond = PlaceAlgo { trigger_price: 100, ..algo };
        bench.refused(&Command::PlaceAlgo(beyond), Reject::WouldTrigger);
        bench.ok(&Command::PlaceAlgo(algo));
        trade(&mut bench, 100 - (trigger - 100));
        assert_eq!(tick(&mut bench).len(), 1, "the other way");
        trade(&mut bench, trigger);
        let statuses = changes(&tick(&mut bench));
        assert_eq!(statuses[0], (1, AlgoStatus::Triggered), "{algo:?}");
    }
}

#[test]
fn a_limit_stop_rests_and_finishes_with_its_order() {
    let mut bench = traded();
    let algo = PlaceAlgo { price: 99, ..conditional(1, AlgoType::Stop, Side::Buy, 102, 5) };
    bench.ok(&Command::PlaceAlgo(algo));
    trade(&mut bench, 102);
    let events = tick(&mut bench);
    assert_eq!(changes(&events), [(1, AlgoStatus::Triggered)]);
    assert_eq!(accepted(&events), [(OrderType::Limit, Side::Buy, 5, false)]);
    let events = bench.ok(&Command::Place(limit(2, Side::Sell, 99, 5)));
    assert_eq!(changes(&events), [(1, AlgoStatus::Finished)]);
}

#[test]
fn the_mark_moves_what_works_by_the_mark() {
    let mut bench = traded();
    let by_mark = PlaceAlgo { working_type: WorkingType::Mark, ..stop(1, Side::Sell, 98, 20) };
    bench.ok(&Command::PlaceAlgo(by_mark));
    bench.ok(&Command::PlaceAlgo(stop(1, Side::Sell, 98, 20)));
    bench.ok(&index(1, 98));
    assert_eq!(changes(&tick(&mut bench))[0], (1, AlgoStatus::Triggered));
    trade(&mut bench, 98);
    assert_eq!(changes(&tick(&mut bench))[0], (2, AlgoStatus::Triggered));
}

#[test]
fn price_protection_waits_until_the_prices_meet_again() {
    let mut bench = traded();
    let algo = PlaceAlgo { price_protect: true, ..stop(1, Side::Buy, 104, 20) };
    bench.ok(&Command::PlaceAlgo(algo));
    // 6 of 100 are more than the symbol's 5 in 100
    trade(&mut bench, 106);
    assert_eq!(tick(&mut bench).len(), 1);
    bench.ok(&index(1, 102));
    assert_eq!(changes(&tick(&mut bench))[0], (1, AlgoStatus::Triggered));
}

#[test]
fn of_a_linked_pair_one_fires_and_the_other_expires() {
    let mut bench = traded();
    bench.ok(&Command::Place(limit(2, Side::Sell, 100, 30)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 100, 30)));
    bench.ok(&Command::PlaceAlgo(closing(1, AlgoType::StopMarket, Side::Sell, 97)));
    bench.ok(&Command::PlaceAlgo(closing(1, AlgoType::TakeProfitMarket, Side::Sell, 103)));
    let again = closing(1, AlgoType::StopMarket, Side::Sell, 96);
    bench.refused(&Command::PlaceAlgo(again), Reject::ClosePositionDuplicate);
    bench.ok(&Command::Place(limit(2, Side::Buy, 97, 100)));
    bench.ok(&Command::Place(limit(3, Side::Sell, 97, 20)));
    let events = tick(&mut bench);
    let expected =
        [(1, AlgoStatus::Triggered), (2, AlgoStatus::Expired), (1, AlgoStatus::Finished)];
    assert_eq!(changes(&events), expected);
    assert_eq!(accepted(&events), [(OrderType::Market, Side::Sell, 30, true)]);
}

#[test]
fn what_closes_a_position_goes_with_it() {
    let mut bench = traded();
    bench.ok(&Command::Place(limit(2, Side::Sell, 100, 30)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 100, 30)));
    bench.ok(&Command::PlaceAlgo(closing(1, AlgoType::StopMarket, Side::Sell, 97)));
    bench.ok(&Command::PlaceAlgo(stop(1, Side::Sell, 96, 20)));
    bench.ok(&Command::Place(limit(2, Side::Buy, 100, 30)));
    bench.ok(&Command::Place(limit(1, Side::Sell, 100, 30)));
    assert_eq!(changes(&tick(&mut bench)), [(1, AlgoStatus::Expired)]);
}

#[test]
fn with_nothing_to_close_it_expires() {
    let mut bench = traded();
    bench.ok(&Command::PlaceAlgo(closing(1, AlgoType::StopMarket, Side::Sell, 97)));
    let reduce = PlaceAlgo { reduce_only: true, ..stop(1, Side::Sell, 97, 20) };
    bench.ok(&Command::PlaceAlgo(reduce));
    trade(&mut bench, 97);
    let expected = [(1, AlgoStatus::Expired), (2, AlgoStatus::Expired)];
    assert_eq!(changes(&tick(&mut bench)), expected);
}

#[test]
fn short_of_margin_it_waits_for_the_ledger() {
    // 20 lots at 103 are worth 2,060,000: a twentieth, the loss against the mark and the fee
    let lacking = 103_000 + 60_000 + 1_030 - 1_000;
    let fired = || {
        let mut bench = traded();
        bench.grant(4, 1_000);
        bench.ok(&Command::PlaceAlgo(stop(4, Side::Buy, 103, 20)));
        trade(&mut bench, 103);
        bench.ok(&Command::Place(limit(2, Side::Sell, 103, 20)));
        let (account, call) = *bench.calls.last().unwrap();
        assert_eq!(account, AccountId(4));
        (bench, call)
    };
    let answer = |bench: &mut Bench, call, amount| {
        bench.links[0] += 1;
        let (link_seq, account) = (bench.links[0], AccountId(4));
        bench.raw(&Command::Grant(Grant { link_seq, account, _pad: 0, amount, call }));
        tick(bench)
    };
    let (mut bench, call) = fired();
    let events = answer(&mut bench, call, lacking);
    assert_eq!(changes(&events), [(1, AlgoStatus::Triggered), (1, AlgoStatus::Finished)]);
    // the ledger has nothing
    let (mut bench, call) = fired();
    let events = answer(&mut bench, call, 0);
    assert_eq!(rejected(&events), Some(Reject::InsufficientMargin));
    assert!(bench.wake_at().is_none());
    // something else took a part of it: it is asked for again
    let (mut bench, call) = fired();
    assert_eq!(changes(&answer(&mut bench, call, lacking - 1)), []);
    let (account, next) = *bench.calls.last().unwrap();
    assert_eq!((account, next), (AccountId(4), call + 1));
    let events = answer(&mut bench, next, 1);
    assert_eq!(changes(&events), [(1, AlgoStatus::Triggered), (1, AlgoStatus::Finished)]);
    // an answer to another call does not count, nor does anything else that comes
    let (mut bench, call) = fired();
    assert_eq!(changes(&answer(&mut bench, call - 1, lacking / 2)), []);
    let (mut bench, _) = fired();
    bench.grant(4, lacking);
    assert_eq!(changes(&tick(&mut bench)), []);
}

#[test]
fn a_margin_call_has_its_grace() {
    let mut bench = traded();
    for trigger in [103, 103] {
        bench.ok(&Command::PlaceAlgo(stop(4, Side::Buy, trigger, 20)));
    }
    trade(&mut bench, 103);
    let events = tick(&mut bench);
    let waits = AlgoStatus::Triggering;
    assert_eq!(changes(&events), [(1, waits), (2, waits)], "one call for both");
    assert_eq!(bench.calls.len(), 1);
    let end = bench.ts + MARGIN_CALL_GRACE_US;
    assert_eq!(bench.wake_at(), Some(end));
    // what waits can be cancelled
    let (account, symbol, _pad, _pad2) = (AccountId(4), SymbolId(1), [0; 2], [0; 4]);
    let (algo, client_id) = (AlgoId::new(symbol, 2), Name::EMPTY);
    bench.ok(&Command::CancelAlgo(CancelAlgo { account, symbol, _pad, algo, client_id, _pad2 }));
    bench.ts = end - 2;
    assert_eq!(changes(&tick(&mut bench)), []);
    tick(&mut bench);
    let events = tick(&mut bench);
    assert_eq!(changes(&events), [(1, AlgoStatus::Rejected)]);
    assert!(bench.wake_at().is_none());
}

fn rejected(events: &[Event]) -> Option<Reject> {
    events.iter().find_map(|event| match event {
        Event::AlgoChanged(change) if change.status == AlgoStatus::Rejected => Some(change.reject),
        _ => None,
    })
}

#[test]
fn a_conditional_order_is_cancelled_by_either_id() {
    let mut bench = traded();
    let named = PlaceAlgo { client_id: Name::new("mine").unwrap(), ..stop(1, Side::Buy, 103, 5) };
    bench.ok(&Command::PlaceAlgo(named));
    bench.refused(&Command::PlaceAlgo(named), Reject::ClientIdDuplicate);
    let cancel = CancelAlgo {
        account: AccountId(1),
        symbol: SymbolId(1),
        _pad: [0; 2],
        algo: AlgoId::NONE,
        client_id: named.client_id,
        _pad2: [0; 4],
    };
    let of_another = CancelAlgo { account: AccountId(2), ..cancel };
    bench.refused(&Command::CancelAlgo(of_another), Reject::UnknownAlgo);
    let events = bench.ok(&Command::CancelAlgo(cancel));
    assert_eq!(changes(&events), [(1, AlgoStatus::Canceled)]);
    bench.refused(&Command::CancelAlgo(cancel), Reject::UnknownAlgo);
    bench.ok(&Command::PlaceAlgo(named));
    let by_id = CancelAlgo { algo: AlgoId::new(SymbolId(1), 2), client_id: Name::EMPTY, ..cancel };
    let elsewhere = CancelAlgo { symbol: SymbolId(2), ..by_id };
    bench.refused(&Command::CancelAlgo(elsewhere), Reject::UnknownAlgo);
    bench.ok(&Command::CancelAlgo(by_id));
    trade(&mut bench, 103);
    assert_eq!(tick(&mut bench).len(), 1, "what is cancelled does not fire");
}

#[test]
fn an_account_has_a_bounded_number_of_them() {
    let mut bench = traded();
    let algo = Command::PlaceAlgo(stop(1, Side::Buy, 110, 5));
    for _ in 0..ALGOS_MAX {
        bench.ok(&algo);
    }
    bench.refused(&algo, Reject::TooManyAlgos);
    bench.ok(&Command::PlaceAlgo(stop(2, Side::Buy, 110, 5)));
    let all = CancelAll { account: AccountId(1), symbol: SymbolId(1), _pad: [0; 2] };
    let events = bench.ok(&Command::CancelAllAlgos(all));
    assert_eq!(changes(&events).len(), ALGOS_MAX as usize);
    bench.ok(&algo);
}

/// Far more come due at once than one frame may do; each frame does its part, in order.
#[test]
fn a_cascade_is_worked_off_frame_by_frame() {
    let mut bench = traded();
    for n in 0..300 {
        let account = 1 + n % 2;
        bench.ok(&Command::PlaceAlgo(stop(account, Side::Buy, 101, 1 + i64::from(n % 3))));
    }
    trade(&mut bench, 101);
    let (mut fired, mut frames) = (Vec::new(), 0);
    while bench.wake_at().is_some() {
        let done = changes(&tick(&mut bench));
        assert!(done.len() <= 2 * 64, "{} changes", done.len());
        fired.extend(done.iter().map(|change| change.0));
        frames += 1;
    }
    fired.dedup();
    assert_eq!(fired, (1..=300).collect::<Vec<_>>());
    assert!(frames > 4, "{frames}");
}

#[test]
fn nothing_fires_while_the_symbol_takes_no_orders() {
    let mut bench = traded();
    let by_mark = PlaceAlgo { working_type: WorkingType::Mark, ..stop(1, Side::Sell, 98, 20) };
    bench.ok(&Command::PlaceAlgo(by_mark));
    let set = |state| {
        Command::SetSymbolState(SetSymbolState { symbol: SymbolId(1), state, _pad: [0; 5] })
    };
    bench.ok(&set(SymbolState::CancelOnly));
    bench.ok(&index(1, 97));
    assert_eq!(tick(&mut bench).len(), 1);
    bench.ok(&set(SymbolState::Trading));
    bench.ok(&index(1, 97));
    assert_eq!(changes(&tick(&mut bench))[0], (1, AlgoStatus::Triggered));
}

#[test]
fn filters_of_conditions() {
    let mut bench = traded();
    let mut refuse = |algo: PlaceAlgo, reject| bench.refused(&Command::PlaceAlgo(algo), reject);
    let plain = stop(1, Side::Buy, 103, 5);
    refuse(PlaceAlgo { trigger_price: 0, ..plain }, Reject::PriceNotPositive);
    refuse(PlaceAlgo { trigger_price: 1_001, ..plain }, Reject::PriceTooHigh);
    refuse(PlaceAlgo { qty: 0, ..plain }, Reject::QtyNotPositive);
    refuse(PlaceAlgo { qty: 101, ..plain }, Reject::QtyTooHigh);
    refuse(PlaceAlgo { price: 5, ..plain }, Reject::InvalidCombination);
    refuse(PlaceAlgo { close_position: true, ..plain }, Reject::InvalidCombination);
    refuse(PlaceAlgo { callback: 1, ..plain }, Reject::InvalidCombination);
    refuse(PlaceAlgo { position_side: PositionSide::Long, ..plain }, Reject::PositionSideMismatch);
    refuse(PlaceAlgo { account: AccountId(0), ..plain }, Reject::UnknownAccount);
    let limited = conditional(1, AlgoType::Stop, Side::Buy, 103, 5);
    refuse(limited, Reject::PriceNotPositive);
    let closes = PlaceAlgo { qty: 0, close_position: true, price: 100, ..limited };
    refuse(closes, Reject::InvalidCombination);
}

#[test]
fn a_countdown_cancels_what_is_open_unless_it_is_said_again() {
    let mut bench = traded();
    let countdown = |after| {
        let (account, symbol) = (AccountId(1), SymbolId(1));
        Command::Countdown(Countdown { account, symbol, _pad: [0; 2], after })
    };
    bench.ok(&Command::Place(limit(1, Side::Buy, 95, 20)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 94, 20)));
    bench.ok(&Command::Place(limit(2, Side::Buy, 94, 20)));
    bench.ok(&Command::PlaceAlgo(stop(1, Side::Buy, 103, 5)));
    bench.ok(&countdown(1_000));
    bench.ts += 900;
    let set = bench.ok(&countdown(1_000));
    let at = match set[0] {
        Event::CountdownSet(set) => set.at,
        event => panic!("{event:?}"),
    };
    assert_eq!((at, bench.wake_at()), (bench.ts + 1_000, Some(at)));
    bench.ts += 900;
    assert_eq!(tick(&mut bench).len(), 1, "it was said again");
    bench.ts += 100;
    let events = tick(&mut bench);
    let closed = events.iter().filter(|event| matches!(event, Event::OrderClosed(_))).count();
    assert_eq!((closed, changes(&events)), (2, vec![(1, AlgoStatus::Canceled)]));
    assert!(matches!(events[0], Event::CountdownSet(set) if set.at == 0));
    assert_eq!(bench.wake_at(), None);

    bench.ok(&Command::Place(limit(1, Side::Buy, 95, 20)));
    bench.ok(&countdown(1_000));
    bench.ok(&countdown(0));
    bench.ts += 5_000;
    assert_eq!(tick(&mut bench).len(), 1, "it was ended");
}

/// Many deadlines, said in any order, moved and ended, come in the order of their times.
#[test]
fn countdowns_end_in_their_order() {
    let mut bench = traded();
    let mut draw = 7u64;
    let mut deadlines = std::collections::BTreeMap::new();
    for _ in 0..400 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (account, after) = ((draw >> 33) % 60 + 1, (draw >> 40) % 50 * 1_000);
        let (of, symbol) = (AccountId(account as u32), SymbolId(1));
        bench.ok(&Command::Countdown(Countdown { account: of, symbol, _pad: [0; 2], after }));
        deadlines.remove(&of.0);
        if after != 0 {
            deadlines.insert(of.0, bench.ts + after);
        }
        // each frame takes a microsecond, so those of the past have ended by now
        deadlines.retain(|_, at| *at > bench.ts);
        assert_eq!(bench.wake_at(), deadlines.values().min().copied());
    }
    let mut expected: Vec<_> = deadlines.into_iter().map(|(account, at)| (at, account)).collect();
    expected.sort_unstable();
    bench.ts += 100_000;
    let frames = expected.len().div_ceil(WORK_PER_TURN);
    let events: Vec<_> = (0..frames).flat_map(|_| tick(&mut bench)).collect();
    let ended = events.iter().filter_map(|event| match event {
        Event::CountdownSet(set) => Some(set.account.0),
        _ => None,
    });
    assert!(expected.len() > 20);
    assert_eq!(ended.collect::<Vec<_>>(), expected.iter().map(|end| end.1).collect::<Vec<_>>());
}

fn trailing(account: u32, side: Side, callback_percent: i64, activate_price: i64) -> PlaceAlgo {
    let callback = callback_percent * 1_000_000;
    let market = conditional(account, AlgoType::TrailingStopMarket, side, 0, 20);
    PlaceAlgo { callback, activate_price, ..market }
}

#[test]
fn a_trailing_stop_follows_and_fires_on_the_way_back() {
    for sign in [1, -1] {
        let side = if sign == 1 { Side::Sell } else { Side::Buy };
        let mut bench = traded();
        bench.ok(&Command::PlaceAlgo(trailing(1, side, 5, 0)));
        for away in [98, 101, 104, 100, 104, 108] {
            trade(&mut bench, 100 + sign * (away - 100));
            assert_eq!(tick(&mut bench).len(), 1, "{away} is not 5 % back");
        }
        // 5 % from 108 is 102.6, from 92 it is 96.6
        let (quiet, fires) = if sign == 1 { (103, 102) } else { (96, 97) };
        trade(&mut bench, quiet);
        assert_eq!(tick(&mut bench).len(), 1);
        trade(&mut bench, fires);
        assert_eq!(changes(&tick(&mut bench))[0], (1, AlgoStatus::Triggered));
    }
}

#[test]
fn a_trailing_stop_waits_for_its_activation() {
    let mut bench = traded();
    let wrong = trailing(1, Side::Sell, 2, 99);
    bench.refused(&Command::PlaceAlgo(wrong), Reject::TrailInvalid);
    bench.ok(&Command::PlaceAlgo(trailing(1, Side::Sell, 2, 104)));
    for price in [103, 98, 100] {
        trade(&mut bench, price);
        assert_eq!(tick(&mut bench).len(), 1, "not activated at {price}");
    }
    trade(&mut bench, 104);
    let events = tick(&mut bench);
    let activated = |event: &Event| matches!(event, Event::AlgoChanged(to) if to.activated);
    assert!(events.iter().any(activated), "{events:?}");
    assert_eq!(changes(&events), [(1, AlgoStatus::New)]);
    trade(&mut bench, 101);
    assert_eq!(changes(&tick(&mut bench))[0], (1, AlgoStatus::Triggered));
}

/// Each has its own extreme until the price goes beyond all of them; then they go together.
#[test]
fn trailing_stops_that_share_an_extreme_fire_together() {
    let mut bench = traded();
    for (price, account) in [(110, 1), (108, 2), (106, 3)] {
        trade(&mut bench, price);
        bench.ok(&Command::PlaceAlgo(trailing(account, Side::Sell, 5, 0)));
    }
    trade(&mut bench, 104);
    assert_eq!(changes(&tick(&mut bench))[0], (1, AlgoStatus::Triggered), "5 % from 110");
    trade(&mut bench, 109);
    trade(&mut bench, 104);
    assert_eq!(tick(&mut bench).len(), 1, "5 % from 109 are 103.55");
    trade(&mut bench, 103);
    let mut fired = changes(&tick(&mut bench));
    fired.retain(|change| change.1 == AlgoStatus::Triggered);
    assert_eq!(fired, [(2, AlgoStatus::Triggered), (3, AlgoStatus::Triggered)]);
}

#[test]
fn callbacks_are_between_a_tenth_and_ten_percent() {
    let mut bench = traded();
    let plain = trailing(1, Side::Sell, 1, 0);
    for callback in [0, -100_000, 99_999, 150_000, 10_100_000] {
        let algo = PlaceAlgo { callback, ..plain };
        bench.refused(&Command::PlaceAlgo(algo), Reject::TrailInvalid);
    }
    for callback in [100_000, 10_000_000] {
        bench.ok(&Command::PlaceAlgo(PlaceAlgo { callback, ..plain }));
    }
    let odd = PlaceAlgo { trigger_price: 90, ..plain };
    bench.refused(&Command::PlaceAlgo(odd), Reject::InvalidCombination);
}
