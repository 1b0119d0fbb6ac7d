//! Who listens to what: one task hands each event, written once, to all who asked for it.
//!
//! ```text
//!  link thread ─publish─▶ batches ─▶ ┌──────────────┐ ─▶ queue of socket 1 ─▶ socket task
//!                                    │  hub's task  │ ─▶ queue of socket 2 ─▶ socket task
//!  socket tasks ──asks──▶ asks ────▶ └──────────────┘
//! ```
//!
//! Every queue is bounded. A socket that does not read loses its connection, not the others
//! their events; if the task itself falls behind, all sockets are closed and may come back,
//! because an event left out would break what clients rely on. Answers to requests go through the
//! same queue as events, so a subscription is confirmed before its first event.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Utf8Bytes;
use parking_lot::RwLock;
use protocol::AccountId;
use tokio::sync::{Notify, mpsc};

use super::{
    control::{self, Refusal, Request, RequestId, STREAMS_MAX},
    feeds::{Feeds, TICK_MS},
    listen_keys::ListenKeys,
    name::{self, Topic},
    user,
};
use crate::{
    clock::now_ms,
    store::directory::ListenKey,
    views::{Views, accounts::UserNotice, market::MarketNotice},
};

/// Batches of notices that wait for the hub's task.
pub const BATCHES_MAX: usize = 16_384;
/// Requests of sockets that wait for the hub's task.
const ASKS_MAX: usize = 1_024;
/// Events that wait for one socket.
pub const SOCKET_QUEUE_MAX: usize = 2_048;
/// Sockets that may be open at once.
pub const SOCKETS_MAX: usize = 10_000;
/// How often expired listen keys are looked for.
const EXPIRY_CHECK: Duration = Duration::from_secs(30);

/// Where notices go to the sockets that asked for them.
pub struct Hub {
    pub listen_keys: ListenKeys,
    batches: mpsc::Sender<Batch>,
    asks: mpsc::Sender<Ask>,
    /// A batch found no room.
    overrun: AtomicBool,
    sockets: AtomicUsize,
    next_socket: AtomicU64,
}

struct Batch {
    market: Vec<MarketNotice>,
    user: Vec<(AccountId, UserNotice)>,
}

/// A socket, as the hub's task and the socket's own task know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(u64);

/// What sockets ask of the hub.
pub enum Ask {
    Open {
        socket: SocketId,
        line: Line,
        combined: bool,
        names: Vec<String>,
        listen_key: Option<String>,
    },
    Request {
        socket: SocketId,
        id: RequestId,
        request: Request,
    },
    /// An answer that must not overtake others.
    Answer {
        socket: SocketId,
        text: String,
    },
    Close {
        socket: SocketId,
    },
    EndListenKey(ListenKey),
    /// Every socket is to end, because the gateway does.
    Stop,
}

/// The hub's way to a socket.
#[derive(Clone)]
pub struct Line {
    pub queue: mpsc::Sender<Utf8Bytes>,
    pub end: Arc<End>,
}

/// Tells a socket's task to end, and why.
#[derive(Default)]
pub struct End {
    why: OnceLock<Why>,
    told: Notify,
}

/// Why the gateway ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It did not read its events.
    Slow,
    /// The gateway could not tell everything.
    Overrun,
    ListenKey,
    /// The gateway ends.
    Stopping,
}

impl End {
    fn tell(&self, why: Why) {
        if self.why.set(why).is_ok() {
            self.told.notify_one();
        }
    }

    /// Waits until the hub ends the connection.
    pub async fn told(&self) -> Why {
        loop {
            if let Some(why) = self.why.get() {
                return *why;
            }
            self.told.notified().await;
        }
    }
}

