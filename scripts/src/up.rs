//! `exchange up` and `exchange down`: from nothing to a serving cluster, and back.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use tokio::{
    signal::unix::{SignalKind, signal as listen_for},
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    Error,
    admin::Admin,
    bots,
    cluster::{ClusterFile, is_alive},
    config::{self, Ports, SHARDS},
    feed,
    layout::Layout,
    load::{self, Account, Seed},
    process::{ProcessSpec, log_tail, signal},
    rest::Rest,
    secrets::Secrets,
    snapshots,
    supervisor::Supervisor,
};

/// How long each part may take until it serves.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long the sources of index prices are waited for.
const SOURCES_PATIENCE: Duration = Duration::from_secs(10);
/// How long the market makers may take to quote; a symbol that is halted has no quotes.
const QUOTES_PATIENCE: Duration = Duration::from_secs(5);
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// An index price that is younger than this is one of this start.
const FRESH_MS: i64 = 5_000;
const POLL: Duration = Duration::from_millis(20);
/// What the demo account and each bot find in their wallets.
const DEMO_DEPOSIT: &str = "100000";
const BOT_DEPOSIT: &str = "50000000";
const SEED: &str = include_str!("../seed/local.toml");

/// What `exchange up` was asked for.
#[derive(Clone, Debug)]
pub struct UpOptions {
    pub data: PathBuf,
    pub port: u16,
    pub bots: bool,
    pub seed: Option<PathBuf>,
    /// From one round of snapshots to the next, in seconds; 0: none are taken.
    pub snapshots_s: u64,
    /// Says no keys on stdout: in the background that is a log file.
    pub quiet: bool,
}

/// Starts a cluster and supervises it until a signal ends it.
pub async fn up(options: &UpOptions) -> Result<(), Error> {
    let layout = Layout::new(&options.data)?;
    layout.prepare()?;
    let _lock = lock(&layout)?;
    let seed = match &options.seed {
        Some(path) => Seed::read(path)?,
        None => Seed::parse(SEED, Path::new("seed/local.toml"))?,
    };
    let secrets = Secrets::load_or_draw(&layout)?;
    let ports = ports(options.port)?;
    config::write(&layout, &secrets, ports, &seed)?;
    for spec in specs(&layout, &secrets, ports, options.bots) {
        spec.check()?;
    }
    feed::check(&layout.config("feed")).await?;

    let mut stop = StopSignals::new()?;
    let mut supervisor = Supervisor::new(layout.clone(), cluster_file(&secrets, ports));
    let started = tokio::select! {
        started = start(&mut supervisor, &layout, &secrets, ports, seed, options.bots) => started,
        () = stop.wait() => { supervisor.stop().await; return Ok(()); }
    };
    let ended = match started {
        Ok(()) => {
            let file = supervisor.announce()?;
            if !options.quiet {
                print_welcome(file, &layout);
            }
            tokio::select! {
                ended = supervisor.run() => ended,
                () = stop.wait() => Ok(()),
                never = take_snapshots(&layout, options.snapshots_s) => match never {},
            }
        }
        Err(error) => Err(error),
    };
    info!("stopping");
    supervisor.stop().await;
    ended
}

async fn take_snapshots(layout: &Layout, every_s: u64) -> Infallible {
    match every_s {
        0 => std::future::pending().await,
        _ => snapshots::keep_taking(layout, Duration::from_secs(every_s)).await,
    }
}

