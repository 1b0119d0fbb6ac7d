//! A journal that has no segment ready: said once, waited out, and said again when it is over.

use journal::AppendError;

use crate::{clock::Now, stages::is_transient};
use replication::MonotonicNs;

/// Preparing a segment takes well below this; a longer wait is worth a line in the log.
const WORTH_A_WARNING_NS: u64 = 1_000_000_000;

/// One journal's waiting for room.
#[derive(Debug)]
pub struct Shortage {
    journal: &'static str,
    since: Option<MonotonicNs>,
    told: bool,
}

impl Shortage {
    pub fn new(journal: &'static str) -> Self {
        Self { journal, since: None, told: false }
    }

    /// An append was refused.
    ///
    /// # Panics
    /// When it would be refused forever: the stages never make frames that large.
    pub fn met(&mut self, now: &Now, error: &AppendError) {
        assert!(is_transient(error), "the {} refused a record: {error}", self.journal);
        let since = *self.since.get_or_insert(now.monotonic);
        if !self.told && now.since(since) > WORTH_A_WARNING_NS {
            self.told = true;
            tracing::error!(journal = self.journal, %error, "no room: intake is stopped");
        }
    }

    /// Appends work.
    #[inline]
    pub fn over(&mut self) {
        if self.since.take().is_some() && self.told {
            self.told = false;
            tracing::warn!(journal = self.journal, "there is room again: intake goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_ends_with_the_first_append() {
        let mut shortage = Shortage::new("test");
        shortage.met(&Now::default(), &AppendError::NoSegmentReady);
        assert!(shortage.since.is_some());
        shortage.over();
        assert!(shortage.since.is_none());
    }

    #[test]
    #[should_panic(expected = "refused a record")]
    fn a_frame_that_never_fits_is_a_broken_invariant() {
        let error = AppendError::FrameTooLarge { bytes: 9, max: 8 };
        Shortage::new("test").met(&Now::default(), &error);
    }
}
