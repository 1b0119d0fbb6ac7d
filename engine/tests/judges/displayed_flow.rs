//! Whatever a trader asks for: what fits what he is shown is not refused for margin.
//!
//! In one-way mode and in hedge mode, of orders of all kinds, changes of them, other leverages,
//! margin that is moved, and conditional orders that fire.

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use protocol::{
    AccountId, Command, OrderId, Reject, SymbolId,
    command::{Amend, CancelAll, MoveMargin, Place, PlaceAlgo, SetLeverage, SetMarginMode},
    order::{
        AlgoType, MarginMode, OrderType, PositionMode, PositionSide, PriceMatch, Side, TimeInForce,
        WorkingType,
    },
};

use crate::{
    differential::cases,
    displayed::{ALICE, BOB, Venue},
    flow::{Draw, Step, steps},
    trading::{amend, limit},
    triggers::stop,
};

/// A lot of the second symbol is worth so much less.
const LOTS_OF_SECOND: i64 = 12;

/// Where a step plays.
#[derive(Clone, Copy)]
struct At {
    shard: usize,
    symbol: u16,
    mark: i64,
}

fn lots(symbol: u16, qty: i64) -> i64 {
    if symbol == 1 { qty } else { LOTS_OF_SECOND * qty }
}

/// A leg of the account's mode, and a side: what closes is drawn where there is something to close.
fn leg(venue: &Venue, draw: &mut Draw, at: At) -> (PositionSide, Side) {
    let side = draw.one_of(Side::ALL);
    if !venue.is_hedged() {
        return (PositionSide::Both, side);
    }
    let position_side = draw.one_of(&PositionSide::ALL[1..]);
    let held = venue.audits[at.shard].position((ALICE, at.symbol, position_side as u8)).qty;
    match held == 0 && position_side.closed_by(side) {
        true => (position_side, side.opposite()),
        false => (position_side, side),
    }
}

fn order(venue: &Venue, draw: &mut Draw, at: At) -> Place {
    let (position_side, side) = leg(venue, draw, at);
    let qty = lots(at.symbol, 1 + i64::from(draw.below(8)));
    let price = at.mark + i64::from(draw.below(9)) - 4;
    let plain = limit(ALICE, side, price, qty);
    let plain = Place { symbol: SymbolId(at.symbol), position_side, ..plain };
    let held = venue.audits[at.shard].position((ALICE, at.symbol, position_side as u8)).qty;
    let reduce_only = held * side.sign() < 0 && draw.below(3) == 0;
    let tif = |time_in_force| Place { time_in_force, ..plain };
    let of_kind = match draw.below(12) {
        0..=2 => {
            let (order_type, time_in_force) = (OrderType::Market, TimeInForce::Ioc);
            Place { order_type, time_in_force, price: 0, ..plain }
        }
        3 => tif(TimeInForce::Ioc),
        4 => tif(TimeInForce::Fok),
        5 => tif(TimeInForce::Gtx),
        6 => Place { price_match: draw.one_of(&MATCHES), price: 0, ..plain },
        _ => plain,
    };
    Place { reduce_only, ..of_kind }
}

/// The most lots of an order for which what is shown suffices.
fn most_that_fits(venue: &Venue, shard: usize, order: &Place) -> Option<i64> {
    let (audit, shown) = (&venue.audits[shard], venue.shown());
    let fits = |qty| audit.order_needs(&Place { qty, ..*order }).fits(shown);
    let (mut fitting, mut too_many) = (0, 100);
    while too_many - fitting > 1 {
        let qty = i64::midpoint(fitting, too_many);
        *if fits(qty) { &mut fitting } else { &mut too_many } = qty;
    }
    (fitting > 0).then_some(fitting)
}

const MATCHES: [PriceMatch; 3] = [PriceMatch::Opponent, PriceMatch::Queue, PriceMatch::Queue5];

/// Of one of alice's open orders, up or down, or to nothing.
fn change(venue: &Venue, draw: &mut Draw, at: At) -> Option<Amend> {
    let open = venue.audits[at.shard].open_orders(at.symbol);
    let own: Vec<_> = open.filter(|(_, order)| order.account == ALICE).collect();
    let nth = usize::from(draw.below(8));
    let (id, known) = own.get(nth % own.len().max(1))?;
    let price = match draw.below(3) {
        0 => known.price,
        _ => at.mark + i64::from(draw.below(9)) - 4,
    };
    let qty = match draw.below(4) {
        0 => known.qty,
        _ => lots(at.symbol, 1 + i64::from(draw.below(10))),
    };
    let plain = amend(ALICE, known.side, *id, price, qty);
    let plain = Amend { symbol: SymbolId(at.symbol), order: OrderId(*id), ..plain };
    Some(match draw.below(8) {
        0 => Amend { price: 0, price_match: draw.one_of(&MATCHES), ..plain },
        _ => plain,
    })
}