/// Starts `exchange up` in the background and returns once the cluster serves.
pub async fn detach(options: &UpOptions) -> Result<(), Error> {
    let layout = Layout::new(&options.data)?;
    layout.prepare()?;
    drop(lock(&layout)?);
    ClusterFile::remove(&layout)?;
    let log_path = layout.log("supervisor");
    let log = File::options().create(true).append(true).open(&log_path);
    let log = log.map_err(Error::file(&log_path))?;
    let also_log = log.try_clone().map_err(Error::file(&log_path))?;
    let own = std::env::current_exe().map_err(Error::file("this program"))?;
    let mut command = std::process::Command::new(own);
    command.args(["up", "--quiet", "--data"]).arg(layout.root());
    command.arg("--port").arg(options.port.to_string());
    if !options.bots {
        command.arg("--no-bots");
    }
    if let Some(seed) = &options.seed {
        command.arg("--seed").arg(seed);
    }
    command.arg("--snapshots").arg(options.snapshots_s.to_string());
    use std::os::unix::process::CommandExt as _;
    command.stdin(Stdio::null()).stdout(log).stderr(also_log).process_group(0);
    let role = || "the supervisor".to_owned();
    let mut child = command.spawn().map_err(|source| Error::Spawn { role: role(), source })?;
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        if let Ok(file) = ClusterFile::read(&layout) {
            print_welcome(&file, &layout);
            return Ok(());
        }
        if let Ok(Some(_)) = child.try_wait() {
            let tail = log_tail(&log_path);
            return Err(Error::StartFailed { role: role(), log: log_path, tail });
        }
        if Instant::now() > deadline {
            return Err(not_ready("the cluster", &layout));
        }
        sleep(POLL).await;
    }
}

/// Stops the cluster of a directory; returns once everything has ended.
pub async fn down(layout: &Layout) -> Result<(), Error> {
    let file = ClusterFile::read(layout)?;
    signal(file.supervisor, Signal::TERM);
    let deadline = Instant::now() + STOP_PATIENCE;
    while is_alive(file.supervisor) {
        if Instant::now() > deadline {
            let what = format!("the end of supervisor {}", file.supervisor);
            return Err(not_ready(&what, layout));
        }
        sleep(POLL).await;
    }
    Ok(())
}

async fn start(
    supervisor: &mut Supervisor,
    layout: &Layout,
    secrets: &Secrets,
    ports: Ports,
    seed: Seed,
    with_bots: bool,
) -> Result<(), Error> {
    let aeron = layout.aeron(secrets.cluster);
    if aeron.exists() {
        fs::remove_dir_all(&aeron).map_err(Error::file(&aeron))?;
    }
    let admin = Admin::new(&admin_url(ports), &secrets.admin_token);
    for spec in specs(layout, secrets, ports, with_bots) {
        let role = spec.role;
        supervisor.start(spec)?;
        match role {
            "driver" => {
                let cnc = aeron.join("cnc.dat");
                wait(supervisor, layout, "the media driver", async || cnc.exists()).await?;
            }
            "gateway" => {
                let serves = async || shards_serving(&admin).await == Some(SHARDS.into());
                wait(supervisor, layout, "every shard behind the gateway", serves).await?;
                seed_cluster(&admin, secrets, &seed).await?;
            }
            _ => {}
        }
    }
    let rest = Rest::new(&base_url(ports), secrets.demo.clone());
    let simulated = seed.instruments.iter().filter(|i| i.index_price.is_some());
    let simulated: BTreeSet<&str> = simulated.map(|i| i.symbol.as_str()).collect();
    let priced = async || unpriced(&rest, &simulated).await.is_empty();
    wait(supervisor, layout, "an index price for every simulated symbol", priced).await?;
    let sourced: BTreeSet<&str> = seed.index.symbols().collect();
    let symbols = linger(supervisor, SOURCES_PATIENCE, async || unpriced(&rest, &sourced).await);
    let symbols = symbols.await?;
    if !symbols.is_empty() {
        // other venues may be away: a cluster serves without their prices
        warn!(?symbols, "no index price yet: the log of the feed says why");
    }
    if !with_bots {
        return bots::fill_once(&base_url(ports), secrets).await;
    }
    let symbols = linger(supervisor, QUOTES_PATIENCE, async || unquoted(&rest, &simulated).await);
    let symbols = symbols.await?;
    if !symbols.is_empty() {
        warn!(?symbols, "nobody quotes yet: a symbol is halted, or the log of the bots says why");
    }
    Ok(())
}

