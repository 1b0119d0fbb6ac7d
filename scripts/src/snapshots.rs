//! Snapshots of a running cluster: one shard after the other, by a process of its own each time,
//! so that a start replays minutes of a log and not its life.

use std::{
    convert::Infallible,
    fs, io,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::{
    Error,
    config::SHARDS,
    layout::{Layout, write_atomically},
    process::{ProcessSpec, log_tail},
};

/// From one round to the next, unless told otherwise, and at the most.
pub const EVERY_S: u64 = 600;
pub const EVERY_MAX_S: u64 = 7 * 86_400;
/// How long one may take; then it is ended, and the next round tries again.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Between a shard and the next, so that their work does not come at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The newest snapshot of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Newest {
    pub shard: u8,
    pub seq: u64,
    pub age_s: u64,
}

/// A shard's last attempt, which has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    pub shard: u8,
    pub age_s: u64,
    pub reason: String,
}

/// Takes a snapshot of each shard again and again. One that fails is told and tried again in the
/// next round: without it a start takes longer, and that is all.
pub async fn keep_taking(layout: &Layout, every: Duration) -> Infallible {
    loop {
        let next = Instant::now() + every;
        sleep_until(next).await;
        for shard in 0..SHARDS {
            if let Err(error) = attempt(layout, &spec(layout, shard), shard).await {
                warn!(%error, "nobody will hear how a snapshot went");
            }
            sleep(PAUSE).await;
        }
    }
}

fn spec(layout: &Layout, shard: u8) -> ProcessSpec {
    let dir = layout.shard(shard).to_string_lossy().into_owned();
    ProcessSpec::new("snapshot", Some(shard), "engine", layout).args(["snapshot", &dir])
}

/// Leaves word of a failure for `exchange status`, until one succeeds.
async fn attempt(layout: &Layout, spec: &ProcessSpec, shard: u8) -> Result<(), Error> {
    let path = layout.snapshot_failure(shard);
    match take(layout, spec, shard).await {
        Err(error) => {
            warn!(%error, "the next round tries again");
            write_atomically(&path, error.to_string().as_bytes(), 0o600)
        }
        Ok(()) => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
            _ => Ok(()),
        },
    }
}

async fn take(layout: &Layout, spec: &ProcessSpec, shard: u8) -> Result<(), Error> {
    let mut child = spec.spawn()?;
    let ended = timeout(PATIENCE, child.wait()).await;
    if ended.is_err() {
        child.kill().await.map_err(Error::file(&spec.log))?;
    }
    let ended = ended.ok().transpose().map_err(Error::file(&spec.log))?;
    if !ended.is_some_and(|status| status.success()) {
        let (tail, log) = (log_tail(&spec.log), spec.log.clone());
        return Err(Error::Snapshot { shard, tail, log });
    }
    if let Some(Newest { seq, .. }) = newest(layout, shard)? {
        info!(shard, seq, "a snapshot to start from");
    }
    Ok(())
}

/// The newest snapshot that a shard has, by its name.
pub fn newest(layout: &Layout, shard: u8) -> Result<Option<Newest>, Error> {
    let dir = layout.shard(shard).join("snapshots");
    if !dir.exists() {
        return Ok(None);
    }
    let mut newest = None;
    for entry in fs::read_dir(&dir).map_err(Error::file(&dir))? {
        let entry = entry.map_err(Error::file(&dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(seq) = name.strip_suffix(".snapshot").and_then(|seq| seq.parse::<u64>().ok())
        else {
            continue;
        };
        // one that is pruned at this moment is not the newest
        let Ok(made) = entry.metadata().and_then(|file| file.modified()) else { continue };
        let age_s = age_s(made);
        if newest.is_none_or(|known: Newest| known.seq < seq) {
            newest = Some(Newest { shard, seq, age_s });
        }
    }
    Ok(newest)
}

/// Why the last attempt at a shard's snapshot has failed, if it has.
pub fn failed(layout: &Layout, shard: u8) -> Result<Option<Failed>, Error> {
    let path = layout.snapshot_failure(shard);
    let read = || -> io::Result<Failed> {
        let reason = fs::read_to_string(&path)?;
        Ok(Failed { shard, age_s: age_s(fs::metadata(&path)?.modified()?), reason })
    };
    match read() {
        Ok(failed) => Ok(Some(failed)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}

fn age_s(made: SystemTime) -> u64 {
    SystemTime::now().duration_since(made).map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_failure_is_told_until_one_succeeds() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::new(temp.path()).unwrap();
        layout.prepare().unwrap();
        let ends = |program: &str, words: [&str; 2]| ProcessSpec {
            program: Path::new(program).to_path_buf(),
            ..ProcessSpec::new("snapshot", Some(2), "none", &layout).args(words)
        };
        assert_eq!(failed(&layout, 2).unwrap(), None);
        let full = ends("/bin/sh", ["-c", "echo the disk is full; exit 1"]);
        attempt(&layout, &full, 2).await.unwrap();
        let told = failed(&layout, 2).unwrap().unwrap();
        assert!(told.reason.contains("the disk is full"), "{told:?}");
        assert_eq!(failed(&layout, 1).unwrap(), None);
        attempt(&layout, &ends("/no/such/program", ["", ""]), 2).await.unwrap();
        let told = failed(&layout, 2).unwrap().unwrap();
        assert!(!told.reason.contains("the disk is full"), "{told:?}");
        attempt(&layout, &ends("/bin/sh", ["-c", "exit 0"]), 2).await.unwrap();
        assert_eq!(failed(&layout, 2).unwrap(), None);
    }

    #[test]
    fn the_newest_is_the_one_with_the_highest_seq() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::new(temp.path()).unwrap();
        assert_eq!(newest(&layout, 1).unwrap(), None);
        let dir = layout.shard(1).join("snapshots");
        fs::create_dir_all(&dir).unwrap();
        for name in ["00000000000000000900.snapshot", "00000000000000001000.snapshot", "LOCK"] {
            fs::write(dir.join(name), "").unwrap();
        }
        let found = newest(&layout, 1).unwrap().unwrap();
        assert_eq!((found.shard, found.seq), (1, 1_000));
    }
}
