//! A frame: one entry of a shard's log, the same bytes on ring, disk and wire.

use xxhash_rust::xxh3::xxh3_64_with_seed;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{DecodeError, Micros, Seq, limits::COMMAND_BYTES_MAX};

/// What stands before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameHeader {
    pub seq: Seq,
    /// When the ingress took it; never goes back.
    pub ts: Micros,
    pub epoch: u32,
    /// A [`crate::CommandKind`].
    pub kind: u16,
    pub flags: u16,
    /// Bytes of payload behind this header.
    pub len: u32,
    pub _pad: u32,
}

pub const FRAME_HEADER_BYTES: usize = size_of::<FrameHeader>();
pub const FRAME_BYTES_MAX: usize = FRAME_HEADER_BYTES + COMMAND_BYTES_MAX;

impl FrameHeader {
    /// Splits a frame into its header and its payload.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (header, payload) =
            Self::read_from_prefix(frame).map_err(|_| DecodeError::Truncated)?;
        if header.len as usize > COMMAND_BYTES_MAX {
            return Err(DecodeError::Oversized);
        }
        match payload.len().cmp(&(header.len as usize)) {
            core::cmp::Ordering::Less => Err(DecodeError::Truncated),
            core::cmp::Ordering::Greater => Err(DecodeError::Oversized),
            core::cmp::Ordering::Equal => Ok((header, payload)),
        }
    }
}

/// The hash that ties a frame to all before it: equal chains, equal logs.
pub fn chain(previous: u64, frame: &[u8]) -> u64 {
    xxh3_64_with_seed(frame, previous)
}
