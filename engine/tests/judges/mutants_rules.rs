//! Damages that one rule alone must notice: each names the words of that rule's protest, so that
//! no other one's, about what a damaged event does to the rest of the run, can stand in for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::{
    AccountId, Event, OrderId, RATE_ONE,
    event::{AlgoChanged, CashChanged, OrderAccepted, Trade},
    order::{
        AlgoStatus, AlgoType, CashReason, OrderStatus, OrderType, PositionSide, Side, TimeInForce,
        TradeKind, WorkingType,
    },
};

use crate::{
    auditor::{Auditor, Leg},
    bench::{Bench, spec},
    flow,
    mutants::{Run, record, runs},
};

type Frame = (u64, Vec<Event>);

/// Frames that a damage may look into, and within which it is noticed.
const WINDOW: usize = 40;
/// What is due is late after so many.
const LATE: usize = 4;
const FUND: u32 = 0;
/// Of a run that is recorded here.
const STEPS: usize = 12_000;
const SECOND_US: u64 = 1_000_000;

/// The frames as they are damaged at an event of the first, if that is of the kind. The auditor has
/// heard all before.
type Damage = fn(&Auditor, &[Frame], usize) -> Option<Run>;

const OWN_WALLET: &str = "costs more than its wallet";

/// Name, words of the protest, and how.
const MUTANTS: &[(&str, &str, Damage)] = &[
    ("a grant is doubled", "a message is applied once", |_, frames, at| {
        let Event::CashChanged(grant) = frames[0].1[at] else { return None };
        let doubled = CashChanged { cash: grant.cash + grant.delta, ..grant };
        let is_grant = grant.reason == CashReason::GrantApplied;
        is_grant.then(|| inserted(frames, at + 1, Event::CashChanged(doubled)))
    }),
    ("a grant that is sent again is applied again", "a message is applied once", again),
    ("one behind in rank is deleveraged", "the first in rank goes first", out_of_rank),
    ("an isolated position costs more when it is due", OWN_WALLET, |auditor, frames, at| {
        costs_more(auditor, frames, at, |trade| (trade.kind != TradeKind::Book).then_some(0))
    }),
    ("an isolated counterparty loses more than its wallet", OWN_WALLET, |auditor, frames, at| {
        costs_more(auditor, frames, at, |trade| (trade.kind == TradeKind::Deleverage).then_some(1))
    }),
    ("who only reduces loses more than his isolated wallet", OWN_WALLET, |auditor, frames, at| {
        costs_more(auditor, frames, at, |trade| {
            (trade.kind == TradeKind::Book && trade.taker.reduce_only).then_some(0)
        })
    }),
    ("a full-or-nothing order is filled in part", "all or nothing", |_, frames, at| {
        let (order, ended) = (accepted(frames, at)?, &frames[0].1);
        let in_part = ended.iter().any(|event| {
            matches!(event, Event::OrderClosed(end)
                if (end.symbol, end.order) == (order.symbol, order.order) && end.cum_qty > 0)
        });
        let at_once = order.time_in_force == TimeInForce::Ioc;
        let fok = OrderAccepted { time_in_force: TimeInForce::Fok, ..order };
        (in_part && at_once).then(|| replaced(frames, at, Event::OrderAccepted(fok)))
    }),
    ("an order for at once rests", " rests: ", |_, frames, at| {
        rests_as(frames, at, OrderType::Limit, TimeInForce::Ioc)
    }),
    ("a full-or-nothing order rests", " rests: ", |_, frames, at| {
        rests_as(frames, at, OrderType::Limit, TimeInForce::Fok)
    }),
    ("a market order rests", " rests: ", |_, frames, at| {
        rests_as(frames, at, OrderType::Market, TimeInForce::Ioc)
    }),
    ("an order trades after its date", "never late", |auditor, frames, at| {
        let Event::Trade(trade) = frames[0].1[at] else { return None };
        let maker = auditor.orders.get(&(trade.symbol.0, trade.maker.order.0))?;
        let mut damaged = frames.to_vec();
        damaged[0].0 = maker.good_till;
        (maker.good_till != 0).then_some(damaged)
    }),
    ("an order is taken away long after its date", "outlives its date", |_, frames, at| {
        let order = accepted(frames, at)?;
        let stays = order.good_till != 0 && is_left_alone(frames, &order);
        let over = OrderAccepted { good_till: frames[0].0 + 1, ..order };
        stays.then(|| replaced(frames, at, Event::OrderAccepted(over)))
    }),
    ("both of a pair act", "one of a pair acts", |_, frames, at| {
        let (fired, other) = pair(frames, at)?;
        let order = OrderId(fired.order.0 + 1);
        let acts = AlgoChanged { status: AlgoStatus::Triggered, order, ..other };
        Some(replaced(frames, at, Event::AlgoChanged(acts)))
    }),
    ("the other one of a pair waits on", "goes with the other one of its pair", |_, frames, at| {
        pair(frames, at)?;
        Some(removed(frames, at))
    }),
    ("a trail goes back", "has its turn", trail_goes_back),
    ("a trailing stop does not follow", "has its turn", |_, frames, at| {
        let Event::AlgoChanged(met) = frames[0].1[at] else { return None };
        let follows = met.status == AlgoStatus::New && waits(frames, met.algo.0, LATE);
        follows.then(|| removed(frames, at))
    }),
];

