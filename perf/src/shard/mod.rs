//! `perf shard`: one shard in one process, from the command to its durable output.
//!
//! Flow B goes through ingress, journal, engine and output journal. A command's latency counts
//! from when it was due by the offered rate, so a stall is charged to all who wait in it. Each
//! run is proved afterwards: a replay of its journal has to give the very events that came out.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64, mpsc},
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum, builder::RangedU64ValueParser};
use engine::Engine;
use hdrhistogram::Histogram;
use node::{
    CAPACITY, Clock, Control, Dirs, INPUT_SLOTS_DEFAULT, INPUT_SLOTS_MIN, Layout, Mind,
    OUTPUT_SLOTS_DEFAULT, Parts, Pipeline, Progress, Recovered, SLOTS_MAX, Store, genesis, recover,
};
use replication::Solo;

use crate::{
    error::PerfError,
    flow::Flow,
    machine::{Machine, thread_cpu_ns},
};

mod disk;
mod idle_mind;
mod load;
mod proof;
mod report;
mod script;

use idle_mind::IdleMind;
use load::{Figures, LATENCY_MAX_NS, Load, Offer, Run, Watch};
use proof::Deeds;
use report::{Repeated, Report, RunReport};
use script::{ClientIds, SHARD, SHARDS, Script};

const CLUSTER: u64 = 1;
const MIB: u64 = 1 << 20;
/// Frame, record and events of a command, generously: segments for all of it are made ahead.
const JOURNAL_BYTES_PER_COMMAND: u64 = 260;
const EVENTS_BYTES_PER_COMMAND: u64 = 520;
/// A run that takes longer is stuck.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);
/// The others lie ready on the disk.
const SPARES_WHILE_SERVING: usize = 2;
const SEGMENTS_TIMEOUT: Duration = Duration::from_secs(300);

const RATES: [u64; 3] = [100_000, 500_000, 1_000_000];

fn between(least: u64, most: u64) -> RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(least..=most)
}

#[derive(Debug, Parser)]
pub struct Args {
    /// Commands of the run at full speed, and of the longest rated run.
    #[arg(long, default_value_t = 10_000_000, value_parser = between(1_000, 100_000_000))]
    commands: u64,
    /// Commands offered a second; give it several times for several runs.
    #[arg(long, default_values_t = RATES, value_parser = between(1, 100_000_000))]
    rate: Vec<u64>,
    /// Length of a run at a rate.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only the runs at full speed.
    #[arg(long)]
    no_rates: bool,
    /// Runs at full speed, each followed by one without an engine; the medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// Each order carries a client's order id.
    #[arg(long)]
    client_ids: bool,
    /// Where the journals are written, on the disk that is meant; removed afterwards.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(8..=4_096))]
    segment_mib: u64,
    /// Stages on one thread, or egress on another one.
    #[arg(long, value_enum, default_value_t = Threads::Two)]
    threads: Threads,
    /// Slots of the input ring, a power of two: commands wait in it while the disk syncs. A ring
    /// that outgrows the caches costs more than it hides.
    #[arg(long, default_value_t = INPUT_SLOTS_DEFAULT)]
    input_slots: usize,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Threads {
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
}

impl Threads {
    fn layout(self) -> Layout {
        match self {
            Self::One => Layout::Compact,
            Self::Two => Layout::Halves,
        }
    }
}

/// Measures, proves and prints.
pub fn run(args: &Args) -> Result<(), PerfError> {
    let rates: &[u64] = if args.no_rates { &[] } else { &args.rate };
    let of_rate = |rate: u64| (rate * args.seconds).min(args.commands);
    let flow: &'static Flow = Box::leak(Box::new(Flow::makers(args.commands as usize)));
    let bench = Bench {
        flow,
        dir: args.dir.clone(),
        segment_bytes: args.segment_mib * MIB,
        input_slots: input_slots(args.input_slots)?,
        layout: args.threads.layout(),
        client_ids: if args.client_ids { ClientIds::Each } else { ClientIds::None },
    };
    let sync = disk::sync_latency(&args.dir)?;
    let engine = || Engine::new(CAPACITY);
    let (mut full, mut baseline, mut deeds) = (Vec::new(), Vec::new(), Deeds::default());
    for _ in 0..args.runs {
        let (run, done) = bench.measure(Offer::Unlimited, args.commands, engine)?;
        done.check()?;
        full.push(run);
        deeds = done;
        baseline.push(bench.measure(Offer::Unlimited, args.commands, IdleMind::default)?.0);
    }
    let mut rated = Vec::new();
    for rate in rates {
        let (run, deeds) = bench.measure(Offer::Rate(*rate), of_rate(*rate), engine)?;
        deeds.check()?;
        rated.push(run);
    }
    let report = Report {
        machine: Machine::this(),
        durability: "solo: own fdatasync before apply",
        segment_mib: args.segment_mib,
        input_slots: args.input_slots,
        layout: format!("{:?}", bench.layout).to_lowercase(),
        client_ids: args.client_ids,
        fdatasync_us_p50: sync.us_p50,
        fdatasync_us_p99: sync.us_p99,
        deeds,
        full: Repeated::new(full),
        baseline: Repeated::new(baseline),
        rated,
    };
    report.print(args.json)
}

/// What all runs have in common.
struct Bench {
    flow: &'static Flow,
    dir: PathBuf,
    segment_bytes: u64,
    input_slots: usize,
    layout: Layout,
    client_ids: ClientIds,
}

fn input_slots(asked: usize) -> Result<usize, PerfError> {
    let range = INPUT_SLOTS_MIN..=SLOTS_MAX;
    if asked.is_power_of_two() && range.contains(&asked) {
        return Ok(asked);
    }
    Err(PerfError::Shard(format!("input_slots is {asked}; it must be a power of two in {range:?}")))
}

impl Bench {
    /// One run on a fresh shard, and its proof.
    fn measure<M: Mind>(
        &self,
        offer: Offer,
        measured: u64,
        mind: impl Fn() -> M,
    ) -> Result<(RunReport, Deeds), PerfError> {
        let temp = tempfile::tempdir_in(&self.dir)?;
        let Dirs { journal, events, .. } = Dirs::under(temp.path());
        std::fs::create_dir(journal)?;
        std::fs::create_dir(events)?;
        let figures = self.serve(temp.path(), offer, measured, mind())?;
        let start_ns = thread_cpu_ns();
        // Compares each event with what came out.
        let replayed = recover(&self.store(temp.path(), 1), mind())?;
        let replay_ns = (thread_cpu_ns() - start_ns) as f64 / replayed.tail.last_seq as f64;
        if replayed.regenerated > 0 {
            return Err(PerfError::Shard(format!("{} outputs are missing", replayed.regenerated)));
        }
        let report = RunReport::new(offer, measured, &figures, replay_ns);
        Ok((report, Deeds::read(&Dirs::under(temp.path()).events)?))
    }

