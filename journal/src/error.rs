//! What can go wrong, in words an operator can act on.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("segment_bytes is {asked}; it must be a multiple of {unit} between {min} and {max}")]
    SegmentBytes { asked: u64, min: u64, max: u64, unit: u64 },
    #[error("spare_segments is {asked}; it must be between 1 and {max}")]
    SpareSegments { asked: usize, max: usize },
    #[error("{} is in use by a running process", dir.display())]
    Locked { dir: PathBuf },
    #[error("{} holds no journal (there is no volume file)", dir.display())]
    NoJournal { dir: PathBuf },
    #[error("{} has segments but no volume file: it is not a whole journal", dir.display())]
    VolumeMissing { dir: PathBuf },
    #[error("{} is damaged: {why}", path.display())]
    BadFile { path: PathBuf, why: &'static str },
    #[error("{} was written by version {found} of the journal; this is version {ours}", dir.display())]
    Version { dir: PathBuf, found: u32, ours: u32 },
    #[error("{} belongs to shard {found}, not to shard {asked}", dir.display())]
    Shard { dir: PathBuf, found: u8, asked: u8 },
    #[error("{} has segments of {found} bytes; the configuration asks for {asked}", dir.display())]
    SegmentSize { dir: PathBuf, found: u64, asked: u64 },
    #[error("{} is from another volume or shard", path.display())]
    Foreign { path: PathBuf },
    #[error("segment {number} is missing in {}", dir.display())]
    SegmentMissing { dir: PathBuf, number: u64 },
    #[error(
        "{} is suspect since a sync failed ({reason}): what it says is on disk may not be. \
         Rebuild this directory from the peer; removing the file `suspect` accepts the risk",
        dir.display()
    )]
    Suspect { dir: PathBuf, reason: String },
    #[error("{0}")]
    Corrupt(Box<Corruption>),
    #[error("the journal begins with seq {first_seq}; seq {asked} is no longer there")]
    Retired { asked: u64, first_seq: u64 },
    #[error("cannot keep the log up to seq {asked}: it holds {first_seq} to {last_seq}")]
    TruncateRange { asked: u64, first_seq: u64, last_seq: u64 },
    #[error("no segment could be made ready: {0}")]
    Preallocation(Arc<Error>),
    #[error("the journal in {} is closed since cutting it failed", dir.display())]
    Closed { dir: PathBuf },
}

impl Error {
    /// For `map_err` on IO: names what was being done, and to what. Costs nothing without an error.
    pub(crate) fn io<'a>(
        what: &'static str,
        path: &'a (impl AsRef<Path> + ?Sized),
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { what, path: path.as_ref().to_owned(), source }
    }

    /// Whether the disk, or the quota on it, is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge
            ),
            Self::Preallocation(cause) => cause.is_disk_full(),
            _ => false,
        }
    }
}

/// Why a frame was not appended; the journal is unchanged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The next segment is still being made: try again.
    #[error("no segment is ready yet")]
    NoSegmentReady,
    /// The next segment cannot be made, a full disk most likely. Trying goes on in the background.
    #[error("no segment could be made ready: {0}")]
    Preallocation(Arc<Error>),
    #[error("a frame of {bytes} bytes is over the limit of {max}")]
    FrameTooLarge { bytes: usize, max: usize },
}

/// Where the log stops being true.
#[derive(Debug)]
pub struct Corruption {
    pub path: PathBuf,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// The seq that should stand there, where that is known.
    pub seq: Option<u64>,
    pub flaw: Flaw,
    /// Up to here the log was once said to be durable, where that is what forbids to cut it.
    pub durable_seq: Option<u64>,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, seq, flaw, durable_seq } = self;
        write!(f, "{} is corrupt at byte {offset}", path.display())?;
        if let Some(seq) = seq {
            write!(f, ", where seq {seq} belongs")?;
        }
        write!(f, ": {flaw}")?;
        match durable_seq {
            Some(durable) => write!(
                f,
                "; the log was durable up to seq {durable}, so nothing may be cut off. \
                 Nothing was changed: repair this directory from the peer or a backup"
            ),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is nothing, though the log goes on behind it.
    Missing,
    /// A segment's header does not validate.
    Header,
    /// The length is impossible.
    Length,
    Checksum,
    /// Another seq than the one that is due.
    Seq,
    /// The epoch goes back.
    Epoch,
    /// The chain does not follow from the frames before it.
    Chain,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no record, though later ones exist",
            Self::Header => "the segment header does not validate",
            Self::Length => "a record of impossible length",
            Self::Checksum => "a record with a wrong checksum",
            Self::Seq => "a record of another seq",
            Self::Epoch => "a record whose epoch goes back",
            Self::Chain => "a record that does not follow the chain",
        })
    }
}
