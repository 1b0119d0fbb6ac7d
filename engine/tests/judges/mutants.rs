//! The auditor can fail: good runs are damaged, one event at a time, and each kind of damage is
//! noticed wherever it is done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use protocol::{
    AccountId, Event, OrderId, TradeId,
    event::{Fill, Trade},
    order::{AlgoStatus, CashReason, OrderOrigin, OrderStatus, OrderType, TimeInForce, TradeKind},
};

use crate::{
    auditor::Auditor,
    bench::{Bench, outcome},
    flow::{self, Act, Step},
    invariants::fixed_steps,
    jumps::jumping_act,
};

/// Frames: their time and their events.
pub type Run = Vec<(u64, Vec<Event>)>;

/// The first is long, as debts are rare.
const STEPS: [usize; 3] = [16_000, 2_500, 2_500];
/// Of a run, so many places are damaged in turn.
const PLACES: usize = 3;

pub fn record(
    mut bench: Bench,
    steps: usize,
    mut act_of: impl FnMut(&mut Bench, &Step) -> Act,
) -> Run {
    let (mut run, mut replay) = (Run::new(), Bench::new(1));
    for (header, payload) in bench.log.clone().iter().skip(replay.log.len()) {
        run.push((header.ts, replay.apply_bytes(header.kind, payload).events()));
    }
    for step in fixed_steps(steps) {
        let act = act_of(&mut bench, &step);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        flow::counted(&mut bench, &act, outcome(&events).reject);
        run.push((bench.ts, events));
    }
    run
}

pub fn runs() -> [Run; 3] {
    let (mut mark, mut other) = ([100; 2], [100; 2]);
    let grants = [(1, 30_000), (2, 400_000), (3, 600_000), (4, 90_000)];
    let jumping = record(Bench::trading(&grants), STEPS[0], |bench, step| {
        jumping_act(bench, step, &mut mark)
    });
    let grants = [(1, 900_000), (2, 800_000), (3, 700_000), (4, 60_000)];
    let mut bench = Bench::trading(&grants);
    bench.isolate(0b11_0111_0000);
    bench.hedge(0b10_1000);
    let trading = record(bench, STEPS[1], |bench, step| flow::trading_act(bench, step, &mut other));
    let mut bench = Bench::funded(&[(1, 1 << 45), (2, 1 << 44), (3, 1 << 43)]);
    bench.hedge(1 << 3);
    let mut mark = 1_000;
    let funding = record(bench, STEPS[2], |bench, step| flow::funding_act(bench, step, &mut mark));
    [jumping, trading, funding]
}

/// Whether an auditor who has heard all before protests at some frame.
fn protests(mut auditor: Auditor, frames: &[(u64, Vec<Event>)]) -> bool {
    let all = || frames.iter().for_each(|(ts, events)| auditor.take(*ts, events));
    catch_unwind(AssertUnwindSafe(all)).is_err()
}

/// Damages the event at a place of a frame, if it is of the kind.
type Damage = fn(&mut Vec<Event>, usize) -> bool;

/// Lets an event be changed by what follows; false: it is of another kind.
macro_rules! change {
    ($kind:ident, $body:expr) => {
        |events, at| match &mut events[at] {
            Event::$kind(event) => ($body)(event),
            _ => false,
        }
    };
}

macro_rules! lose {
    ($kind:ident, $when:expr) => {
        |events, at| match &events[at] {
            Event::$kind(event) if ($when)(event) => {
                events.remove(at);
                true
            }
            _ => false,
        }
    };
}

macro_rules! repeat {
    ($kind:ident) => {
        |events, at| match events[at] {
            Event::$kind(event) => {
                events.insert(at, Event::$kind(event));
                true
            }
            _ => false,
        }
    };
}

fn of_book(trade: &mut Trade, damage: fn(&mut Trade)) -> bool {
    let is_of_book = trade.kind == TradeKind::Book;
    if is_of_book {
        damage(trade);
    }
    is_of_book
}

fn forced(trade: &mut Trade, kind: TradeKind, damage: fn(&mut Trade)) -> bool {
    let is_forced = trade.kind == kind;
    if is_forced {
        damage(trade);
    }
    is_forced
}

