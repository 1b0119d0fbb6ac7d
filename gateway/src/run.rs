//! A whole gateway, or a whole feed, from its configuration to its end.
//!
//! A gateway that has lost the shards, its database or its driver is of no use and cannot heal
//! itself: it ends with an exit code that says why, and whoever supervises it starts it anew.

use std::{
    future::Future, io, net::SocketAddr, path::Path, process::ExitCode, sync::Arc, time::Duration,
};

use axum::Router;
use parking_lot::RwLock;
use protocol::{Name, order::SessionKind};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use transport::aeron::AeronTransport;

use crate::{
    admin,
    app::App,
    config::{Config, ConfigError},
    feed::{self, FeedConfig, FeedError, Plan},
    keys::Keys,
    limits::Limits,
    link::{self, Client, LinkError, client::Settings},
    listener::{self, Bounded, Peer},
    rest,
    scribe::Scribe,
    store::{Directory, SealingKey, Store, StoreError},
    stream::Hub,
    views::{Views, accounts::queues::RankedQueues},
};

/// How long open connections may take to end by themselves.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the last rows may take to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of operators at once.
const OPERATORS_MAX: usize = 64;
const DATABASE_FILE: &str = "gateway.sqlite";

/// Why a gateway has ended, other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{address} is taken: another process listens there")]
    AddressInUse { address: SocketAddr },
    #[error("{address} can't be listened on: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{path}: {source}")]
    DataDir { path: std::path::PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Transport(#[from] transport::Error),
    #[error("the link to the shards is lost: {0}")]
    Link(#[from] LinkError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("{what} has ended")]
    Ended { what: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Each cause has a code of its own, for those who supervise.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) | Self::DataDir { .. } => 2,
            Self::AddressInUse { .. } | Self::Listen { .. } => 3,
            Self::Transport(_) | Self::Link(LinkError::Transport(_)) => 4,
            Self::Link(LinkError::LogLost { .. } | LinkError::Panicked) => 5,
            Self::Store(_) => 6,
            Self::Feed(_) => 7,
            Self::Ended { .. } | Self::Io(_) => 1,
        })
    }
}

/// Serves traders and operators until a signal ends it.
pub async fn gateway(config: Config) -> Result<(), Error> {
    let traders = Bounded::new(listen(config.listen).await?, listener::allow_connections());
    let operators = Bounded::new(listen(config.admin_listen).await?, OPERATORS_MAX);
    let data_dir = &config.data_dir;
    std::fs::create_dir_all(data_dir)
        .map_err(|source| Error::DataDir { path: data_dir.clone(), source })?;
    let store = Arc::new(Store::open(&data_dir.join(DATABASE_FILE)).await?);
    let sealing = SealingKey::from_hex(&config.secret_key, "secret_key")?;
    let directory = Directory::new(store.clone(), sealing);
    let keys = Keys::default();
    for key in directory.keys().await? {
        keys.insert(key);
    }

    let mut views = Views::default();
    let points = store.load(&mut views).await?;
    let views = Arc::new(RwLock::new(views));
    let (hub, hub_task) = Hub::new(views.clone());
    hub.listen_keys.restore(directory.listen_keys(now_ms()).await?);
    let mut hub_task = tokio::spawn(hub_task.run());
    let mut writer = store.start_writer(&points);

    let known = points.iter().map(|point| (point.shard, point.seq)).collect();
    let (link, lost) = start_link(&config, link::From::After(known), &views, &hub, &store)?;
    let app = Arc::new(App {
        limits: Limits::new(config.limits),
        orders: link.orders(),
        views,
        keys,
        hub,
        store: store.clone(),
        directory,
        queues: RankedQueues::default(),
        config,
    });

    let (stop, stopped) = watch::channel(());
    let mut servers = tokio::spawn(serve(traders, operators, app.clone(), stopped));
    tracing::info!(listen = %app.config.listen, admin = %app.config.admin_listen, "serving");
    let ended = tokio::select! {
        signal = end_signal() => signal.map_err(Error::from),
        error = lost => Err(error.map_or(Error::Ended { what: "the link" }, Error::from)),
        result = &mut writer => Err(writer_ended(result)),
        _ = &mut hub_task => Err(Error::Ended { what: "the streams' task" }),
        _ = &mut servers => Err(Error::Ended { what: "a listener" }),
    };
    tracing::info!("ending");
    app.hub.stop().await;
    drop(stop);
    if timeout(DRAIN_TIMEOUT, &mut servers).await.is_err() {
        servers.abort();
    }
    hub_task.abort();
    drop(link);
    store.finish();
    if !writer.is_finished() && timeout(FLUSH_TIMEOUT, writer).await.is_err() {
        tracing::warn!("the last rows were not written; they are read from the shards again");
    }
    ended
}

