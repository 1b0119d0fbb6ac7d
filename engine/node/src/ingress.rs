//! Stage 0: gives each command its place in the log and its time.
//!
//! The only stage that knows what time it is. It never drops a command it has taken: when the
//! ring has no room it takes none, and its source presses back on whoever sends.

use std::sync::Arc;

use disruptor::Producer;
use protocol::{
    Command, CommandKind, Envelope, FrameHeader, Micros, Seq, SessionId, ShardId,
    command::{Genesis, LinkState, Tick},
    limits::COMMAND_BYTES_MAX,
};
use replication::{Epoch, MonotonicNs};

use crate::{
    agent::Agent,
    clock::{ClockAlarm, Now, Stamp},
    control::Control,
    progress::Progress,
    ring::{InputProducer, free_slots},
    silence::LinkWord,
};

/// A tick is due so long after the last one.
pub const TICK_INTERVAL_NS: u64 = 1_000_000_000;
/// Slots that the node's own frames may take in one cycle: a genesis, a link's state and a tick.
const OWN_FRAMES: usize = 3;
/// Least time between two lines about the clock.
const ALARM_INTERVAL_NS: u64 = 60_000_000_000;

/// Where commands come from.
pub trait Source: Send {
    /// Hands over what waits, at most `room` commands; returns the messages read.
    fn poll(&mut self, now: &Now, room: usize, taker: &mut Taker<'_>) -> usize;
}

/// Where the log stands when the ingress takes over.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    pub last_seq: Seq,
    pub last_ts: Micros,
    pub epoch: Epoch,
    /// The first frame of a new log.
    pub genesis: Option<Genesis>,
}

pub struct Ingress<S> {
    source: S,
    writer: Writer,
    slots: usize,
    genesis: Option<Genesis>,
    /// What the log has heard last of the link to the ledger, since this start.
    link: LinkWord,
    ticked: Option<MonotonicNs>,
    /// The last early tick: another one waits until this one has been applied.
    early_tick: Seq,
    alarmed: Option<MonotonicNs>,
    control: Arc<Control>,
    progress: Arc<Progress>,
}

impl<S: Source> Ingress<S> {
    pub fn new(
        source: S,
        ring: InputProducer,
        slots: usize,
        tail: Tail,
        control: Arc<Control>,
        progress: Arc<Progress>,
    ) -> Self {
        let writer = Writer {
            ring,
            next_seq: tail.last_seq + 1,
            epoch: tail.epoch,
            stamp: Stamp::after(tail.last_ts),
        };
        Self {
            source,
            writer,
            slots,
            genesis: tail.genesis,
            link: LinkWord::None,
            ticked: None,
            early_tick: 0,
            alarmed: None,
            control,
            progress,
        }
    }

    /// The frames that no client asks for; returns how many.
    fn own_frames(&mut self, now: &Now) -> usize {
        let mut made = 0;
        if let Some(genesis) = self.genesis.take() {
            self.writer.own(now, &Command::Genesis(genesis));
            made += 1;
        }
        let link = LinkWord::from_u64(self.progress.ledger.get());
        if link != LinkWord::None && link != self.link {
            self.link = link;
            self.tell_link(now, link == LinkWord::Up);
            made += 1;
        }
        if self.tick_is_due(now) {
            self.alarm(now);
            self.ticked = Some(now.monotonic);
            self.early_tick = self.writer.own(now, &Command::Tick(Tick { _reserved: 0 }));
            made += 1;
        }
        made
    }

    #[cold]
    fn tell_link(&mut self, now: &Now, up: bool) {
        let peer = ShardId::LEDGER;
        self.writer.own(now, &Command::LinkState(LinkState { peer, up, _pad: [0; 6] }));
        match up {
            true => tracing::info!("the ledger answers"),
            false => tracing::warn!("the ledger does not answer: margin calls wait longer"),
        }
    }

