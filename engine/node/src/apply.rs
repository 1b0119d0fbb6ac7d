//! Stage 3: the engine applies what is committed, and its events go into the output ring.

use std::sync::Arc;

use disruptor::Producer;
use protocol::{EventBody, EventKind, Seq, event::EventHeader, limits::EVENTS_PER_COMMAND_MAX};

use crate::{
    agent::Agent,
    clock::Now,
    mind::{LOOK_AHEAD, Mind, Sink},
    progress::Progress,
    ring::{ApplyPoller, InputSlot, OutputProducer, free_slots},
};

/// Frames in one duty cycle, so that the other stages on the thread get their turn.
const FRAMES_PER_POLL: u64 = 512;

pub struct ApplyStage<M: Mind> {
    input: ApplyPoller,
    ahead: Ahead,
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
        (input, ahead): (ApplyPoller, ApplyPoller),
        output: OutputProducer,
        output_slots: usize,
        applied: Seq,
        mind: M,
        progress: Arc<Progress>,
    ) -> Self {
        assert!(output_slots >= EVENTS_PER_COMMAND_MAX, "the output ring holds a frame's events");
        let ahead = Ahead { input: ahead, shown: applied };
        Self { input, ahead, output, output_slots, free: 0, applied, mind, progress }
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
            for slot in &mut batch {
                self.ahead.show(&mut self.mind, slot.header.seq);
                assert_eq!(slot.header.seq, self.applied + 1, "frames are applied in order");
                let emitted = apply_frame(&mut self.mind, slot, &mut self.output);
                self.free -= emitted;
                self.applied += 1;
            }
        }
        if self.applied > before {
            self.progress.wake_at_us.set(self.mind.wake_at().unwrap_or(0));
            self.progress.awaits_ledger.set(self.mind.awaits_ledger().into());
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

/// Goes before the stage and shows its mind what comes.
struct Ahead {
    input: ApplyPoller,
    /// The last frame that was shown.
    shown: Seq,
}

impl Ahead {
    /// Shows what there is up to [`LOOK_AHEAD`] frames behind this one, which is about to be
    /// applied: so it never holds a slot of the ring longer than the stage does.
    fn show<M: Mind>(&mut self, mind: &mut M, seq: Seq) {
        let goal = seq + LOOK_AHEAD as u64;
        if let Ok(mut batch) = self.input.take(goal - self.shown) {
            for slot in &mut batch {
                mind.look_ahead(&slot.header, slot.payload());
                self.shown += 1;
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use protocol::{Command, FrameHeader, Micros, Reject, SessionId, ShardId, event::Outcome};
    use replication::MonotonicNs;

    use super::*;
    use crate::ring::{INPUT_SLOTS_MIN, InputRing, OUTPUT_SLOTS_MIN, OutputRing};

    /// Notes which frame it had been shown last when it applied one.
    struct Noting {
        shown: Seq,
        noted: Arc<Mutex<Vec<(Seq, Seq)>>>,
    }

    impl Mind for Noting {
        fn apply<S: Sink>(&mut self, header: &FrameHeader, _payload: &[u8], sink: &mut S) {
            self.noted.lock().unwrap().push((header.seq, self.shown));
            sink.emit(&Outcome {
                session: SessionId::NONE,
                number: 0,
                order: Default::default(),
                amount: 0,
                reject: Reject::None,
                command: header.kind,
                _pad: 0,
            });
        }

        fn look_ahead(&mut self, header: &FrameHeader, payload: &[u8]) {
            assert_eq!(header.seq, self.shown + 1, "frames are shown once and in order");
            assert_eq!(payload, header.seq.to_le_bytes());
            self.shown = header.seq;
        }

        fn wake_at(&self) -> Option<Micros> {
            None
        }

        fn state_hash(&self) -> u64 {
            0
        }

        fn unacknowledged(&self, _visit: &mut dyn FnMut(ShardId, u64, Command)) {}
    }

    #[test]
    fn a_mind_is_shown_what_comes() {
        const FRAMES: Seq = 40;
        let (mut input, mut output) =
            (InputRing::new(INPUT_SLOTS_MIN), OutputRing::new(OUTPUT_SLOTS_MIN));
        let (progress, noted) = (Arc::<Progress>::default(), Arc::default());
        let mind = Noting { shown: 0, noted: Arc::clone(&noted) };
        let ends = (input.apply, input.ahead);
        let shared = Arc::clone(&progress);
        let mut stage = ApplyStage::new(ends, output.apply, OUTPUT_SLOTS_MIN, 0, mind, shared);
        let now = Now { monotonic: MonotonicNs(1), wall_ns: 1 };
        for seq in 1..=FRAMES {
            let header = FrameHeader { seq, ts: 7, epoch: 1, kind: 2, flags: 0, len: 8, _pad: 0 };
            input.ingress.try_publish(|slot| slot.fill(header, &seq.to_le_bytes())).unwrap();
        }
        drop(input.journal.poll().unwrap());
        drop(input.replicate.poll().unwrap());
        progress.committed.set(FRAMES);
        while stage.poll(&now) > 0 {
            drop(output.egress.poll());
        }
        let shown = (1..=FRAMES).map(|seq| (seq, FRAMES.min(seq + LOOK_AHEAD as Seq)));
        assert!(noted.lock().unwrap().iter().copied().eq(shown));
    }
}
