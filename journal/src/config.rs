//! How a journal is set up, and the limits of that.

use std::path::PathBuf;

use crate::{
    Error, FRAME_BYTES_MAX,
    record::{RECORD_ALIGN_BYTES, record_bytes},
    segment::SEGMENT_HEADER_BYTES,
};

/// What production uses.
pub const SEGMENT_BYTES_STANDARD: u64 = 256 << 20;
/// For clusters on one machine, and tests: quick to make.
pub const SEGMENT_BYTES_LOCAL: u64 = 16 << 20;
/// Room for the header and one frame of the greatest size.
pub const SEGMENT_BYTES_MIN: u64 = 5 << 20;
/// Above this a segment's map and its zeroing stop being a small step.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// More spares than this only hold disk and page cache.
pub const SPARE_SEGMENTS_MAX: usize = 64;
/// Segments are mapped and zeroed in whole pages.
pub(crate) const SEGMENT_BYTES_UNIT: u64 = 4096;

const _: () = assert!(
    SEGMENT_HEADER_BYTES + record_bytes(FRAME_BYTES_MAX) as u64 <= SEGMENT_BYTES_MIN,
    "a frame of the greatest size must fit into the smallest segment"
);
const _: () = assert!(SEGMENT_BYTES_UNIT.is_multiple_of(RECORD_ALIGN_BYTES));

/// When the log reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// A sync thread writes out whatever was committed, as often as the disk allows.
    Thread,
    /// Only full segments are synced; the durable seq follows the seal. For logs that can be
    /// rebuilt from another one.
    OnSeal,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Must exist, and belongs to this journal alone.
    pub dir: PathBuf,
    pub shard: u8,
    /// Fixed when the directory is first used.
    pub segment_bytes: u64,
    pub sync: Sync,
    /// Empty segments kept ready, at least one.
    pub spare_segments: usize,
}

impl Config {
    pub(crate) fn check(&self, limits: Limits) -> Result<(), Error> {
        let bytes = self.segment_bytes;
        if bytes < limits.segment_bytes_min
            || bytes > SEGMENT_BYTES_MAX
            || !bytes.is_multiple_of(SEGMENT_BYTES_UNIT)
        {
            return Err(Error::SegmentBytes {
                asked: bytes,
                min: limits.segment_bytes_min,
                max: SEGMENT_BYTES_MAX,
                unit: SEGMENT_BYTES_UNIT,
            });
        }
        if self.spare_segments == 0 || self.spare_segments > SPARE_SEGMENTS_MAX {
            return Err(Error::SpareSegments {
                asked: self.spare_segments,
                max: SPARE_SEGMENTS_MAX,
            });
        }
        Ok(())
    }
}

/// What a frame and a segment may measure. Tests use small ones to meet every edge quickly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub segment_bytes_min: u64,
    pub frame_bytes_max: usize,
}

impl Limits {
    pub const STANDARD: Self =
        Self { segment_bytes_min: SEGMENT_BYTES_MIN, frame_bytes_max: FRAME_BYTES_MAX };
}
