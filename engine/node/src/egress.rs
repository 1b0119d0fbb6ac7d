//! Stage 4: events leave. Into the output journal first, then to whoever listens.
//!
//! What is here is committed already. The output journal follows from the log, so it is synced
//! only when a segment is full: a start after a crash makes again what is missing.

use std::{
    mem,
    sync::{Arc, mpsc::Receiver},
};

use journal::Journal;
use protocol::{EventKind, Seq};

use crate::{
    agent::Agent,
    clock::Now,
    fanout::{Fanout, ToClerk, ToEgress, drain},
    links::Links,
    progress::Progress,
    ring::{OutputPoller, OutputSlot},
    shortage::Shortage,
};

/// Sees the events of each frame as they leave: for measurements and tests in one process.
pub trait Tap: Send {
    fn frame(&mut self, seq: Seq, events: &[u8]);
}

/// Nobody looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl Tap for NoTap {
    fn frame(&mut self, _seq: Seq, _events: &[u8]) {}
}

/// The ways out of the process; a pipeline in one process has none.
pub struct Outlets {
    pub inbox: Receiver<ToEgress>,
    pub fanout: Fanout,
    pub links: Links,
}

pub struct Egress<T> {
    output: OutputPoller,
    events: Journal,
    /// The events of the frame at hand.
    record: Vec<u8>,
    outlets: Option<Outlets>,
    tap: T,
    progress: Arc<Progress>,
    shortage: Shortage,
}

impl<T: Tap> Egress<T> {
    pub fn new(
        output: OutputPoller,
        events: Journal,
        outlets: Option<Outlets>,
        tap: T,
        progress: Arc<Progress>,
    ) -> Self {
        let shortage = Shortage::new("events");
        Self { output, events, record: Vec::new(), outlets, tap, progress, shortage }
    }

    /// Takes everything that waits in the ring.
    fn take(&mut self, now: &Now) -> usize {
        let Ok(mut batch) = self.output.poll() else { return 0 };
        let (mut count, mut refused, mut concerns_links) = (0, None, false);
        self.record.clear();
        for slot in &mut batch {
            let seq = slot.header.seq;
            if seq <= self.events.last_seq() {
                continue;
            }
            self.record.extend_from_slice(slot.event());
            concerns_links |= is_of_a_link(slot);
            if !slot.is_last() {
                continue;
            }
            if let Err(error) = self.events.append(seq, slot.epoch, &self.record) {
                refused = Some(error);
                break;
            }
            if let Some(outlets) = &mut self.outlets {
                outlets.fanout.push(seq, &self.record);
                if mem::take(&mut concerns_links) {
                    outlets.links.watch(&self.record);
                }
            }
            self.tap.frame(seq, &self.record);
            self.record.clear();
            count += 1;
        }
        let is_cut = !self.record.is_empty();
        match refused {
            Some(error) => self.shortage.met(now, &error),
            None => self.shortage.over(),
        }
        if is_cut {
            // The whole batch comes again; what has left is passed over then.
            mem::forget(batch);
        }
        count
    }
}

impl<T: Tap> Agent for Egress<T> {
    fn name(&self) -> &'static str {
        "egress"
    }

    fn poll(&mut self, now: &Now) -> usize {
        let mut work = 0;
        if let Some(Outlets { inbox, fanout, links }) = &mut self.outlets {
            work += drain(inbox, |message| {
                if let Some(ToEgress::Peer { shard, publication }) = fanout.handle(message) {
                    links.meet(shard, publication);
                }
            });
        }
        work += self.take(now);
        if let Some(Outlets { fanout, links, .. }) = &mut self.outlets {
            work += links.poll(now, |peer| fanout.report(ToClerk::PeerLost(peer)));
            let awaits = self.progress.awaits_ledger.get() == 1;
            self.progress.ledger.set(links.ledger(awaits, now) as u64);
            work += fanout.flush();
        }
        self.progress.emitted.set(self.events.last_seq());
        work
    }
}

#[inline]
fn is_of_a_link(slot: &OutputSlot) -> bool {
    EventKind::from_u16(slot.header.kind).is_some_and(EventKind::is_link)
}
