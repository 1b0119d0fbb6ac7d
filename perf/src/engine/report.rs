//! The result of `perf engine`, as a table or as JSON.

use std::io::Write;

use serde::Serialize;

use super::{FlowName, deeds::Deeds};
use crate::{error::PerfError, flow::whole::Spread, machine::Machine};

#[derive(Debug, Serialize)]
pub struct Report {
    pub flow: FlowName,
    pub spread: Spread,
    pub accounts: u32,
    pub orders: u32,
    pub commands: usize,
    pub runs: u16,
    /// By CPU time, the median of the runs.
    pub commands_per_s: f64,
    pub ns_median: f64,
    /// The fastest and the slowest run.
    pub ns_min: f64,
    pub ns_max: f64,
    /// Of single commands, the clock's own time taken off.
    pub ns_p50: u64,
    pub ns_p99: u64,
    pub ns_p999: u64,
    pub ns_worst: u64,
    /// Of single commands that bring new prices for all symbols.
    pub ns_mark_p50: u64,
    pub ns_mark_p99: u64,
    /// What reading the clock takes.
    pub ns_clock: u64,
    /// Memory that the engine takes once the flow is through.
    pub rss_bytes: u64,
    #[serde(flatten)]
    pub deeds: Deeds,
    pub state_hash: String,
    pub baseline: Option<Baseline>,
    pub machine: Machine,
}

/// The same at the usual scale, in turns with it.
#[derive(Debug, Serialize)]
pub struct Baseline {
    pub accounts: u32,
    pub orders: u32,
    pub ns_median: f64,
    /// How many times as long a command takes here.
    pub ratio: f64,
}

impl Report {
    pub fn print(&self, json: bool) -> Result<(), PerfError> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        let Self { flow, spread, accounts, orders, commands, runs, machine, .. } = self;
        writeln!(
            out,
            "flow {flow:?}, accounts drawn {spread:?}: {accounts} accounts, {orders} resting orders"
        )?;
        writeln!(out, "{commands} commands, {runs} runs, {machine}")?;
        self.deeds.print(&mut out)?;
        writeln!(out, "state hash  {}", self.state_hash)?;
        let Self { commands_per_s, ns_median, ns_min, ns_max, .. } = self;
        writeln!(
            out,
            "engine      {commands_per_s:9.0} commands/s: {ns_median:.1} ns a command \
             (runs {ns_min:.1} to {ns_max:.1})"
        )?;
        let Self { ns_p50, ns_p99, ns_p999, ns_worst, ns_clock, .. } = self;
        write!(
            out,
            "            p50 {ns_p50}, p99 {ns_p99}, p99.9 {ns_p999}, worst {ns_worst} ns"
        )?;
        writeln!(out, " (the clock's {ns_clock} ns taken off)")?;
        let Self { ns_mark_p50, ns_mark_p99, rss_bytes, .. } = self;
        writeln!(out, "new prices  p50 {ns_mark_p50}, p99 {ns_mark_p99} ns")?;
        writeln!(out, "memory      {:.1} MiB", *rss_bytes as f64 / (1 << 20) as f64)?;
        if let Some(Baseline { accounts, orders, ns_median, ratio }) = &self.baseline {
            writeln!(
                out,
                "baseline    {ns_median:.1} ns a command at {accounts} accounts, {orders} orders: \
                 ratio {ratio:.2}"
            )?;
        }
        Ok(())
    }
}

impl Deeds {
    fn print(&self, out: &mut impl Write) -> Result<(), PerfError> {
        let Self { events, placed, accepted, trading, trades, .. } = self;
        writeln!(
            out,
            "orders      {accepted} of {placed} accepted, {trades} trades in {trading} commands, \
             {events} events"
        )?;
        let Self { algos, triggered, liquidated, .. } = self;
        writeln!(
            out,
            "conditions  {algos} taken in, {triggered} came true; {liquidated} orders ended for want of equity"
        )?;
        let reasons = self.rejected.iter().map(|(reason, count)| format!("{reason} {count}"));
        writeln!(out, "rejected    {}", reasons.collect::<Vec<_>>().join(", "))?;
        Ok(())
    }
}