/// Sends index prices until a signal ends it.
pub async fn feed(config: FeedConfig, plan: Plan, path: &Path) -> Result<(), Error> {
    let transport = AeronTransport::connect(&config.aeron_dir)?;
    let (tell, lost) = oneshot::channel();
    let settings = feed::link_settings(&config);
    let link = Client::start(settings, Box::new(transport), Box::new(feed::Deaf), told(tell))?;
    tokio::select! {
        signal = end_signal() => signal.map_err(Error::from),
        error = lost => Err(error.map_or(Error::Ended { what: "the link" }, Error::from)),
        ended = feed::run(&config, plan, path, &link) => ended.map_err(Error::from),
    }
}

fn start_link(
    config: &Config,
    from: link::From,
    views: &Arc<RwLock<Views>>,
    hub: &Arc<Hub>,
    store: &Arc<Store>,
) -> Result<(Client, oneshot::Receiver<LinkError>), Error> {
    let transport = AeronTransport::connect(&config.aeron_dir)?;
    let settings = Settings {
        cluster: config.cluster,
        discovery_channel: config.channel.clone(),
        egress_channel: config.channel.clone(),
        kind: SessionKind::Gateway,
        name: Name::new(&config.listen.to_string()).unwrap_or_default(),
        from,
        reply_timeout: config.reply_timeout(),
    };
    let scribe = Scribe::new(views.clone(), hub.clone(), store.clone());
    let (tell, lost) = oneshot::channel();
    let link = Client::start(settings, Box::new(transport), Box::new(scribe), told(tell))?;
    Ok((link, lost))
}

/// Passes on why a link has ended.
fn told(tell: oneshot::Sender<LinkError>) -> impl FnOnce(LinkError) + Send {
    move |error| {
        if let Err(error) = tell.send(error) {
            tracing::warn!(%error, "the link was lost while the process ended");
        }
    }
}

async fn serve(
    traders: Bounded,
    operators: Bounded,
    app: Arc<App>,
    stopped: watch::Receiver<()>,
) -> io::Result<()> {
    let admin = serve_one(operators, admin::router(app.clone()), stopped.clone());
    let public = serve_one(traders, rest::router(app), stopped);
    let (public, admin) = tokio::join!(flat(public), flat(admin));
    public.and(admin)
}

fn serve_one(
    listener: Bounded,
    router: Router,
    mut stopped: watch::Receiver<()>,
) -> JoinHandle<io::Result<()>> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    tokio::spawn(async move {
        axum::serve(listener, service)
            .with_graceful_shutdown(async move {
                // An error says that the sender is gone, which is the signal.
                let _ = stopped.changed().await;
            })
            .await
    })
}

async fn flat(task: JoinHandle<io::Result<()>>) -> io::Result<()> {
    task.await.map_err(io::Error::other)?
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::AddressInUse { address },
        _ => Error::Listen { address, source },
    })
}

fn writer_ended(result: Result<Result<(), StoreError>, tokio::task::JoinError>) -> Error {
    match result {
        Ok(Err(error)) => Error::Store(error),
        Ok(Ok(())) | Err(_) => Error::Ended { what: "the database's writer" },
    }
}

fn end_signal() -> impl Future<Output = io::Result<()>> {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    async {
        let (mut terminate, mut interrupt) = signals?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
}

fn now_ms() -> u64 {
    u64::try_from(crate::clock::now_ms()).unwrap_or_default()
}
