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
        CommandKind::Tick | CommandKind::Genesis => Err(Refusal::Forbidden),
        kind => Ok(kind),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
