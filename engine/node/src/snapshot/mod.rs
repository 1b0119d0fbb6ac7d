//! Snapshots: made beside a running shard by a process of its own, used when one starts.
//!
//! No shard ever pauses for one. The process takes the newest there is, replays what of the log
//! is known to be durable, writes, reads back, and compares; only then an older one may go.

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
};

use engine::Engine;
use journal::{Reader, chain_after};
use protocol::Seq;
use rustix::fs::{FlockOperation, flock};

use crate::{
    CAPACITY, Error,
    mind::Mind,
    pipeline::Dirs,
    recovery::{apply_frame, chain_at},
};

mod file;

pub use file::{Stand, list, read};

const LOCK_FILE: &str = "LOCK";

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub stand: Stand,
    pub path: PathBuf,
    /// Frames that were replayed for it; 0: there was one already.
    pub frames: u64,
}

/// Takes a snapshot of a shard, whether it runs or not. `None`: nothing of its log is durable.
pub fn take(data_dir: &Path) -> Result<Option<Taken>, Error> {
    let dirs = Dirs::under(data_dir);
    let dir = &dirs.snapshots;
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let _lock = lock(dir)?;
    let start = newest::<Engine>(&dirs, Seq::MAX)?;
    let began_at = start.as_ref().map_or(0, |found| found.stand.seq);
    let (mut engine, mut stand) = match start {
        Some(Found { mind, stand, .. }) => (mind, stand),
        None => (Engine::new(CAPACITY), Stand::default()),
    };
    let frames = replay_durable(&dirs.journal, &mut engine, &mut stand)?;
    if stand.seq == 0 {
        return Ok(None);
    }
    if frames == 0 {
        let path = file::path_of(dir, stand.seq);
        return Ok(Some(Taken { stand, path, frames }));
    }
    let state = engine.save();
    stand.state_hash = engine.state_hash();
    drop(engine);
    let path = file::write(dir, &stand, &state)?;
    verify(&path, &stand)?;
    // the two that are known to be good
    file::prune(dir, &[stand.seq, began_at])?;
    Ok(Some(Taken { stand, path, frames }))
}

/// A mind as a snapshot left it.
pub struct Found<M> {
    pub mind: M,
    pub stand: Stand,
    pub path: PathBuf,
}

/// The newest snapshot up to a seq that is sound and of this log, if the mind can be loaded.
///
/// One that is not is passed over: the log says it all again.
pub fn newest<M: Mind>(dirs: &Dirs, up_to: Seq) -> Result<Option<Found<M>>, Error> {
    for (seq, path) in list(&dirs.snapshots)?.into_iter().filter(|(seq, _)| *seq <= up_to) {
        let why = match read(&path) {
            Err(error) => error.to_string(),
            Ok((stand, _)) if stand.seq != seq => "its name is not its own".to_owned(),
            Ok((stand, state)) => match M::load(&state) {
                None => return Ok(None),
                Some(Err(error)) => error.to_string(),
                Some(Ok(mind)) if mind.state_hash() != stand.state_hash => {
                    "it is another state than was saved".to_owned()
                }
                Some(Ok(mind)) if chain_at(&dirs.journal, seq)? == Some(stand.chain) => {
                    return Ok(Some(Found { mind, stand, path }));
                }
                Some(Ok(_)) => "it is of another log".to_owned(),
            },
        };
        tracing::warn!(path = %path.display(), why, "a snapshot is passed over");
    }
    Ok(None)
}

/// Applies what follows and is known to be durable; returns how many frames that were.
///
/// A record tells how far the log was durable when it was written, so the last ones are left for
/// the next time, unless the journal's own mark covers them.
fn replay_durable(dir: &Path, engine: &mut Engine, stand: &mut Stand) -> Result<u64, Error> {
    let mut reader = Reader::open(dir, stand.seq + 1)?;
    let mut durable = reader.durable_mark()?;
    let mut waiting: VecDeque<(Seq, u32, u64, Vec<u8>)> = VecDeque::new();
    let (mut frames, mut events) = (0, Vec::new());
    while let Some(record) = reader.next()? {
        durable = durable.max(record.durable_seq);
        waiting.push_back((record.seq, record.epoch, record.prev_chain, record.frame.to_vec()));
        while let Some((seq, epoch, prev_chain, frame)) =
            waiting.pop_front_if(|(seq, ..)| *seq <= durable)
        {
            let header = apply_frame(engine, seq, &frame, &mut events)?;
            *stand = Stand {
                seq,
                ts: header.ts,
                chain: chain_after(prev_chain, &frame),
                event_chain: chain_after(stand.event_chain, &events),
                epoch,
                ..*stand
            };
            frames += 1;
        }
    }
    Ok(frames)
}

/// Restores what was written and compares.
fn verify(path: &Path, stand: &Stand) -> Result<(), Error> {
    let bad = |why: String| Error::BadFile { path: path.into(), why };
    let (found, state) = read(path)?;
    let engine = Engine::load(CAPACITY, &state).map_err(|error| bad(error.to_string()))?;
    if found != *stand || engine.state_hash() != stand.state_hash {
        return Err(bad("it is not what was saved".to_owned()));
    }
    Ok(())
}

/// One process at a time makes snapshots of a shard.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse { dir: dir.into() }),
        Err(errno) => Err(Error::io("lock", &path)(errno.into())),
    }
}

#[cfg(test)]
mod snapshot_test;
