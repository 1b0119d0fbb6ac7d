//! Whether a shard hears of the ledger: watched where its links are, told where its log begins.
//!
//! An answer that a shard waits for can't come while its ledger is away, so the log has to know;
//! what is waited for is an acknowledgement, the answer to a margin call, or, without an address,
//! the ledger itself. A ledger that is there and answers a call late is taken for one that is not,
//! until it does: the call waits longer than it had to.

use replication::MonotonicNs;

use crate::clock::Now;

/// So long without what is owed, and the link is down. Shorter than a margin call's grace, which
/// has to learn of it in time.
pub const SILENT_AFTER_NS: u64 = 150_000_000;
const _: () = assert!(SILENT_AFTER_NS < protocol::limits::MARGIN_CALL_GRACE_US * 1_000);

/// The state of a shard's link to the ledger, as [`crate::Progress`] carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum LinkWord {
    /// There is no such link.
    None = 0,
    Up = 1,
    Down = 2,
}

impl LinkWord {
    pub const fn from_u64(word: u64) -> Self {
        match word {
            1 => Self::Up,
            2 => Self::Down,
            _ => Self::None,
        }
    }
}

/// How long a peer has owed something.
#[derive(Default)]
pub struct Silence {
    since: Option<MonotonicNs>,
    heard: bool,
}

impl Silence {
    /// The peer has acknowledged something.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// Looks again; `owes`: there is something that the peer has not acknowledged or answered, or it
    /// has no address.
    pub fn look(&mut self, owes: bool, now: &Now) -> LinkWord {
        if std::mem::take(&mut self.heard) || !owes {
            self.since = None;
        }
        if !owes {
            return LinkWord::Up;
        }
        let since = *self.since.get_or_insert(now.monotonic);
        if now.since(since) < SILENT_AFTER_NS { LinkWord::Up } else { LinkWord::Down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Now {
        Now { monotonic: MonotonicNs(ns), wall_ns: 0 }
    }

    #[test]
    fn a_peer_that_owes_for_too_long_is_down() {
        let mut silence = Silence::default();
        assert_eq!(silence.look(true, &at(5)), LinkWord::Up);
        assert_eq!(silence.look(true, &at(4 + SILENT_AFTER_NS)), LinkWord::Up);
        assert_eq!(silence.look(true, &at(5 + SILENT_AFTER_NS)), LinkWord::Down);
        silence.heard();
        assert_eq!(silence.look(true, &at(6 + SILENT_AFTER_NS)), LinkWord::Up, "more is owed");
        assert_eq!(silence.look(true, &at(6 + 2 * SILENT_AFTER_NS)), LinkWord::Down);
        assert_eq!(silence.look(false, &at(7 + 2 * SILENT_AFTER_NS)), LinkWord::Up);
    }

    #[test]
    fn who_owes_nothing_may_be_silent() {
        let mut silence = Silence::default();
        for second in 0..9 {
            assert_eq!(silence.look(false, &at(second * 1_000_000_000)), LinkWord::Up);
        }
        assert_eq!(silence.look(true, &at(9_000_000_000)), LinkWord::Up);
    }

    #[test]
    fn words_are_numbers() {
        for word in [LinkWord::None, LinkWord::Up, LinkWord::Down] {
            assert_eq!(LinkWord::from_u64(word as u64), word);
        }
    }
}
