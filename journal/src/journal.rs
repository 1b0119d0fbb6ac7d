//! The appender, and how it is opened and closed.

use std::{path::PathBuf, sync::Arc};

use zerocopy::little_endian::{U32, U64};

use crate::{
    AppendError, Config, Durable, Error, Sync,
    config::Limits,
    files::{Lock, State, StateFile, Volume, check_suspect, remove_unfinished, segment_numbers},
    prealloc::{Maker, Spares},
    record::{RECORD_HEAD_BYTES, RecordHead, Tip, chain_after, record_bytes},
    recovery::{Restored, recover},
    segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader},
    sync::{Progress, Syncer},
    threads::Threads,
};

/// What [`open`] found.
#[derive(Debug)]
pub struct Recovered {
    pub journal: Journal,
    /// Of the first record kept; `last_seq + 1` when there is none.
    pub first_seq: u64,
    /// 0 in a new journal.
    pub last_seq: u64,
    pub last_epoch: u32,
    pub chain: u64,
    /// What was cut off: writes that a crash left unfinished, none of them ever durable.
    pub repaired: Option<TornTail>,
}

/// The unfinished end of a log after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    pub segment: PathBuf,
    pub offset: u64,
    /// The first seq that is not there.
    pub seq: u64,
}

/// Opens the journal of a directory, or makes one in an empty directory, and recovers it.
///
/// All that is found is durable when this returns. Fails, with the log unchanged, when anything
/// that was ever durable does not validate, when another process has the directory, or when it is
/// another version's or shard's.
pub fn open(config: Config) -> Result<Recovered, Error> {
    open_limited(config, Limits::STANDARD)
}

pub(crate) fn open_limited(config: Config, limits: Limits) -> Result<Recovered, Error> {
    config.check(limits)?;
    let lock = Lock::take(&config.dir)?;
    check_suspect(&config.dir)?;
    let volume = volume_of(&config)?;
    remove_unfinished(&config.dir)?;
    let (state_file, state) = StateFile::open(&config.dir, volume)?;
    let ground = Ground { config, limits, volume, _lock: lock };
    start(Arc::new(ground), state_file, state, Arc::default())
}

fn volume_of(config: &Config) -> Result<Volume, Error> {
    let dir = &config.dir;
    match Volume::read(dir)? {
        Some(volume) if volume.shard != config.shard => {
            Err(Error::Shard { dir: dir.clone(), found: volume.shard, asked: config.shard })
        }
        Some(volume) if volume.segment_bytes != config.segment_bytes => Err(Error::SegmentSize {
            dir: dir.clone(),
            found: volume.segment_bytes,
            asked: config.segment_bytes,
        }),
        Some(volume) => Ok(volume),
        None if segment_numbers(dir)?.is_empty() => {
            Volume::create(dir, config.shard, config.segment_bytes)
        }
        None => Err(Error::VolumeMissing { dir: dir.clone() }),
    }
}

/// Recovers the log and starts the threads.
fn start(
    ground: Arc<Ground>,
    state_file: StateFile,
    state: State,
    progress: Arc<Progress>,
) -> Result<Recovered, Error> {
    let Ground { config, limits, volume, .. } = &*ground;
    let restored = recover(config.dir.clone(), *volume, *limits, &state_file, state)?;
    let Restored { tip, first_seq, current, spares, next_number, repaired } = restored;
    progress.reset(tip.seq);

    let current = match current {
        None => None,
        Some((number, offset)) => {
            let segment = Arc::new(Segment::map(&config.dir, volume, number)?);
            progress.begin_segment(Arc::clone(&segment), first_seq);
            Some(Current { segment, offset })
        }
    };
    let spares_made = Arc::new(Spares::default());
    let maker = Maker {
        spares: Arc::clone(&spares_made),
        dir: config.dir.clone(),
        volume: *volume,
        room: config.spare_segments,
        existing: spares.into(),
        next_number,
    };
    let syncer = Syncer { progress: Arc::clone(&progress), state_file, dir: config.dir.clone() };
    let threads = Threads::start(maker, syncer)?;
    let spares = spares_made;
    let journal = Journal { tip, first_seq, current, spares, progress, threads, ground };
    if journal.current.is_none() {
        journal.spares.wait()?;
    }
    Ok(Recovered {
        first_seq,
        last_seq: tip.seq,
        last_epoch: tip.epoch,
        chain: tip.chain,
        repaired,
        journal,
    })
}

/// What stays the same from start to close.
#[derive(Debug)]
struct Ground {
    config: Config,
    limits: Limits,
    volume: Volume,
    _lock: Lock,
}

#[derive(Debug)]
struct Current {
    segment: Arc<Segment>,
    /// Where the next record goes.
    offset: u64,
}

/// The one appender of a journal. Dropping it makes all it holds durable first.
#[derive(Debug)]
pub struct Journal {
    tip: Tip,
    first_seq: u64,
    current: Option<Current>,
    spares: Arc<Spares>,
    progress: Arc<Progress>,
    threads: Threads,
    ground: Arc<Ground>,
}

