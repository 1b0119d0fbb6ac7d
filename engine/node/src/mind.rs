//! What the pipeline asks of the thing that decides.
//!
//! The pipeline is generic over it, so that tests and measurements run the same stages with a
//! mind that decides nothing beside the engine itself.

use engine::{Capacity, Engine, LoadError};
use protocol::{Command, FrameHeader, Micros, ShardId};

pub use engine::{LOOK_AHEAD, Sink};

/// What an engine has room for at its start, without growing while it serves: a few megabytes.
pub const CAPACITY: Capacity = Capacity { accounts: 16_384, orders: 16_384 };

/// A deterministic function of the log.
pub trait Mind: Send + 'static {
    /// Applies the next frame. Its events end with one Outcome.
    fn apply<S: Sink>(&mut self, header: &FrameHeader, payload: &[u8], sink: &mut S);

    /// Is shown a frame that comes [`LOOK_AHEAD`] frames later, so that what it needs is near by
    /// then. It changes nothing.
    fn look_ahead(&mut self, _header: &FrameHeader, _payload: &[u8]) {}

    /// The mind that saved this. `None`: one of this kind saves nothing, and is replayed.
    fn load(_state: &[u8]) -> Option<Result<Self, LoadError>>
    where
        Self: Sized,
    {
        None
    }

    /// Log time at which a tick is wanted, sooner than the next regular one.
    fn wake_at(&self) -> Option<Micros>;

    /// Something has been asked of the ledger that it has not answered.
    fn awaits_ledger(&self) -> bool {
        false
    }

    /// A hash of all state: equal logs give equal hashes.
    fn state_hash(&self) -> u64;

    /// The link messages that the other end has not acknowledged, each link's oldest first: peer,
    /// place in the link's stream, command.
    fn unacknowledged(&self, visit: &mut dyn FnMut(ShardId, u64, Command));
}

impl Mind for Engine {
    #[inline]
    fn apply<S: Sink>(&mut self, header: &FrameHeader, payload: &[u8], sink: &mut S) {
        Engine::apply(self, header, payload, sink);
    }

    #[inline]
    fn look_ahead(&mut self, header: &FrameHeader, payload: &[u8]) {
        Engine::look_ahead(self, header, payload);
    }

    fn load(state: &[u8]) -> Option<Result<Self, LoadError>> {
        Some(Engine::load(CAPACITY, state))
    }

    fn wake_at(&self) -> Option<Micros> {
        Engine::wake_at(self)
    }

    fn awaits_ledger(&self) -> bool {
        Engine::awaits_ledger(self)
    }

    fn state_hash(&self) -> u64 {
        Engine::state_hash(self)
    }

    fn unacknowledged(&self, visit: &mut dyn FnMut(ShardId, u64, Command)) {
        for (peer, link_seq, command) in self.outbox() {
            visit(peer, link_seq, command);
        }
    }
}
