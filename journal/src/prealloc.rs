//! Makes segments ahead of the appender, in the background.
//!
//! A segment gets its name only when all its blocks are written and synced, so that writing
//! through its map can neither allocate nor fail: a full disk is met here, as an error, and never
//! by the appender as a SIGBUS.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::{
    AppendError, Error,
    files::{Volume, remove_unfinished, sync_dir, unfinished_path},
    segment::{Segment, segment_path},
};

/// After a failure the disk is tried again this often.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Zeros are synced in steps, so that the log's own syncs never queue behind a whole segment.
const ZERO_STEP_BYTES: usize = 4 << 20;

/// The ready segments, between the thread that makes them and the appender.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    shelf: Mutex<Shelf>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Shelf {
    ready: VecDeque<Arc<Segment>>,
    failure: Option<Arc<Error>>,
    stop: bool,
}

impl Spares {
    /// A shelf that stays empty, for the reason given.
    pub fn failed(error: Error) -> Self {
        let shelf = Shelf { failure: Some(Arc::new(error)), ..Shelf::default() };
        Self { shelf: Mutex::new(shelf), changed: Condvar::new() }
    }

    /// The next segment, if one is ready. Never waits for the disk.
    pub fn take(&self) -> Result<Arc<Segment>, AppendError> {
        let mut shelf = self.shelf();
        match (shelf.ready.pop_front(), &shelf.failure) {
            (Some(segment), _) => {
                self.changed.notify_all();
                Ok(segment)
            }
            (None, Some(failure)) => Err(AppendError::Preallocation(Arc::clone(failure))),
            (None, None) => Err(AppendError::NoSegmentReady),
        }
    }

    /// Waits until a segment is ready or cannot be made.
    pub fn wait(&self) -> Result<(), Error> {
        let mut shelf = self.shelf();
        loop {
            if !shelf.ready.is_empty() {
                return Ok(());
            }
            if let Some(failure) = &shelf.failure {
                return Err(Error::Preallocation(Arc::clone(failure)));
            }
            shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Why no segment can be made at present.
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.shelf().failure.clone()
    }

    pub fn ready(&self) -> usize {
        self.shelf().ready.len()
    }

    pub fn ask_to_stop(&self) {
        self.shelf().stop = true;
        self.changed.notify_all();
    }

    fn stopping(&self) -> bool {
        self.shelf().stop
    }

    /// Every critical section leaves the shelf whole, so a panic elsewhere does not spoil it.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until the shelf has room; false when it is time to stop.
    fn wait_for_room(&self, room: usize) -> bool {
        let mut shelf = self.shelf();
        while !shelf.stop && shelf.ready.len() >= room {
            shelf = self.changed.wait(shelf).unwrap_or_else(PoisonError::into_inner);
        }
        !shelf.stop
    }

    fn put(&self, segment: Segment) {
        let mut shelf = self.shelf();
        shelf.ready.push_back(Arc::new(segment));
        shelf.failure = None;
        self.changed.notify_all();
    }

    /// Keeps the failure for whoever needs a segment, and waits before the next try.
    fn fail(&self, error: Error) {
        let mut shelf = self.shelf();
        if shelf.failure.is_none() {
            tracing::error!(%error, "cannot make a segment");
        }
        shelf.failure = Some(Arc::new(error));
        self.changed.notify_all();
        if !shelf.stop {
            drop(self.changed.wait_timeout(shelf, RETRY_AFTER));
        }
    }
}

/// The thread's side.
pub(crate) struct Maker {
    pub spares: Arc<Spares>,
    pub dir: PathBuf,
    pub volume: Volume,
    /// Segments to keep ready.
    pub room: usize,
    /// Empty segments that are there already.
    pub existing: VecDeque<u64>,
    pub next_number: u64,
}

impl Maker {
    /// Runs until asked to stop.
    pub fn run(mut self) {
        while self.spares.wait_for_room(self.room) {
            match self.make() {
                Ok(Some(segment)) => self.spares.put(segment),
                Ok(None) => return,
                Err(error) => self.spares.fail(error),
            }
        }
    }

    /// The next spare; `None` when asked to stop half-way.
    fn make(&mut self) -> Result<Option<Segment>, Error> {
        if let Some(number) = self.existing.front() {
            let segment = Segment::map(&self.dir, &self.volume, *number)?;
            self.existing.pop_front();
            return Ok(Some(segment));
        }
        let number = self.next_number;
        let path = segment_path(&self.dir, number);
        if !path.try_exists().map_err(Error::io("inspect", &path))? {
            let unfinished = unfinished_path(&self.dir, number);
            match self.write_zeros(&unfinished) {
                Ok(true) => {}
                Ok(false) => {
                    fs::remove_file(&unfinished).map_err(Error::io("remove", &unfinished))?;
                    return Ok(None);
                }
                Err(error) => {
                    // What was written of it would keep a full disk full.
                    remove_unfinished(&self.dir)?;
                    return Err(error);
                }
            }
            fs::rename(&unfinished, &path).map_err(Error::io("rename", &unfinished))?;
        }
        sync_dir(&self.dir)?;
        let segment = Segment::map(&self.dir, &self.volume, number)?;
        self.next_number += 1;
        Ok(Some(segment))
    }

    /// Allocates and writes every block; false when asked to stop half-way.
    fn write_zeros(&self, path: &PathBuf) -> Result<bool, Error> {
        let mut file = File::create(path).map_err(Error::io("create", &path))?;
        fallocate(&file, FallocateFlags::empty(), 0, self.volume.segment_bytes)
            .map_err(|errno| Error::io("allocate", &path)(errno.into()))?;
        let zeros = vec![0; ZERO_STEP_BYTES];
        let mut left = self.volume.segment_bytes;
        while left > 0 {
            if self.spares.stopping() {
                return Ok(false);
            }
            let step = left.min(ZERO_STEP_BYTES as u64);
            file.write_all(&zeros[..step as usize]).map_err(Error::io("write", &path))?;
            file.sync_data().map_err(Error::io("sync", &path))?;
            left -= step;
        }
        Ok(true)
    }
}
