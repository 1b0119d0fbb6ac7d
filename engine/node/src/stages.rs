//! The two stages in front of the engine: into the journal, and to whoever else keeps the log.

use std::{mem, sync::Arc};

use disruptor::Polling;
use journal::{AppendError, Durable, Journal};
use protocol::Seq;
use replication::Replicate;

use crate::{agent::Agent, clock::Now, progress::Progress, ring::InputPoller, shortage::Shortage};

/// Stage 1: writes frames to the journal and asks once a batch for them to reach the disk.
pub struct JournalStage {
    input: InputPoller,
    journal: Journal,
    progress: Arc<Progress>,
    shortage: Shortage,
}

impl JournalStage {
    pub fn new(input: InputPoller, journal: Journal, progress: Arc<Progress>) -> Self {
        Self { input, journal, progress, shortage: Shortage::new("journal") }
    }
}

impl Agent for JournalStage {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn poll(&mut self, now: &Now) -> usize {
        let mut batch = match self.input.poll() {
            Ok(batch) => batch,
            Err(Polling::NoEvents | Polling::Shutdown) => return 0,
        };
        let mut appended = 0;
        let mut refused = None;
        for slot in &mut batch {
            let header = &slot.header;
            if header.seq <= self.journal.last_seq() {
                continue;
            }
            match self.journal.append(header.seq, header.epoch, slot.frame()) {
                Ok(()) => appended += 1,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        match refused {
            None => {
                drop(batch);
                self.shortage.over();
            }
            Some(error) => {
                // The batch comes again at the next poll, what is in the journal is passed over:
                // the ring fills up behind it and the ingress stops taking commands in.
                mem::forget(batch);
                self.shortage.met(now, &error);
            }
        }
        self.journal.commit_batch();
        self.progress.journaled.set(self.journal.last_seq());
        appended
    }
}

/// Stage 2: hands frames to the replication rule and says what is committed.
pub struct ReplicateStage<R> {
    input: InputPoller,
    rule: R,
    durable: Durable,
    progress: Arc<Progress>,
}

impl<R: Replicate> ReplicateStage<R> {
    pub fn new(input: InputPoller, rule: R, durable: Durable, progress: Arc<Progress>) -> Self {
        Self { input, rule, durable, progress }
    }

    /// Raises the mark of what may be applied; returns how far it went up.
    fn commit(&mut self) -> u64 {
        let before: Seq = self.progress.committed.get();
        let committed = self.rule.committed(self.progress.journaled.get(), self.durable.seq());
        if committed <= before {
            return 0;
        }
        self.progress.committed.set(committed);
        committed - before
    }
}

impl<R: Replicate> Agent for ReplicateStage<R> {
    fn name(&self) -> &'static str {
        "replicate"
    }

    fn poll(&mut self, now: &Now) -> usize {
        if let Ok(mut batch) = self.input.poll() {
            for slot in &mut batch {
                self.rule.append(slot.header.seq, slot.frame());
            }
        }
        self.rule.poll(now.monotonic) + self.commit() as usize
    }
}

/// Whether the refusal passes by itself.
pub fn is_transient(error: &AppendError) -> bool {
    match error {
        AppendError::NoSegmentReady | AppendError::Preallocation(_) => true,
        AppendError::FrameTooLarge { .. } => false,
    }
}
