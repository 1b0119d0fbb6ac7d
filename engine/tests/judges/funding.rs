//! Marks and funding by example: two hours in the life of a symbol whose lots are worth 10 units
//! at a price of 1, with an index of 1,000 and a funding each hour.

use protocol::{
    AccountId, Command, Event, Reject, SymbolId,
    command::{Place, SetMarginMode, SetSymbolState, Tick},
    event::{Funding, FundingEnded, FundingPaid, Mark},
    order::{MarginMode, Side, SymbolState},
};

use crate::{
    bench::{Bench, index, outcome},
    trading::limit,
};

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;
/// What a lot is worth at a price of 1.
const MULT: i64 = 1_000_000_007;
/// The rate of an hour in which nobody bids above the index nor asks below it.
const INTEREST: i64 = 10_000 / 8;

fn rich() -> Bench {
    Bench::funded(&[(1, 1 << 45), (2, 1 << 45), (3, 1 << 45)])
}

fn tick(bench: &mut Bench) -> Vec<Event> {
    bench.raw(&Command::Tick(Tick { _reserved: 0 }))
}

/// Lets seconds pass as a node and a feed do: a tick each, and before it an index price.
fn pass(bench: &mut Bench, seconds: u64, price: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..seconds {
        bench.ts += SECOND;
        events.extend(bench.ok(&index(1, price)));
        events.extend(tick(bench));
    }
    events
}

/// Moves to just before the next full hour, with the index fresh.
fn to_the_hour(bench: &mut Bench) {
    bench.ts += HOUR - bench.ts % HOUR - 100;
    bench.ok(&index(1, 1_000));
}

/// A trade that leaves the buyer long and the seller short.
fn trade(bench: &mut Bench, buyer: u32, seller: u32, qty: i64) -> Vec<Event> {
    bench.ok(&Command::Place(limit(seller, Side::Sell, 1_000, qty)));
    bench.ok(&Command::Place(limit(buyer, Side::Buy, 1_000, qty)))
}

fn marks(events: &[Event]) -> Vec<i64> {
    let mark = |event: &Event| match event {
        Event::Mark(mark) => Some(mark.mark),
        _ => None,
    };
    events.iter().filter_map(mark).collect()
}

/// What a symbol came to accept, by what its operator and its index say.
fn states(events: &[Event]) -> Vec<SymbolState> {
    let state = |event: &Event| match event {
        Event::SymbolStateChanged(change) if change.index_stale => match change.state {
            SymbolState::Trading => Some(SymbolState::ReduceOnly),
            state => Some(state),
        },
        Event::SymbolStateChanged(change) => Some(change.state),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

fn fundings(events: &[Event]) -> Vec<Funding> {
    let funding = |event: &Event| match event {
        Event::Funding(funding) => Some(*funding),
        _ => None,
    };
    events.iter().filter_map(funding).collect()
}

fn payments(events: &[Event]) -> Vec<FundingPaid> {
    let paid = |event: &Event| match event {
        Event::FundingPaid(paid) => Some(*paid),
        _ => None,
    };
    events.iter().filter_map(paid).collect()
}

fn ends(events: &[Event]) -> Vec<FundingEnded> {
    let ended = |event: &Event| match event {
        Event::FundingEnded(ended) => Some(*ended),
        _ => None,
    };
    events.iter().filter_map(ended).collect()
}

/// What a position pays at a rate: rounded up, as is less than nothing.
fn charge(qty: i64, mark: i64, rate: i64) -> i64 {
    let exact = i128::from(qty) * i128::from(mark) * i128::from(MULT) * i128::from(rate);
    -(-exact).div_euclid(100_000_000) as i64
}

#[test]
fn the_mark_is_the_index_until_the_book_says_otherwise() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(1, Side::Buy, 1_008, 1)));
    bench.ok(&Command::Place(limit(2, Side::Sell, 1_012, 1)));
    assert_eq!(marks(&bench.ok(&index(1, 1_000))), [1_000]);
    // without a trade the index counts twice, so a basis of 10 alone moves nothing
    assert!(pass(&mut bench, 40, 1_000).iter().all(|event| !matches!(event,
        Event::Mark(mark) if mark.mark != 1_000)));
    // a trade at 1,012: now the book's average of 10 is in the middle
    bench.ok(&Command::Place(limit(3, Side::Buy, 1_012, 1)));
    bench.ok(&Command::Place(limit(2, Side::Sell, 1_012, 1)));
    assert_eq!(marks(&pass(&mut bench, 1, 1_000)).last(), Some(&1_010));
    // the basis goes with the index, at once
    assert_eq!(marks(&bench.ok(&index(1, 1_001))).last(), Some(&1_011));
    // a wild trade is not the mark
    bench.ok(&Command::Place(limit(3, Side::Sell, 1_008, 1)));
    assert_eq!(marks(&bench.ok(&index(1, 1_000))).last(), Some(&1_008));
}

