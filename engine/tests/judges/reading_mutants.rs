//! The judge by the reading can fail: good runs are told with one thing changed, and each change is
//! noticed.

use protocol::{
    Command, Event,
    event::{LiquidationFeePaid, OrderAccepted},
    order::{OrderOrigin, TradeKind},
};

use crate::{
    bench::{Bench, outcome},
    flow::{self, Act, Step},
    invariants::fixed_steps,
    jumps::jumping_act,
    reading_chain::Judge,
    reading_flows::{fine, fine_act},
};

struct Frame {
    command: Command,
    seq: u64,
    ts: u64,
    events: Vec<Event>,
    works: bool,
}

fn record(
    mut bench: Bench,
    steps: &[Step],
    mut act_of: impl FnMut(&mut Bench, &Step) -> Act,
) -> Vec<Frame> {
    let (mut run, mut replay) = (Vec::new(), Bench::new(1));
    for (header, payload) in bench.log.clone().iter().skip(replay.log.len()) {
        let (_, command) = Command::decode(header.kind, payload).unwrap();
        let events = replay.apply_bytes(header.kind, payload).events();
        run.push(Frame { command, seq: header.seq, ts: header.ts, events, works: true });
    }
    for step in steps {
        let act = act_of(&mut bench, step);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        flow::counted(&mut bench, &act, outcome(&events).reject);
        let works = bench.engine.wake_at().is_some_and(|at| at <= bench.ts);
        run.push(Frame { command: *command, seq: bench.seq, ts: bench.ts, events, works });
    }
    run
}

fn protests(run: &[Frame]) -> bool {
    let mut judge = Judge::default();
    for frame in run {
        judge.take(&frame.command, frame.seq, frame.ts, &frame.events, frame.works);
    }
    !judge.faults.is_empty()
}

/// Changes the event at a place of a frame, if it is of the kind.
type Change = fn(&mut Vec<Event>, usize) -> bool;

fn liquidates(event: &mut Event) -> Option<&mut OrderAccepted> {
    match event {
        Event::OrderAccepted(order) if order.origin == OrderOrigin::Liquidation => Some(order),
        _ => None,
    }
}

fn fee(event: &mut Event) -> Option<&mut LiquidationFeePaid> {
    match event {
        Event::LiquidationFeePaid(fee) => Some(fee),
        _ => None,
    }
}

fn remove(events: &mut Vec<Event>, at: usize, is: bool) -> bool {
    if is {
        events.remove(at);
    }
    is
}

/// What is changed, and in how many of a hundred places it is to be noticed at least. Not all takes
/// as much as it might; a call, and an order that goes before it, are missed if a seizure follows.
const CHANGES: [(&str, Change, usize); 10] = [
    (
        "a better price",
        |events, at| liquidates(&mut events[at]).map(|o| o.price += 1).is_some(),
        99,
    ),
    ("a worse price", |events, at| liquidates(&mut events[at]).map(|o| o.price -= 1).is_some(), 99),
    ("more lots", |events, at| liquidates(&mut events[at]).map(|o| o.qty += 1).is_some(), 50),
    ("a larger fee", |events, at| fee(&mut events[at]).map(|fee| fee.amount += 1).is_some(), 99),
    (
        "no fee",
        |events, at| {
            let is = fee(&mut events[at]).is_some();
            remove(events, at, is)
        },
        99,
    ),
    (
        "no margin call",
        |events, at| {
            let is = matches!(events[at], Event::MarginCallIssued(_));
            remove(events, at, is)
        },
        20,
    ),
    (
        "orders left open",
        |events, at| {
            let is = matches!(&events[at], Event::OrderClosed(closed)
            if closed.reason == protocol::order::CloseReason::Liquidation);
            remove(events, at, is)
        },
        5,
    ),
    (
        "a fund that pays a fee",
        |events, at| match &mut events[at] {
            Event::Trade(trade) if trade.kind == TradeKind::Takeover => {
                trade.maker.fee = 1;
                true
            }
            _ => false,
        },
        99,
    ),
    (
        "a trade at another price",
        |events, at| match &mut events[at] {
            Event::Trade(trade) if trade.kind == TradeKind::Deleverage => {
                trade.price += 1;
                true
            }
            _ => false,
        },
        99,
    ),
    (
        "a dearer close",
        |events, at| match &mut events[at] {
            Event::Trade(trade) if trade.kind != TradeKind::Book => {
                trade.taker.cash -= 2;
                true
            }
            _ => false,
        },
        50,
    ),
];

#[test]
fn the_reading_notices_what_is_wrong() {
    let steps = fixed_steps(12_000);
    let mut mark = 1_000;
    let mut runs: Vec<_> = (steps[..6_000].chunks(400))
        .map(|run| {
            record(fine([400, 900, 600, 1_500]), run, |bench, step| {
                fine_act(bench, step, &mut mark)
            })
        })
        .collect();
    let grants = [(0, 1), (1, 100_000), (2, 200_000), (3, 300_000), (4, 400_000)];
    for run in steps[6_000..].chunks(1_000) {
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        runs.push(record(Bench::large(&grants, 1), run, act));
    }
    let mut missed = Vec::new();
    for (what, change, least) in CHANGES {
        let (mut changed, mut noticed) = (0, 0);
        for run in &mut runs {
            let mut done = 0;
            for at in 0..run.len() {
                for place in 0..run[at].events.len() {
                    let good = run[at].events.clone();
                    if done < 2 && change(&mut run[at].events, place) {
                        done += 1;
                        changed += 1;
                        noticed += usize::from(protests(run));
                    }
                    run[at].events = good;
                }
            }
        }
        if changed < 5 || noticed * 100 < changed * least {
            missed.push(format!("{what}: {noticed} of {changed}"));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
