//! The two directions of one shard: its ingress as it was last announced, our egress for good.

use std::time::Duration;

use protocol::{
    Name, ShardId,
    wire::{self, Follow, Hello, Message, MessageKind},
};
use transport::{Offer, Publication, StreamId, Subscription, Transport};
use zerocopy::IntoBytes;

use super::{
    Received, ShardStatus,
    client::Settings,
    follower::Follower,
    session::{Filled, Session, Settled},
};

/// Fragments read from one shard in one turn.
const FRAGMENTS_PER_TURN: usize = 256;
/// Messages of commands sent to one shard in one turn.
const MESSAGES_PER_TURN: usize = 8;
/// How long a refused or lost publication is left alone.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// A primary that has not been heard for so long takes no new commands.
const UNHEARD_AFTER: Duration = Duration::from_secs(2);
/// How long a primary may claim less than was seen of it: it may still be recovering.
const SHORTER_LOG_AFTER: Duration = Duration::from_secs(10);

pub struct Shard<T> {
    pub id: ShardId,
    pub session: Session<T>,
    pub follower: Follower,
    ingress: Option<Ingress>,
    egress: Box<dyn Subscription>,
    egress_stream: StreamId,
    follower_id: u64,
    /// The views hold all that was committed when the shard was met.
    caught_up: bool,
    heard: Duration,
    refused: Option<Duration>,
    shorter_since: Option<Duration>,
    undecodable: u64,
}

struct Ingress {
    publication: Box<dyn Publication>,
    hello: Hello,
}

impl<T> Shard<T> {
    pub fn new(
        id: ShardId,
        settings: &Settings,
        transport: &mut dyn Transport,
    ) -> Result<Self, transport::Error> {
        let egress_stream = StreamId::fresh();
        let egress = transport.subscription(&settings.egress_channel, egress_stream)?;
        tracing::info!(shard = %id, stream = %egress_stream, "a shard was met");
        Ok(Self {
            id,
            session: Session::new(settings.kind, settings.name),
            follower: Follower::new(id, settings.from.of(id)),
            ingress: None,
            egress,
            egress_stream,
            follower_id: rand::random(),
            caught_up: false,
            heard: Duration::ZERO,
            refused: None,
            shorter_since: None,
            undecodable: 0,
        })
    }

    /// Turns to the node that leads the shard now, if it is not the one we are connected to.
    pub fn lead(
        &mut self,
        hello: &Hello,
        heard: Duration,
        transport: &mut dyn Transport,
        now: Duration,
    ) -> Result<(), transport::Error> {
        self.heard = heard;
        self.follower.hear(hello.committed);
        let same = |ingress: &Ingress| {
            let known = &ingress.hello;
            (known.replica, known.epoch, known.incarnation, known.ingress_stream)
                == (hello.replica, hello.epoch, hello.incarnation, hello.ingress_stream)
        };
        if let Some(ingress) = self.ingress.as_mut().filter(|ingress| same(ingress)) {
            ingress.hello = *hello;
            return Ok(());
        }
        if self.refused.is_some_and(|at| now.saturating_sub(at) < RECONNECT_AFTER) {
            return Ok(());
        }
        self.ingress = None;
        let stream = StreamId(hello.ingress_stream);
        match transport.publication(hello.ingress_channel.as_str(), stream) {
            Ok(publication) => {
                tracing::info!(
                    shard = %self.id, replica = hello.replica, epoch = hello.epoch,
                    incarnation = hello.incarnation, %stream, "a shard has a primary"
                );
                self.refused = None;
                self.shorter_since = None;
                self.ingress = Some(Ingress { publication, hello: *hello });
                self.follower.attach(hello.epoch, hello.incarnation, hello.committed, now);
                self.session.reconnected(now);
                Ok(())
            }
            Err(error) => {
                transport.check()?;
                tracing::warn!(shard = %self.id, %error, "an ingress could not be reached");
                self.refused = Some(now);
                Ok(())
            }
        }
    }