fn replaced(frames: &[Frame], at: usize, event: Event) -> Run {
    let mut damaged = frames.to_vec();
    damaged[0].1[at] = event;
    damaged
}

fn inserted(frames: &[Frame], at: usize, event: Event) -> Run {
    let mut damaged = frames.to_vec();
    damaged[0].1.insert(at, event);
    damaged
}

fn removed(frames: &[Frame], at: usize) -> Run {
    let mut damaged = frames.to_vec();
    damaged[0].1.remove(at);
    damaged
}

fn accepted(frames: &[Frame], at: usize) -> Option<OrderAccepted> {
    match frames[0].1[at] {
        Event::OrderAccepted(order) => Some(order),
        _ => None,
    }
}

/// The shard has said how far it is to one who sent a message again.
fn again(auditor: &Auditor, frames: &[Frame], at: usize) -> Option<Run> {
    let Event::LinkApplied(told) = frames[0].1[at] else { return None };
    let (account, cash) = auditor.cash.iter().next_back()?;
    let delta = 1_000;
    let (account, cash) = (AccountId(*account), cash + delta);
    let (reason, shard, _pad, lent) = (CashReason::GrantApplied, told.peer, [0; 2], 0);
    let grant = CashChanged { account, reason, shard, _pad, cash, delta, lent };
    let is_again = at == 0 && told.link_seq == auditor.links.applied;
    is_again.then(|| inserted(frames, at + 1, Event::CashChanged(grant)))
}

/// In the place of the counterparty stands one who is behind it in rank.
fn out_of_rank(auditor: &Auditor, frames: &[Frame], at: usize) -> Option<Run> {
    let events = &frames[0].1;
    let Event::Trade(trade) = events[at] else { return None };
    let is_first = events[..at].iter().all(|event| !matches!(event, Event::Trade(_)));
    if trade.kind != TradeKind::Deleverage || !is_first || auditor.funding.is_open() {
        return None;
    }
    let taken = leg_of(&trade);
    let (rank, _) = auditor.rank(taken, &trade)?;
    let outside = [FUND, trade.taker.account.0, taken.0];
    let is_behind = |other: &&Leg| {
        let of = auditor.rank(**other, &trade);
        other.1 == taken.1 && !outside.contains(&other.0) && of.is_some_and(|(of, _)| of < rank)
    };
    let (account, _, side) = *auditor.positions.keys().find(is_behind)?;
    let (account, side) = (AccountId(account), PositionSide::from_u8(side)?);
    let mut damaged = frames.to_vec();
    for event in &mut damaged[0].1[..=at] {
        match event {
            Event::OrderAccepted(order) if order.order == trade.maker.order => {
                (order.account, order.position_side) = (account, side);
            }
            Event::Trade(trade) => {
                (trade.maker.account, trade.maker.position_side) = (account, side);
            }
            _ => {}
        }
    }
    Some(damaged)
}

/// A taker, 0, or a maker, 1, who closes a part of an isolated position, loses all that he has.
fn costs_more(
    auditor: &Auditor,
    frames: &[Frame],
    at: usize,
    whose: impl Fn(&Trade) -> Option<usize>,
) -> Option<Run> {
    let Event::Trade(mut trade) = frames[0].1[at] else { return None };
    let (symbol, whose) = (trade.symbol.0, whose(&trade)?);
    let fill = [&mut trade.taker, &mut trade.maker].into_iter().nth(whose)?;
    let leg = (fill.account.0, symbol, fill.position_side as u8);
    let loss = 1 << 50;
    (fill.pnl, fill.cash) = (fill.pnl - loss, fill.cash - loss);
    auditor.is_isolated(leg).then(|| replaced(frames, at, Event::Trade(trade)))
}

const fn leg_of(trade: &Trade) -> Leg {
    (trade.maker.account.0, trade.symbol.0, trade.maker.position_side as u8)
}

/// An order that is open when its frame ends, as one that may not be.
fn rests_as(
    frames: &[Frame],
    at: usize,
    order_type: OrderType,
    time_in_force: TimeInForce,
) -> Option<Run> {
    let order = accepted(frames, at)?;
    let key = (order.symbol, order.order);
    let ends = frames[0].1.iter().any(|event| match event {
        Event::OrderClosed(end) => (end.symbol, end.order) == key,
        Event::Trade(trade) => [trade.taker, trade.maker]
            .iter()
            .any(|fill| (trade.symbol, fill.order) == key && fill.status == OrderStatus::Filled),
        _ => false,
    });
    let rests = OrderAccepted { order_type, time_in_force, ..order };
    (!ends).then(|| replaced(frames, at, Event::OrderAccepted(rests)))
}

