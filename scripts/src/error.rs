//! What can go wrong for an operator, each with what to do about it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: not a file this tool wrote: {reason}")]
    Format { path: PathBuf, reason: String },
    #[error(
        "{dir} belongs to data version {found:?}, this build reads {expected:?}; \
         choose another --data directory"
    )]
    DataVersion { dir: PathBuf, found: String, expected: &'static str },
    #[error(
        "{dir}: a cluster is running here (pid {pid}); stop it with: exchange down --data {dir}"
    )]
    AlreadyRunning { dir: PathBuf, pid: u32 },
    #[error("{dir}: no cluster is running here; start one with: exchange up --data {dir}")]
    NotRunning { dir: PathBuf },
    #[error("port {port} on 127.0.0.1 is in use; choose another with --port")]
    PortInUse { port: u16 },
    #[error("{program} is not beside this program; build it with: cargo build --release")]
    MissingProgram { program: PathBuf },
    #[error("{role} could not be started: {source}")]
    Spawn { role: String, source: std::io::Error },
    #[error("{role} ended while the cluster was starting; its log: {log}\n{tail}")]
    StartFailed { role: String, log: PathBuf, tail: String },
    #[error("no snapshot of shard {shard}; its log: {log}\n{tail}")]
    Snapshot { shard: u8, log: PathBuf, tail: String },
    #[error("{what} was not ready after {seconds} s; logs are in {logs}")]
    NotReady { what: String, seconds: u64, logs: PathBuf },
    #[error("{url}: {reason}")]
    Http { url: String, reason: String },
    #[error("the gateway refused {what}: {reason}")]
    Refused { what: String, reason: String },
    #[error("seed file {path}: {reason}")]
    Seed { path: PathBuf, reason: String },
    #[error("the feed cannot start with {path}: {reason}")]
    Feed { path: PathBuf, reason: String },
    #[error("the drill failed: its report says what was lost")]
    DrillFailed,
    #[error("{0}")]
    Usage(String),
}

impl Error {
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
