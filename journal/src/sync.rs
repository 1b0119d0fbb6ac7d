//! The sync thread: makes what was appended durable, as fast as the disk allows and no faster.
//!
//! While one fdatasync runs the appender goes on, and the next one takes all of it along: the
//! slower the disk, the larger the group. A failed sync ends the process, for the kernel may have
//! dropped the pages and a second try would report success over lost data.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    Error,
    files::{State, StateFile, mark_suspect},
    segment::Segment,
};

/// A counter that shares its cache lines with nothing else; two, as they are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OwnLines(AtomicU64);

/// How far the log is written, and how far it is on disk.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What the sync thread is asked to make durable.
    wanted: OwnLines,
    durable: OwnLines,
    stop: AtomicBool,
    /// Segments that may hold anything unsynced, in order; the last one is being written.
    unsynced: Mutex<VecDeque<Unsynced>>,
}

#[derive(Debug)]
struct Unsynced {
    segment: Arc<Segment>,
    first_seq: u64,
    /// Of its last record, once it is full.
    sealed: Option<u64>,
}

/// Tells how far the log is on disk. Cheap to clone and to ask.
#[derive(Clone, Debug)]
pub struct Durable(Arc<Progress>);

impl Durable {
    /// The seq up to which every record is on disk.
    pub fn seq(&self) -> u64 {
        self.0.durable_seq()
    }
}

impl Progress {
    /// Begins at a log that is durable up to `seq`.
    pub fn reset(&self, seq: u64) {
        self.wanted.0.store(seq, Ordering::Release);
        self.durable.0.store(seq, Ordering::Release);
        self.stop.store(false, Ordering::Release);
        self.list().clear();
    }

    pub fn handle(self: &Arc<Self>) -> Durable {
        Durable(Arc::clone(self))
    }

    pub fn durable_seq(&self) -> u64 {
        self.durable.0.load(Ordering::Acquire)
    }

    /// Asks for everything up to `seq`; false when that was asked before.
    pub fn want(&self, seq: u64) -> bool {
        // Only the appender stores it, so there is nothing to race with.
        let news = self.wanted.0.load(Ordering::Relaxed) != seq;
        if news {
            self.wanted.0.store(seq, Ordering::Release);
        }
        news
    }

    pub fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// The appender goes on in `segment`. The map of the one before is given up by the sync
    /// thread, not here: unmapping takes milliseconds.
    pub fn begin_segment(&self, segment: Arc<Segment>, first_seq: u64) {
        let mut list = self.list();
        if let Some(last) = list.back_mut() {
            last.sealed = Some(first_seq - 1);
        }
        list.push_back(Unsynced { segment, first_seq, sealed: None });
    }

    /// Every critical section leaves the list whole, so a panic elsewhere does not spoil it.
    fn list(&self) -> MutexGuard<'_, VecDeque<Unsynced>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync_to(&self, seq: u64) -> Result<(), Error> {
        let segments: Vec<Arc<Segment>> = self
            .list()
            .iter()
            .filter(|entry| entry.first_seq <= seq)
            .map(|entry| Arc::clone(&entry.segment))
            .collect();
        for segment in segments {
            segment.file.sync_data().map_err(Error::io("sync", &segment.path))?;
        }
        Ok(())
    }

    /// Takes the segments off the list that are full and durable up to `seq`.
    fn take_done(&self, seq: u64) -> Vec<Unsynced> {
        let mut list = self.list();
        let done = list.iter().take_while(|entry| entry.sealed.is_some_and(|last| last <= seq));
        let done = done.count();
        list.drain(..done).collect()
    }
}

/// Runs until asked to stop and nothing is left to sync.
pub(crate) struct Syncer {
    pub progress: Arc<Progress>,
    pub state_file: StateFile,
    pub dir: PathBuf,
}

impl Syncer {
    /// Hands the state file back when it ends.
    pub fn run(self) -> StateFile {
        loop {
            // Read before the counter: whoever asks to stop has stored its last wish before.
            let stop = self.progress.stop.load(Ordering::Acquire);
            let wanted = self.progress.wanted.0.load(Ordering::Acquire);
            if wanted > self.progress.durable_seq() {
                if let Err(error) = self.sync_to(wanted) {
                    self.abort(&error);
                }
            } else if stop {
                return self.state_file;
            } else {
                // Blocks; a wake that came in between makes it return at once.
                thread::park();
            }
        }
    }

    fn sync_to(&self, seq: u64) -> Result<(), Error> {
        self.progress.sync_to(seq)?;
        self.progress.durable.0.store(seq, Ordering::Release);
        if !self.progress.take_done(seq).is_empty() {
            self.state_file.write(State { durable_seq: seq, keep: None })?;
        }
        Ok(())
    }

    fn abort(&self, error: &Error) -> ! {
        tracing::error!(%error, "a sync failed: what is on disk is unknown, the process ends");
        eprintln!("journal: {error}: what is on disk is unknown, the process ends");
        mark_suspect(&self.dir, &error.to_string());
        process::abort();
    }
}
