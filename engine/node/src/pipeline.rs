//! A shard's line, wired: five stages, two rings, two journals.
//!
//! ```text
//!  source ──▶ 0 ingress ──▶ ╔════════════╗
//!             seq, ts       ║ input ring ║
//!                           ╚═════╤══════╝
//!              ┌── 1 journal ─────┤          1 and 2 side by side; the sync thread
//!              ├── 2 replicate ───┤          fdatasyncs beside them
//!              ▼                  ▼
//!                    3 apply, what is committed ──▶ ╔═════════════╗
//!                                                   ║ output ring ║
//!                                                   ╚══════╤══════╝
//!                      output journal, followers, links ◀── 4 egress
//! ```
//!
//! Each stage owns its ends of the rings and tells the others through [`Progress`] how far it
//! is. Which thread runs which stage is the layout's business ([`crate::layout`]).

use std::{path::PathBuf, sync::Arc};

use journal::Journal;
use replication::Replicate;

use crate::{
    Error,
    agent::Agent,
    apply::ApplyStage,
    clock::Clock,
    control::Control,
    egress::{Egress, Outlets, Tap},
    ingress::{Ingress, Source, Tail},
    layout::{Layout, Running},
    mind::Mind,
    progress::Progress,
    ring::{InputRing, OutputRing},
    stages::{JournalStage, ReplicateStage},
};

/// Everything a pipeline is made of.
pub struct Parts<S, R, M, T> {
    pub source: S,
    pub rule: R,
    pub mind: M,
    pub tap: T,
    pub tail: Tail,
    pub journal: Journal,
    pub events: Journal,
    pub outlets: Option<Outlets>,
    pub input_slots: usize,
    pub output_slots: usize,
    pub control: Arc<Control>,
    pub progress: Arc<Progress>,
}

/// The stages in their order, ready to run.
pub struct Pipeline {
    pub agents: Vec<Box<dyn Agent>>,
    pub control: Arc<Control>,
    pub progress: Arc<Progress>,
}

impl Pipeline {
    pub fn new<S, R, M, T>(parts: Parts<S, R, M, T>) -> Self
    where
        S: Source + 'static,
        R: Replicate + 'static,
        M: Mind,
        T: Tap + 'static,
    {
        let Parts { source, rule, mind, tap, tail, journal, events, outlets, .. } = parts;
        let Parts { input_slots, output_slots, control, progress, .. } = parts;
        let shared = || Arc::clone(&progress);
        let durable = journal.durable();
        let input = InputRing::new(input_slots);
        let output = OutputRing::new(output_slots);

        let agents: Vec<Box<dyn Agent>> = vec![
            // 0: seq and ts
            Box::new(Ingress::new(
                source,
                input.ingress,
                input_slots,
                tail,
                Arc::clone(&control),
                shared(),
            )),
            // 1: to the journal
            Box::new(JournalStage::new(input.journal, journal, shared())),
            // 2: to whoever else keeps the log, and what is committed
            Box::new(ReplicateStage::new(input.replicate, rule, durable, shared())),
            // 3: the engine
            Box::new(ApplyStage::new(
                (input.apply, input.ahead),
                output.apply,
                output_slots,
                tail.last_seq,
                mind,
                shared(),
            )),
            // 4: to the world
            Box::new(Egress::new(output.egress, events, outlets, tap, shared())),
        ];
        Self { agents, control, progress }
    }

    /// Starts the threads of a layout.
    pub fn start(self, layout: &Layout, clock: Clock) -> Result<Running, Error> {
        Running::start(self, layout, clock)
    }
}

/// Where a shard keeps its two journals.
#[derive(Clone, Debug)]
pub struct Dirs {
    pub journal: PathBuf,
    pub events: PathBuf,
    pub snapshots: PathBuf,
}

impl Dirs {
    pub fn under(data_dir: &std::path::Path) -> Self {
        let [journal, events, snapshots] =
            ["journal", "events", "snapshots"].map(|name| data_dir.join(name));
        Self { journal, events, snapshots }
    }
}
