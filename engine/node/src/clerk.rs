//! The helper beside the pipeline: everything that may wait, so that the pipeline never does.
//!
//! It says where the node is (hello), hears where the others are, makes publications for
//! followers and peers, and brings followers up from the output journal until they can go on
//! live. It is also the one that notices when the media driver is gone.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use protocol::{
    Name, ShardId,
    limits::{MESSAGE_BYTES_MAX, SHARDS_MAX},
    wire::{self, Follow, Hello, Message, MessageKind, NodeRole},
};
use replication::MonotonicNs;
use transport::{Offer, Publication, StreamId, Subscription, Transport};
use zerocopy::IntoBytes;

use crate::{
    Error,
    catchup::{Catchup, Served},
    clock::{Clock, Now},
    control::{Control, Phase},
    fanout::{FollowerId, ToClerk, ToEgress},
    intake::Refusals,
    outgoing::{Identity, Place},
    progress::Progress,
};

pub const HELLO_INTERVAL_NS: u64 = 100_000_000;
/// A follower that has said nothing for so long is forgotten.
pub const FORGET_AFTER_NS: u64 = 10_000_000_000;
/// Followers at once; those beyond are not served.
pub const FOLLOWERS_MAX: usize = 64;
/// While somebody is being served: the rest between two rounds in which nothing moved.
const SERVE_PAUSE: Duration = Duration::from_millis(1);
/// Least time between two lines about refused messages.
const REFUSAL_LOG_INTERVAL_NS: u64 = 10_000_000_000;
const DISCOVERY_MESSAGES_PER_POLL: usize = 64;

/// What the node says of itself.
pub struct Address {
    pub identity: Identity,
    pub replica: u8,
    pub channel: Name<120>,
    pub stream: StreamId,
}

/// The clerk's ends of everything.
pub struct Wiring {
    pub transport: Box<dyn Transport>,
    /// On the discovery stream.
    pub hello: Box<dyn Publication>,
    pub discovery: Box<dyn Subscription>,
    pub inbox: Receiver<ToClerk>,
    pub egress: Sender<ToEgress>,
}

pub struct Clerk {
    address: Address,
    wiring: Wiring,
    events_dir: PathBuf,
    clock: Clock,
    followers: BTreeMap<FollowerId, Follower>,
    /// The start of each peer that the egress sends to.
    peers: [Peer; SHARDS_MAX],
    said_hello: Option<MonotonicNs>,
    refusals: Arc<Refusals>,
    refusals_told: u64,
    refusals_told_at: MonotonicNs,
    full_told: bool,
    control: Arc<Control>,
    progress: Arc<Progress>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    epoch: u32,
    incarnation: u64,
}

struct Follower {
    heard: MonotonicNs,
    stream: i32,
    channel: Name<120>,
    place: Where,
}

/// Who holds a follower's publication.
enum Where {
    /// The egress.
    Live,
    /// The egress still, but it was asked to give it back; then it goes on from here.
    Recalled(Place),
    /// The clerk itself.
    Served(Box<Catchup>),
}

