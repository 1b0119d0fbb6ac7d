//! The invariants after every step of random flows.

use proptest::prelude::*;

use crate::{
    auditor::Auditor,
    bench::{Bench, outcome},
    differential::cases,
    flow::{self, Step},
};

/// Plays steps under the auditor's eyes.
pub fn audited(bench: &mut Bench, steps: &[Step]) -> Auditor {
    let mut auditor = Auditor::default();
    let mut mark = [100; 2];
    let mut replay = Bench::new(1);
    for (header, payload) in bench.log.clone().iter().skip(replay.log.len()) {
        auditor.take(header.ts, &replay.apply_bytes(header.kind, payload).events());
    }
    for step in steps {
        let act = flow::trading_act(bench, step, &mut mark);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        auditor.take(bench.ts, &events);
        flow::counted(bench, &act, outcome(&events).reject);
    }
    auditor
}

proptest! {
    #![proptest_config(cases(500, 50_000))]

    #[test]
    fn every_step_holds_the_invariants(
        steps in flow::steps(150), cash in prop::array::uniform5(0i64..80_000),
    ) {
        let grants: Vec<_> = (1..).zip(cash).filter(|(_, amount)| *amount > 0).collect();
        audited(&mut Bench::trading(&grants), &steps);
    }
}

#[test]
fn flows_trade() {
    let mut numbers = 1u64;
    let mut next = || {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (numbers >> 40) as u16
    };
    let steps: Vec<Step> = (0..4_000).map(|_| std::array::from_fn(|_| next())).collect();
    let grants = [(1, 900_000), (2, 800_000), (3, 700_000), (4, 60_000)];
    let (held, trades) = audited(&mut Bench::trading(&grants), &steps).activity();
    assert!(held >= 2 && trades > 200, "{held} positions after {trades} trades");
}