async fn seed_cluster(admin: &Admin, secrets: &Secrets, seed: &Seed) -> Result<(), Error> {
    seed.send(admin).await?;
    let demo = ("demo".to_owned(), DEMO_DEPOSIT, &secrets.demo);
    let bots = secrets.bots.iter().enumerate().map(|(i, k)| (format!("bot-{i}"), BOT_DEPOSIT, k));
    for (name, deposit, key) in std::iter::once(demo).chain(bots) {
        let account = Account {
            name,
            deposit: Some(deposit.to_owned()),
            key: Some(key.clone()),
            public_key: None,
        };
        load::send_account(admin, &account).await?;
    }
    Ok(())
}

/// How many shards the gateway follows and may command, if it answers.
async fn shards_serving(admin: &Admin) -> Option<usize> {
    let status = admin.get("/admin/status").await.ok()?;
    let shards = status["shards"].as_array()?;
    Some(shards.iter().filter(|s| s["ready"] == true).count())
}

/// Waits until no symbol lacks what is asked of it, but not for long; those that still do.
async fn linger<'a>(
    supervisor: &mut Supervisor,
    patience: Duration,
    lacking: impl AsyncFn() -> BTreeSet<&'a str>,
) -> Result<BTreeSet<&'a str>, Error> {
    let deadline = Instant::now() + patience;
    loop {
        let symbols = lacking().await;
        if symbols.is_empty() || Instant::now() > deadline {
            return Ok(symbols);
        }
        supervisor.check_started()?;
        sleep(POLL).await;
    }
}

/// Those of the symbols that nobody both buys and sells.
async fn unquoted<'a>(rest: &Rest, symbols: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let answer = rest.public("/fapi/v1/ticker/bookTicker", "").await;
    let Ok(Ok(rows)) = answer.map(|a| a.done("bookTicker")) else { return symbols.clone() };
    let quoted = |row: &&serde_json::Value| {
        ["bidPrice", "askPrice"].iter().all(|side| {
            row[side].as_str().and_then(|p| p.parse::<f64>().ok()).is_some_and(|p| p > 0.0)
        })
    };
    let mut lacking = symbols.clone();
    for row in rows.as_array().into_iter().flatten().filter(quoted) {
        lacking.remove(row["symbol"].as_str().unwrap_or_default());
    }
    lacking
}

/// Those of the symbols that have no index price of this start.
async fn unpriced<'a>(rest: &Rest, symbols: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let answer = rest.public("/fapi/v1/premiumIndex", "").await;
    let Ok(Ok(rows)) = answer.map(|a| a.done("premiumIndex")) else { return symbols.clone() };
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    // an old price is one of an earlier start: with it nothing trades
    let fresh =
        |row: &serde_json::Value| row["time"].as_i64().is_some_and(|time| now_ms - time < FRESH_MS);
    let priced = |row: &&serde_json::Value| {
        let price = row["indexPrice"].as_str().and_then(|p| p.parse::<f64>().ok());
        price.is_some_and(|p| p > 0.0) && fresh(row)
    };
    let mut lacking = symbols.clone();
    for row in rows.as_array().into_iter().flatten().filter(priced) {
        lacking.remove(row["symbol"].as_str().unwrap_or_default());
    }
    lacking
}

