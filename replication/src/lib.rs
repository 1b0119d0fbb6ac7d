//! When a frame counts: the commit rule of a shard, apart from all input and output.
//!
//! A frame may be applied, and its outputs may leave the process, once it is committed. What
//! makes it so depends on who holds it: alone a node must have it on its own disk, in a pair both
//! must hold it. This crate decides that from numbers and messages it is handed; it reads no
//! clock, no disk and no network, so that every interleaving can be tried in a test.
//!
//! Architecture Invariant: nothing here knows what a frame says, nor where it is kept.

mod role;
mod solo;

use protocol::Seq;

pub use role::{Epoch, Mode, Role};
pub use solo::Solo;

/// A reading of the monotonic clock in nanoseconds, from any fixed start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicNs(pub u64);

/// One node's part in keeping the log of a shard. The node calls it once a duty cycle.
pub trait Replicate: Send {
    /// A frame was stamped: it goes to whoever else keeps the log. Seqs are dense.
    fn append(&mut self, seq: Seq, frame: &[u8]);

    /// Takes in what came from the peer and lets timers run; returns the work done.
    fn poll(&mut self, now: MonotonicNs) -> usize;

    /// The last seq that may be applied, given what this node has journaled and what of that is
    /// on its disk. Never goes back, whatever it is told.
    fn committed(&self, journaled: Seq, durable: Seq) -> Seq;

    fn role(&self) -> Role;

    fn epoch(&self) -> Epoch;
}
