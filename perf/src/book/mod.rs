//! `perf book`: what one command costs in the book alone.
//!
//! Book and twin take turns on the same commands in one process, so that a noisy neighbour hits
//! both; each run checks its sums. The median is over runs of CPU time per command; the tail comes
//! from a run of its own in which every command is timed.

use std::io::Write;

use clap::Parser;
use engine::book::twin::Twin;
use hdrhistogram::Histogram;
use protocol::order::SelfTradePrevention;
use serde::Serialize;

use crate::{
    error::PerfError,
    flow::{self, Command, Flow, FlowName, Sums},
    machine::{Machine, thread_cpu_ns},
    timing::{clock_overhead_ns, histogram, median},
};

mod desk;

use desk::Desk;

#[derive(Debug, Parser)]
pub struct Args {
    /// The stream of commands.
    #[arg(long, value_enum)]
    flow: FlowName,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Timed runs of the book and of its twin.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    runs: u16,
    /// Leave the baseline out, as for a look with a profiler.
    #[arg(long)]
    alone: bool,
}

/// The result, as it is printed.
#[derive(Debug, Serialize)]
struct Report {
    flow: FlowName,
    commands: usize,
    runs: u16,
    #[serde(flatten)]
    sums: Sums,
    /// CPU time per command, the median of the runs.
    ns_median: f64,
    /// The fastest and the slowest run.
    ns_min: f64,
    ns_max: f64,
    /// Of single commands, the clock's own time taken off.
    ns_p50: u64,
    ns_p99: u64,
    ns_p999: u64,
    ns_worst: u64,
    /// What reading the clock takes.
    ns_clock: u64,
    baseline: Option<Baseline>,
    machine: Machine,
}

#[derive(Debug, Serialize)]
struct Baseline {
    name: &'static str,
    ns_median: f64,
    ns_p999: u64,
    /// How many times as long it takes.
    ratio: f64,
}

/// Measures, checks and prints.
pub fn run(args: &Args) -> Result<(), PerfError> {
    let flow = Flow::make(args.flow);
    let (mut book_ns, mut twin_ns) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        book_ns.push(timed::<Desk>(&flow)?);
        if !args.alone {
            twin_ns.push(timed::<TwinDesk>(&flow)?);
        }
    }
    let clock = quanta::Clock::new();
    let clock_ns = clock_overhead_ns(&clock);
    let tail = single_commands::<Desk>(&flow, &clock, clock_ns)?;
    let ns_median = median(&mut book_ns);
    let baseline = if args.alone {
        None
    } else {
        let tail = single_commands::<TwinDesk>(&flow, &clock, clock_ns)?;
        let twin_median = median(&mut twin_ns);
        Some(Baseline {
            name: TwinDesk::NAME,
            ns_median: twin_median,
            ns_p999: tail.value_at_quantile(0.999),
            ratio: twin_median / ns_median,
        })
    };
    let report = Report {
        flow: args.flow,
        commands: flow.commands.len() - flow.warm,
        runs: args.runs,
        sums: flow.golden,
        ns_median,
        ns_min: book_ns[0],
        ns_max: book_ns[book_ns.len() - 1],
        ns_p50: tail.value_at_quantile(0.5),
        ns_p99: tail.value_at_quantile(0.99),
        ns_p999: tail.value_at_quantile(0.999),
        ns_worst: tail.max(),
        ns_clock: clock_ns,
        baseline,
        machine: Machine::this(),
    };
    print(&report, args.json)
}

/// Something that can be measured on a flow.
trait Subject {
    const NAME: &'static str;
    fn fresh() -> Self;
    fn apply(&mut self, command: &Command);
    fn sums(&self) -> Sums;
}

impl Subject for Desk {
    const NAME: &'static str = "book";

    fn fresh() -> Self {
        Self::new(SelfTradePrevention::ExpireMaker)
    }

    fn apply(&mut self, command: &Command) {
        self.apply(command);
    }

    fn sums(&self) -> Sums {
        self.sums()
    }
}

/// The naive twin: maps of queues.
struct TwinDesk {
    twin: Twin,
    sums: Sums,
}

impl Subject for TwinDesk {
    const NAME: &'static str = "naive twin";

    fn fresh() -> Self {
        Self { twin: Twin::default(), sums: Sums::default() }
    }

    fn apply(&mut self, command: &Command) {
        flow::apply_to_twin(&mut self.twin, command, &mut self.sums);
    }

    fn sums(&self) -> Sums {
        Sums { resting: self.twin.len() as u64, ..self.sums }
    }
}

/// CPU time per command of one run, in ns.
fn timed<S: Subject>(flow: &Flow) -> Result<f64, PerfError> {
    let (warm, measured) = flow.commands.split_at(flow.warm);
    let mut subject = S::fresh();
    warm.iter().for_each(|command| subject.apply(command));
    let start = thread_cpu_ns();
    measured.iter().for_each(|command| subject.apply(command));
    let took = thread_cpu_ns() - start;
    check(&subject, flow)?;
    Ok(took as f64 / measured.len() as f64)
}

/// The time of each single command in one run, in ns.
fn single_commands<S: Subject>(
    flow: &Flow,
    clock: &quanta::Clock,
    clock_ns: u64,
) -> Result<Histogram<u64>, PerfError> {
    let (warm, measured) = flow.commands.split_at(flow.warm);
    let mut times = histogram();
    let mut subject = S::fresh();
    warm.iter().for_each(|command| subject.apply(command));
    for command in measured {
        let start = clock.raw();
        subject.apply(command);
        let end = clock.raw();
        times.saturating_record(clock.delta_as_nanos(start, end).saturating_sub(clock_ns));
    }
    check(&subject, flow)?;
    Ok(times)
}

fn check<S: Subject>(subject: &S, flow: &Flow) -> Result<(), PerfError> {
    let (found, golden) = (subject.sums(), flow.golden);
    if found == golden { Ok(()) } else { Err(PerfError::Golden { who: S::NAME, found, golden }) }
}

fn print(report: &Report, json: bool) -> Result<(), PerfError> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    let Report { flow, commands, runs, sums, ns_median, ns_min, ns_max, .. } = report;
    writeln!(out, "flow {flow:?}: {commands} commands, {runs} runs, {}", report.machine)?;
    writeln!(out, "golden sums hold: {sums}")?;
    writeln!(out, "book        {ns_median:7.1} ns a command (runs {ns_min:.1} to {ns_max:.1})")?;
    let Report { ns_p50, ns_p99, ns_p999, ns_worst, ns_clock, .. } = report;
    write!(out, "            p50 {ns_p50}, p99 {ns_p99}, p99.9 {ns_p999}, worst {ns_worst} ns")?;
    writeln!(out, " (the clock's {ns_clock} ns taken off)")?;
    if let Some(Baseline { name, ns_median, ns_p999, ratio }) = &report.baseline {
        writeln!(out, "{name:<12}{ns_median:7.1} ns a command, p99.9 {ns_p999} ns")?;
        writeln!(out, "ratio       {ratio:7.1}")?;
    }
    Ok(())
}