async fn wait(
    supervisor: &mut Supervisor,
    layout: &Layout,
    what: &str,
    ready: impl AsyncFn() -> bool,
) -> Result<(), Error> {
    let deadline = Instant::now() + READY_PATIENCE;
    while !ready().await {
        supervisor.check_started()?;
        if Instant::now() > deadline {
            return Err(not_ready(what, layout));
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Everything a local cluster runs, in the order it is started.
fn specs(layout: &Layout, secrets: &Secrets, ports: Ports, bots: bool) -> Vec<ProcessSpec> {
    let path = |p: PathBuf| p.to_string_lossy().into_owned();
    let config = |name: &str| path(layout.config(name));
    let mut specs = vec![
        ProcessSpec::new("driver", None, "media-driver", layout)
            .args(["--dir".to_owned(), path(layout.aeron(secrets.cluster))]),
    ];
    for shard in 0..SHARDS {
        let args = ["run".to_owned(), "--config".to_owned(), config(&format!("engine-{shard}"))];
        let engine = ProcessSpec::new("engine", Some(shard), "engine", layout).args(args);
        specs.push(engine.serving(&["serving"]));
    }
    let gateway = ["--config".to_owned(), config("gateway")];
    let gateway = ProcessSpec::new("gateway", None, "gateway", layout).args(gateway);
    specs.push(gateway.serving(&["serving"]));
    let feed = ["--role".to_owned(), "feed".to_owned(), "--config".to_owned(), config("feed")];
    let feed = ProcessSpec::new("feed", None, "gateway", layout).args(feed);
    specs.push(feed.serving(&["a simulated index price", "there is an index"]));
    if bots {
        let args = ["bots", "--base", &base_url(ports), "--data"].map(str::to_owned);
        let args = args.into_iter().chain([path(layout.root().to_path_buf())]);
        let bots = ProcessSpec::new("bots", None, "exchange", layout).args(args);
        specs.push(bots.serving(&["making a market"]));
    }
    specs
}

fn cluster_file(secrets: &Secrets, ports: Ports) -> ClusterFile {
    ClusterFile {
        base_url: base_url(ports),
        admin_url: admin_url(ports),
        api_key: secrets.demo.api_key.clone(),
        api_secret: secrets.demo.api_secret.clone(),
        admin_token: secrets.admin_token.clone(),
        supervisor: std::process::id(),
        processes: Vec::new(),
    }
}

/// The REST port is the one asked for; the others are whatever is free.
fn ports(rest: u16) -> Result<Ports, Error> {
    let asked =
        TcpListener::bind(("127.0.0.1", rest)).map_err(|_| Error::PortInUse { port: rest })?;
    let any = || Error::file("127.0.0.1");
    let admin = TcpListener::bind(("127.0.0.1", 0)).map_err(any())?;
    let aeron = std::net::UdpSocket::bind(("127.0.0.1", 0)).map_err(any())?;
    Ok(Ports {
        rest: asked.local_addr().map_err(any())?.port(),
        admin: admin.local_addr().map_err(any())?.port(),
        aeron: aeron.local_addr().map_err(any())?.port(),
    })
}

/// One supervisor a directory, held by the kernel as long as the process lives.
fn lock(layout: &Layout) -> Result<File, Error> {
    let path = layout.lock_file();
    let file = File::options().create(true).truncate(false).write(true).read(true).open(&path);
    let file = file.map_err(Error::file(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            fs::write(&path, std::process::id().to_string()).map_err(Error::file(&path))?;
            Ok(file)
        }
        Err(_) => {
            let pid = fs::read_to_string(&path).ok().and_then(|p| p.trim().parse().ok());
            let dir = layout.root().to_path_buf();
            Err(Error::AlreadyRunning { dir, pid: pid.unwrap_or(0) })
        }
    }
}

struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| listen_for(kind).map_err(Error::file("signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn not_ready(what: &str, layout: &Layout) -> Error {
    let seconds = READY_PATIENCE.as_secs();
    Error::NotReady { what: what.to_owned(), seconds, logs: layout.logs() }
}

fn base_url(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.rest)
}

fn admin_url(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.admin)
}

fn print_welcome(file: &ClusterFile, layout: &Layout) {
    let ClusterFile { base_url, api_key, api_secret, .. } = file;
    println!(
        "
The exchange serves (index prices are a simulation but where the seed names sources).

  REST, WebSocket  {base_url}
  API key          {api_key}
  API secret       {api_secret}
  processes, keys  {cluster}

Trade with an unmodified ccxt (pip install ccxt):

import ccxt; B = '{base_url}'; x = ccxt.binanceusdm({{'apiKey': '{api_key}', 'secret': '{api_secret}', 'options': {{'fetchCurrencies': False}}}})
x.urls['api'].update({{'fapi' + k + v: B + '/fapi/' + (v.lower() or 'v1') for k in ('Public', 'Private') for v in ('', 'V2', 'V3')}} | {{'fapiData': B + '/futures/data'}})
print(x.create_order('BTC/USDT:USDT', 'market', 'buy', 0.01)['status'], x.fetch_balance()['USDT'])

Look at it: exchange status --data {dir}      Stop it: Ctrl-C, or exchange down --data {dir}
",
        cluster = layout.cluster_file().display(),
        dir = layout.root().display(),
    );
}