    /// Reads what has come; returns how many messages.
    pub fn poll(&mut self, cluster: u64, now: Duration, out: &mut Vec<Received>) -> usize {
        let (follower, undecodable) = (&mut self.follower, &mut self.undecodable);
        let id = self.id;
        let mut read = |message: &[u8]| {
            let taken = wire::open(message, cluster).and_then(|(kind, body)| match kind {
                MessageKind::Events => follower.take(body, now, out),
                MessageKind::Hello | MessageKind::Submit | MessageKind::Follow => Ok(()),
            });
            if let Err(error) = taken {
                *undecodable += 1;
                if undecodable.is_power_of_two() {
                    tracing::error!(shard = %id, %error, count = *undecodable, "a bad message");
                }
            }
        };
        self.egress.poll(&mut read, FRAGMENTS_PER_TURN)
    }

    /// Says what is due and sends what waits; returns how many messages.
    pub fn send(&mut self, settings: &Settings, now: Duration, message: &mut Message) -> usize {
        if !self.caught_up && self.follower.caught_up() {
            self.caught_up = true;
            tracing::info!(shard = %self.id, committed = self.follower.committed(), "caught up");
        }
        let Some(ingress) = &mut self.ingress else { return 0 };
        if !ingress.publication.is_connected() {
            return 0;
        }
        let mut count = 0;
        if let Some(ask) = self.follower.ask(now) {
            let follow = Follow {
                follower: self.follower_id,
                seq: ask.from.seq,
                index: ask.from.index,
                rewind: u32::from(ask.rewind),
                stream: self.egress_stream.0,
                _pad: 0,
                channel: Name::new(&settings.egress_channel).unwrap_or_default(),
            };
            wire::begin(message, settings.cluster, MessageKind::Follow);
            message.push(follow.as_bytes());
            if ingress.publication.offer(message.as_bytes()) == Offer::Sent {
                self.follower.asked(ask, now);
                count += 1;
            }
        }
        if self.caught_up {
            count += self.send_commands(settings.cluster, now, message);
        }
        count
    }

    fn send_commands(&mut self, cluster: u64, now: Duration, message: &mut Message) -> usize {
        let Some(ingress) = &mut self.ingress else { return 0 };
        for count in 0..MESSAGES_PER_TURN {
            wire::begin(message, cluster, MessageKind::Submit);
            let filled = self.session.fill(now, message);
            if filled == Filled::Nothing {
                return count;
            }
            match ingress.publication.offer(message.as_bytes()) {
                Offer::Sent => self.session.sent(filled, now),
                Offer::BackPressured | Offer::NotConnected => return count,
                Offer::TooLong => {
                    tracing::error!(shard = %self.id, "an ingress takes no whole message");
                    return count;
                }
                Offer::Closed => {
                    // The next Hello of the primary builds a new one.
                    self.ingress = None;
                    return count;
                }
            }
        }
        MESSAGES_PER_TURN
    }

    /// Looks at the clock; true while the shard's log is what we know.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Settled<T>>) -> bool {
        self.session.tick(now, out);
        let Some(ingress) = &self.ingress else { return true };
        let shorter = ingress.hello.committed < self.seen();
        if !shorter {
            self.shorter_since = None;
        } else if self.shorter_since.is_none() {
            self.shorter_since = Some(now);
        }
        self.shorter_since.is_none_or(|since| now.saturating_sub(since) < SHORTER_LOG_AFTER)
    }

    /// Whether the shard can be expected to answer.
    pub fn connected(&self, now: Duration) -> bool {
        self.ingress.is_some() && now.saturating_sub(self.heard) < UNHEARD_AFTER
    }

    /// What the primary said last that it has committed.
    pub fn said_committed(&self) -> u64 {
        self.ingress.as_ref().map_or(0, |ingress| ingress.hello.committed)
    }

    /// The last seq seen whole.
    pub fn seen(&self) -> u64 {
        self.follower.next().map_or(0, |next| next.seq - 1)
    }

    pub fn status(&self, now: Duration) -> ShardStatus {
        let hello = self.ingress.as_ref().map(|ingress| &ingress.hello);
        let committed = self.follower.committed();
        ShardStatus {
            shard: self.id.0,
            ready: self.caught_up && self.connected(now),
            connected: self.connected(now),
            caught_up: self.caught_up,
            replica: hello.map_or(0, |hello| hello.replica),
            epoch: hello.map_or(0, |hello| hello.epoch),
            incarnation: hello.map_or(0, |hello| hello.incarnation),
            committed,
            seen: self.seen(),
            lag: committed.saturating_sub(self.seen()),
            session: self.session.id().map_or(0, |id| id.0),
            under_way: self.session.len(),
        }
    }
}
