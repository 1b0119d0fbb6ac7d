//! Looking ahead changes nothing, whatever an engine is shown, and never panics.

use engine::{Engine, LOOK_AHEAD};
use proptest::prelude::*;

use crate::{
    bench::{Bench, CAPACITY, Collected, Frame, outcome},
    differential::cases,
    flow,
};

/// So many that an engine looks ahead.
const ACCOUNTS: u32 = 8_200;

/// Events' bytes and state of a log played to a new engine that is shown the frames of `sight`
/// beside those of the log, which are as many.
fn play(log: &[Frame], sight: Option<&[Frame]>) -> (Collected, u64) {
    let mut engine = Engine::new(CAPACITY);
    let mut collected = Collected::default();
    for (at, (header, payload)) in log.iter().enumerate() {
        let coming = sight.and_then(|sight| Some([log.get(at + LOOK_AHEAD)?, &sight[at]]));
        for (header, payload) in coming.into_iter().flatten() {
            engine.look_ahead(header, payload);
        }
        engine.apply(header, payload, &mut collected);
    }
    (collected, engine.state_hash())
}

proptest! {
    #![proptest_config(cases(12, 600))]

    #[test]
    fn what_is_seen_ahead_changes_nothing(
        steps in flow::steps(200),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..160, any::<u8>()), 200),
    ) {
        let mut bench = Bench::trading(&[(1, 90_000), (2, 900_000), (3, 90_000)]);
        (10..10 + ACCOUNTS).for_each(|account| drop(bench.grant(account, 1)));
        let (before, mut mark) = (bench.log.len(), [100; 2]);
        for step in &steps {
            let act = flow::trading_act(&mut bench, step, &mut mark);
            let (envelope, command) = act.parts();
            let events = bench.apply(*envelope, command);
            flow::counted(&mut bench, &act, outcome(&events).reject);
        }
        let mut sight = bench.log.clone();
        for (frame, at, byte) in edits {
            let (_, payload) = &mut sight[before + frame.index(bench.log.len() - before)];
            payload.get_mut(at).into_iter().for_each(|place| *place = byte);
        }
        let (blind, seeing) = (play(&bench.log, None), play(&bench.log, Some(&sight)));
        prop_assert_eq!(blind.0.0, seeing.0.0);
        prop_assert_eq!(blind.1, seeing.1);
    }
}

/// The judge above has an engine that does look.
#[test]
fn accounts_are_many_enough() {
    let mut bench = Bench::trading(&[]);
    (10..10 + ACCOUNTS).for_each(|account| drop(bench.grant(account, 1)));
    assert!(bench.engine.looks_ahead());
    assert!(!Bench::trading(&[(1, 1)]).engine.looks_ahead());
}
