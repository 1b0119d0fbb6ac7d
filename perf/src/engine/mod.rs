//! `perf engine`: what one command costs in the engine whole, on one thread in one process.
//!
//! The flow is made once, then played to fresh engines. Each run has to end in the state that the
//! flow was made with, which no difference in any order or account survives. At another scale than
//! the usual one, engines of the usual one take turns with it: the ratio is what scale costs.

use clap::{Parser, ValueEnum};
use engine::{Engine, LOOK_AHEAD};
use hdrhistogram::Histogram;
use protocol::CommandKind;
use serde::Serialize;

use crate::{
    error::PerfError,
    flow::whole::{Scale, Spread, USUAL},
    machine::{Machine, resident_bytes, thread_cpu_ns},
    timing,
};

mod buffer;
mod deeds;
mod report;
mod tape;

use buffer::Buffer;
use report::{Baseline, Report};
use tape::{Tape, apply, look_ahead};

#[derive(Debug, Parser)]
pub struct Args {
    /// The stream of commands.
    #[arg(long, value_enum, default_value_t = FlowName::C)]
    flow: FlowName,
    /// Accounts with money and a position each.
    #[arg(long, default_value_t = USUAL, value_parser = clap::value_parser!(u32).range(2..=4_000_000))]
    accounts: u32,
    /// Orders that rest.
    #[arg(long, default_value_t = USUAL, value_parser = clap::value_parser!(u32).range(100..=4_000_000))]
    orders: u32,
    /// Draw accounts alike, not as Zipf has it.
    #[arg(long)]
    uniform: bool,
    /// Let all accounts be as near to their liquidation as the usual thousand: the flow's jumps are
    /// then mass liquidations.
    #[arg(long)]
    all_bold: bool,
    /// Commands that are measured.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    commands: u32,
    /// Timed runs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    runs: u16,
    /// Leave the usual scale out, as for a look with a profiler.
    #[arg(long)]
    alone: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum FlowName {
    /// The exchange whole: three symbols, margin, conditional orders, moving marks.
    C,
}

/// Measures, checks and prints.
pub fn run(args: &Args) -> Result<(), PerfError> {
    let spread = if args.uniform { Spread::Uniform } else { Spread::Zipf };
    let (accounts, orders) = (args.accounts, args.orders);
    let scale = Scale { accounts, orders, all_bold: args.all_bold };
    let usual = Scale { accounts: USUAL, orders: USUAL, all_bold: false };
    let commands = args.commands as usize;
    let tape = Tape::record(scale, spread, commands);
    tape.deeds.check()?;
    let is_usual = (accounts, orders) == (USUAL, USUAL);
    let baseline = match is_usual || args.alone {
        true => None,
        false => Some(Tape::record(usual, spread, commands)),
    };
    let (mut runs, mut baseline_runs) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        runs.push(timed(&tape)?);
        if let Some(baseline) = &baseline {
            baseline_runs.push(timed(baseline)?);
        }
    }
    let single = single_commands(&tape)?;
    let ns_median = timing::median(&mut runs);
    let of = |quantile| single.all.value_at_quantile(quantile);
    let report = Report {
        flow: args.flow,
        spread,
        accounts: scale.accounts,
        orders: scale.orders,
        commands,
        runs: args.runs,
        commands_per_s: 1e9 / ns_median,
        ns_median,
        ns_min: runs[0],
        ns_max: runs[runs.len() - 1],
        ns_p50: of(0.5),
        ns_p99: of(0.99),
        ns_p999: of(0.999),
        ns_worst: single.all.max(),
        ns_mark_p50: single.marks.value_at_quantile(0.5),
        ns_mark_p99: single.marks.value_at_quantile(0.99),
        ns_clock: single.clock_ns,
        rss_bytes: single.rss_bytes,
        deeds: tape.deeds,
        state_hash: format!("{:016x}", tape.state_hash),
        baseline: baseline.map(|_| {
            let median = timing::median(&mut baseline_runs);
            let (accounts, orders) = (usual.accounts, usual.orders);
            Baseline { accounts, orders, ns_median: median, ratio: ns_median / median }
        }),
        machine: Machine::this(),
    };
    report.print(args.json)
}

/// CPU time a command of one run, in ns.
fn timed(tape: &Tape) -> Result<f64, PerfError> {
    let mut buffer = Buffer::new();
    let mut engine = tape.prepare(&mut buffer);
    let start = thread_cpu_ns();
    let mut coming = tape.frames();
    look_ahead(&mut engine, &mut coming, LOOK_AHEAD);
    for (header, payload) in tape.frames() {
        look_ahead(&mut engine, &mut coming, 1);
        apply(&mut engine, &header, payload, &mut buffer);
    }
    let took = thread_cpu_ns() - start;
    check(tape, &engine)?;
    Ok(took as f64 / tape.commands as f64)
}

/// Times of single commands.
struct Single {
    all: Histogram<u64>,
    /// Of those that bring new prices.
    marks: Histogram<u64>,
    clock_ns: u64,
    /// What the engine has grown to.
    rss_bytes: u64,
}

fn single_commands(tape: &Tape) -> Result<Single, PerfError> {
    let clock = quanta::Clock::new();
    let clock_ns = timing::clock_overhead_ns(&clock);
    let (mut all, mut marks) = (timing::histogram(), timing::histogram());
    let mut buffer = Buffer::new();
    let before = resident_bytes()?;
    let mut engine = tape.prepare(&mut buffer);
    let mut coming = tape.frames();
    look_ahead(&mut engine, &mut coming, LOOK_AHEAD);
    for (header, payload) in tape.frames() {
        let start = clock.raw();
        look_ahead(&mut engine, &mut coming, 1);
        apply(&mut engine, &header, payload, &mut buffer);
        let end = clock.raw();
        let took = clock.delta_as_nanos(start, end).saturating_sub(clock_ns);
        all.saturating_record(took);
        if header.kind == CommandKind::IndexPrices as u16 {
            marks.saturating_record(took);
        }
    }
    let rss_bytes = resident_bytes()?.saturating_sub(before);
    check(tape, &engine)?;
    Ok(Single { all, marks, clock_ns, rss_bytes })
}

fn check(tape: &Tape, engine: &Engine) -> Result<(), PerfError> {
    let (found, expected) = (engine.state_hash(), tape.state_hash);
    if found == expected { Ok(()) } else { Err(PerfError::State { found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(spread: Spread) -> Tape {
        Tape::record(Scale { accounts: 200, orders: 300, all_bold: false }, spread, 20_000)
    }

    #[test]
    fn a_recorded_flow_is_flow_c_and_replays_to_the_same_state() {
        for spread in [Spread::Zipf, Spread::Uniform] {
            let tape = tape(spread);
            tape.deeds.check().unwrap();
            assert!(tape.deeds.algos > 0 && tape.deeds.triggered > 0, "{:?}", tape.deeds);
            assert_eq!(tape.frames().count(), tape.commands);
            timed(&tape).unwrap();
        }
    }

    #[test]
    fn another_state_is_told() {
        let mut tape = tape(Spread::Zipf);
        tape.state_hash ^= 1;
        assert!(matches!(timed(&tape), Err(PerfError::State { .. })));
    }
}