impl Clerk {
    pub fn new(
        address: Address,
        wiring: Wiring,
        events_dir: PathBuf,
        clock: Clock,
        refusals: Arc<Refusals>,
        control: Arc<Control>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            address,
            wiring,
            events_dir,
            clock,
            followers: BTreeMap::new(),
            peers: [Peer::default(); SHARDS_MAX],
            said_hello: None,
            refusals,
            refusals_told: 0,
            refusals_told_at: MonotonicNs(0),
            full_told: false,
            control,
            progress,
        }
    }

    /// Works until the node stops.
    pub fn run(mut self) {
        while self.control.phase() != Phase::Stopped {
            let now = self.clock.now();
            let work = self.turn(&now);
            if work == 0 {
                self.rest(&now);
            }
        }
    }

    /// One duty cycle.
    fn turn(&mut self, now: &Now) -> usize {
        let mut work = 0;
        while let Ok(message) = self.wiring.inbox.try_recv() {
            self.handle(message, now);
            work += 1;
        }
        if self.said_hello.is_none_or(|at| now.since(at) >= HELLO_INTERVAL_NS) {
            self.said_hello = Some(now.monotonic);
            self.check_transport();
            self.say_hello();
            self.hear_hellos();
            self.forget_the_silent(now);
            self.tell_refusals(now);
        }
        work + self.serve()
    }

    /// Waits for a message, but not past the next hello, nor while somebody is being served.
    fn rest(&mut self, now: &Now) {
        let until_hello =
            self.said_hello.map_or(0, |at| HELLO_INTERVAL_NS.saturating_sub(now.since(at)));
        let is_serving =
            self.followers.values().any(|follower| matches!(follower.place, Where::Served(_)));
        let mut patience = Duration::from_nanos(until_hello);
        if is_serving {
            patience = patience.min(SERVE_PAUSE);
        }
        match self.wiring.inbox.recv_timeout(patience) {
            Ok(message) => self.handle(message, now),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody is left to send; the phase is about to change.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(patience),
        }
    }

    fn check_transport(&self) {
        if let Err(error) = self.wiring.transport.check() {
            self.control.fail(Error::DriverLost(error));
        }
    }

    fn say_hello(&mut self) {
        let Address { identity, replica, channel, stream } = &self.address;
        let hello = Hello {
            shard: identity.shard,
            replica: *replica,
            role: NodeRole::Primary,
            _pad: 0,
            epoch: identity.epoch,
            incarnation: identity.incarnation,
            ingress_stream: stream.0,
            _pad2: 0,
            committed: self.progress.emitted.get(),
            ingress_channel: *channel,
        };
        let mut message = Box::<Message>::default();
        wire::begin(&mut message, identity.cluster, MessageKind::Hello);
        message.push(hello.as_bytes());
        match self.wiring.hello.offer(message.as_bytes()) {
            // Without a listener there is nobody to find the node; the next hello is soon.
            Offer::Sent | Offer::NotConnected | Offer::BackPressured => {}
            Offer::TooLong | Offer::Closed => self.check_transport(),
        }
    }

    fn hear_hellos(&mut self) {
        let cluster = self.address.identity.cluster;
        let mut heard = Vec::new();
        let mut each = |message: &[u8]| {
            if let Ok((MessageKind::Hello, body)) = wire::open(message, cluster)
                && let Ok(hello) = wire::body::<Hello>(body)
            {
                heard.push(hello);
            }
        };
        while self.wiring.discovery.poll(&mut each, DISCOVERY_MESSAGES_PER_POLL) > 0 {}
        for hello in &heard {
            self.meet(hello);
        }
    }

    /// A link has an end at the ledger; other shards have nothing to say to each other.
    fn meet(&mut self, hello: &Hello) {
        let own = self.address.identity.shard;
        let is_linked = (own == ShardId::LEDGER) != (hello.shard == ShardId::LEDGER);
        let found = Peer { epoch: hello.epoch, incarnation: hello.incarnation };
        let Some(known) = self.peers.get_mut(usize::from(hello.shard.0)) else { return };
        if !is_linked || hello.role != NodeRole::Primary || found <= *known {
            return;
        }
        let channel = hello.ingress_channel.as_str();
        match self.wiring.transport.publication(channel, StreamId(hello.ingress_stream)) {
            Ok(publication) => {
                *known = found;
                self.tell(ToEgress::Peer { shard: hello.shard, publication });
            }
            Err(error) => tracing::warn!(shard = %hello.shard, %error, "cannot reach a peer"),
        }
    }

    fn handle(&mut self, message: ToClerk, now: &Now) {
        match message {
            ToClerk::Follow(follow) => self.follow(&follow, now),
            ToClerk::Behind { follower, publication, next } => {
                self.take_back(follower, publication, next);
            }
            // Its next hello gives it an address again.
            ToClerk::PeerLost(peer) => self.peers[usize::from(peer.0)] = Peer::default(),
            ToClerk::Gone(follower) => {
                self.followers.remove(&follower);
                self.count_audience();
            }
        }
    }

    fn follow(&mut self, follow: &Follow, now: &Now) {
        let id = FollowerId(follow.follower);
        let asked = Place { seq: follow.seq.max(1), index: follow.index };
        match self.followers.get_mut(&id) {
            Some(known) if known.stream == follow.stream && known.channel == follow.channel => {
                known.heard = now.monotonic;
                if follow.rewind != 0 {
                    self.rewind(id, asked);
                }
            }
            // The same follower elsewhere: what it had before is over.
            Some(_) => {
                self.forget(id);
                self.welcome(id, follow, asked, now);
            }
            None => self.welcome(id, follow, asked, now),
        }
    }

    fn welcome(&mut self, id: FollowerId, follow: &Follow, asked: Place, now: &Now) {
        if self.followers.len() >= FOLLOWERS_MAX {
            if !self.full_told {
                self.full_told = true;
                tracing::warn!(FOLLOWERS_MAX, "no room for another follower");
            }
            return;
        }
        let stream = StreamId(follow.stream);
        let made = self.wiring.transport.publication(follow.channel.as_str(), stream);
        let publication = match made {
            Ok(publication) if publication.max_message_bytes() >= MESSAGE_BYTES_MAX => publication,
            Ok(publication) => {
                let carries = publication.max_message_bytes();
                tracing::warn!(carries, "a follower's stream is too narrow for messages");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot reach a follower");
                return;
            }
        };
        let place = Where::Served(self.catchup(publication, asked));
        let (stream, channel) = (follow.stream, follow.channel);
        self.followers.insert(id, Follower { heard: now.monotonic, stream, channel, place });
        self.count_audience();
    }

    /// What was sent from `to` on got lost.
    fn rewind(&mut self, id: FollowerId, to: Place) {
        let Some(follower) = self.followers.get_mut(&id) else { return };
        match &mut follower.place {
            Where::Live => {
                follower.place = Where::Recalled(to);
                self.tell(ToEgress::Recall(id));
            }
            Where::Recalled(place) => *place = to,
            Where::Served(catchup) => catchup.rewind(to),
        }
    }

    fn take_back(&mut self, id: FollowerId, publication: Box<dyn Publication>, next: Place) {
        let from = match self.followers.get(&id).map(|follower| &follower.place) {
            Some(Where::Live) => next,
            Some(Where::Recalled(to)) => *to,
            // Forgotten in the meantime, or back under another publication.
            Some(Where::Served(_)) | None => return,
        };
        let catchup = self.catchup(publication, from);
        if let Some(follower) = self.followers.get_mut(&id) {
            follower.place = Where::Served(catchup);
        }
    }

    fn catchup(&self, publication: Box<dyn Publication>, from: Place) -> Box<Catchup> {
        let dir = self.events_dir.clone();
        Box::new(Catchup::new(&self.address.identity, dir, publication, from))
    }

    fn serve(&mut self) -> usize {
        let mut work = 0;
        let mut done = Vec::new();
        for (id, follower) in &mut self.followers {
            let Where::Served(catchup) = &mut follower.place else { continue };
            // Read anew for each: a mark from before would send it in circles.
            match catchup.serve(self.progress.emitted.get()) {
                Served::Moved => work += 1,
                Served::Stuck => {}
                end @ (Served::UpToDate | Served::Closed | Served::Unreadable) => {
                    done.push((*id, end));
                }
            }
        }
        for (id, end) in done {
            work += 1;
            if end == Served::UpToDate { self.hand_over(id) } else { self.forget(id) }
        }
        work
    }

    /// It has everything up to the end of a live message: the egress goes on.
    fn hand_over(&mut self, id: FollowerId) {
        let Some(follower) = self.followers.get_mut(&id) else { return };
        if let Where::Served(catchup) = std::mem::replace(&mut follower.place, Where::Live) {
            let (publication, next) = catchup.into_parts();
            self.tell(ToEgress::Serve { follower: id, publication, next });
        }
    }

    fn forget(&mut self, id: FollowerId) {
        if let Some(follower) = self.followers.remove(&id)
            && !matches!(follower.place, Where::Served(_))
        {
            self.tell(ToEgress::Forget(id));
        }
        self.full_told = false;
        self.count_audience();
    }

    fn forget_the_silent(&mut self, now: &Now) {
        let silent: Vec<FollowerId> = self
            .followers
            .iter()
            .filter(|(_, follower)| now.since(follower.heard) >= FORGET_AFTER_NS)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.forget(id);
        }
    }

    fn count_audience(&self) {
        self.progress.audience.set(self.followers.len() as u64);
    }

    /// The egress only goes when the node does.
    fn tell(&self, message: ToEgress) {
        if self.wiring.egress.send(message).is_err() {
            tracing::debug!("the egress has ended");
        }
    }

    fn tell_refusals(&mut self, now: &Now) {
        let total = self.refusals.total();
        let is_quiet = now.since(self.refusals_told_at) < REFUSAL_LOG_INTERVAL_NS;
        if total == self.refusals_told || (is_quiet && self.refusals_told > 0) {
            return;
        }
        self.refusals_told = total;
        self.refusals_told_at = now.monotonic;
        tracing::warn!(refusals = ?self.refusals, "messages were not taken in");
    }
}
