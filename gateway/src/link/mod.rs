//! The connection to the shards: commands there, events back, each exactly once.
//!
//! ```text
//!  handlers ──Orders──▶ channel ─▶ ┌───────────── conductor (one thread) ─────────────┐
//!                                  │ discovery: who is primary, where is its ingress  │
//!                                  │ per shard: session ─▶ publication  (Submit)      │
//!                                  │            follower ─▶ publication (Follow)      │
//!                                  │            follower ◀─ subscription (Events)     │
//!                                  └─────┬───────────────────────────────┬────────────┘
//!                                        ▼ 1. Listener::apply            ▼ 2. replies
//!                                    views, under one write lock     3. Listener::publish
//! ```
//!
//! Messages get lost, doubled and reordered, and nodes restart; the [`follower`] asks again until
//! it has the next event and the [`session`] sends again until it has seen the outcome. Both are
//! plain state machines without time or IO of their own.

pub mod client;
mod conductor;
mod discovery;
mod follower;
mod idle;
mod modes;
mod rounds;
mod session;
mod settlements;
mod shard;
pub mod status;

#[cfg(test)]
pub(crate) mod fake_node;
#[cfg(test)]
mod link_test;

use std::collections::BTreeMap;

use protocol::{Event, Micros, Seq, ShardId, event::EventHeader, event::Outcome};

pub use client::{Client, Orders};
pub use status::{LinkStatus, ShardStatus};

/// Commands of all handlers that have no answer yet; one more is refused as [`SubmitError::Busy`].
pub const COMMANDS_UNDER_WAY_MAX: usize = 16_384;
/// Commands sent to one shard whose outcome has not been seen; more wait their turn.
pub const OUTSTANDING_MAX: usize = 4_096;
/// Commands that wait behind one account's margin round on one symbol.
pub const HELD_MAX: usize = 256;

/// Where a link's view of a shard's log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Behind the last seq of each shard that is known already; with the first of others.
    After(BTreeMap<ShardId, Seq>),
    /// With what happens after the link came up.
    Tail,
}

impl From {
    /// With the first frame: everything that happened.
    pub fn beginning() -> Self {
        Self::After(BTreeMap::new())
    }

    fn of(&self, shard: ShardId) -> Option<Seq> {
        match self {
            Self::After(known) => Some(known.get(&shard).map_or(1, |seq| seq + 1)),
            Self::Tail => None,
        }
    }
}

/// One event, with where it comes from; a listener sees each shard's in order, without gaps.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub shard: ShardId,
    pub header: EventHeader,
    pub event: Event,
}

/// Who wants the events. All calls come from the link's thread and must not block.
pub trait Listener: Send {
    /// Whether events can be taken now; until then they wait at the shards.
    fn has_room(&self) -> bool {
        true
    }
    /// Takes a batch of whole frames, before anybody is told an outcome in it.
    fn apply(&mut self, batch: &[Received]);
    /// Hands on what the batch means to others; called after the replies.
    fn publish(&mut self) {}
}

/// What a shard made of a command, and where in its log.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub outcome: Outcome,
    pub shard: ShardId,
    pub seq: Seq,
    pub ts: Micros,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It was sent and may have been or may yet be applied.
    #[error("the outcome is unknown")]
    Unknown,
    /// A queue limit was met; nothing was done.
    #[error("too many commands are under way")]
    Busy,
    /// The shard cannot be reached; nothing was done.
    #[error("the shard cannot be reached")]
    Unavailable,
}

/// Why a link has ended for good: its process has to be started anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Transport(#[from] transport::Error),
    #[error(
        "shard {shard} says it has committed {committed}, but its event {seen} was seen: its log \
         is not the one that this process knows"
    )]
    LogLost { shard: ShardId, committed: Seq, seen: Seq },
    #[error("the link's thread panicked")]
    Panicked,
}
