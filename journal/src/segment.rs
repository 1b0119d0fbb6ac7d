//! A segment: its header, and the map through which the appender writes it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U32, U64, U128},
};

use crate::{
    Error,
    files::{VERSION, Volume},
    record::{RECORD_HEAD_BYTES, RecordHead, Tip, record_bytes},
};

pub const SEGMENT_HEADER_BYTES: u64 = 4096;

const SEGMENT_MAGIC: [u8; 8] = *b"XCHGSEGM";
const SEGMENT_SUFFIX: &str = ".segment";

/// Says where in the log a segment begins. All zeros in a spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SegmentHeader {
    magic: [u8; 8],
    version: U32,
    shard: U32,
    volume_id: U128,
    number: U64,
    first_seq: U64,
    /// What the writer knew to be durable when it began the segment.
    durable_seq: U64,
    /// The chain before the first record.
    prev_chain: U64,
    first_epoch: U32,
    crc: U32,
}

/// What stands in the header page of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderPage {
    Spare,
    Begins(SegmentHeader),
    /// Neither: torn or damaged.
    Bad,
}

impl SegmentHeader {
    /// The header of a segment that goes on after `tip` with a record of `first_epoch`.
    pub fn new(volume: &Volume, number: u64, tip: Tip, first_epoch: u32, durable_seq: u64) -> Self {
        let mut header = Self {
            magic: SEGMENT_MAGIC,
            version: U32::new(VERSION),
            shard: U32::new(volume.shard.into()),
            volume_id: U128::new(volume.id),
            number: U64::new(number),
            first_seq: U64::new(tip.seq + 1),
            durable_seq: U64::new(durable_seq),
            prev_chain: U64::new(tip.chain),
            first_epoch: U32::new(first_epoch),
            crc: U32::ZERO,
        };
        header.crc = U32::new(header.checksum());
        header
    }

    /// Tells a spare, a header and damage apart; a sound header that belongs to another volume,
    /// shard or number is an error, for someone has mixed up files.
    pub fn decode(
        page: &[u8],
        volume: &Volume,
        number: u64,
        path: &Path,
    ) -> Result<HeaderPage, Error> {
        let Ok((header, rest)) = Self::read_from_prefix(page) else {
            return Ok(HeaderPage::Bad);
        };
        if page.iter().all(|byte| *byte == 0) {
            return Ok(HeaderPage::Spare);
        }
        if header.magic != SEGMENT_MAGIC
            || header.crc.get() != header.checksum()
            || rest.iter().any(|byte| *byte != 0)
        {
            return Ok(HeaderPage::Bad);
        }
        if header.version.get() != VERSION
            || header.shard.get() != u32::from(volume.shard)
            || header.volume_id.get() != volume.id
            || header.number.get() != number
        {
            return Err(Error::Foreign { path: path.to_owned() });
        }
        if header.first_seq.get() == 0 || header.durable_seq.get() >= header.first_seq.get() {
            return Ok(HeaderPage::Bad);
        }
        Ok(HeaderPage::Begins(header))
    }

    pub fn first_seq(&self) -> u64 {
        self.first_seq.get()
    }

    pub fn durable_seq(&self) -> u64 {
        self.durable_seq.get()
    }

    /// The log's end just before this segment.
    pub fn tip_before(&self) -> Tip {
        Tip {
            seq: self.first_seq() - 1,
            epoch: self.first_epoch.get(),
            chain: self.prev_chain.get(),
        }
    }

    /// Whether this segment goes on exactly where the log stands.
    pub fn continues(&self, tip: Tip) -> bool {
        self.first_seq() == tip.seq + 1
            && self.prev_chain.get() == tip.chain
            && self.first_epoch.get() >= tip.epoch
    }

    fn checksum(&self) -> u32 {
        let header = Self { crc: U32::ZERO, ..*self };
        crc32c::crc32c(header.as_bytes())
    }
}

/// What the checksum of every record in a segment starts from.
pub(crate) fn record_seed(volume: &Volume, number: u64) -> u32 {
    let seed = crc32c::crc32c(&volume.id.to_le_bytes());
    crc32c::crc32c_append(seed, &number.to_le_bytes())
}

pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}{SEGMENT_SUFFIX}"))
}

/// The number in a segment's file name; `None` for any other file.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A segment mapped for writing. Only the appender writes; the sync thread uses the file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub file: File,
    pub seed: u32,
    map: MmapRaw,
}

impl Segment {
    /// Maps a segment that exists in full, with every page present before the first use.
    pub fn map(dir: &Path, volume: &Volume, number: u64) -> Result<Self, Error> {
        let path = segment_path(dir, number);
        let file =
            File::options().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        let bytes = file.metadata().map_err(Error::io("inspect", &path))?.len();
        if bytes != volume.segment_bytes {
            return Err(Error::BadFile { path, why: "it has not the size of a segment" });
        }
        let len = usize::try_from(bytes)
            .map_err(|_| Error::BadFile { path: path.clone(), why: "it is too large to map" })?;
        let map = MmapOptions::new()
            .len(len)
            .populate()
            .map_raw(&file)
            .map_err(Error::io("map", &path))?;
        Ok(Self { number, path, file, seed: record_seed(volume, number), map })
    }

    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Makes a spare the segment that begins as `header` says.
    pub fn begin(&self, header: &SegmentHeader) {
        self.write(0, header.as_bytes());
    }

    /// Writes one record at `offset`, its length last, so that a reader sees all of it or none.
    pub fn put(&self, offset: u64, head: &RecordHead, frame: &[u8]) {
        let hidden = RecordHead { len: U32::ZERO, ..*head };
        self.write(offset, hidden.as_bytes());
        self.write(offset + RECORD_HEAD_BYTES as u64, frame);
        self.publish(offset, head.len.get());
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let offset = offset as usize;
        assert!(offset <= self.map.len() && bytes.len() <= self.map.len() - offset);
        // SAFETY: the range lies in the map (asserted), which lives as long as `self`; the blocks
        // under it are allocated, as segments are zeroed and synced before they get their name.
        // The journal holds the directory's lock and has one appender, the only writer; nobody in
        // this process reads through the map.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.map.as_mut_ptr().add(offset),
                bytes.len(),
            );
        }
    }

    fn publish(&self, offset: u64, len: u32) {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(align_of::<AtomicU32>()));
        assert!(offset + size_of::<u32>() <= self.map.len());
        // SAFETY: in the map and aligned (both asserted; the map starts on a page), and valid for
        // as long as the borrow of `self.map` that the atomic lives on.
        let word = unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) };
        word.store(len.to_le(), Ordering::Release);
    }

    /// Whether a record with a frame of so many bytes still fits at `offset`.
    pub fn has_room(&self, offset: u64, frame_bytes: usize) -> bool {
        offset + record_bytes(frame_bytes) as u64 <= self.bytes()
    }
}