fn conditional(venue: &Venue, draw: &mut Draw, at: At) -> PlaceAlgo {
    let plain = order(venue, draw, at);
    let algo_type = draw.one_of(AlgoType::ALL);
    let limited = matches!(algo_type, AlgoType::Stop | AlgoType::TakeProfit);
    let trails = algo_type == AlgoType::TrailingStopMarket;
    let may_close = matches!(algo_type, AlgoType::StopMarket | AlgoType::TakeProfitMarket);
    let closes =
        plain.position_side == PositionSide::Both || plain.position_side.closed_by(plain.side);
    let close_position = may_close && closes && draw.below(4) == 0;
    let rises =
        matches!(algo_type, AlgoType::Stop | AlgoType::StopMarket) == (plain.side == Side::Buy);
    let away = 1 + i64::from(draw.below(2));
    let trigger = if rises { at.mark + away } else { at.mark - away };
    let matched = limited && plain.price_match != PriceMatch::None;
    let price = if plain.price == 0 { at.mark } else { plain.price };
    PlaceAlgo {
        symbol: plain.symbol,
        algo_type,
        time_in_force: if limited { plain.time_in_force } else { TimeInForce::Gtc },
        position_side: plain.position_side,
        working_type: draw.one_of(WorkingType::ALL),
        reduce_only: plain.reduce_only && !close_position,
        close_position,
        price: if limited && !matched { price } else { 0 },
        price_match: if matched { plain.price_match } else { PriceMatch::None },
        qty: if close_position { 0 } else { plain.qty },
        trigger_price: if trails { 0 } else { trigger },
        callback: if trails { 1_000_000 } else { 0 },
        ..stop(ALICE, plain.side, 0, 0)
    }
}

/// Bob's orders beside the mark, for somebody to meet, or through it.
fn offer(venue: &mut Venue, draw: &mut Draw, at: At) {
    for side in Side::ALL.iter().copied() {
        let price = at.mark + i64::from(draw.below(5)) - 1;
        let price = if side == Side::Buy { 2 * at.mark - price } else { price };
        let qty = lots(at.symbol, 1 + i64::from(draw.below(8)));
        let order = Place { symbol: SymbolId(at.symbol), ..limit(BOB, side, price, qty) };
        venue.round(at.shard, BOB, &Command::Place(order));
    }
}

/// Into the wallet of one of alice's isolated positions, or out of it.
fn move_margin(venue: &mut Venue, draw: &mut Draw) {
    // all that is shown, to the last unit
    let all = venue.shown().max(1) as i64;
    let amount = draw.one_of(&[100, 3_000, all, all, all + 1, -100, -4_000]);
    let of_shard = |shard: usize| venue.audits[shard].positions.iter().map(move |on| (shard, on));
    let own =
        (1..4).flat_map(of_shard).filter(|(_, (leg, held))| leg.0 == ALICE && held.wallet > 0);
    let legs: Vec<_> = own.map(|(shard, (leg, _))| (shard, *leg)).collect();
    let Some((shard, leg)) = legs.get(usize::from(draw.below(8)) % legs.len().max(1)) else {
        return;
    };
    let (account, symbol) = (AccountId(ALICE), SymbolId(leg.1));
    let position_side = PositionSide::ALL[usize::from(leg.2)];
    let set = MoveMargin { account, symbol, position_side, _pad: 0, amount };
    venue.judged(*shard, &Command::MoveMargin(set));
}

/// What alice has open is closed, wherever it is, and her position mode is the other one.
fn change_mode(venue: &mut Venue) {
    for shard in 1..4 {
        for symbol in [1, 2] {
            venue.cancel_all(shard, symbol);
            for position_side in PositionSide::ALL.iter().copied() {
                close(venue, shard, symbol, position_side);
            }
        }
    }
    let mode = if venue.is_hedged() { PositionMode::OneWay } else { PositionMode::Hedge };
    venue.set_mode(mode);
}

fn close(venue: &mut Venue, shard: usize, symbol: u16, position_side: PositionSide) {
    let held = venue.audits[shard].position((ALICE, symbol, position_side as u8)).qty;
    if held == 0 {
        return;
    }
    let side = if held > 0 { Side::Sell } else { Side::Buy };
    let mark = venue.marks[shard][usize::from(symbol) - 1];
    let symbol = SymbolId(symbol);
    let bid = Place { symbol, ..limit(BOB, side.opposite(), mark, held.abs()) };
    venue.round(shard, BOB, &Command::Place(bid));
    let reduces = limit(ALICE, side, mark, held.abs());
    let time_in_force = TimeInForce::Ioc;
    let reduces = Place { symbol, position_side, reduce_only: true, time_in_force, ..reduces };
    venue.judged(shard, &Command::Place(reduces));
}

