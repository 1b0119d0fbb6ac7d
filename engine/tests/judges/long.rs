//! The long judges, and how many random commands they apply: what each has to is declared here in
//! one table, and counted where it is done. A judge that applies less fails, and so does the table
//! when its sum is too low or it names what does not run.

use std::{any::type_name, cell::Cell, process};

use proptest::{
    prelude::*,
    test_runner::{TestCaseResult, TestRunner},
};

use crate::{
    differential::{self, cases, is_full},
    invariants,
};

/// Random commands that all of them apply together, at least, in the slice and in the long form.
const COMMANDS: [u64; 2] = [2_000_000, 10_000_000];
/// Lets proptest play another number of cases; then nothing is said of commands.
const OTHER_CASES: &str = "PROPTEST_CASES";

/// A long judge: its name, its cases, and the random commands that these apply at least, in the
/// slice and in the long form.
struct Share {
    judge: &'static str,
    cases: [u32; 2],
    commands: [u64; 2],
}

/// A flow's length is drawn evenly, so cases of up to 150 steps are 75 on average; what is
/// declared is so much less that chance does not come below it.
fn shares() -> [Share; 11] {
    [
        share(differential::a_trading_shard_is_its_twin, TWIN, 56),
        share(differential::a_shard_of_reducers_is_its_twin, TWIN, 70),
        share(differential::a_shard_under_jumping_marks_is_its_twin, TWIN, 70),
        share(differential::a_shard_of_large_positions_is_its_twin, TWIN, 70),
        share(differential::a_shard_that_funds_is_its_twin, TWIN, 70),
        share(differential::a_ledger_is_its_twin, TWIN, 56),
        share(invariants::every_step_of_reducers_holds_the_invariants, AUDIT, 70),
        share(invariants::every_step_under_jumping_marks_holds_the_invariants, AUDIT, 70),
        share(invariants::every_step_of_large_positions_holds_the_invariants, AUDIT, 70),
        share(invariants::every_step_of_funding_holds_the_invariants, AUDIT, 70),
        share(invariants::every_step_holds_the_invariants, AUDIT, 70),
    ]
}

/// Cases of each judge with a twin, and of each with an auditor.
const TWIN: [u32; 2] = [3_600, 60_000];
const AUDIT: [u32; 2] = [3_200, 50_000];

fn share<J: Fn() -> Played>(_: J, cases: [u32; 2], commands_per_case: u64) -> Share {
    let commands = cases.map(|cases| u64::from(cases) * commands_per_case);
    Share { judge: type_name::<J>(), cases, commands }
}

/// What a long judge returns: its cases were played, and their commands counted.
pub struct Played(());

impl process::Termination for Played {
    fn report(self) -> process::ExitCode {
        process::ExitCode::SUCCESS
    }
}

thread_local! {
    /// Random commands that the judge on this thread has applied.
    static APPLIED: Cell<u64> = const { Cell::new(0) };
}

/// Counts random commands that an engine has applied, by its log's growth.
pub fn count_applied(commands: u64) {
    APPLIED.set(APPLIED.get() + commands);
}

/// Plays the cases of a long judge, which have to apply what it has declared.
pub fn play<J: Fn() -> Played, S: Strategy>(
    _: J,
    flows: &S,
    judge: impl Fn(S::Value) -> TestCaseResult,
) -> Played {
    let shares = shares();
    let own = shares.iter().find(|share| share.judge == type_name::<J>());
    let Share { judge: name, cases: [slice, full], commands } = own.expect("it has a share");
    APPLIED.set(0);
    let mut runner = TestRunner::new(cases(*slice, *full));
    if let Err(fault) = runner.run(flows, judge) {
        panic!("{fault}\n{runner}");
    }
    let (applied, least) = (APPLIED.get(), commands[usize::from(is_full())]);
    println!("{name}: {applied} random commands");
    let other = std::env::var_os(OTHER_CASES).is_some();
    assert!(other || applied >= least, "{applied} of {least} random commands");
    Played(())
}

#[test]
fn the_flows_are_long_enough() {
    let other = std::env::var_os(OTHER_CASES).is_some();
    assert!(!other, "{OTHER_CASES} says how many cases are played, so none has to be long enough");
    let shares = shares();
    for (form, least) in COMMANDS.into_iter().enumerate() {
        let declared: u64 = shares.iter().map(|share| share.commands[form]).sum();
        assert!(declared >= least, "{declared} of {least} random commands are declared");
    }
    let [all, ignored] = [listed(&[]), listed(&["--ignored"])];
    for Share { judge, .. } in &shares {
        let once = shares.iter().filter(|share| share.judge == *judge).count() == 1;
        let (_, test) = judge.split_once("::").unwrap();
        let is_in = |list: &str| list.lines().any(|line| line == format!("{test}: test"));
        assert!(once && is_in(&all) && !is_in(&ignored), "{test} is played, and counted once");
    }
}

/// The tests of this binary.
fn listed(which: &[&str]) -> String {
    let mut itself = process::Command::new(std::env::current_exe().unwrap());
    let told = itself.args(["--list", "--format", "terse"]).args(which).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    String::from_utf8(told.stdout).unwrap()
}