impl Hub {
    /// The handle, and the task to run beside it.
    pub fn new(views: Arc<RwLock<Views>>) -> (Arc<Self>, HubTask) {
        let (batches, batches_out) = mpsc::channel(BATCHES_MAX);
        let (asks, asks_out) = mpsc::channel(ASKS_MAX);
        let hub = Arc::new(Self {
            listen_keys: ListenKeys::default(),
            batches,
            asks,
            overrun: AtomicBool::new(false),
            sockets: AtomicUsize::new(0),
            next_socket: AtomicU64::new(1),
        });
        let task = HubTask {
            hub: Arc::clone(&hub),
            views,
            batches: batches_out,
            asks: asks_out,
            feeds: Feeds::default(),
            sockets: HashMap::new(),
            listeners: HashMap::new(),
            said: Vec::new(),
        };
        (hub, task)
    }

    /// Called by the link thread after the views were written, in order; it never blocks.
    pub fn publish(&self, market: Vec<MarketNotice>, user: Vec<(AccountId, UserNotice)>) {
        let nobody = self.sockets.load(Ordering::Acquire) == 0;
        if nobody || (market.is_empty() && user.is_empty()) {
            return;
        }
        if self.batches.try_send(Batch { market, user }).is_err() {
            self.overrun.store(true, Ordering::Release);
        }
    }

    /// Counts a socket in; `None` when there are too many.
    pub(super) fn enter(&self) -> Option<SocketId> {
        let entered = self.sockets.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
            (open < SOCKETS_MAX).then_some(open + 1)
        });
        entered.ok()?;
        Some(SocketId(self.next_socket.fetch_add(1, Ordering::Relaxed)))
    }

    pub(super) fn leave(&self) {
        self.sockets.fetch_sub(1, Ordering::AcqRel);
    }

    /// False when the hub's task is gone.
    pub(super) async fn ask(&self, ask: Ask) -> bool {
        self.asks.send(ask).await.is_ok()
    }

    /// Says goodbye to every socket.
    pub async fn stop(&self) {
        self.ask(Ask::Stop).await;
    }

    pub(super) async fn end_listen_key(&self, key: ListenKey) {
        self.ask(Ask::EndListenKey(key)).await;
    }
}

/// The hub's own task.
pub struct HubTask {
    hub: Arc<Hub>,
    views: Arc<RwLock<Views>>,
    batches: mpsc::Receiver<Batch>,
    asks: mpsc::Receiver<Ask>,
    feeds: Feeds,
    sockets: HashMap<SocketId, Socket>,
    listeners: HashMap<Subscription, Vec<Listener>>,
    said: Vec<(Topic, String)>,
}

