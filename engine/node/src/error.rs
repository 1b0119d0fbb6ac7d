//! What can go wrong with a node, in words an operator can act on, and the exit code of each.

use std::{io, path::PathBuf};

use protocol::{DecodeError, Seq};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the configuration is not usable: {0}")]
    Config(String),
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another running engine", dir.display())]
    InUse { dir: PathBuf },
    #[error(
        "{} was written by version {found} of the engine; this is version {ours}", dir.display()
    )]
    Version { dir: PathBuf, found: u32, ours: u32 },
    #[error("{} belongs to {what} {found}; the configuration says {asked}", dir.display())]
    Foreign { dir: PathBuf, what: &'static str, found: u64, asked: u64 },
    #[error("{} is damaged: {why}", path.display())]
    BadFile { path: PathBuf, why: String },
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(
        "the events in {}: {source}. They follow from the journal: with that directory removed, \
         the next start makes them again", dir.display()
    )]
    Events { dir: PathBuf, source: journal::Error },
    #[error("cannot append to {}: {source}", dir.display())]
    Append { dir: PathBuf, source: journal::AppendError },
    #[error("frame {seq} of the journal is no frame of this protocol: {source}")]
    BadFrame { seq: Seq, source: DecodeError },
    #[error(
        "the events up to seq {seq} in {} are not what the journal gives: this engine decides \
         otherwise than the one that wrote them", dir.display()
    )]
    Diverged { dir: PathBuf, seq: Seq },
    #[error("the journal was made for {what} {found}; the configuration says {asked}")]
    Genesis { what: &'static str, found: u64, asked: u64 },
    #[error("the layout `spread` needs {needed} cores; {why}")]
    Cores { needed: usize, why: String },
    #[error("cannot listen for signals: {0}")]
    Signals(String),
    #[error("cannot give way to other processes: {0}")]
    Priority(io::Error),
    #[error("no randomness from the system: {0}")]
    Randomness(String),
    #[error("cannot reach other processes: {0}")]
    Transport(#[from] transport::Error),
    #[error("the media driver is gone: {0}")]
    DriverLost(transport::Error),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("the thread `{thread}` died of a broken invariant; shard state on disk is unharmed")]
    ThreadDied { thread: &'static str },
    #[error("what was under way did not come through within {waited_ms} ms")]
    DrainTimeout { waited_ms: u64 },
}

/// How a process ends, for the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Clean = 0,
    /// Something is wrong with the machine, the disk or the data; a restart may not help.
    Failed = 1,
    /// The configuration or the command line is wrong; a restart won't help.
    Usage = 2,
    /// The media driver is gone: start it anew, then this process.
    DriverLost = 75,
    /// A broken invariant.
    Broken = 70,
}

impl Error {
    /// For `map_err` on IO: names what was being done, and to what.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Cores { .. } => ExitCode::Usage,
            Self::DriverLost(_)
            | Self::Transport(
                transport::Error::DriverUnavailable { .. } | transport::Error::Closed { .. },
            ) => ExitCode::DriverLost,
            Self::ThreadDied { .. } => ExitCode::Broken,
            _ => ExitCode::Failed,
        }
    }
}
