//! Commands from other processes: one subscription, everything on it judged before it counts.
//!
//! Anybody who reaches the port can write here. What is not a message of this cluster is counted
//! and ignored; what is one is taken in whole, command by command.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{SyncSender, TrySendError},
};

use protocol::{
    Command, CommandKind, DecodeError,
    limits::MESSAGE_BYTES_MAX,
    wire::{self, Follow, MessageKind},
};
use transport::Subscription;

use crate::{
    clock::Now,
    fanout::ToClerk,
    ingress::{Source, Taker},
    ring::COMMANDS_PER_MESSAGE_MAX,
};

/// Fragments read in one go; each may complete a message.
const FRAGMENTS_PER_POLL: usize = 16;
/// Follow requests waiting for the clerk; those beyond come again in 100 ms.
pub const FOLLOWS_WAITING_MAX: usize = 256;

/// What was not taken in, by why.
#[derive(Debug, Default)]
pub struct Refusals {
    /// No message of this protocol, version or cluster.
    pub foreign: AtomicU64,
    /// A message of ours whose content does not decode.
    pub malformed: AtomicU64,
    /// A kind of command that only the node itself makes.
    pub forbidden: AtomicU64,
    /// Follow requests that nobody had time for.
    pub follows_dropped: AtomicU64,
}

impl Refusals {
    pub fn total(&self) -> u64 {
        [&self.foreign, &self.malformed, &self.forbidden, &self.follows_dropped]
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

/// The ingress's end of the transport.
pub struct Intake {
    subscription: Box<dyn Subscription>,
    judge: Judge,
}

impl Intake {
    pub fn new(
        subscription: Box<dyn Subscription>,
        cluster: u64,
        follows: SyncSender<ToClerk>,
        refusals: Arc<Refusals>,
    ) -> Self {
        Self { subscription, judge: Judge { cluster, follows, refusals } }
    }
}

impl Source for Intake {
    fn poll(&mut self, _now: &Now, room: usize, taker: &mut Taker<'_>) -> usize {
        // Any fragment may complete a message that is full of the shortest commands.
        let limit = FRAGMENTS_PER_POLL.min(room / COMMANDS_PER_MESSAGE_MAX);
        if limit == 0 {
            return 0;
        }
        let judge = &mut self.judge;
        self.subscription.poll(&mut |message| judge.judge(message, taker), limit)
    }
}

/// Tells commands from noise.
struct Judge {
    cluster: u64,
    follows: SyncSender<ToClerk>,
    refusals: Arc<Refusals>,
}

impl Judge {
    fn judge(&mut self, message: &[u8], taker: &mut Taker<'_>) {
        if message.len() > MESSAGE_BYTES_MAX {
            return count(&self.refusals.foreign);
        }
        match wire::open(message, self.cluster) {
            Err(_) => count(&self.refusals.foreign),
            Ok((MessageKind::Submit, body)) => self.submit(body, taker),
            Ok((MessageKind::Follow, body)) => self.follow(body),
            // Nodes say these; nobody says them to a node's ingress.
            Ok((MessageKind::Hello | MessageKind::Events, _)) => count(&self.refusals.foreign),
        }
    }

    fn submit(&mut self, body: &[u8], taker: &mut Taker<'_>) {
        for command in wire::commands(body) {
            let Ok((kind, payload)) = command else {
                return count(&self.refusals.malformed);
            };
            match admit(kind, payload) {
                Ok(kind) => {
                    taker.take(kind, payload);
                }
                Err(Refusal::Forbidden) => count(&self.refusals.forbidden),
                Err(Refusal::Malformed(_)) => count(&self.refusals.malformed),
            }
        }
    }

    fn follow(&mut self, body: &[u8]) {
        let Ok(follow) = wire::body::<Follow>(body) else {
            return count(&self.refusals.malformed);
        };
        match self.follows.try_send(ToClerk::Follow(follow)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                count(&self.refusals.follows_dropped);
            }
        }
    }
}

/// Why a command from outside gets no place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Forbidden,
    Malformed(DecodeError),
}

