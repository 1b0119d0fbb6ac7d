//! The log of one shard on disk: appended through memory maps, synced beside the appender.
//!
//! It carries opaque frames and knows of each only a sequence number, an epoch and its bytes, so
//! that the same crate keeps a shard's commands and its output events, and so that nothing in it
//! depends on what is traded.
//!
//! ```text
//!  DIR/LOCK                  held (flock) by the one process that appends
//!  DIR/volume                what the directory is: version, shard, volume id, segment size
//!  DIR/state                 how far the log is known to be durable, in two copies
//!  DIR/0000000000000001.segment   | header 4 KiB | record | record | … | zeros |
//!  DIR/0000000000000002.segment   | zeros: a spare, made ahead in the background |
//!
//!  appender ──memcpy──▶ mapped segment ──page cache──▶ disk
//!      │ appended                            ▲
//!      └────────▶ sync thread ──fdatasync────┘──▶ durable seq
//! ```
//!
//! A record counts as written when its length word is; it counts as durable when the sync thread
//! says so. After a crash [`open`] keeps the longest valid prefix, and refuses to drop anything
//! that was ever said to be durable.

mod config;
mod error;
mod files;
mod journal;
mod prealloc;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
mod sync;
mod threads;
mod verify;
mod window;

pub use config::{
    Config, SEGMENT_BYTES_LOCAL, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENT_BYTES_STANDARD,
    SPARE_SEGMENTS_MAX, Sync,
};
pub use error::{AppendError, Corruption, Error, Flaw};
pub use files::VERSION;
pub use journal::{Journal, Recovered, TornTail, open};
pub use reader::{Reader, Record};
pub use record::{FRAME_BYTES_MAX, chain_after};
pub use segment::SEGMENT_HEADER_BYTES;
pub use sync::Durable;
pub use verify::{SegmentReport, TailReport, VerifyReport, verify};

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod journal_test;
#[cfg(test)]
mod process_test;
#[cfg(test)]
mod reader_test;
