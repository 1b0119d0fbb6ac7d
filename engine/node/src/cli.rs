//! The command line of the binary `engine`.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use clap::{Parser, Subcommand};
use engine::Engine;
use rustix::process::setpriority_process;
use transport::aeron::AeronTransport;

use crate::{
    CAPACITY, Config, DataDir, Error, ExitCode, Node,
    offline::{Comparison, Replayed, compare, rebuild},
    snapshot::{self, Stand, Taken},
};

/// Of a process that makes a snapshot.
const NICE: i32 = 19;

/// How often the main thread looks whether the node still runs.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// One shard of the exchange.
#[derive(Debug, Parser)]
#[command(name = "engine", version)]
pub struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Serve a shard until a signal ends it.
    Run {
        #[arg(long)]
        config: PathBuf,
    },
    /// Rebuild a shard from its journal's first frame; print seq, chain and state hash.
    Replay {
        data_dir: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Write a snapshot of a shard, whether it runs or not, for its next start to begin at.
    Snapshot {
        data_dir: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Find the first seq at which two shards' journals, or their events, differ.
    Diff {
        data_dir_a: PathBuf,
        data_dir_b: PathBuf,
        #[arg(long)]
        json: bool,
    },
}

impl Cli {
    pub fn execute(self) -> Result<ExitCode, Error> {
        match self.action {
            Action::Run { config } => run(&config).map(|()| ExitCode::Clean),
            Action::Replay { data_dir, json } => {
                print_replayed(&rebuild(&data_dir)?, json);
                Ok(ExitCode::Clean)
            }
            Action::Snapshot { data_dir, json } => {
                // Shards go first.
                setpriority_process(None, NICE).map_err(|errno| Error::Priority(errno.into()))?;
                print_snapshot(snapshot::take(&data_dir)?.as_ref(), json);
                Ok(ExitCode::Clean)
            }
            Action::Diff { data_dir_a, data_dir_b, json } => {
                let (journal, events) = compare(&data_dir_a, &data_dir_b)?;
                print_comparison(&journal, &events, json);
                let differ = journal.is_conflict() || events.is_conflict();
                Ok(if differ { ExitCode::Failed } else { ExitCode::Clean })
            }
        }
    }
}

fn run(path: &Path) -> Result<(), Error> {
    let config = Config::read(path)?;
    let setup = config.setup(thread::available_parallelism().map_or(1, usize::from));
    setup.layout.check()?;
    let signal = on_signal()?;
    let data_dir = DataDir::take(&config.data_dir, config.owner())?;
    let transport = Box::new(AeronTransport::connect(&config.aeron_dir)?);
    let engine = Engine::new(CAPACITY);
    let node = Node::start(&setup, data_dir, engine, transport)?;
    tracing::info!(
        shard = config.shard,
        incarnation = node.identity.incarnation,
        stream = node.ingress_stream.0,
        layout = ?setup.layout,
        "serving"
    );
    while node.control().is_running() {
        match signal.recv_timeout(LOOK_INTERVAL) {
            Ok(()) => {
                tracing::info!("a signal asks for the end");
                break;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    node.stop()
}

/// SIGINT, SIGTERM and SIGHUP, as messages.
fn on_signal() -> Result<mpsc::Receiver<()>, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let sender = Arc::new(sender);
    ctrlc::set_handler(move || {
        // Full: one is on its way already.
        let _ = sender.try_send(());
    })
    .map_err(|error| Error::Signals(error.to_string()))?;
    Ok(receiver)
}

fn print_replayed(replayed: &Replayed, json: bool) {
    let Replayed { seq, chain, state_hash } = replayed;
    if json {
        // Hashes as text: JSON's numbers are not that wide everywhere.
        println!(r#"{{"seq":{seq},"chain":"{chain:016x}","state_hash":"{state_hash:016x}"}}"#);
    } else {
        println!("seq {seq}  chain {chain:016x}  state {state_hash:016x}");
    }
}

fn print_snapshot(taken: Option<&Taken>, json: bool) {
    let Some(Taken { stand, path, frames }) = taken else {
        println!("{}", if json { "null" } else { "nothing is durable yet" });
        return;
    };
    let Stand { seq, chain, state_hash, .. } = stand;
    if json {
        let (chain, state_hash) = (format!("{chain:016x}"), format!("{state_hash:016x}"));
        let snapshot = serde_json::json!({
            "seq": seq, "chain": chain, "state_hash": state_hash, "frames": frames, "path": path,
        });
        println!("{snapshot}");
    } else {
        println!("seq {seq}  chain {chain:016x}  state {state_hash:016x}  {}", path.display());
    }
}

fn print_comparison(journal: &Comparison, events: &Comparison, json: bool) {
    if json {
        let both = serde_json::json!({ "journal": journal, "events": events });
        println!("{both}");
        return;
    }
    for (name, comparison) in [("journal", journal), ("events", events)] {
        match comparison {
            Comparison::Equal { last_seq } => println!("{name}: equal up to seq {last_seq}"),
            Comparison::Prefix { last_seq_a, last_seq_b } => {
                let common = last_seq_a.min(last_seq_b);
                println!(
                    "{name}: equal up to seq {common}; A ends at {last_seq_a}, B at {last_seq_b}"
                );
            }
            Comparison::Differ { first_seq } => println!("{name}: differ from seq {first_seq} on"),
        }
    }
}