/// Name, the invariants of the contract that it breaks, and how.
const MUTANTS: &[(&str, Damage)] = &[
    // 1, 2, 3: lots and money
    (
        "a position has a lot more",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            trade.taker.position += 1;
        })),
    ),
    (
        "an entry value is one off",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            trade.maker.entry += 1;
        })),
    ),
    (
        "a fill loses cash",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            trade.taker.cash -= 1;
        })),
    ),
    (
        "a fee is one off",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            (trade.maker.fee, trade.maker.cash) = (trade.maker.fee + 1, trade.maker.cash - 1);
        })),
    ),
    (
        "a profit is made up",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            (trade.taker.pnl, trade.taker.cash) = (trade.taker.pnl + 1, trade.taker.cash + 1);
        })),
    ),
    (
        "a trade has a lot more",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            trade.qty += 1;
        })),
    ),
    (
        "a price is beside the maker's",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            trade.price += 1;
        })),
    ),
    (
        "a grant is lost",
        lose!(CashChanged, |change: &protocol::event::CashChanged| {
            change.reason == CashReason::GrantApplied && change.delta != 0
        }),
    ),
    (
        "money comes from nowhere",
        change!(CashChanged, |change: &mut protocol::event::CashChanged| {
            change.cash += 1;
            true
        }),
    ),
    (
        "a funding is one off",
        change!(FundingPaid, |paid: &mut protocol::event::FundingPaid| {
            (paid.amount, paid.cash) = (paid.amount + 1, paid.cash + 1);
            true
        }),
    ),
    ("a funding is booked twice", repeat!(FundingPaid)),
    ("a funding is forgotten", lose!(FundingPaid, |_: &protocol::event::FundingPaid| true)),
    (
        "a residue is one off",
        change!(FundingEnded, |end: &mut protocol::event::FundingEnded| {
            end.residue += 1;
            true
        }),
    ),
    // 4, 12: wallets
    (
        "an isolated wallet is one off",
        change!(Trade, |trade: &mut Trade| {
            let isolated = trade.taker.isolated_wallet != 0;
            trade.taker.isolated_wallet += i64::from(isolated);
            isolated
        }),
    ),
    (
        "a wallet takes what nobody moved",
        change!(MarginMoved, |moved: &mut protocol::event::MarginMoved| {
            moved.isolated_wallet += 1;
            true
        }),
    ),
    // 5, 7: the book and its orders
    (
        "a level is one lot off",
        change!(Level, |level: &mut protocol::event::Level| {
            level.qty += 1;
            true
        }),
    ),
    ("a level's change is not told", lose!(Level, |_: &protocol::event::Level| true)),
    (
        "an update is skipped",
        change!(Level, |level: &mut protocol::event::Level| {
            level.update += 1;
            true
        }),
    ),
    ("an order ends twice", repeat!(OrderClosed)),
    ("an order never ends", lose!(OrderClosed, |_: &protocol::event::OrderClosed| true)),
    (
        "an order ends with more filled",
        change!(OrderClosed, |end: &mut protocol::event::OrderClosed| {
            end.cum_qty += 1;
            true
        }),
    ),
    (
        "an order id is skipped",
        change!(OrderAccepted, |order: &mut protocol::event::OrderAccepted| {
            order.order = OrderId(order.order.0 + 1);
            true
        }),
    ),
    (
        "a trade id is skipped",
        change!(Trade, |trade: &mut Trade| {
            trade.trade = TradeId(trade.trade.0 + 1);
            true
        }),
    ),
    (
        "a full order is filled in part",
        change!(Trade, |trade: &mut Trade| {
            let full = trade.maker.status == OrderStatus::Filled;
            trade.maker.status = OrderStatus::PartiallyFilled;
            full
        }),
    ),
    (
        "a fill is of another quote",
        change!(Trade, |trade: &mut Trade| {
            trade.taker.cum_quote += 1;
            true
        }),
    ),
    // 8: terms of orders
    (
        "an order trades with itself",
        change!(Trade, |trade: &mut Trade| of_book(trade, |trade| {
            trade.maker.account = trade.taker.account;
        })),
    ),
    ("post-only takes", |events, at| {
        let Some(Event::Trade(trade)) = events.get(at + 1).copied() else { return false };
        match &mut events[at] {
            Event::OrderAccepted(order)
                if trade.kind == TradeKind::Book && order.order_type == OrderType::Limit =>
            {
                order.time_in_force = TimeInForce::Gtx;
                true
            }
            _ => false,
        }
    }),
    ("a trade is beyond the limit", |events, at| {
        let Some(Event::Trade(trade)) = events.get(at + 1).copied() else { return false };
        match &mut events[at] {
            Event::OrderAccepted(order) if trade.kind == TradeKind::Book => {
                order.price = trade.price - order.side.sign();
                true
            }
            _ => false,
        }
    }),
    // 9: reduce-only
    ("reduce-only opens", |events, at| {
        let opens = |fill: &Fill, before: i64| fill.position.abs() > before.abs();
        let Some(Event::Trade(trade)) = events.get(at + 1).copied() else { return false };
        match &mut events[at] {
            Event::OrderAccepted(order) if order.order == trade.taker.order => {
                let before = trade.taker.position - order.side.sign() * trade.qty;
                let is_wrong = opens(&trade.taker, before) && !order.reduce_only;
                order.reduce_only |= is_wrong;
                is_wrong
            }
            _ => false,
        }
    }),
    // 10: conditions
    ("a condition comes true twice", |events, at| match events[at] {
        Event::AlgoChanged(algo) if algo.status == AlgoStatus::Triggered => {
            events.insert(at, Event::AlgoChanged(algo));
            true
        }
        _ => false,
    }),
    // 11: reservations
    (
        "what is held back is one off",
        change!(Reserved, |sums: &mut protocol::event::Reserved| {
            sums.buy += 1;
            true
        }),
    ),
    ("what is held back is not told", lose!(Reserved, |_: &protocol::event::Reserved| true)),
    // 12: liquidation
    (
        "somebody is liquidated without need",
        change!(OrderAccepted, |order: &mut protocol::event::OrderAccepted| {
            let own = order.origin == OrderOrigin::Owner && !order.account.is_none();
            if own {
                order.origin = OrderOrigin::Liquidation;
            }
            own
        }),
    ),
    (
        "the fund takes over at another price",
        change!(Trade, |trade: &mut Trade| {
            forced(trade, TradeKind::Takeover, |trade| trade.price += 1)
        }),
    ),
    (
        "somebody is deleveraged at another price",
        change!(Trade, |trade: &mut Trade| {
            forced(trade, TradeKind::Deleverage, |trade| trade.price -= 1)
        }),
    ),
    (
        "a takeover costs a fee",
        change!(Trade, |trade: &mut Trade| {
            forced(trade, TradeKind::Takeover, |trade| {
                (trade.taker.fee, trade.taker.cash) = (1, trade.taker.cash - 1);
            })
        }),
    ),
    (
        "a takeover is of the book",
        change!(Trade, |trade: &mut Trade| {
            forced(trade, TradeKind::Takeover, |trade| trade.kind = TradeKind::Book)
        }),
    ),
    (
        "a trader takes over",
        change!(Trade, |trade: &mut Trade| {
            forced(trade, TradeKind::Takeover, |trade| trade.maker.account = AccountId(77))
        }),
    ),
    (
        "a liquidation costs one more",
        change!(LiquidationFeePaid, |fee: &mut protocol::event::LiquidationFeePaid| {
            (fee.amount, fee.cash) = (fee.amount + 1, fee.cash - 1);
            true
        }),
    ),
    (
        "a margin call is not told",
        lose!(MarginCallIssued, |_: &protocol::event::MarginCallIssued| true),
    ),
    (
        "a debt is one off",
        change!(DebtIssued, |debt: &mut protocol::event::DebtIssued| {
            debt.amount += 1;
            true
        }),
    ),
    (
        "a return is one off",
        change!(ReturnIssued, |back: &mut protocol::event::ReturnIssued| {
            back.amount += 1;
            true
        }),
    ),
];

