//! What a node is to its shard, in words an operator can read.

use std::fmt;

/// The reign of one primary. A node obeys the highest it has seen; frames carry theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u32);

impl Epoch {
    /// Of a shard's first primary.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reading its own log; takes nothing and gives nothing out.
    Recovering,
    /// Stamps frames and gives out events.
    Primary,
    /// Follows a primary's log, ready to take its place.
    Standby,
}

/// What commits a frame in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The primary keeps the log alone: its own disk decides.
    Solo,
    /// Primary and standby both hold the frame.
    Paired,
}
