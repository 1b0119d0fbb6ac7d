//! The rule of a node that keeps the log alone.

use protocol::Seq;

use crate::{Epoch, Mode, MonotonicNs, Replicate, Role};

/// A primary without a standby: a frame is committed once it is on this node's own disk.
///
/// Nothing weaker would do, since after a power loss that disk is all there is.
#[derive(Clone, Copy, Debug)]
pub struct Solo {
    epoch: Epoch,
}

impl Solo {
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch }
    }

    pub fn mode(&self) -> Mode {
        Mode::Solo
    }
}

impl Replicate for Solo {
    fn append(&mut self, _seq: Seq, _frame: &[u8]) {}

    fn poll(&mut self, _now: MonotonicNs) -> usize {
        0
    }

    fn committed(&self, journaled: Seq, durable: Seq) -> Seq {
        durable.min(journaled)
    }

    fn role(&self) -> Role {
        Role::Primary
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_disk_commits() {
        let mut solo = Solo::new(Epoch::FIRST);
        solo.append(1, b"frame");
        assert_eq!(solo.poll(MonotonicNs(1)), 0);
        assert_eq!(solo.committed(0, 0), 0);
        assert_eq!(solo.committed(5, 0), 0);
        assert_eq!(solo.committed(5, 3), 3);
        assert_eq!(solo.committed(5, 5), 5);
    }

    #[test]
    fn what_this_process_has_not_journaled_is_not_committed() {
        assert_eq!(Solo::new(Epoch::FIRST).committed(4, 9), 4);
    }

    #[test]
    fn a_node_alone_is_the_primary_of_its_epoch() {
        let solo = Solo::new(Epoch(7));
        assert_eq!((solo.role(), solo.epoch(), solo.mode()), (Role::Primary, Epoch(7), Mode::Solo));
    }
}
