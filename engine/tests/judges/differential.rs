//! Engine and twin say the same bytes, frame for frame.

use proptest::prelude::*;

use crate::{
    bench::{Bench, WORK_PER_TURN, outcome},
    flow::{self, Act, Step},
    flow_links,
    jumps::jumping_act,
    long::{Played, count_applied, play},
    twin::Twin,
};

/// How many cases a judge plays.
pub fn cases(slice: u32, full: u32) -> ProptestConfig {
    let cases = if is_full() { full } else { slice };
    // proptest lets its variable count instead of what is said here
    let other = std::env::var_os("PROPTEST_CASES").is_some();
    assert!(!(is_full() && other), "the long form has its own count: unset PROPTEST_CASES");
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

pub fn is_full() -> bool {
    std::env::var_os("EXCHANGE_FULL").is_some()
}

/// Plays the bench's log so far to a new twin.
pub fn twin_of(bench: &Bench) -> Twin {
    let mut twin = Twin::with_work_per_turn(bench.work_per_turn);
    for (header, payload) in &bench.log {
        twin.apply(header, payload);
    }
    twin
}

fn compare(
    bench: &mut Bench,
    steps: &[Step],
    mut act_of: impl FnMut(&mut Bench, &Step) -> Act,
) -> Result<(), TestCaseError> {
    let (mut twin, before) = (twin_of(bench), bench.seq);
    for step in steps {
        let act = act_of(bench, step);
        let (envelope, command) = act.parts();
        let said = bench.apply(*envelope, command);
        let (header, payload) = bench.log.last().unwrap();
        let expected = twin.apply(header, payload);
        if said != expected {
            let at = said.iter().zip(&expected).take_while(|(a, b)| a == b).count();
            let (engine, twin) = (said.get(at), expected.get(at));
            prop_assert!(false, "{command:?}\n engine: {engine:?}\n twin: {twin:?}");
        }
        flow::counted(bench, &act, outcome(&said).reject);
    }
    count_applied(bench.seq - before);
    Ok(())
}

#[test]
pub fn a_trading_shard_is_its_twin() -> Played {
    let cash = prop::array::uniform4(0i64..60_000);
    let work = prop::sample::select(vec![1, 2, WORK_PER_TURN, usize::MAX]);
    let flows = (flow::steps(120), cash, work, any::<u16>(), any::<u16>());
    play(a_trading_shard_is_its_twin, &flows, |(steps, cash, work, isolated, hedged)| {
        let grants: Vec<_> = (1..).zip(cash).filter(|(_, amount)| *amount > 0).collect();
        let mut bench = Bench::trading_with_work(&grants, work);
        bench.isolate(isolated);
        bench.hedge(hedged);
        let mut mark = [100; 2];
        compare(&mut bench, &steps, |bench, step| flow::trading_act(bench, step, &mut mark))
    })
}

#[test]
pub fn a_shard_of_reducers_is_its_twin() -> Played {
    play(a_shard_of_reducers_is_its_twin, &flow::steps(150), |steps| {
        let mut bench = Bench::trading(&[(1, 90_000_000), (2, 90_000_000), (3, 90_000_000)]);
        compare(&mut bench, &steps, flow::reducing_act)
    })
}

#[test]
pub fn a_shard_under_jumping_marks_is_its_twin() -> Played {
    let cash = prop::array::uniform4(1i64..30_000);
    let flows = (flow::steps(150), cash, prop::sample::select(vec![1, 2, WORK_PER_TURN]));
    play(a_shard_under_jumping_marks_is_its_twin, &flows, |(steps, cash, work)| {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        compare(&mut Bench::trading_with_work(&grants, work), &steps, act)
    })
}

#[test]
pub fn a_shard_of_large_positions_is_its_twin() -> Played {
    let cash = prop::array::uniform4(1i64..3_000_000);
    let flows = (flow::steps(150), cash, prop::sample::select(vec![1, 2, WORK_PER_TURN]));
    play(a_shard_of_large_positions_is_its_twin, &flows, |(steps, cash, work)| {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        compare(&mut Bench::large(&grants, work), &steps, act)
    })
}

#[test]
pub fn a_shard_that_funds_is_its_twin() -> Played {
    let flows = (flow::steps(150), prop::array::uniform3(40i64..5_000));
    play(a_shard_that_funds_is_its_twin, &flows, |(steps, cash)| {
        let grants: Vec<_> = (1..).zip(cash.map(|amount| amount << 32)).collect();
        let mut mark = 1_000;
        let act = |bench: &mut Bench, step: &Step| flow::funding_act(bench, step, &mut mark);
        let mut bench = Bench::funded(&grants);
        bench.hedge(1 << 3);
        compare(&mut bench, &steps, act)
    })
}

#[test]
pub fn a_ledger_is_its_twin() -> Played {
    play(a_ledger_is_its_twin, &flow::steps(120), |steps| {
        compare(&mut Bench::new(0), &steps, flow_links::ledger_act)
    })
}
