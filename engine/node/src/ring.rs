//! The two rings and what lies in their slots.
//!
//! Input and output share no type: a command can't be taken for an event. Each ring is one
//! allocation made at start; the stages read a slot in place and copy nothing between them.

use disruptor::{
    BusySpin, EventPoller, MissingFreeSlots, MultiConsumerBarrier, Producer, SingleConsumerBarrier,
    SingleProducer, SingleProducerBarrier, build_single_producer,
};
use protocol::{
    EventKind, FrameHeader,
    event::{EVENT_HEADER_BYTES, EventHeader},
    frame::FRAME_HEADER_BYTES,
    limits::{COMMAND_BYTES_MAX, EVENT_BYTES_MAX, EVENTS_PER_COMMAND_MAX, MESSAGE_BYTES_MAX},
};
use zerocopy::{Immutable, IntoBytes};

/// A frame in the input ring; its bytes are the frame as it is journaled.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
pub struct InputSlot {
    pub header: FrameHeader,
    payload: [u8; COMMAND_BYTES_MAX],
}

impl InputSlot {
    fn empty() -> Self {
        let header = FrameHeader { seq: 0, ts: 0, epoch: 0, kind: 0, flags: 0, len: 0, _pad: 0 };
        Self { header, payload: [0; COMMAND_BYTES_MAX] }
    }

    /// Writes a frame; `header.len` is the payload's length.
    #[inline]
    pub fn fill(&mut self, header: FrameHeader, payload: &[u8]) {
        assert_eq!(header.len as usize, payload.len(), "a frame says its own length");
        self.header = header;
        self.payload[..payload.len()].copy_from_slice(payload);
    }

    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.payload[..self.header.len as usize]
    }

    /// Header and payload.
    #[inline]
    pub fn frame(&self) -> &[u8] {
        &self.as_bytes()[..FRAME_HEADER_BYTES + self.header.len as usize]
    }
}

/// An event in the output ring; its bytes are the event as it is journaled and sent.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
pub struct OutputSlot {
    pub epoch: u32,
    /// 1 on the last event of its frame.
    last: u32,
    // What is short stands in front, so that a short event touches few cache lines.
    pub header: EventHeader,
    body: [u8; EVENT_BYTES_MAX],
}

const EVENT_AT: usize = std::mem::offset_of!(OutputSlot, header);

impl OutputSlot {
    fn empty() -> Self {
        Self { epoch: 0, last: 0, header: EventHeader::default(), body: [0; EVENT_BYTES_MAX] }
    }

    /// Writes an event; `header.len` is the body's length.
    #[inline]
    pub fn fill(&mut self, header: EventHeader, epoch: u32, body: &[u8]) {
        assert_eq!(usize::from(header.len), body.len(), "an event says its own length");
        self.header = header;
        self.body[..body.len()].copy_from_slice(body);
        self.epoch = epoch;
        self.last = u32::from(header.kind == EventKind::Outcome as u16);
    }

    #[inline]
    pub fn is_last(&self) -> bool {
        self.last == 1
    }

    /// Header and body.
    #[inline]
    pub fn event(&self) -> &[u8] {
        let len = EVENT_HEADER_BYTES + usize::from(self.header.len);
        &self.as_bytes()[EVENT_AT..EVENT_AT + len]
    }
}

pub type InputProducer = SingleProducer<InputSlot, MultiConsumerBarrier>;
/// Of the stages that see each frame as soon as it is stamped.
pub type InputPoller = EventPoller<InputSlot, SingleProducerBarrier>;
/// Of the stage behind them.
pub type ApplyPoller = EventPoller<InputSlot, MultiConsumerBarrier>;
pub type OutputProducer = SingleProducer<OutputSlot, SingleConsumerBarrier>;
pub type OutputPoller = EventPoller<OutputSlot, SingleProducerBarrier>;

/// Slots of the rings, where the configuration does not say otherwise.
pub const INPUT_SLOTS_DEFAULT: usize = 16_384;
pub const OUTPUT_SLOTS_DEFAULT: usize = 16_384;
/// More would be gigabytes.
pub const SLOTS_MAX: usize = 1 << 20;

/// The shortest command there can be on the wire: its header and an envelope.
const SUBMIT_BYTES_MIN: usize =
    size_of::<protocol::wire::SubmitHeader>() + protocol::command::ENVELOPE_BYTES;
/// Commands that one message may bring; the input ring must have so many free before a poll.
pub const COMMANDS_PER_MESSAGE_MAX: usize = MESSAGE_BYTES_MAX / SUBMIT_BYTES_MIN;
pub const INPUT_SLOTS_MIN: usize = (2 * COMMANDS_PER_MESSAGE_MAX).next_power_of_two();
/// Twice, so that a frame's events may still be leaving while the next frame is applied.
pub const OUTPUT_SLOTS_MIN: usize = 2 * EVENTS_PER_COMMAND_MAX;

