//! The same log gives the same bytes and the same state, and different states differ.

use engine::Engine;
use proptest::prelude::*;
use protocol::Reject;

use crate::{
    bench::{Bench, CAPACITY, Collected, Frame, outcome},
    differential::cases,
    flow, flow_links,
};

/// Events' bytes and state of a log played to a new engine.
fn play(log: &[Frame]) -> (Collected, u64) {
    let mut engine = Engine::new(CAPACITY);
    let mut collected = Collected::default();
    for (header, payload) in log {
        engine.apply(header, payload, &mut collected);
    }
    (collected, engine.state_hash())
}

proptest! {
    #![proptest_config(cases(60, 6_000))]

    #[test]
    fn a_log_decides_everything(steps in flow::steps(200), ledger: bool) {
        let mut bench = match ledger {
            true => Bench::new(0),
            false => Bench::trading(&[(1, 90_000), (2, 90_000), (3, 90_000)]),
        };
        let mut mark = [100; 2];
        let mut said = Collected::default();
        for step in &steps {
            let act = match ledger {
                true => flow_links::ledger_act(&mut bench, step),
                false => flow::trading_act(&mut bench, step, &mut mark),
            };
            let (envelope, command) = act.parts();
            let before = bench.engine.state_hash();
            let events = bench.apply(*envelope, command);
            prop_assert_ne!(before, bench.engine.state_hash(), "a frame counts");
            flow::counted(&mut bench, &act, outcome(&events).reject);
        }
        let (once, state) = play(&bench.log);
        let (again, state_again) = play(&bench.log);
        said.0.extend(once.0);
        prop_assert_eq!(said.0, again.0);
        prop_assert_eq!((state, state), (state_again, bench.engine.state_hash()));
    }
}

/// The state's digest covers what was decided: one command more, or another one, and it differs.
#[test]
fn a_digest_tells_states_apart() {
    let mut hashes = Vec::new();
    for price in [95, 96] {
        for qty in [3, 4] {
            let mut bench = Bench::trading(&[(1, 90_000)]);
            let order = crate::trading::limit(1, protocol::order::Side::Buy, price, qty);
            let events = bench.send(&protocol::Command::Place(order));
            assert_eq!(outcome(&events).reject, Reject::None);
            hashes.push(bench.engine.state_hash());
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4);
}
