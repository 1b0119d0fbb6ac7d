//! The invariants after every step of random flows.

use std::collections::HashSet;

use proptest::prelude::*;
use protocol::{Event, Reject, order::CloseReason};

use crate::{
    auditor::Auditor,
    auditor_funding::FundingBooks,
    auditor_liquidation::LiquidationBooks,
    bench::{Bench, WORK_PER_TURN, outcome},
    flow::{self, Act, Step},
    flow_links,
    jumps::jumping_act,
    long::{Played, count_applied, play},
};

/// Plays steps under the auditor's eyes.
pub fn audited(
    bench: &mut Bench,
    steps: &[Step],
    mut act_of: impl FnMut(&mut Bench, &Step) -> Act,
) -> Auditor {
    let mut auditor = Auditor::default();
    auditor.turns.few = bench.work_per_turn < WORK_PER_TURN;
    let mut replay = Bench::new(1);
    for (header, payload) in bench.log.clone().iter().skip(replay.log.len()) {
        auditor.take(header.ts, &replay.apply_bytes(header.kind, payload).events());
    }
    let before = bench.seq;
    for step in steps {
        let act = act_of(bench, step);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        auditor.take(bench.ts, &events);
        flow::counted(bench, &act, outcome(&events).reject);
    }
    count_applied(bench.seq - before);
    auditor
}

#[test]
pub fn every_step_of_reducers_holds_the_invariants() -> Played {
    play(every_step_of_reducers_holds_the_invariants, &flow::steps(150), |steps| {
        let mut bench = Bench::trading(&[(1, 90_000_000), (2, 90_000_000), (3, 90_000_000)]);
        audited(&mut bench, &steps, flow::reducing_act);
        Ok(())
    })
}

#[test]
pub fn every_step_under_jumping_marks_holds_the_invariants() -> Played {
    let cash = prop::array::uniform4(1i64..30_000);
    let flows = (flow::steps(150), cash, prop::sample::select(vec![1, 2, 3, 64]));
    play(every_step_under_jumping_marks_holds_the_invariants, &flows, |(steps, cash, work)| {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        audited(&mut Bench::trading_with_work(&grants, work), &steps, act);
        Ok(())
    })
}

#[test]
pub fn every_step_of_large_positions_holds_the_invariants() -> Played {
    let flows = (flow::steps(150), prop::array::uniform4(1i64..3_000_000), 1usize..4);
    play(every_step_of_large_positions_holds_the_invariants, &flows, |(steps, cash, work)| {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        audited(&mut Bench::large(&grants, work), &steps, act);
        Ok(())
    })
}

#[test]
pub fn every_step_of_funding_holds_the_invariants() -> Played {
    let flows = (flow::steps(150), prop::array::uniform3(40i64..5_000));
    play(every_step_of_funding_holds_the_invariants, &flows, |(steps, cash)| {
        let grants: Vec<_> = (1..).zip(cash.map(|amount| amount << 32)).collect();
        let mut mark = 1_000;
        let act = |bench: &mut Bench, step: &Step| flow::funding_act(bench, step, &mut mark);
        let mut bench = Bench::funded(&grants);
        bench.hedge(1 << 3);
        audited(&mut bench, &steps, act);
        Ok(())
    })
}

#[test]
pub fn every_step_holds_the_invariants() -> Played {
    let cash = prop::array::uniform5(0i64..80_000);
    let work = prop::sample::select(vec![0, 1, 2, 3, 64, 64]);
    let flows = (flow::steps(150), cash, work, any::<u16>(), any::<u16>());
    play(every_step_holds_the_invariants, &flows, |(steps, cash, work, isolated, hedged)| {
        let grants: Vec<_> = (1..).zip(cash).filter(|(_, amount)| *amount > 0).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| flow::trading_act(bench, step, &mut mark);
        let mut bench = Bench::trading_with_work(&grants, work);
        bench.isolate(isolated);
        bench.hedge(hedged);
        audited(&mut bench, &steps, act);
        Ok(())
    })
}

