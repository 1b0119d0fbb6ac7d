//! The auditor's eye on the link to the ledger: each message has its place, and comes to something
//! once, however often it is sent.

use protocol::event::LinkApplied;

use crate::auditor::Auditor;

#[derive(Clone, Default)]
pub struct Links {
    /// Messages to the ledger.
    sent: u64,
    /// The ledger's messages that were applied.
    pub applied: u64,
    /// One of them was in this frame, and nothing has come of it yet.
    fresh: bool,
}

impl Links {
    pub const fn begin_frame(&mut self) {
        self.fresh = false;
    }

    /// Each message to the ledger has the next place in its stream.
    pub fn hear_sent(&mut self, link_seq: u64) {
        self.sent += 1;
        assert_eq!(link_seq, self.sent, "messages to the ledger are dense");
    }

    /// This came of one of the ledger's messages.
    pub fn come_of_one(&mut self, what: &impl std::fmt::Debug) {
        assert!(std::mem::take(&mut self.fresh), "a message is applied once: {what:?}");
    }
}

impl Auditor {
    /// How far the ledger's messages were applied: one further, or as far as before.
    pub fn hear_applied(&mut self, told: &LinkApplied) {
        self.links.fresh = told.link_seq == self.links.applied + 1;
        self.links.applied += u64::from(self.links.fresh);
        assert_eq!(told.link_seq, self.links.applied, "messages are applied in turn");
    }
}