#[test]
fn a_tick_moves_the_mark_between_two_index_prices() {
    let mut bench = rich();
    bench.ok(&Command::Place(limit(2, Side::Sell, 1_020, 2)));
    bench.ok(&Command::Place(limit(3, Side::Buy, 1_020, 1)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 1_010, 1)));
    bench.ts += SECOND;
    assert_eq!(marks(&tick(&mut bench)), [1_015]);
    // once a second
    bench.ts += 10;
    assert_eq!(marks(&tick(&mut bench)), []);
}

#[test]
fn without_an_index_for_ten_seconds_positions_are_only_reduced() {
    let mut bench = rich();
    trade(&mut bench, 1, 2, 3);
    bench.ts += 9 * SECOND;
    assert_eq!(states(&tick(&mut bench)), []);
    bench.ts += SECOND;
    assert_eq!(states(&tick(&mut bench)), [SymbolState::ReduceOnly]);
    let more = Command::Place(limit(1, Side::Buy, 1_000, 1));
    bench.refused(&more, Reject::SymbolNotTrading);
    let less = Place { reduce_only: true, ..limit(1, Side::Sell, 1_000, 1) };
    bench.ok(&Command::Place(less));
    // said once
    bench.ts += SECOND;
    assert_eq!(states(&tick(&mut bench)), []);
    let back = bench.ok(&index(1, 1_000));
    assert_eq!((states(&back), marks(&back)), (vec![SymbolState::Trading], vec![1_000]));
    bench.ok(&more);
}

#[test]
fn a_halt_outlives_a_missing_index() {
    let mut bench = rich();
    let set = |state| {
        let (symbol, _pad) = (SymbolId(1), [0; 5]);
        Command::SetSymbolState(SetSymbolState { symbol, state, _pad })
    };
    assert_eq!(states(&bench.ok(&set(SymbolState::Halted))), [SymbolState::Halted]);
    bench.ts += 20 * SECOND;
    assert_eq!(states(&tick(&mut bench)), [SymbolState::Halted]);
    // an operator cannot open what has no index
    assert_eq!(states(&bench.ok(&set(SymbolState::Trading))), [SymbolState::ReduceOnly]);
    assert_eq!(states(&bench.ok(&index(1, 1_000))), [SymbolState::Trading]);
}

#[test]
fn longs_pay_shorts_when_the_hour_has_come() {
    let mut bench = rich();
    trade(&mut bench, 1, 2, 3);
    trade(&mut bench, 3, 2, 4);
    pass(&mut bench, 6, 1_000);
    to_the_hour(&mut bench);
    assert_eq!(fundings(&tick(&mut bench)), []);
    bench.ts += 100;
    // the first frame of the hour begins it, the next ones book it
    let begun = tick(&mut bench);
    let time = bench.ts - bench.ts % HOUR;
    let (symbol, rate, mark) = (SymbolId(1), INTEREST, 1_000);
    assert_eq!(fundings(&begun), [Funding { symbol, _pad: [0; 6], time, rate, mark }]);
    assert_eq!(payments(&begun), []);
    let booked = tick(&mut bench);
    let paid = payments(&booked);
    let told: Vec<_> = paid.iter().map(|paid| (paid.account.0, paid.amount)).collect();
    let owed = [3, -7, 4].map(|qty| -charge(qty, mark, rate));
    assert_eq!(told, [(1, owed[0]), (2, owed[1]), (3, owed[2])]);
    assert!(owed[0] < 0 && owed[1] > 0);
    // what rounding has left over is insured
    let residue = -owed.iter().sum::<i64>();
    assert_eq!(ends(&booked), [FundingEnded { symbol, _pad: [0; 6], time, residue }]);
    assert!((0..3).contains(&residue), "{residue}");
    // once
    assert_eq!(payments(&tick(&mut bench)), []);
}

#[test]
fn who_trades_meanwhile_pays_for_what_was_held_on_the_hour() {
    let mut bench = rich();
    trade(&mut bench, 1, 2, 3);
    pass(&mut bench, 6, 1_000);
    // the maker of a trade after the hour
    bench.ok(&Command::Place(limit(2, Side::Buy, 999, 3)));
    to_the_hour(&mut bench);
    bench.ts += 100;
    // one frame begins the funding and then does its command: 1 closes, to 2
    let events = bench.ok(&Command::Place(limit(1, Side::Sell, 999, 3)));
    let place = |wanted: fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    let (paid, traded) = (
        place(|event| matches!(event, Event::FundingPaid(paid) if paid.account == AccountId(2))),
        place(|event| matches!(event, Event::Trade(_))),
    );
    assert!(place(|event| matches!(event, Event::Funding(_))) < paid && paid < traded);
    let told: Vec<_> = payments(&events).iter().map(|p| (p.account.0, p.position)).collect();
    assert_eq!(told, [(1, 3), (2, -3)]);
    // who comes later owes nothing, and nobody pays twice
    trade(&mut bench, 3, 2, 5);
    let after = tick(&mut bench);
    assert_eq!((payments(&after).len(), ends(&after).len()), (0, 0));
}