/// Steps that are the same in each run.
pub fn fixed_steps(count: usize) -> Vec<Step> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u16
    };
    (0..count).map(|_| std::array::from_fn(|_| next())).collect()
}

#[test]
fn flows_trade() {
    let grants = [(1, 900_000), (2, 800_000), (3, 700_000), (4, 60_000)];
    let bench = &mut Bench::trading(&grants);
    bench.isolate(0b11_0111_0000);
    bench.hedge(0b10_1000);
    let mut mark = [100; 2];
    let act = |bench: &mut Bench, step: &Step| flow::trading_act(bench, step, &mut mark);
    let auditor = audited(bench, &fixed_steps(12_000), act);
    let (held, trades) = auditor.activity();
    assert!(held >= 2 && trades > 100, "{held} positions after {trades} trades");
    let algos = &auditor.algos;
    let (fired, trailed, activated) = (algos.fired, algos.trailed, algos.activated);
    assert!(algos.called > 3, "{} waited for margin calls", algos.called);
    let some = fired > 20 && trailed > 3 && activated > 3;
    assert!(auditor.positions.keys().any(|(_, _, leg)| *leg != 0), "some hedge");
    assert!(auditor.settled > 0, "{} symbols settled", auditor.settled);
    let [added, removed] = auditor.modes.moved;
    assert!(added > 0 && removed > 0, "{added} margins added, {removed} removed");
    assert!(auditor.rests.swept > 3, "{} times something was given back", auditor.rests.swept);
    assert!(some, "{fired} fired, {trailed} had trailed, {activated} were activated");
}

#[test]
fn flows_fund() {
    let grants = [(1, 1 << 45), (2, 1 << 44), (3, 1 << 43)];
    let mut mark = 1_000;
    let act = |bench: &mut Bench, step: &Step| flow::funding_act(bench, step, &mut mark);
    let mut bench = Bench::funded(&grants);
    bench.hedge(1 << 3);
    let auditor = audited(&mut bench, &fixed_steps(12_000), act);
    let FundingBooks { booked, insurance, stale, rates, .. } = &auditor.funding;
    let [negative, plain, positive] = rates;
    let some = *booked > 100 && *insurance > 0 && *stale > 10;
    assert!(some, "{booked} booked, {insurance} left by rounding, {stale} stale");
    let both = *negative > 3 && *plain > 3 && *positive > 3;
    assert!(both, "{negative} negative rates, {plain} of the interest alone, {positive} above");
}

/// Ticks as fine as those let marks come between the lines of a liquidation, so that it goes
/// through the book.
#[test]
fn marks_close_positions() {
    let grants = [(1, 1 << 45), (2, 1 << 44), (3, 1 << 43)];
    let mut mark = 1_000;
    let act = |bench: &mut Bench, step: &Step| flow::funding_act(bench, step, &mut mark);
    let mut bench = Bench::funded(&grants);
    bench.hedge(1 << 3);
    let auditor = audited(&mut bench, &fixed_steps(6_000), act);
    let LiquidationBooks { orders, takeovers, deleverages, fees, .. } = &auditor.liquidation;
    let beside = takeovers + deleverages;
    assert!(*orders > beside && *fees > 0, "{orders}, {beside} beside the book, {fees} fees");
}

#[test]
fn jumps_bring_need() {
    let bench = &mut Bench::trading(&[(1, 30_000), (2, 400_000), (3, 600_000), (4, 90_000)]);
    let mut mark = [100; 2];
    let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
    let auditor = audited(bench, &fixed_steps(16_000), act);
    let (_, trades) = auditor.activity();
    assert!(trades > 50 && auditor.needs > 10, "{trades} trades, {} in need", auditor.needs);
    let LiquidationBooks { takeovers, deleverages, unwound, .. } = &auditor.liquidation;
    let closed = *takeovers > 3 && *deleverages > 3 && *unwound > 3;
    assert!(closed, "{takeovers} taken over, {deleverages} deleveraged, {unwound} unwound");
    let LiquidationBooks { debt_calls, advances, .. } = &auditor.liquidation;
    assert!(*debt_calls > 0 && *advances > 0, "{debt_calls} called for debts, {advances} lifted");
    let [forced, owned] = auditor.liquidation.isolated;
    assert!(forced > 3 && owned > 3, "isolated, {forced} parts were closed, and {owned} by owners");
}