/// Places of a run where a damage can be done, spread over it.
fn places(run: &Run, damage: Damage) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (frame, (_, events)) in run.iter().enumerate() {
        for at in 0..events.len() {
            if damage(&mut events.clone(), at) {
                found.push((frame, at));
            }
        }
    }
    let step = found.len().div_ceil(PLACES).max(1);
    found.into_iter().step_by(step).collect()
}

#[test]
fn every_mutant_is_noticed() {
    let (mut tried, mut missed) = (vec![0; MUTANTS.len()], Vec::new());
    for run in runs() {
        let mut planned: Vec<_> = MUTANTS
            .iter()
            .enumerate()
            .flat_map(|(mutant, (_, damage))| {
                places(&run, *damage).into_iter().map(move |(frame, at)| (frame, at, mutant))
            })
            .collect();
        planned.sort_unstable();
        // one who hears the good run, and a copy of him for each that is damaged
        let (mut auditor, mut heard) = (Auditor::default(), 0);
        for (frame, at, mutant) in planned {
            run[heard..frame].iter().for_each(|(ts, events)| auditor.take(*ts, events));
            heard = frame;
            let (name, damage) = MUTANTS[mutant];
            let mut damaged = run[frame..].to_vec();
            assert!(damage(&mut damaged[0].1, at));
            tried[mutant] += 1;
            if !protests(auditor.clone(), &damaged) {
                missed.push((name, frame, run[frame].1[at]));
            }
        }
        assert!(!protests(auditor, &run[heard..]), "a good run is good");
    }
    assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
    let untried = tried.iter().zip(MUTANTS).filter(|(tried, _)| **tried == 0);
    let untried: Vec<_> = untried.map(|(_, (name, _))| name).collect();
    assert!(untried.is_empty(), "no run has a place for {untried:?}");
}
