//! A state that was saved and loaded is the state: it says the same about all that follows.

use engine::{Engine, LoadError};
use proptest::prelude::*;

use crate::{
    bench::{Bench, CAPACITY, Collected, outcome},
    differential::cases,
    flow::{self, Act, Step},
    flow_links,
    jumps::jumping_act,
};

fn load(bytes: &[u8]) -> Result<Engine, LoadError> {
    Engine::load(CAPACITY, bytes)
}

/// Plays steps to a bench and, from a step on, its last frames to an engine loaded from there.
fn compare(
    bench: &mut Bench,
    steps: &[Step],
    from: usize,
    mut act_of: impl FnMut(&mut Bench, &Step) -> Act,
) -> Result<(), TestCaseError> {
    let mut loaded: Option<Engine> = None;
    for (nth, step) in steps.iter().enumerate() {
        if nth == from {
            let saved = bench.engine.save();
            let engine = load(&saved).expect("what was saved can be loaded");
            prop_assert_eq!(engine.state_hash(), bench.engine.state_hash());
            prop_assert!(engine.save() == saved, "saved again it is the same");
            loaded = Some(engine.with_work_per_turn(bench.work_per_turn));
        }
        let act = act_of(bench, step);
        let (envelope, command) = act.parts();
        let said = bench.apply(*envelope, command);
        flow::counted(bench, &act, outcome(&said).reject);
        if let Some(engine) = &mut loaded {
            let (header, payload) = bench.log.last().unwrap();
            let mut again = Collected::default();
            engine.apply(header, payload, &mut again);
            prop_assert_eq!(&again.events(), &said, "{:?}", command);
            prop_assert_eq!(engine.wake_at(), bench.engine.wake_at());
            let sent = |engine: &Engine| engine.outbox().collect::<Vec<_>>();
            prop_assert_eq!(sent(engine), sent(&bench.engine));
        }
    }
    if let Some(engine) = loaded {
        prop_assert_eq!(engine.state_hash(), bench.engine.state_hash());
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(500, 50_000))]

    #[test]
    fn a_trading_shard_goes_on_from_a_snapshot(
        steps in flow::steps(160), cash in prop::array::uniform4(0i64..60_000),
        work in prop::sample::select(vec![0, 1, 2, 64]), from in 0usize..120,
    ) {
        let grants: Vec<_> = (1..).zip(cash).filter(|(_, amount)| *amount > 0).collect();
        let mut bench = Bench::trading_with_work(&grants, work);
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| flow::trading_act(bench, step, &mut mark);
        compare(&mut bench, &steps, from, act)?;
    }

    #[test]
    fn a_shard_of_reducers_goes_on_from_a_snapshot(steps in flow::steps(150), from in 0usize..120) {
        let mut bench = Bench::trading(&[(1, 90_000_000), (2, 90_000_000), (3, 90_000_000)]);
        compare(&mut bench, &steps, from, flow::reducing_act)?;
    }

    #[test]
    fn a_shard_that_funds_goes_on_from_a_snapshot(steps in flow::steps(150), from in 0usize..120) {
        let mut bench = Bench::funded(&[(1, 1 << 45), (2, 1 << 44), (3, 1 << 43)]);
        bench.hedge(1 << 3);
        let mut mark = 1_000;
        let act = |bench: &mut Bench, step: &Step| flow::funding_act(bench, step, &mut mark);
        compare(&mut bench, &steps, from, act)?;
    }

    #[test]
    fn a_shard_under_jumping_marks_goes_on_from_a_snapshot(
        steps in flow::steps(150), cash in prop::array::uniform4(1i64..300_000),
        work in prop::sample::select(vec![1, 2, 64]), from in 0usize..120,
    ) {
        let grants: Vec<_> = (1..).zip(cash).collect();
        let mut bench = Bench::trading_with_work(&grants, work);
        let mut mark = [100; 2];
        let act = |bench: &mut Bench, step: &Step| jumping_act(bench, step, &mut mark);
        compare(&mut bench, &steps, from, act)?;
    }

    #[test]
    fn a_ledger_goes_on_from_a_snapshot(steps in flow::steps(120), from in 0usize..100) {
        compare(&mut Bench::new(0), &steps, from, flow_links::ledger_act)?;
    }

    /// Whatever the bytes are, they give an error, or a state of which they are the snapshot.
    #[test]
    fn damaged_snapshots_are_refused(
        steps in flow::steps(60), ledger: bool, at: prop::sample::Index, byte: u8, cut: bool,
    ) {
        let mut mark = [100; 2];
        let mut bench = match ledger {
            true => Bench::new(0),
            false => Bench::trading(&[(1, 90_000), (2, 90_000), (3, 90_000)]),
        };
        for step in &steps {
            let act = match ledger {
                true => flow_links::ledger_act(&mut bench, step),
                false => flow::trading_act(&mut bench, step, &mut mark),
            };
            let (envelope, command) = act.parts();
            let said = bench.apply(*envelope, command);
            flow::counted(&mut bench, &act, outcome(&said).reject);
        }
        let mut bytes = bench.engine.save();
        let at = at.index(bytes.len());
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] = byte,
        }
        match load(&bytes) {
            Ok(engine) => prop_assert!(engine.save() == bytes),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn an_engine_that_knows_nothing_can_be_saved() {
    let nothing = Engine::new(CAPACITY).save();
    assert_eq!(load(&nothing).unwrap().last_seq(), 0);
}

#[test]
fn another_version_is_not_read() {
    let mut bytes = Bench::new(1).engine.save();
    bytes[0] += 1;
    assert!(matches!(load(&bytes), Err(LoadError::Version { found: 6, ours: 5 })));
}

#[test]
fn a_snapshot_with_something_behind_it_is_not_read() {
    let mut bytes = Bench::trading(&[(1, 1_000)]).engine.save();
    bytes.push(0);
    assert_eq!(load(&bytes).err(), Some(LoadError::Damaged));
    assert_eq!(load(&[]).err(), Some(LoadError::Damaged));
}