    fn tick_is_due(&self, now: &Now) -> bool {
        let Some(ticked) = self.ticked else { return true };
        if now.since(ticked) >= TICK_INTERVAL_NS {
            return true;
        }
        let wake_at = self.progress.wake_at_us.get();
        wake_at != 0
            && self.progress.applied.get() >= self.early_tick
            && wake_at <= self.writer.stamp.preview(now)
    }

    fn alarm(&mut self, now: &Now) {
        let Some(alarm) = self.writer.stamp.alarm(now) else { return };
        if self.alarmed.is_some_and(|at| now.since(at) < ALARM_INTERVAL_NS) {
            return;
        }
        self.alarmed = Some(now.monotonic);
        match alarm {
            ClockAlarm::Leap { by_ns } => {
                tracing::warn!(by_s = by_ns / 1_000_000_000, "the log's last time is far from now");
            }
            ClockAlarm::Drift { by_ns } => {
                tracing::warn!(by_ms = by_ns / 1_000_000, "the wall clock left log time");
            }
        }
    }
}

impl<S: Source> Agent for Ingress<S> {
    fn name(&self) -> &'static str {
        "ingress"
    }

    fn poll(&mut self, now: &Now) -> usize {
        if !self.control.is_running() {
            return 0;
        }
        let room = free_slots(&mut self.writer.ring, self.slots);
        if room <= OWN_FRAMES {
            return 0;
        }
        let own = self.own_frames(now);
        let mut taker =
            Taker { writer: &mut self.writer, now, room: room - own, taken: 0, clients: 0 };
        let room = taker.room;
        self.source.poll(now, room, &mut taker);
        let (taken, clients) = (taker.taken, taker.clients);
        if clients > 0 {
            self.progress.client_ns.set(now.monotonic.0);
        }
        if own + taken > 0 {
            self.progress.stamped.set(self.writer.next_seq - 1);
        }
        own + taken
    }
}

/// The head of the log.
struct Writer {
    ring: InputProducer,
    next_seq: Seq,
    epoch: Epoch,
    stamp: Stamp,
}

impl Writer {
    fn own(&mut self, now: &Now, command: &Command) -> Seq {
        let mut payload = [0; COMMAND_BYTES_MAX];
        let envelope = Envelope { session: SessionId::NONE, ..Envelope::default() };
        let len = command.encode(&envelope, &mut payload);
        self.write(now, command.kind(), &payload[..len])
    }

    #[inline]
    fn write(&mut self, now: &Now, kind: CommandKind, payload: &[u8]) -> Seq {
        let seq = self.next_seq;
        let header = FrameHeader {
            seq,
            ts: self.stamp.stamp(now),
            epoch: self.epoch.0,
            kind: kind as u16,
            flags: 0,
            len: payload.len() as u32,
            _pad: 0,
        };
        let written = self.ring.try_publish(|slot| slot.fill(header, payload));
        assert!(written.is_ok(), "room was asked for before");
        self.next_seq += 1;
        seq
    }
}

/// Takes commands in for the length of one poll.
pub struct Taker<'a> {
    writer: &'a mut Writer,
    now: &'a Now,
    room: usize,
    taken: usize,
    clients: usize,
}

impl Taker<'_> {
    /// Commands that may still be taken.
    pub fn room(&self) -> usize {
        self.room - self.taken
    }

    /// Puts a command into the log; returns its seq.
    ///
    /// # Panics
    /// When there is no room, which sources ask for first, or when the payload is longer than
    /// any command.
    #[inline]
    pub fn take(&mut self, kind: CommandKind, payload: &[u8]) -> Seq {
        assert!(self.taken < self.room, "a source takes no more than there is room for");
        self.taken += 1;
        // Prices from the feed come all the time and are no reason to stay awake.
        self.clients += usize::from(kind != CommandKind::IndexPrices);
        self.writer.write(self.now, kind, payload)
    }
}