    fn serve<M: Mind>(
        &self,
        dir: &Path,
        offer: Offer,
        measured: u64,
        mind: M,
    ) -> Result<Figures, PerfError> {
        self.make_segments(dir, measured)?;
        let recovered = recover(&self.store(dir, SPARES_WHILE_SERVING), mind)?;
        let Recovered { mind, journal, events, mut tail, .. } = recovered;
        tail.genesis = Some(genesis(CLUSTER, SHARD, SHARDS)?);
        let run = Arc::new(Run::new(offer, measured));
        let done = Arc::new(AtomicU64::new(0));
        let (result, figures) = mpsc::channel();
        let script = Script::new(self.flow, self.client_ids);
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)
            .map_err(|error| PerfError::Shard(error.to_string()))?;
        let pipeline = Pipeline::new(Parts {
            source: Load::new(script, self.flow.warm, run.clone(), done.clone()),
            rule: Solo::new(tail.epoch),
            mind,
            tap: Watch::new(run, done, latencies, result),
            tail,
            journal,
            events,
            outlets: None,
            input_slots: self.input_slots,
            output_slots: OUTPUT_SLOTS_DEFAULT,
            control: Arc::new(Control::default()),
            progress: Arc::new(Progress::default()),
        });
        let running = pipeline.start(&self.layout, Clock::default())?;
        let figures = figures.recv_timeout(RUN_TIMEOUT);
        running.stop()?;
        figures.map_err(|_| PerfError::Shard("the run did not come to its end".into()))
    }

    fn store(&self, dir: &Path, spare_segments: usize) -> Store {
        Store {
            dirs: Dirs::under(dir),
            cluster: CLUSTER,
            shard: SHARD,
            shards: SHARDS,
            segment_bytes: self.segment_bytes,
            spare_segments,
        }
    }

    /// Leaves segments for the whole run on the disk: making them is not what is measured.
    fn make_segments(&self, dir: &Path, commands: u64) -> Result<(), PerfError> {
        let Dirs { journal, events, .. } = Dirs::under(dir);
        let wanted = [
            (journal, JOURNAL_BYTES_PER_COMMAND, journal::Sync::Thread),
            (events, EVENTS_BYTES_PER_COMMAND, journal::Sync::OnSeal),
        ];
        for (dir, bytes_per_command, sync) in wanted {
            let segments = commands * bytes_per_command / self.segment_bytes + 2;
            let spare_segments = (segments as usize).min(journal::SPARE_SEGMENTS_MAX);
            let config = journal::Config {
                dir,
                shard: SHARD.0,
                segment_bytes: self.segment_bytes,
                sync,
                spare_segments,
            };
            let made = journal::open(config).map_err(node::Error::from)?.journal;
            let start = Instant::now();
            while made.spares_ready() < spare_segments {
                if start.elapsed() > SEGMENTS_TIMEOUT {
                    return Err(PerfError::Shard("segments were not made in time".into()));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            made.close().map_err(node::Error::from)?;
        }
        Ok(())
    }
}