struct Socket {
    line: Line,
    combined: bool,
    subscriptions: BTreeMap<Arc<str>, Subscription>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subscription {
    Market(Topic),
    User(AccountId),
}

struct Listener {
    socket: SocketId,
    /// As the client wrote it: combined events carry it.
    name: Arc<str>,
}

impl HubTask {
    /// Runs until the gateway drops its hub.
    pub async fn run(mut self) {
        let mut tick = 0u64;
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut expiry = tokio::time::interval(EXPIRY_CHECK);
        loop {
            tokio::select! {
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.batch(batch),
                    None => return,
                },
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.answer(ask),
                    None => return,
                },
                _ = ticks.tick(), if self.feeds.is_timed() => {
                    tick += 1;
                    self.tick(tick);
                }
                _ = expiry.tick() => self.expire(),
            }
            if self.hub.overrun.swap(false, Ordering::AcqRel) {
                self.restart();
            }
        }
    }

    fn batch(&mut self, batch: Batch) {
        if batch.market.iter().any(|notice| notice.news == crate::views::market::News::Listed) {
            self.feeds.list(&self.views.read());
        }
        let mut said = std::mem::take(&mut self.said);
        for notice in &batch.market {
            self.feeds.notice(notice, &mut said);
        }
        self.deliver_all(&mut said);
        self.said = said;
        for (account, notice) in &batch.user {
            let subscription = Subscription::User(*account);
            if self.listeners.contains_key(&subscription)
                && let Some(text) = user::event(notice, self.feeds.instruments())
            {
                self.deliver(subscription, text);
            }
        }
    }

    fn tick(&mut self, tick: u64) {
        let mut said = std::mem::take(&mut self.said);
        self.feeds.tick(tick, &self.views.read(), now_ms(), &mut said);
        self.deliver_all(&mut said);
        self.said = said;
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Open { socket, line, combined, names, listen_key } => {
                let subscriptions = BTreeMap::new();
                self.sockets.insert(socket, Socket { line, combined, subscriptions });
                if let Some(key) = listen_key {
                    if self.hub.listen_keys.find(&key, unsigned_now()).is_none() {
                        self.end(socket, Why::ListenKey);
                        return;
                    }
                    self.subscribe(socket, &[key], None);
                }
                if !names.is_empty() {
                    self.subscribe(socket, &names, None);
                }
            }
            Ask::Request { socket, id, request } => self.request(socket, &id, request),
            Ask::Answer { socket, text } => self.tell(socket, text),
            Ask::Close { socket } => self.forget(socket),
            Ask::EndListenKey(key) => self.end_listen_key(&key),
            Ask::Stop => self.end_all(Why::Stopping),
        }
    }

    fn request(&mut self, socket: SocketId, id: &RequestId, request: Request) {
        match request {
            Request::Subscribe(names) => self.subscribe(socket, &names, Some(id)),
            Request::Unsubscribe(names) => {
                for name in &names {
                    self.unsubscribe(socket, name);
                }
                self.tell(socket, control::done(id));
            }
            Request::List => {
                let Some(open) = self.sockets.get(&socket) else { return };
                let names: Vec<&str> = open.subscriptions.keys().map(AsRef::as_ref).collect();
                let text = control::result(id, &super::payload::json(&names));
                self.tell(socket, text);
            }
            Request::SetCombined(combined) => {
                if let Some(open) = self.sockets.get_mut(&socket) {
                    open.combined = combined;
                }
                self.tell(socket, control::done(id));
            }
            Request::GetCombined => {
                let Some(open) = self.sockets.get(&socket) else { return };
                let text = control::result(id, if open.combined { "true" } else { "false" });
                self.tell(socket, text);
            }
        }
    }

    /// All of the names or none; without an id only a refusal is told.
    fn subscribe(&mut self, socket: SocketId, names: &[String], id: Option<&RequestId>) {
        let answer = match self.resolve(socket, names) {
            Ok(wanted) => {
                if let Some(id) = id {
                    self.tell(socket, control::done(id));
                }
                for (name, subscription) in wanted {
                    self.listen(socket, name, subscription);
                }
                return;
            }
            Err(refusal) => refusal,
        };
        let id = id.cloned().unwrap_or_else(RequestId::none);
        self.tell(socket, control::refused(&id, &answer));
    }

    fn resolve(
        &mut self,
        socket: SocketId,
        names: &[String],
    ) -> Result<Vec<(Arc<str>, Subscription)>, Refusal> {
        let Some(open) = self.sockets.get(&socket) else { return Ok(Vec::new()) };
        // between batches the copy of what is listed may be old, or never have been made
        let views = self.views.read();
        self.feeds.list(&views);
        let mut wanted = Vec::with_capacity(names.len());
        for text in names {
            let subscription = match self.hub.listen_keys.find(text, unsigned_now()) {
                Some(account) => Subscription::User(account),
                None => name::parse(text, &views.instruments)
                    .map(Subscription::Market)
                    .map_err(|error| Refusal::request(format_args!("{error}: {}", cut(text))))?,
            };
            if !open.subscriptions.contains_key(text.as_str()) {
                wanted.push((Arc::from(text.as_str()), subscription));
            }
        }
        if open.subscriptions.len() + wanted.len() > STREAMS_MAX {
            return Err(Refusal::request(format_args!("more than {STREAMS_MAX} streams")));
        }
        Ok(wanted)
    }

    fn listen(&mut self, socket: SocketId, name: Arc<str>, subscription: Subscription) {
        let Some(open) = self.sockets.get_mut(&socket) else { return };
        if open.subscriptions.insert(Arc::clone(&name), subscription).is_some() {
            return;
        }
        if let Subscription::Market(topic) = subscription {
            self.feeds.start(topic, &self.views.read());
        }
        self.listeners.entry(subscription).or_default().push(Listener { socket, name });
    }

    fn unsubscribe(&mut self, socket: SocketId, name: &str) {
        let Some(open) = self.sockets.get_mut(&socket) else { return };
        if let Some(subscription) = open.subscriptions.remove(name) {
            self.unlisten(&subscription, |each| each.socket == socket && &*each.name == name);
        }
    }

    fn unlisten(&mut self, subscription: &Subscription, whom: impl Fn(&Listener) -> bool) {
        let Some(listeners) = self.listeners.get_mut(subscription) else { return };
        listeners.retain(|each| !whom(each));
        if listeners.is_empty() {
            self.listeners.remove(subscription);
            if let Subscription::Market(topic) = subscription {
                self.feeds.stop(topic);
            }
        }
    }

    fn forget(&mut self, socket: SocketId) {
        let Some(open) = self.sockets.remove(&socket) else { return };
        for subscription in open.subscriptions.values() {
            self.unlisten(subscription, |each| each.socket == socket);
        }
    }

    fn end(&mut self, socket: SocketId, why: Why) {
        if let Some(open) = self.sockets.get(&socket) {
            open.line.end.tell(why);
        }
        self.forget(socket);
    }

    fn end_all(&mut self, why: Why) {
        for socket in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.end(socket, why);
        }
    }

    fn expire(&mut self) {
        for key in self.hub.listen_keys.expire(unsigned_now()) {
            self.end_listen_key(&key);
        }
    }

    fn end_listen_key(&mut self, key: &ListenKey) {
        let subscription = Subscription::User(key.account);
        self.deliver(subscription, user::listen_key_expired(&key.listen_key, now_ms()));
        let listeners = self.listeners.get(&subscription);
        let names = listeners.into_iter().flatten().map(|each| (each.socket, each.name.clone()));
        for (socket, name) in names.collect::<Vec<_>>() {
            self.unsubscribe(socket, &name);
        }
    }

    /// Begins anew after notices were lost: nobody is left who relied on them.
    fn restart(&mut self) {
        tracing::error!(sockets = self.sockets.len(), "streams fell behind, sockets are closed");
        self.end_all(Why::Overrun);
        while self.batches.try_recv().is_ok() {}
    }

    fn tell(&mut self, socket: SocketId, text: String) {
        let Some(open) = self.sockets.get(&socket) else { return };
        if open.line.queue.try_send(text.into()).is_err() {
            self.end(socket, Why::Slow);
        }
    }

    fn deliver_all(&mut self, said: &mut Vec<(Topic, String)>) {
        for (topic, text) in said.drain(..) {
            self.deliver(Subscription::Market(topic), text);
        }
    }

    /// Puts one event into the queues of all who listen.
    fn deliver(&mut self, subscription: Subscription, text: String) {
        let Some(listeners) = self.listeners.get(&subscription) else { return };
        let raw = Utf8Bytes::from(text);
        let mut wrapped: Option<(&str, Utf8Bytes)> = None;
        let mut slow = Vec::new();
        for listener in listeners {
            let Some(open) = self.sockets.get(&listener.socket) else { continue };
            let frame = if open.combined {
                match &wrapped {
                    Some((name, frame)) if *name == &*listener.name => frame.clone(),
                    Some(_) | None => {
                        let frame = wrap(&listener.name, &raw);
                        wrapped.insert((&listener.name, frame)).1.clone()
                    }
                }
            } else {
                raw.clone()
            };
            if open.line.queue.try_send(frame).is_err() {
                slow.push(listener.socket);
            }
        }
        for socket in slow {
            self.end(socket, Why::Slow);
        }
    }
}

/// Names the stream beside its event; names were read as streams', so they need no escapes.
fn wrap(name: &str, raw: &str) -> Utf8Bytes {
    format!("{{\"stream\":\"{name}\",\"data\":{raw}}}").into()
}

/// As much of a client's text as an answer repeats.
fn cut(text: &str) -> String {
    text.chars().take(name::NAME_CHARS_MAX).collect()
}

fn unsigned_now() -> u64 {
    u64::try_from(now_ms()).unwrap_or_default()
}