impl Journal {
    /// Writes one frame into the mapped segment: no system call, no allocation, no waiting for
    /// the disk. Readers see it at once; it becomes durable after [`Self::commit_batch`].
    ///
    /// # Panics
    /// When `seq` is not the next one, or `epoch` goes back: the caller's own order is broken.
    pub fn append(&mut self, seq: u64, epoch: u32, frame: &[u8]) -> Result<(), AppendError> {
        assert_eq!(seq, self.tip.seq + 1, "seqs are dense");
        assert!(epoch >= self.tip.epoch, "epochs never go back");
        let max = self.ground.limits.frame_bytes_max;
        if frame.len() > max {
            return Err(AppendError::FrameTooLarge { bytes: frame.len(), max });
        }
        let fits = |current: &Current| current.segment.has_room(current.offset, frame.len());
        if !self.current.as_ref().is_some_and(fits) {
            self.next_segment(epoch)?;
        }
        let Some(current) = &mut self.current else {
            return Err(AppendError::NoSegmentReady);
        };
        let mut head = RecordHead {
            len: U32::new((RECORD_HEAD_BYTES + frame.len()) as u32),
            crc: U32::ZERO,
            seq: U64::new(seq),
            durable_seq: U64::new(self.progress.durable_seq()),
            prev_chain: U64::new(self.tip.chain),
            epoch: U32::new(epoch),
            reserved: U32::ZERO,
        };
        head.crc = U32::new(head.checksum(current.segment.seed, frame));
        current.segment.put(current.offset, &head, frame);
        current.offset += record_bytes(frame.len()) as u64;
        self.tip = Tip { seq, epoch, chain: chain_after(self.tip.chain, frame) };
        Ok(())
    }

    /// Asks for all that was appended to be made durable. Wakes the sync thread, so call it once
    /// a batch. Does nothing under [`Sync::OnSeal`].
    pub fn commit_batch(&mut self) {
        if self.ground.config.sync == Sync::Thread && self.progress.want(self.tip.seq) {
            self.threads.wake_syncer();
        }
    }

    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// 0 before the first frame.
    pub fn last_seq(&self) -> u64 {
        self.tip.seq
    }

    pub fn last_epoch(&self) -> u32 {
        self.tip.epoch
    }

    pub fn chain(&self) -> u64 {
        self.tip.chain
    }

    pub fn durable(&self) -> Durable {
        self.progress.handle()
    }

    /// Random identity of the directory.
    pub fn volume_id(&self) -> u128 {
        self.ground.volume.id
    }

    /// Empty segments at hand.
    pub fn spares_ready(&self) -> usize {
        self.spares.ready()
    }

    /// Why no segment can be made at present; worth an alarm long before an append fails.
    pub fn preallocation_failure(&self) -> Option<Arc<Error>> {
        self.spares.failure()
    }

    /// Discards every record after `seq`, durable ones too.
    ///
    /// For a log that is derived from another one and got ahead of it in a crash. A crash in the
    /// middle is finished by the next [`open`]. Readers past `seq` must be opened anew; handles
    /// from [`Self::durable`] stay good. After an error that is not
    /// [`Error::TruncateRange`] this journal takes no more frames.
    pub fn truncate_after(&mut self, seq: u64) -> Result<(), Error> {
        let (first_seq, last_seq) = (self.first_seq, self.tip.seq);
        if seq == last_seq {
            return Ok(());
        }
        let all = seq == 0 && first_seq == 1;
        if !all && !(first_seq..last_seq).contains(&seq) {
            return Err(Error::TruncateRange { asked: seq, first_seq, last_seq });
        }
        let Some(state_file) = self.stop_threads() else {
            return Err(Error::Closed { dir: self.ground.config.dir.clone() });
        };
        self.current = None;
        let closed = Error::Closed { dir: self.ground.config.dir.clone() };
        self.spares = Arc::new(Spares::failed(closed));

        let state = State { durable_seq: seq, keep: Some(seq) };
        state_file.write(state)?;
        let (ground, progress) = (Arc::clone(&self.ground), Arc::clone(&self.progress));
        *self = start(ground, state_file, state, progress)?.journal;
        Ok(())
    }

    /// Makes all durable, records that, and gives the directory free.
    pub fn close(mut self) -> Result<(), Error> {
        self.finish()
    }

    /// Goes on in a spare. A few hundred nanoseconds: it is mapped and its pages are present.
    fn next_segment(&mut self, epoch: u32) -> Result<(), AppendError> {
        let segment = self.spares.take()?;
        if let Some(current) = &self.current {
            assert_eq!(segment.number, current.segment.number + 1, "segments are dense");
        }
        let durable_seq = self.progress.durable_seq();
        assert!(durable_seq <= self.tip.seq, "nothing is durable before it is written");
        let volume = &self.ground.volume;
        let header = SegmentHeader::new(volume, segment.number, self.tip, epoch, durable_seq);
        segment.begin(&header);
        // Replaced before it counts as sealed, so that its map is not given up here.
        self.current =
            Some(Current { segment: Arc::clone(&segment), offset: SEGMENT_HEADER_BYTES });
        self.progress.begin_segment(segment, self.tip.seq + 1);
        if self.ground.config.sync == Sync::OnSeal && self.progress.want(self.tip.seq) {
            self.threads.wake_syncer();
        }
        Ok(())
    }

    /// Ends the threads once all is durable; `None` when they have ended before.
    fn stop_threads(&mut self) -> Option<StateFile> {
        // A journal that was replaced shares its progress with the one in its place.
        if self.threads.are_running() {
            self.progress.want(self.tip.seq);
        }
        self.threads.stop()
    }

    fn finish(&mut self) -> Result<(), Error> {
        let state = State { durable_seq: self.tip.seq, keep: None };
        self.stop_threads().map_or(Ok(()), |state_file| state_file.write(state))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!(%error, "cannot record how far the journal is durable");
        }
    }
}