/// Whether a command from outside may have a place in the log. What it asks for is the engine's
/// to judge; here it only has to be a command.
pub fn admit(kind: u16, payload: &[u8]) -> Result<CommandKind, Refusal> {
    let (_, command) = Command::decode(kind, payload).map_err(Refusal::Malformed)?;
    match command.kind() {
        CommandKind::Tick | CommandKind::Genesis | CommandKind::LinkState => {
            Err(Refusal::Forbidden)
        }
        kind => Ok(kind),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::Agent,
        control::Control,
        ingress::{Ingress, Tail},
        progress::Progress,
        ring::{ApplyPoller, INPUT_SLOTS_MIN, InputPoller, InputRing},
    };
    use proptest::prelude::*;
    use protocol::{FrameHeader, limits::COMMAND_BYTES_MAX, wire::Message};
    use replication::{Epoch, MonotonicNs};
    use std::sync::mpsc::{Receiver, sync_channel};
    use transport::{Offer, Publication, StreamId, Transport, local::LocalNetwork};

    const CLUSTER: u64 = 0xC1;
    const STREAM: StreamId = StreamId(70_000);

    /// An ingress that listens, and what it puts into the ring.
    struct Rig {
        publication: Box<dyn Publication>,
        ingress: Ingress<Intake>,
        ring: ([InputPoller; 2], [ApplyPoller; 2]),
        refusals: Arc<Refusals>,
        follows: Receiver<ToClerk>,
    }

    fn rig() -> Rig {
        let mut transport = LocalNetwork::new().transport();
        let subscription = transport.subscription("local", STREAM).unwrap();
        let publication = transport.publication("local", STREAM).unwrap();
        let refusals = Arc::new(Refusals::default());
        let (sender, follows) = sync_channel(FOLLOWS_WAITING_MAX);
        let intake = Intake::new(subscription, CLUSTER, sender, refusals.clone());
        let InputRing { ingress, journal, replicate, apply, ahead } =
            InputRing::new(INPUT_SLOTS_MIN);
        let tail = Tail { last_seq: 0, last_ts: 0, epoch: Epoch::FIRST, genesis: None };
        let (control, progress) = (Arc::default(), Arc::<Progress>::default());
        let ingress = Ingress::new(
            intake,
            ingress,
            INPUT_SLOTS_MIN,
            tail,
            Arc::<Control>::clone(&control),
            progress,
        );
        Rig {
            publication,
            ingress,
            ring: ([journal, replicate], [apply, ahead]),
            refusals,
            follows,
        }
    }

    impl Rig {
        fn send(&mut self, bytes: &[u8]) {
            assert_eq!(self.publication.offer(bytes), Offer::Sent);
            self.ingress.poll(&Now { monotonic: MonotonicNs(1), wall_ns: 1 });
        }

        /// Everything that got a place, ticks apart.
        fn frames(&mut self) -> Vec<(FrameHeader, Vec<u8>)> {
            let ([journal, replicate], [apply, ahead]) = &mut self.ring;
            drop(journal.poll());
            drop(replicate.poll());
            drop(ahead.poll());
            let mut frames = Vec::new();
            if let Ok(mut batch) = apply.poll() {
                for slot in &mut batch {
                    if slot.header.kind != CommandKind::Tick as u16 {
                        frames.push((slot.header, slot.payload().to_vec()));
                    }
                }
            }
            frames
        }
    }

    /// A message of ours with any content.
    fn message(kind: MessageKind, body: &[u8]) -> Vec<u8> {
        let mut message = Message::default();
        wire::begin(&mut message, CLUSTER, kind);
        message.push(body);
        message.as_bytes().to_vec()
    }

    const KINDS: [MessageKind; 4] =
        [MessageKind::Hello, MessageKind::Submit, MessageKind::Follow, MessageKind::Events];

    #[test]
    fn back_pressure_stops_the_polling_and_loses_nothing() {
        let mut rig = rig();
        let mut sent = 0;
        let mut body = Message::default();
        wire::begin(&mut body, CLUSTER, MessageKind::Submit);
        while body.push_command(CommandKind::CancelAll as u16, &cancel_all()) {
            sent += 1;
        }
        let messages = 2 + INPUT_SLOTS_MIN / sent;
        for _ in 0..messages {
            rig.send(body.as_bytes());
        }
        let first = rig.frames().len();
        assert!(first < messages * sent, "the ring is smaller than what was sent");
        let mut taken = first;
        for _ in 0..messages {
            rig.ingress.poll(&Now { monotonic: MonotonicNs(2), wall_ns: 2 });
            taken += rig.frames().len();
        }
        assert_eq!(taken, messages * sent);
    }

    fn cancel_all() -> Vec<u8> {
        let command = Command::CancelAll(protocol::command::CancelAll {
            account: protocol::AccountId(1),
            symbol: protocol::SymbolId(1),
            _pad: [0; 2],
        });
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&Default::default(), &mut payload);
        payload[..len].to_vec()
    }

    proptest! {
        #[test]
        fn only_commands_get_a_place(
            pick in 0..KINDS.len(),
            raw: bool,
            kind in 0u16..70,
            len in 0u16..500,
            bytes in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            let mut rig = rig();
            let framed = [&kind.to_le_bytes()[..], &len.to_le_bytes(), &[0; 4], &bytes].concat();
            let sent = if raw { bytes } else { message(KINDS[pick], &framed) };
            rig.send(&sent);
            let frames = rig.frames();
            for (header, payload) in &frames {
                prop_assert!(admit(header.kind, payload).is_ok());
            }
            let heard = rig.follows.try_iter().count();
            prop_assert!(frames.len() + heard > 0 || rig.refusals.total() > 0);
        }

        #[test]
        fn a_mutated_message_never_brings_what_only_the_node_makes(
            at in 0usize..200, byte: u8,
        ) {
            let mut rig = rig();
            let mut body = Message::default();
            wire::begin(&mut body, CLUSTER, MessageKind::Submit);
            prop_assert!(body.push_command(CommandKind::CancelAll as u16, &cancel_all()));
            let mut bytes = body.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            rig.send(&bytes);
            for (header, payload) in rig.frames() {
                prop_assert!(admit(header.kind, &payload).is_ok());
            }
        }
    }
}