/// Nobody meets, changes or closes an order in the next frames.
fn is_left_alone(frames: &[Frame], order: &OrderAccepted) -> bool {
    let key = (order.symbol, order.order);
    let touches = |event: &Event| match event {
        Event::Trade(trade) => {
            [trade.taker, trade.maker].iter().any(|fill| (trade.symbol, fill.order) == key)
        }
        Event::OrderClosed(end) => (end.symbol, end.order) == key,
        Event::OrderAmended(amended) => (amended.symbol, amended.order) == key,
        _ => false,
    };
    let mut soon = frames.iter().take(LATE).flat_map(|(_, events)| events);
    frames.len() > LATE && !soon.any(touches)
}

/// One of a pair that has fired, and the other one, whose end is told next.
fn pair(frames: &[Frame], at: usize) -> Option<(AlgoChanged, AlgoChanged)> {
    let (fired, other) = match (&frames[0].1[..at], frames[0].1[at]) {
        ([.., Event::AlgoChanged(fired)], Event::AlgoChanged(other)) => (*fired, other),
        _ => return None,
    };
    let whose = |change: &AlgoChanged| (change.account, change.symbol, change.side);
    let are_two = fired.status == AlgoStatus::Triggered && other.status == AlgoStatus::Expired;
    (are_two && whose(&fired) == whose(&other)).then_some((fired, other))
}

/// Nothing becomes of a conditional order from the second frame to so many.
fn waits(frames: &[Frame], algo: u64, to: usize) -> bool {
    let changes = |event: &Event| matches!(event, Event::AlgoChanged(of) if of.algo.0 == algo);
    let soon = frames.get(1..to);
    soon.is_some_and(|soon| !soon.iter().flat_map(|(_, events)| events).any(changes))
}

/// A sell follows the mark, and one that was higher is forgotten: from there the next one has come
/// back by more than the callback.
fn trail_goes_back(_: &Auditor, frames: &[Frame], at: usize) -> Option<Run> {
    let Event::AlgoAccepted(accepted) = frames[0].1[at] else { return None };
    let (terms, algo) = (&accepted.terms, accepted.algo.0);
    let follows = terms.algo_type == AlgoType::TrailingStopMarket && terms.activate_price == 0;
    let plain = terms.working_type == WorkingType::Mark && !terms.price_protect;
    if !follows || !plain || terms.side != Side::Sell {
        return None;
    }
    for (frame, (_, events)) in frames.iter().enumerate().skip(1) {
        let marks =
            |event: &Event| matches!(event, Event::Mark(mark) if mark.symbol == terms.symbol);
        let Some(place) = events.iter().position(marks) else { continue };
        let Event::Mark(mut high) = events[place] else { return None };
        high.mark = high.mark * RATE_ONE / (RATE_ONE - terms.callback) + 1;
        high.index_e8 = high.mark * spec(terms.symbol.0).tick_e8;
        let mut damaged = frames.to_vec();
        damaged[frame].1.insert(place, Event::Mark(high));
        return waits(frames, algo, frame + LATE).then_some(damaged);
    }
    None
}

/// Runs in which pairs fire, and in which time passes.
fn more_runs() -> [Run; 2] {
    let rich = [(1, 90_000_000), (2, 90_000_000), (3, 90_000_000)];
    let pairs = record(Bench::trading(&rich), STEPS, flow::reducing_act);
    let grants = [(1, 900_000), (2, 800_000), (3, 700_000), (4, 600_000)];
    let mut mark = [100; 2];
    let dated = record(Bench::trading(&grants), STEPS, |bench, step| {
        bench.ts += u64::from(step[0] % 4 / 3) * SECOND_US;
        flow::trading_act(bench, step, &mut mark)
    });
    [pairs, dated]
}

/// What an auditor who has heard all before says at the first fault of some frames.
fn protest(mut auditor: Auditor, frames: &[Frame]) -> Option<String> {
    let all = || frames.iter().for_each(|(ts, events)| auditor.take(*ts, events));
    let said = catch_unwind(AssertUnwindSafe(all)).err()?;
    let text = said.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| said.downcast::<String>().ok().map(|text| *text))
}

#[test]
fn each_rule_notices_what_breaks_it() {
    let (mut places, mut missed) = (vec![0usize; MUTANTS.len()], Vec::new());
    for run in runs().into_iter().chain(more_runs()) {
        let mut auditor = Auditor::default();
        for frame in 0..run.len() {
            let frames = &run[frame..run.len().min(frame + WINDOW)];
            for (places, (name, words, damage)) in places.iter_mut().zip(MUTANTS) {
                for at in 0..frames[0].1.len() {
                    let Some(damaged) = damage(&auditor, frames, at) else { continue };
                    *places += 1;
                    // the first, the second, the fourth, and so on
                    if !places.is_power_of_two() {
                        continue;
                    }
                    let said = protest(auditor.clone(), &damaged);
                    if !said.as_ref().is_some_and(|said| said.contains(words)) {
                        missed.push((name, said, frames[0].1[at]));
                    }
                }
            }
            auditor.take(run[frame].0, &run[frame].1);
        }
    }
    assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
    let untried = places.iter().zip(MUTANTS).filter(|(places, _)| **places == 0);
    let untried: Vec<_> = untried.map(|(_, (name, ..))| name).collect();
    assert!(untried.is_empty(), "no run has a place for {untried:?}");
}
