//! Stage 3: the engine applies what is committed, and its events go into the output ring.

use std::sync::Arc;

use disruptor::Producer;
use engine::InSight;
use protocol::{EventBody, EventKind, Seq, event::EventHeader, limits::EVENTS_PER_COMMAND_MAX};

use crate::{
    agent::Agent,
    clock::Now,
    mind::{Mind, Sink},
    progress::Progress,
    ring::{ApplyPoller, InputSlot, OutputProducer, free_slots},
};

/// Frames in one duty cycle, so that the other stages on the thread get their turn.
const FRAMES_PER_POLL: u64 = 512;

pub struct ApplyStage<M: Mind> {
    input: ApplyPoller,
    output: OutputProducer,
    output_slots: usize,
    /// Free for certain; asked anew only when it might not be enough.
    free: usize,
    applied: Seq,
    mind: M,
    progress: Arc<Progress>,
}

impl<M: Mind> ApplyStage<M> {
    /// `applied`: the last frame the mind has seen.
    pub fn new(
        input: ApplyPoller,
        output: OutputProducer,
        output_slots: usize,
        applied: Seq,
        mind: M,
        progress: Arc<Progress>,
    ) -> Self {
        assert!(output_slots >= EVENTS_PER_COMMAND_MAX, "the output ring holds a frame's events");
        Self { input, output, output_slots, free: 0, applied, mind, progress }
    }

    /// How many frames may be applied whatever each of them emits.
    fn room(&mut self) -> u64 {
        if self.free < EVENTS_PER_COMMAND_MAX {
            self.free = free_slots(&mut self.output, self.output_slots);
        }
        (self.free / EVENTS_PER_COMMAND_MAX) as u64
    }
}

impl<M: Mind> Agent for ApplyStage<M> {
    fn name(&self) -> &'static str {
        "apply"
    }

    fn poll(&mut self, _now: &Now) -> usize {
        let committed = self.progress.committed.get();
        let before = self.applied;
        let goal = committed.min(before + FRAMES_PER_POLL);
        while self.applied < goal {
            let room = self.room();
            if room == 0 {
                break;
            }
            let Ok(mut batch) = self.input.take(room.min(goal - self.applied)) else { break };
            let mut slots = InSight::new(&mut batch);
            while let Some(slot) = slots.next() {
                let coming = slots.coming();
                self.mind
                    .look_ahead(coming.map(|(away, slot)| (away, &slot.header, slot.payload())));
                assert_eq!(slot.header.seq, self.applied + 1, "frames are applied in order");
                let emitted = apply_frame(&mut self.mind, slot, &mut self.output);
                self.free -= emitted;
                self.applied += 1;
            }
        }
        if self.applied > before {
            self.progress.wake_at_us.set(self.mind.wake_at().unwrap_or(0));
            self.progress.applied.set(self.applied);
        }
        (self.applied - before) as usize
    }
}

/// At a clean end it says which state it leaves, so that a replay can be held against it.
impl<M: Mind> Drop for ApplyStage<M> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let state_hash = format!("{:016x}", self.mind.state_hash());
            tracing::info!(seq = self.applied, state_hash, "the engine ends");
        }
    }
}

/// Returns how many events the frame gave.
fn apply_frame<M: Mind>(mind: &mut M, slot: &InputSlot, output: &mut OutputProducer) -> usize {
    let mut sink = RingSink { output, slot, index: 0, last: None };
    mind.apply(&slot.header, slot.payload(), &mut sink);
    assert_eq!(sink.last, Some(EventKind::Outcome), "each frame ends with its outcome");
    sink.index as usize
}

/// Writes events where the egress finds them.
struct RingSink<'a> {
    output: &'a mut OutputProducer,
    slot: &'a InputSlot,
    index: u32,
    last: Option<EventKind>,
}

impl Sink for RingSink<'_> {
    #[inline]
    fn emit<B: EventBody>(&mut self, body: &B) {
        assert_ne!(self.last, Some(EventKind::Outcome), "nothing follows the outcome");
        assert!((self.index as usize) < EVENTS_PER_COMMAND_MAX, "a frame gives too many events");
        let frame = &self.slot.header;
        let bytes = body.as_bytes();
        let header = EventHeader {
            seq: frame.seq,
            ts: frame.ts,
            index: self.index,
            kind: B::KIND as u16,
            len: bytes.len() as u16,
        };
        let written = self.output.try_publish(|slot| slot.fill(header, frame.epoch, bytes));
        assert!(written.is_ok(), "room was asked for before the frame was taken");
        self.index += 1;
        self.last = Some(B::KIND);
    }
}
