//! Flows under the eyes of a reading of the rules of liquidation.

use proptest::prelude::*;
use protocol::{
    AccountId, Command, SymbolId,
    command::{Grant, MoveMargin, Place, SetLeverage, SetMarginMode, Tick},
    limits::MARGIN_CALL_GRACE_US,
    order::{MarginMode, PositionSide, Side},
};

use crate::{
    bench::{Bench, index, outcome},
    differential::cases,
    flow::{self, Act, Draw, Step, cluster},
    invariants::fixed_steps,
    jumps::jumping_act,
    reading_chain::{Judge, Seen},
    trading::limit,
};

/// Plays steps before the judge.
fn judged(
    bench: &mut Bench,
    steps: &[Step],
    mut act_of: impl FnMut(&mut Bench, &Step) -> Act,
) -> Result<Seen, String> {
    let mut judge = Judge::default();
    let mut replay = Bench::new(1);
    for (header, payload) in bench.log.clone().iter().skip(replay.log.len()) {
        let (_, command) = Command::decode(header.kind, payload).unwrap();
        let events = replay.apply_bytes(header.kind, payload).events();
        judge.take(&command, header.seq, header.ts, &events, true);
    }
    for step in steps {
        let act = act_of(bench, step);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        let works = bench.engine.wake_at().is_some_and(|at| at <= bench.ts);
        judge.take(command, bench.seq, bench.ts, &events, works);
        flow::counted(bench, &act, outcome(&events).reject);
    }
    match judge.faults.first() {
        None => Ok(judge.seen),
        Some(fault) => Err(fault.clone()),
    }
}

/// A step of a flow with fine ticks and high leverage, so that marks come between the lines of a
/// liquidation, and a book that has something for it; hours pass, and so do jumps.
pub fn fine_act(bench: &mut Bench, step: &Step, mark: &mut i64) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(32);
    let (account, symbol) = (AccountId(1 + u32::from(draw.below(4))), SymbolId(1));
    let side = draw.one_of(Side::ALL);
    // two have two legs
    let legs = if account.0 > 2 { &PositionSide::ALL[1..] } else { &PositionSide::ALL[..1] };
    let position_side = draw.one_of(legs);
    let command = match choice {
        0..=17 => {
            let price = *mark + i64::from(draw.below(61)) - 30;
            let (qty, reduce_only) = (1 + i64::from(draw.below(60)), draw.below(8) == 0);
            Command::Place(Place {
                position_side,
                reduce_only,
                ..limit(account.0, side, price, qty)
            })
        }
        18 | 19 => {
            let leverage = draw.one_of(&[20, 50, 50, 125]);
            Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
        }
        20 => {
            let mode = draw.one_of(MarginMode::ALL);
            Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 })
        }
        21 => {
            let amount = i64::from(draw.below(200)) * 1_000_000_000 - 60_000_000_000;
            Command::MoveMargin(MoveMargin { account, symbol, position_side, _pad: 0, amount })
        }
        22 => {
            let (call, whose) = match bench.calls.last() {
                Some((whose, call)) if draw.below(2) == 0 => (*call, *whose),
                _ => (0, account),
            };
            let funds = whose.is_insurance() || call == 0 && draw.below(8) == 0;
            let account = if funds { AccountId::INSURANCE } else { whose };
            let amount = (1 + i64::from(draw.below(40))) << if funds { 34 } else { 36 };
            bench.links[0] += 1;
            let link_seq = bench.links[0];
            return cluster(Command::Grant(Grant { link_seq, account, _pad: 0, amount, call }));
        }
        23..=28 => {
            bench.ts += u64::from(draw.below(3) / 2) * MARGIN_CALL_GRACE_US;
            *mark = match draw.below(40) {
                0 => *mark * 13 / 10,
                1 => *mark * 7 / 10,
                2 => 1_000,
                _ => *mark + i64::from(draw.below(15)) - 7,
            };
            *mark = (*mark).clamp(700, 1_300);
            index(1, *mark)
        }
        _ => {
            let jump = draw.one_of(&[200, 300, 300, 1_000, 5_000, 900_000]);
            bench.ts += jump * 1_000;
            return cluster(Command::Tick(Tick { _reserved: 0 }));
        }
    };
    Act::Command { envelope: bench.envelope(0, draw.below(2) == 1), command }
}

pub fn fine(cash: [i64; 4]) -> Bench {
    let grants: Vec<_> = (1..).zip(cash.map(|amount| amount << 32)).collect();
    let mut bench = Bench::funded(&grants);
    bench.hedge(0b1_1000);
    bench
}

proptest! {
    #![proptest_config(cases(1_000, 60_000))]

    #[test]
    fn liquidation_of_fine_positions_reads_as_the_rules(
        steps in flow::steps(300), cash in prop::array::uniform4(40i64..2_000),
    ) {
        let mut mark = 1_000;
        let act = |bench: &mut Bench, step: &Step| fine_act(bench, step, &mut mark);
        judged(&mut fine(cash), &steps, act).unwrap();
    }

    #[test]
    fn liquidation_under_jumping_marks_reads_as_the_rules(
        steps in flow::steps(200), cash in prop::array::uniform4(1i64..30_000), work in 1usize..4,
    ) {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        judged(&mut Bench::trading_with_work(&grants, work), &steps, act).unwrap();
    }

    #[test]
    fn liquidation_of_large_positions_reads_as_the_rules(
        steps in flow::steps(200), cash in prop::array::uniform4(1i64..3_000_000), work in 1usize..4,
    ) {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        judged(&mut Bench::large(&grants, work), &steps, act).unwrap();
    }

    #[test]
    fn liquidation_in_all_modes_reads_as_the_rules(
        steps in flow::steps(300), cash in prop::array::uniform5(0i64..80_000), work in 0usize..4,
        isolated: u16, hedged: u16,
    ) {
        let grants: Vec<_> = (1..).zip(cash).filter(|(_, amount)| *amount > 0).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| flow::trading_act(bench, step, &mut mark);
        let mut bench = Bench::trading_with_work(&grants, work);
        bench.isolate(isolated);
        bench.hedge(hedged);
        judged(&mut bench, &steps, act).unwrap();
    }
}

/// What is judged does come about.
#[test]
fn flows_reach_every_step_of_the_chain() {
    let mut sum = Seen::default();
    let steps = fixed_steps(40_000);
    for run in steps.chunks(500) {
        let mut mark = 1_000;
        let act = |bench: &mut Bench, step: &Step| fine_act(bench, step, &mut mark);
        sum += judged(&mut fine([400, 900, 600, 1_500]), run, act).unwrap();
    }
    let grants = [(0, 1), (1, 100_000), (2, 200_000), (3, 300_000), (4, 400_000)];
    for run in steps.chunks(2_000) {
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        sum += judged(&mut Bench::large(&grants, 1), run, act).unwrap();
    }
    let Seen { booked, taken, deleveraged, fees, .. } = sum;
    assert!(booked > 10 && taken > 50 && deleveraged > 50 && fees > 10, "{sum:?}");
    let Seen { parts, quarters, isolated, hedged, ranked, passed, .. } = sum;
    assert!(parts > 50 && quarters > 5 && isolated > 50 && hedged > 20, "{sum:?}");
    assert!(ranked > 20 && passed > 0, "{sum:?}");
}