#[test]
fn equity_is_judged_after_the_funding() {
    // 3 lots at 1,000 and leverage 20 need 1.5e11 and a fee; this is 1,000 more
    let needed = 150_000_001_050 + 1_500_000_011;
    let mut bench = Bench::funded(&[(1, needed + 1_000), (2, 1 << 45)]);
    trade(&mut bench, 1, 2, 3);
    pass(&mut bench, 6, 1_000);
    to_the_hour(&mut bench);
    bench.ts += 100;
    let events = bench.send(&Command::Place(limit(1, Side::Buy, 900, 1)));
    assert_eq!(outcome(&events).reject, Reject::NeedMargin);
    // the refusal counts what has just been paid
    let margin = 1_000 * MULT / 20;
    let [paid] = payments(&events)[..] else { panic!("{events:?}") };
    assert_eq!(paid.amount, -charge(3, 1_000, INTEREST));
    assert!(outcome(&events).amount > -paid.amount && outcome(&events).amount > margin / 2);
}

#[test]
fn an_isolated_position_pays_from_its_wallet() {
    let mut bench = rich();
    let (account, symbol, mode) = (AccountId(1), SymbolId(1), MarginMode::Isolated);
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
    let wallet = match trade(&mut bench, 1, 2, 3).iter().find_map(|event| match event {
        Event::Trade(trade) => Some(trade.taker),
        _ => None,
    }) {
        Some(fill) => fill.isolated_wallet,
        None => panic!("it trades"),
    };
    pass(&mut bench, 6, 1_000);
    to_the_hour(&mut bench);
    bench.ts += 100;
    tick(&mut bench);
    let paid = payments(&tick(&mut bench));
    assert_eq!(paid[0].isolated_wallet, wallet - charge(3, 1_000, INTEREST));
    assert_eq!(paid[1].isolated_wallet, 0);
}

/// A bid of 4 lots at 1,020 is worth more than the impact notional of 25,000 units: the premium is
/// 2 %.
#[test]
fn bids_above_the_index_make_longs_pay_more() {
    let mut bench = rich();
    trade(&mut bench, 1, 2, 3);
    bench.ok(&Command::Place(limit(3, Side::Buy, 1_020, 4)));
    pass(&mut bench, 6, 1_000);
    let shown = |events: &[Event]| {
        let mark = events.iter().rev().find_map(|event| match event {
            Event::Mark(Mark { funding_rate, .. }) => Some(*funding_rate),
            _ => None,
        });
        mark.unwrap()
    };
    // (2 % - 0.05 %) / 8, which is below 0.75 * 0.4 %
    assert_eq!(shown(&bench.ok(&index(1, 1_000))), (2_000_000 - 50_000) / 8);
    to_the_hour(&mut bench);
    bench.ts += 100;
    assert_eq!(fundings(&tick(&mut bench))[0].rate, 243_750);
}

#[test]
fn nobody_pays_without_a_sample_and_hours_that_passed_are_one() {
    let mut bench = rich();
    trade(&mut bench, 1, 2, 3);
    // the log stood still for a day
    bench.ts += 24 * HOUR;
    let begun = fundings(&tick(&mut bench));
    assert_eq!(begun.iter().map(|funding| funding.rate).collect::<Vec<_>>(), [0]);
    let next = tick(&mut bench);
    assert_eq!((fundings(&next).len(), payments(&next).len()), (0, 0));
}

/// Accounts are gone through in slices, one a frame, in the order of their ids; the insurance fund is
/// the first of all.
#[test]
fn funding_is_booked_in_slices() {
    let accounts = 1..=150u32;
    let grants: Vec<_> = accounts.clone().map(|account| (account, 1 << 45)).collect();
    let mut bench = Bench::funded(&grants);
    let mut twin = crate::twin::Twin::new();
    for account in accounts.clone().filter(|account| account % 2 == 0) {
        trade(&mut bench, account, account - 1, 1 + i64::from(account % 5));
    }
    pass(&mut bench, 6, 1_000);
    to_the_hour(&mut bench);
    bench.ts += 100;
    let mut booked = Vec::new();
    for _ in 0..4 {
        let events = tick(&mut bench);
        booked.push((payments(&events).len(), ends(&events).len()));
    }
    assert_eq!(booked, [(0, 0), (63, 0), (64, 0), (23, 1)]);
    // and the twin says the same
    let log = bench.log.clone();
    let mut again = Bench::new(1);
    for (at, (header, payload)) in log.iter().enumerate() {
        let expected = twin.apply(header, payload);
        if at >= again.log.len() {
            again.ts = header.ts - 1;
            let said = again.apply_bytes(header.kind, payload).events();
            assert_eq!(said, expected, "frame {at}");
        }
    }
}
