//! One log, two builds: what the compiler makes of the engine changes nothing it says.
//!
//! `scripts/test` builds `examples/echo.rs` without optimization, then runs the ignored test below
//! in a build that is optimized.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use zerocopy::IntoBytes;

use crate::{
    bench::{Bench, CAPACITY, Collected, Frame, outcome},
    flow::{self, Step},
    flow_links,
};

const STEPS: u64 = 20_000;
/// Names the program that another build has made of `examples/echo.rs`.
const OTHER_BUILD: &str = "EXCHANGE_OTHER_BUILD";

/// What the program says of a log, from the engine in this build.
fn echo(log: &[Frame]) -> Vec<u8> {
    let mut engine = engine::Engine::new(CAPACITY);
    let mut collected = Collected::default();
    for (header, payload) in log {
        engine.apply(header, payload, &mut collected);
    }
    let mut said = Vec::new();
    for (kind, body) in collected.0 {
        said.extend(kind.to_le_bytes());
        said.extend((body.len() as u16).to_le_bytes());
        said.extend(body);
    }
    said.extend(engine.state_hash().to_le_bytes());
    said
}

fn echo_of(program: &Path, log: &[Frame]) -> Vec<u8> {
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for (header, payload) in log {
        input.write_all(header.as_bytes()).unwrap();
        input.write_all(payload).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?} ended with {}", output.status);
    output.stdout
}

/// A long flow, flow_links, the same in every build.
fn log(ledger: bool) -> Vec<Frame> {
    let mut bench = match ledger {
        true => Bench::new(0),
        false => Bench::trading(&[(1, 90_000), (2, 90_000), (3, 90_000), (4, 3_000)]),
    };
    let mut mark = [100; 2];
    let mut random = 0x5EED_2026_u64;
    for _ in 0..STEPS {
        let step: Step = std::array::from_fn(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 48) as u16
        });
        let act = match ledger {
            true => flow_links::ledger_act(&mut bench, &step),
            false => flow::trading_act(&mut bench, &step, &mut mark),
        };
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        flow::counted(&mut bench, &act, outcome(&events).reject);
    }
    bench.log
}

#[test]
#[ignore = "needs a program of another build, which scripts/test makes"]
fn two_builds_say_the_same() {
    let program = std::env::var_os(OTHER_BUILD);
    let program = program.unwrap_or_else(|| panic!("{OTHER_BUILD} names no program"));
    for ledger in [false, true] {
        let log = log(ledger);
        let (ours, theirs) = (echo(&log), echo_of(program.as_ref(), &log));
        assert!(ours.len() > 1_000_000, "the log has led to {} bytes only", ours.len());
        let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        assert!(ours == theirs, "of {} bytes the first {same} are the same", ours.len());
        let shorter = echo_of(program.as_ref(), &log[..log.len() - 1]);
        assert_ne!(ours, shorter, "a frame less is told");
    }
}