fn play(venue: &mut Venue, step: &Step) -> Result<(), TestCaseError> {
    let mut draw = Draw(step.iter());
    let choice = draw.below(100);
    let (shard, symbol) = (1 + usize::from(draw.below(3)), 1 + draw.below(2));
    let mark = venue.marks[shard][usize::from(symbol) - 1];
    let at = At { shard, symbol, mark };
    let (account, symbol_id) = (AccountId(ALICE), SymbolId(symbol));
    match choice {
        0..=37 => {
            let mut order = order(venue, &mut draw, at);
            if draw.below(3) == 0 {
                order.qty = most_that_fits(venue, shard, &order).unwrap_or(order.qty);
            }
            venue.judged(shard, &Command::Place(order));
        }
        38..=52 => {
            offer(venue, &mut draw, at);
        }
        53..=65 => {
            if let Some(amend) = change(venue, &mut draw, at) {
                venue.judged(shard, &Command::Amend(amend));
            }
        }
        66..=74 => {
            let algo = conditional(venue, &mut draw, at);
            let before = venue.shown();
            let (reject, asked) = venue.round(shard, ALICE, &Command::PlaceAlgo(algo));
            prop_assert!(asked == 0 && reject != Reject::InsufficientMargin, "{:?}", algo);
            prop_assert_eq!(venue.shown(), before, "it reserves nothing: {:?}", algo);
        }
        75..=82 => venue.mark(shard, symbol, 96 + i64::from(draw.below(9))),
        83..=84 => venue.rest(),
        85..=86 => {
            let mode = draw.one_of(MarginMode::ALL);
            let set = SetMarginMode { account, symbol: symbol_id, mode, _pad: 0 };
            venue.round(shard, ALICE, &Command::SetMarginMode(set));
        }
        87..=91 => {
            let leverage = draw.one_of(&[2, 3, 5, 8, 10, 15, 20, 25]);
            let set = SetLeverage { account, symbol: symbol_id, leverage, _pad: 0 };
            venue.judged(shard, &Command::SetLeverage(set));
        }
        92..=95 => move_margin(venue, &mut draw),
        96..=97 => venue.cancel_all(shard, symbol),
        98 => {
            let all = CancelAll { account, symbol: symbol_id, _pad: [0; 2] };
            venue.round(shard, ALICE, &Command::CancelAllAlgos(all));
        }
        _ => change_mode(venue),
    }
    venue.pass_time();
    Ok(())
}

fn flow(
    alice: i64,
    (hedged, isolated): (bool, u8),
    steps: &[Step],
) -> Result<Venue, TestCaseError> {
    let mut venue = Venue::new(alice);
    if hedged {
        prop_assert_eq!(venue.set_mode(PositionMode::Hedge), Reject::None);
    }
    for bit in (0..6).filter(|bit| isolated & 1 << bit != 0) {
        let (account, symbol) = (AccountId(ALICE), SymbolId(1 + bit % 2));
        let mode = MarginMode::Isolated;
        let set = SetMarginMode { account, symbol, mode, _pad: 0 };
        venue.round(1 + usize::from(bit / 2), ALICE, &Command::SetMarginMode(set));
    }
    for step in steps {
        play(&mut venue, step)?;
        prop_assert!(venue.faults.is_empty(), "{}", venue.faults[0]);
    }
    Ok(venue)
}

/// In hedge mode or not; and by bit a symbol of a shard that is isolated.
const MODES: (proptest::bool::Any, std::ops::Range<u8>) = (proptest::bool::ANY, 0..64);

proptest! {
    #![proptest_config(cases(300, 15_000))]

    #[test]
    fn what_fits_is_never_short_of_margin(
        alice in 10_000i64..400_000,
        modes in MODES,
        steps in steps(80),
    ) {
        flow(alice, modes, &steps)?;
    }
}

/// Of each kind there is something to judge: what fits, what of it lies elsewhere, and what does not
/// fit.
#[test]
fn each_kind_is_judged() {
    let mut runner = TestRunner::deterministic();
    let flows = (10_000i64..400_000, MODES, steps(80));
    let (mut seen, mut both_legs) = ([[0; 5]; 3], 0);
    for _ in 0..150 {
        let (alice, modes, steps) = flows.new_tree(&mut runner).unwrap().current();
        let of_flow = flow(alice, modes, &steps).unwrap().seen;
        for (all, more) in seen.iter_mut().zip([of_flow.fitted, of_flow.lent, of_flow.refused]) {
            all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        }
        both_legs += of_flow.both_legs;
    }
    assert!(seen.iter().flatten().all(|count| *count > 3), "{seen:?}");
    assert!(both_legs > 20, "{both_legs}");
}
