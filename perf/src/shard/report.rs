//! The result of `perf shard`, as a table or as JSON.

use std::io::Write;

use serde::Serialize;

use super::{
    load::{Figures, Offer},
    proof::Deeds,
};
use crate::{error::PerfError, machine::Machine};

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub durability: &'static str,
    pub segment_mib: u64,
    pub input_slots: usize,
    pub layout: String,
    pub client_ids: bool,
    /// Of 128 KiB each, alone on the same disk, before the runs.
    pub fdatasync_us_p50: u64,
    pub fdatasync_us_p99: u64,
    /// Of the last run at full speed.
    pub deeds: Deeds,
    /// As fast as commands are taken; its latencies are those of a full ring.
    pub full: Repeated,
    /// The same with a mind that decides nothing.
    pub baseline: Repeated,
    pub rated: Vec<RunReport>,
}

#[derive(Debug, Serialize)]
pub struct RunReport {
    /// Commands offered a second; none: as fast as they are taken.
    pub offered_per_s: Option<u64>,
    pub commands: u64,
    pub per_s: f64,
    pub us_p50: f64,
    pub us_p90: f64,
    pub us_p99: f64,
    pub us_p999: f64,
    pub us_worst: f64,
    /// CPU time of the thread that writes outputs, a command: with one thread, of all stages.
    pub cpu_ns: f64,
    /// CPU time of the proof's replay, a frame.
    pub replay_cpu_ns: f64,
}

/// Runs of one kind, as one.
#[derive(Debug, Serialize)]
pub struct Repeated {
    /// What each run did a second, the slowest first.
    pub runs_per_s: Vec<f64>,
    /// The run in the middle; of an even number the slower one.
    #[serde(flatten)]
    pub median: RunReport,
}

impl Repeated {
    /// # Panics
    /// When there is no run.
    pub fn new(mut runs: Vec<RunReport>) -> Self {
        runs.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
        let runs_per_s = runs.iter().map(|run| run.per_s).collect();
        let median = runs.swap_remove((runs.len() - 1) / 2);
        Self { runs_per_s, median }
    }
}

impl RunReport {
    pub fn new(offer: Offer, commands: u64, figures: &Figures, replay_cpu_ns: f64) -> Self {
        let us = |quantile: f64| figures.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            offered_per_s: match offer {
                Offer::Rate(rate) => Some(rate),
                Offer::Unlimited => None,
            },
            commands,
            per_s: commands as f64 * 1e9 / figures.elapsed_ns as f64,
            us_p50: us(0.5),
            us_p90: us(0.9),
            us_p99: us(0.99),
            us_p999: us(0.999),
            us_worst: figures.latencies.max() as f64 / 1e3,
            cpu_ns: figures.cpu_ns as f64 / commands as f64,
            replay_cpu_ns,
        }
    }
}

impl Report {
    pub fn print(&self, json: bool) -> Result<(), PerfError> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
            return Ok(());
        }
        writeln!(out, "shard, {}", self.machine)?;
        let Self { durability, segment_mib, input_slots, layout, .. } = self;
        writeln!(out, "durability {durability}, layout {layout}")?;
        writeln!(out, "segments {segment_mib} MiB, input ring {input_slots} slots")?;
        let (p50, p99) = (self.fdatasync_us_p50, self.fdatasync_us_p99);
        writeln!(out, "fdatasync of 128 KiB alone: p50 {p50} us, p99 {p99} us")?;
        for (name, Repeated { runs_per_s, .. }) in
            [("full speed", &self.full), ("no engine", &self.baseline)]
        {
            let of = |at: usize| runs_per_s.get(at).copied().unwrap_or_default();
            let (count, least, most) = (runs_per_s.len(), of(0), of(runs_per_s.len() - 1));
            writeln!(out, "{name}: {count} runs, {least:.0} to {most:.0} a second")?;
        }
        let Deeds { events, accepted, trades, unchanged, refused, .. } = self.deeds;
        writeln!(
            out,
            "at full speed: {events} events, {accepted} orders, {trades} trades, \
             {unchanged} moves of no distance, {refused} refused"
        )?;
        writeln!(
            out,
            "{:>12} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>10}",
            "offered/s", "done/s", "p50 us", "p90", "p99", "p99.9", "worst", "cpu ns", "replay ns"
        )?;
        let runs = self.rated.iter().map(|run| ("", run));
        let repeated = [("full speed", &self.full.median), ("no engine", &self.baseline.median)];
        for (name, run) in runs.chain(repeated) {
            let offered = run.offered_per_s.map_or(name.to_owned(), |rate| rate.to_string());
            writeln!(
                out,
                "{offered:>12} {:>12.0} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>10.1} \
                 {:>8.0} {:>10.0}",
                run.per_s,
                run.us_p50,
                run.us_p90,
                run.us_p99,
                run.us_p999,
                run.us_worst,
                run.cpu_ns,
                run.replay_cpu_ns,
            )?;
        }
        Ok(())
    }
}
