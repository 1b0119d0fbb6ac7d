//! How far each stage has come: one number a stage, written by it alone, read by all.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::Seq;

/// A number in a cache line of its own, so that stages on different cores don't disturb each
/// other.
#[derive(Default)]
#[repr(align(128))]
pub struct Mark(AtomicU64);

impl Mark {
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// The marks of one pipeline. Each is a [`Seq`] unless it says otherwise, and each stage's is at
/// most that of the stage before it.
#[derive(Default)]
pub struct Progress {
    /// Given out by the ingress.
    pub stamped: Mark,
    /// In the journal's memory.
    pub journaled: Mark,
    /// May be applied.
    pub committed: Mark,
    pub applied: Mark,
    /// Events in the output journal and, where somebody listens, in messages.
    pub emitted: Mark,
    /// Log time at which the engine wants a tick; 0: no sooner than any other.
    pub wake_at_us: Mark,
    /// Monotonic time of the last client's command, which keeps the threads awake.
    pub client_ns: Mark,
    /// Followers known: while there are any, egress makes messages.
    pub audience: Mark,
    /// 1 while the engine awaits an answer of the ledger.
    pub awaits_ledger: Mark,
    /// Whether the shard hears of the ledger, a [`crate::silence::LinkWord`].
    pub ledger: Mark,
    /// Set once the engine has come to rest for good: nothing more will be emitted.
    pub stopped: Mark,
}

impl Progress {
    /// All stages stand behind this seq.
    pub fn at(seq: Seq) -> Self {
        let progress = Self::default();
        for mark in [
            &progress.stamped,
            &progress.journaled,
            &progress.committed,
            &progress.applied,
            &progress.emitted,
        ] {
            mark.set(seq);
        }
        progress
    }

    /// Nothing is on its way between ingress and egress.
    pub fn is_drained(&self) -> bool {
        self.emitted.get() == self.stamped.get()
    }
}