/// Lots ten million times as dear make positions that go by quarters; and with few units of work a
/// frame margins are changed while work waits.
#[test]
fn large_positions_go_by_quarters() {
    let (mut quarters, mut switched) = ([0; 3], 0);
    for (run, steps) in fixed_steps(60_000).chunks(250).enumerate() {
        let fund = if run % 4 < 2 { 1 } else { 500_000 };
        let grants = [(0, fund), (1, 100_000), (2, 200_000), (3, 300_000), (4, 400_000)];
        let bench = &mut Bench::large(&grants, 1 + run % 2);
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        let auditor = audited(bench, steps, act);
        let sums = quarters.iter_mut().zip(auditor.liquidation.quarters);
        sums.for_each(|(sum, some)| *sum += some);
        switched += bench.switched;
    }
    let [booked, taken, deleveraged] = quarters;
    let beside = taken + deleveraged;
    assert!(booked > 2 && beside > 0, "{booked} quarters on the book, {beside} beside it");
    assert!(switched > 10, "{switched} margins were changed while work waited");
}

/// The flows that twin and auditor judge meet the rules they are there for.
#[test]
fn flows_reach_the_rules() {
    let grants = [(1, 900_000), (2, 800_000), (3, 700_000), (4, 60_000)];
    let mut benches = [Bench::new(0), Bench::trading(&grants)];
    let (mut rejects, mut reasons, mut clipped) = (HashSet::new(), HashSet::new(), 0);
    let mut mark = [100; 2];
    for step in fixed_steps(120_000) {
        for (shard, bench) in benches.iter_mut().enumerate() {
            let act = match shard {
                0 => flow_links::ledger_act(bench, &step),
                _ => flow::trading_act(bench, &step, &mut mark),
            };
            let (envelope, command) = act.parts();
            let events = bench.apply(*envelope, command);
            flow::counted(bench, &act, outcome(&events).reject);
            rejects.insert(outcome(&events).reject);
            for event in &events {
                match event {
                    Event::WithdrawalSettled(settled) => _ = rejects.insert(settled.reject),
                    Event::OrderClosed(closed) => _ = reasons.insert(closed.reason),
                    Event::PositionModeSettled(done) => _ = rejects.insert(done.reject),
                    Event::OrderAmended(amended) => clipped += u32::from(amended.clipped),
                    _ => {}
                }
            }
        }
    }
    // what no flow of well-formed commands on listed symbols brings about
    let elsewhere = [
        Reject::Malformed,
        Reject::Unsupported,
        Reject::ShardFull,
        Reject::UnknownSymbol,
        Reject::NoMarkPrice,
        Reject::InvalidInstrument,
        Reject::PriceTooLow,
        Reject::PriceTooHigh,
        Reject::PriceNotPositive,
        Reject::QtyTooLow,
        Reject::QtyTooHigh,
        Reject::NotionalTooHigh,
        Reject::TooManyOpenOrders,
        Reject::InvalidCombination,
        Reject::TooManyAmends,
        Reject::TooManyAlgos,
        Reject::LedgerBusy,
    ];
    let missing = |reject: &&Reject| !rejects.contains(reject) && !elsewhere.contains(reject);
    assert_eq!(Reject::ALL.iter().find(missing), None);
    let elsewhere = [CloseReason::FillsMax];
    let missing = |why: &&CloseReason| !reasons.contains(why) && !elsewhere.contains(why);
    assert_eq!(CloseReason::ALL.iter().find(missing), None);
    assert!(clipped > 0);
}