const _: () = assert!(OUTPUT_SLOTS_MIN.is_power_of_two());
const _: () = assert!(INPUT_SLOTS_DEFAULT >= INPUT_SLOTS_MIN && INPUT_SLOTS_DEFAULT <= SLOTS_MAX);
const _: () =
    assert!(OUTPUT_SLOTS_DEFAULT >= OUTPUT_SLOTS_MIN && OUTPUT_SLOTS_DEFAULT <= SLOTS_MAX);

/// The ends of the input ring: journal and replicate side by side, apply behind both, and beside
/// apply what sees a frame before it is its turn.
pub struct InputRing {
    pub ingress: InputProducer,
    pub journal: InputPoller,
    pub replicate: InputPoller,
    pub apply: ApplyPoller,
    pub ahead: ApplyPoller,
}

impl InputRing {
    pub fn new(slots: usize) -> Self {
        assert!(slots.is_power_of_two() && slots >= INPUT_SLOTS_MIN, "too few input slots");
        let builder = build_single_producer(slots, InputSlot::empty, BusySpin);
        let (journal, builder) = builder.new_event_poller();
        let (replicate, builder) = builder.new_event_poller();
        let (apply, builder) = builder.and_then().new_event_poller();
        let (ahead, builder) = builder.new_event_poller();
        Self { ingress: builder.build(), journal, replicate, apply, ahead }
    }
}

/// The ends of the output ring.
pub struct OutputRing {
    pub apply: OutputProducer,
    pub egress: OutputPoller,
}

impl OutputRing {
    pub fn new(slots: usize) -> Self {
        assert!(slots.is_power_of_two() && slots >= OUTPUT_SLOTS_MIN, "too few output slots");
        let builder = build_single_producer(slots, OutputSlot::empty, BusySpin);
        let (egress, builder) = builder.new_event_poller();
        Self { apply: builder.build(), egress }
    }
}

/// How many slots of a ring of this size its producer may fill now.
pub fn free_slots<E>(producer: &mut impl Producer<E>, slots: usize) -> usize {
    // One more than there are can never be had, and the refusal says how many are lacking.
    match producer.try_batch_publish(slots + 1, |_| ()) {
        Err(MissingFreeSlots(missing)) => slots + 1 - missing as usize,
        Ok(_) => unreachable!("a ring has no more slots than its size"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(seq: u64) -> FrameHeader {
        FrameHeader { seq, ts: 7, epoch: 1, kind: 2, flags: 0, len: 3, _pad: 0 }
    }

    #[test]
    fn a_slot_is_the_frame_it_holds() {
        let mut slot = InputSlot::empty();
        slot.fill(header(9), b"abc");
        let (decoded, payload) = FrameHeader::decode(slot.frame()).unwrap();
        assert_eq!((decoded, payload), (header(9), &b"abc"[..]));
        assert_eq!(slot.payload(), b"abc");
    }

    #[test]
    fn apply_sees_a_frame_only_behind_journal_and_replicate() {
        let mut ring = InputRing::new(INPUT_SLOTS_MIN);
        ring.ingress.try_publish(|slot| slot.fill(header(1), b"abc")).unwrap();
        assert!(ring.apply.take(1).is_err());
        drop(ring.journal.poll().unwrap());
        assert!(ring.apply.take(1).is_err());
        drop(ring.replicate.poll().unwrap());
        let mut batch = ring.apply.take(1).unwrap();
        assert_eq!((&mut batch).next().map(|slot| slot.header.seq), Some(1));
    }

    #[test]
    fn free_slots_counts_down_and_comes_back() {
        let mut ring = OutputRing::new(OUTPUT_SLOTS_MIN);
        assert_eq!(free_slots(&mut ring.apply, OUTPUT_SLOTS_MIN), OUTPUT_SLOTS_MIN);
        for _ in 0..3 {
            let header = EventHeader { len: 8, ..EventHeader::default() };
            ring.apply.try_publish(|slot| slot.fill(header, 1, &[0; 8])).unwrap();
        }
        assert_eq!(free_slots(&mut ring.apply, OUTPUT_SLOTS_MIN), OUTPUT_SLOTS_MIN - 3);
        drop(ring.egress.take(2).unwrap());
        assert_eq!(free_slots(&mut ring.apply, OUTPUT_SLOTS_MIN), OUTPUT_SLOTS_MIN - 1);
    }
}
