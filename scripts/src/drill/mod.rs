//! `exchange drill kills`: proves on a running cluster that an answered order survives.
//!
//! Orders come at a fixed rate through REST while processes are killed with SIGKILL, one after
//! another; the supervisor brings each back. Afterwards every answer is held against the venue's
//! own history: each answered order is there, under its id, once; nothing is there twice.

mod orders;
mod verify;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rand::Rng as _;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::info;

use crate::{
    Error,
    admin::Admin,
    cluster::{ClusterFile, ProcessEntry},
    layout::Layout,
    load::{Account, send_account},
    process::signal,
    rest::Rest,
    secrets::ApiKey,
};
use orders::{Load, Trader};

/// Accounts that place the orders; each may have 200 open on a symbol.
const TRADERS: usize = 8;
const DEPOSIT: &str = "10000000";
/// Pause between two kills: long enough for a restart and some seconds of undisturbed load.
const BETWEEN_KILLS: Duration = Duration::from_millis(2_500);
/// A killed process that does not answer again within this has failed the drill.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// Load before the first kill and after the last recovery.
const QUIET: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);

/// What to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    Engines,
    Gateway,
    All,
}

#[derive(Clone, Copy, Debug)]
pub struct KillOptions {
    pub count: u32,
    pub rate: u32,
    pub target: Target,
}

/// Runs the drill; an error when it can't be run, a report otherwise.
pub async fn kills(data: &Path, options: KillOptions) -> Result<Value, Error> {
    raise_file_limit();
    let layout = Layout::new(data)?;
    let cluster = ClusterFile::read(&layout)?;
    let admin = Admin::new(&cluster.admin_url, &cluster.admin_token);
    let traders = traders(&cluster, &admin).await?;
    let symbols = orders::symbols(&traders[0].rest, &admin).await?;
    let load = Arc::new(Load::new(traders, symbols));
    let running = load.start(options.rate);
    sleep(QUIET).await;
    let mut outages = new_histogram();
    let mut killed = 0;
    while killed < options.count {
        let Some(victim) = pick(&ClusterFile::read(&layout)?, options.target) else {
            return Err(Error::Usage("no process of that kind runs".into()));
        };
        let outage = kill_and_wait(&load, &victim).await?;
        outages.saturating_record(outage.as_micros() as u64);
        killed += 1;
        info!(
            "kill {killed} of {}: {} {}, answered again after {} ms",
            options.count,
            victim.role,
            victim.shard.map_or_else(String::new, |s| s.to_string()),
            outage.as_millis()
        );
        sleep(BETWEEN_KILLS).await;
    }
    sleep(QUIET).await;
    load.stop();
    running.await.map_err(|e| Error::Usage(format!("the load ended early: {e}")))?;
    let found = verify::verify(&load).await?;
    let ms = |percentile| outages.value_at_percentile(percentile) as f64 / 1e3;
    Ok(json!({
        "kills": killed,
        "rate": options.rate,
        "orders": load.report(),
        "outage_ms_p50": ms(50.0), "outage_ms_p99": ms(99.0), "outage_ms_max": ms(100.0),
        "answered_checked": found.checked,
        "lost": found.lost,
        "doubled": found.doubled,
        "contradictions": found.contradictions,
        "passed": found.is_clean() && found.checked > 0,
    }))
}

async fn traders(cluster: &ClusterFile, admin: &Admin) -> Result<Vec<Trader>, Error> {
    let run: u32 = rand::rng().random();
    let mut traders = Vec::new();
    for i in 0..TRADERS {
        let name = format!("drill-{run:08x}-{i}");
        let account =
            Account { name, deposit: Some(DEPOSIT.to_owned()), key: None, public_key: None };
        let answer = send_account(admin, &account).await?;
        let field = |name: &str| {
            answer[name].as_str().map(str::to_owned).ok_or_else(|| Error::Refused {
                what: "an account for the drill".into(),
                reason: format!("the answer has no {name}"),
            })
        };
        let key = ApiKey { api_key: field("api_key")?, api_secret: field("secret")? };
        traders.push(Trader { rest: Rest::new(&cluster.base_url, key) });
    }
    Ok(traders)
}

fn pick(cluster: &ClusterFile, target: Target) -> Option<ProcessEntry> {
    let wanted = |p: &&ProcessEntry| match target {
        Target::Engines => p.role == "engine",
        Target::Gateway => p.role == "gateway",
        Target::All => p.role == "engine" || p.role == "gateway",
    };
    let candidates: Vec<_> = cluster.processes.iter().filter(wanted).collect();
    if candidates.is_empty() {
        return None;
    }
    Some(candidates[rand::rng().random_range(0..candidates.len())].clone())
}

/// From the kill to the first answer to an order that was sent after it and needed the victim.
async fn kill_and_wait(load: &Load, victim: &ProcessEntry) -> Result<Duration, Error> {
    let killed = Instant::now();
    signal(victim.pid, Signal::KILL);
    // the ledger is on no order's path once an account has been lent to: any shard will do
    let shard = victim.shard.filter(|s| *s != 0);
    loop {
        if let Some(answered) = load.first_answer_since(killed, shard) {
            return Ok(answered.duration_since(killed));
        }
        if killed.elapsed() > RECOVERY_MAX {
            return Err(Error::Usage(format!(
                "{} {:?} was killed and no order was answered within {} s",
                victim.role,
                victim.shard,
                RECOVERY_MAX.as_secs()
            )));
        }
        sleep(POLL).await;
    }
}

fn new_histogram() -> Histogram<u64> {
    const HIGHEST_US: u64 = 60_000_000;
    Histogram::new_with_bounds(1, HIGHEST_US, 3).expect("the bounds are in order")
}

/// Thousands of requests wait at once while a shard is away, each on a connection.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // refused: the default has to do
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
