//! One record: what is wrapped around a frame on this disk, and how it is checked.
//!
//! The frame travels between machines, the wrapping does not: its checksum is seeded with the
//! volume and the segment, so that bytes left over from another one never pass for a record.

use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U32, U64},
};

use crate::Flaw;

/// The largest frame a record carries.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
pub(crate) const RECORD_ALIGN_BYTES: u64 = 8;
pub(crate) const RECORD_HEAD_BYTES: usize = size_of::<RecordHead>();

/// The chain after `frame`: equal chains mean equal logs. Nothing local is in it.
pub fn chain_after(previous: u64, frame: &[u8]) -> u64 {
    xxh3_64_with_seed(frame, previous)
}

/// What a record with a frame of so many bytes takes, padding included.
pub(crate) const fn record_bytes(frame_bytes: usize) -> usize {
    (RECORD_HEAD_BYTES + frame_bytes).next_multiple_of(RECORD_ALIGN_BYTES as usize)
}

/// What stands before each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct RecordHead {
    /// Head and frame without padding, so never zero; stored last.
    pub len: U32,
    /// Over all of the head but itself, and the frame.
    pub crc: U32,
    pub seq: U64,
    /// What the writer knew to be durable at that moment.
    pub durable_seq: U64,
    pub prev_chain: U64,
    pub epoch: U32,
    pub reserved: U32,
}

impl RecordHead {
    pub fn frame_bytes(&self) -> usize {
        self.len.get() as usize - RECORD_HEAD_BYTES
    }

    /// The checksum this head should carry before `frame`.
    pub fn checksum(&self, seed: u32, frame: &[u8]) -> u32 {
        let head = Self { crc: U32::ZERO, ..*self };
        crc32c::crc32c_append(crc32c::crc32c_append(seed, head.as_bytes()), frame)
    }

    /// Whether the length can be that of a record in `room` bytes.
    pub fn fits(&self, room: u64, frame_bytes_max: usize) -> bool {
        let len = self.len.get() as usize;
        (RECORD_HEAD_BYTES..=RECORD_HEAD_BYTES + frame_bytes_max).contains(&len)
            && len.next_multiple_of(RECORD_ALIGN_BYTES as usize) as u64 <= room
    }

    /// Whether a writer could have made such a head at all; cheap, before any checksum.
    pub fn plausible(&self) -> bool {
        self.reserved.get() == 0 && self.durable_seq.get() < self.seq.get()
    }
}

/// Where a log ends: what the next record must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    /// Of the last record; 0 before the first.
    pub seq: u64,
    pub epoch: u32,
    pub chain: u64,
}

impl Tip {
    pub const EMPTY: Self = Self { seq: 0, epoch: 0, chain: 0 };

    /// The tip after a record whose checksum is right, or why it does not belong here.
    pub fn follow(&self, head: &RecordHead, frame: &[u8]) -> Result<Self, Flaw> {
        if head.seq.get() != self.seq + 1 || !head.plausible() {
            return Err(Flaw::Seq);
        }
        if head.epoch.get() < self.epoch {
            return Err(Flaw::Epoch);
        }
        if head.prev_chain.get() != self.chain {
            return Err(Flaw::Chain);
        }
        Ok(Self {
            seq: self.seq + 1,
            epoch: head.epoch.get(),
            chain: chain_after(self.chain, frame),
        })
    }
}
