//! The directory of a journal: who holds it, what it is, and how far it is known to be durable.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U32, U64, U128},
};

use crate::{
    Error, SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES,
    config::SEGMENT_BYTES_UNIT,
    segment::{segment_number, segment_path},
};

/// Of everything in the directory; another version is refused, never guessed at.
pub const VERSION: u32 = 1;

const LOCK_FILE: &str = "LOCK";
const VOLUME_FILE: &str = "volume";
const STATE_FILE: &str = "state";
const SUSPECT_FILE: &str = "suspect";
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

const VOLUME_MAGIC: [u8; 8] = *b"XCHGVOLU";
const STATE_MAGIC: [u8; 8] = *b"XCHGSTAT";
/// Each copy of the state has a page of its own, so that one torn write cannot hit both.
const STATE_COPY_BYTES: u64 = 4096;
const STATE_COPIES: u64 = 2;

/// Identity of the directory. The id is drawn at random, so that files of two directories can
/// never pass for each other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub id: u128,
    pub shard: u8,
    pub segment_bytes: u64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct VolumeFile {
    magic: [u8; 8],
    version: U32,
    shard: U32,
    id: U128,
    segment_bytes: U64,
    crc: U32,
    reserved: U32,
}

impl VolumeFile {
    fn checksum(&self) -> u32 {
        crc32c::crc32c(Self { crc: U32::ZERO, ..*self }.as_bytes())
    }
}

impl Volume {
    /// Reads the volume file; `None` when there is none.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(VOLUME_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let bad = |why| Error::BadFile { path: path.clone(), why };
        // Magic and version first: another version may lay out the rest in another way.
        let version = bytes
            .strip_prefix(&VOLUME_MAGIC)
            .and_then(|rest| U32::read_from_prefix(rest).ok())
            .map(|(version, _)| version.get())
            .ok_or_else(|| bad("it is not a volume file"))?;
        if version != VERSION {
            return Err(Error::Version { dir: dir.to_owned(), found: version, ours: VERSION });
        }
        let file = VolumeFile::read_from_bytes(&bytes).map_err(|_| bad("its length is wrong"))?;
        if file.crc.get() != file.checksum() {
            return Err(bad("its checksum is wrong"));
        }
        let shard = u8::try_from(file.shard.get()).map_err(|_| bad("its shard is impossible"))?;
        let segment_bytes = file.segment_bytes.get();
        let possible = segment_bytes > SEGMENT_HEADER_BYTES
            && segment_bytes <= SEGMENT_BYTES_MAX
            && segment_bytes.is_multiple_of(SEGMENT_BYTES_UNIT);
        if !possible {
            return Err(bad("its segment size is impossible"));
        }
        Ok(Some(Self { id: file.id.get(), shard, segment_bytes }))
    }

    fn write(&self, dir: &Path) -> Result<(), Error> {
        let mut file = VolumeFile {
            magic: VOLUME_MAGIC,
            version: U32::new(VERSION),
            shard: U32::new(self.shard.into()),
            id: U128::new(self.id),
            segment_bytes: U64::new(self.segment_bytes),
            crc: U32::ZERO,
            reserved: U32::ZERO,
        };
        file.crc = U32::new(file.checksum());
        replace(&dir.join(VOLUME_FILE), file.as_bytes())
    }

    /// Makes an empty directory a journal. The volume file comes last: with it, all is there.
    pub fn create(dir: &Path, shard: u8, segment_bytes: u64) -> Result<Self, Error> {
        let volume = Self { id: rand::random(), shard, segment_bytes };
        let state = State { durable_seq: 0, keep: None };
        let mut bytes = vec![0; (STATE_COPY_BYTES * STATE_COPIES) as usize];
        for copy in 0..STATE_COPIES as usize {
            let encoded = state.encode(&volume);
            let at = copy * STATE_COPY_BYTES as usize;
            bytes[at..at + encoded.len()].copy_from_slice(&encoded);
        }
        replace(&dir.join(STATE_FILE), &bytes)?;
        volume.write(dir)?;
        Ok(volume)
    }
}

/// What must outlive a crash beside the log itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Up to here the log is durable. Written at each seal, close and recovery, so it may lag.
    pub durable_seq: u64,
    /// Set while the log is being cut to this seq; recovery then goes on with the cut.
    pub keep: Option<u64>,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct StateCopy {
    magic: [u8; 8],
    volume_id: U128,
    durable_seq: U64,
    /// [`NO_CUT`] when none is under way.
    keep: U64,
    version: U32,
    crc: U32,
}

const NO_CUT: u64 = u64::MAX;

impl StateCopy {
    fn checksum(&self) -> u32 {
        crc32c::crc32c(Self { crc: U32::ZERO, ..*self }.as_bytes())
    }
}

impl State {
    fn encode(&self, volume: &Volume) -> [u8; size_of::<StateCopy>()] {
        let mut copy = StateCopy {
            magic: STATE_MAGIC,
            volume_id: U128::new(volume.id),
            durable_seq: U64::new(self.durable_seq),
            keep: U64::new(self.keep.unwrap_or(NO_CUT)),
            version: U32::new(VERSION),
            crc: U32::ZERO,
        };
        copy.crc = U32::new(copy.checksum());
        zerocopy::transmute!(copy)
    }

    fn decode(bytes: &[u8], volume: &Volume) -> Option<Self> {
        let (copy, _) = StateCopy::read_from_prefix(bytes).ok()?;
        let sound = copy.magic == STATE_MAGIC
            && copy.version.get() == VERSION
            && copy.volume_id.get() == volume.id
            && copy.crc.get() == copy.checksum();
        let keep = Some(copy.keep.get()).filter(|keep| *keep != NO_CUT);
        sound.then_some(Self { durable_seq: copy.durable_seq.get(), keep })
    }
}

/// The state on disk: two copies, written and synced one after the other, so that a torn write
/// leaves one and later damage to either leaves the other.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    file: File,
    volume: Volume,
}

impl StateFile {
    pub fn open(dir: &Path, volume: Volume) -> Result<(Self, State), Error> {
        let path = dir.join(STATE_FILE);
        let file =
            File::options().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
        let state = read_state(dir, &volume)?;
        Ok((Self { path, file, volume }, state))
    }

    pub fn write(&self, state: State) -> Result<(), Error> {
        let bytes = state.encode(&self.volume);
        for copy in 0..STATE_COPIES {
            self.file
                .write_all_at(&bytes, copy * STATE_COPY_BYTES)
                .map_err(Error::io("write", &self.path))?;
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        }
        Ok(())
    }
}

/// The newest sound copy. They differ only after a crash between the two writes, and then the
/// first is the newer one.
pub(crate) fn read_state(dir: &Path, volume: &Volume) -> Result<State, Error> {
    let path = dir.join(STATE_FILE);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    bytes
        .chunks(STATE_COPY_BYTES as usize)
        .find_map(|copy| State::decode(copy, volume))
        .ok_or(Error::BadFile { path, why: "neither copy validates" })
}

/// The directory's lock, held until dropped or until the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    dir: PathBuf,
    file: File,
}

impl Drop for Lock {
    /// Closing the file would do, but not while a child between fork and exec still shares it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::error!(%error, dir = %self.dir.display(), "cannot unlock the journal");
        }
    }
}

impl Lock {
    /// Takes the lock to append, making its file when there is none.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOCK_FILE);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open for writing", &path))?;
        Self::hold(dir, &path, file)
    }

    /// Takes the lock to look only: changes nothing, also on a read-only disk. A copy of a journal
    /// may lack the file, and nobody can be writing to it then.
    pub fn take_to_read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(LOCK_FILE);
        match File::open(&path) {
            Ok(file) => Self::hold(dir, &path, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }

    fn hold(dir: &Path, path: &Path, file: File) -> Result<Self, Error> {
        match file.try_lock() {
            Ok(()) => Ok(Self { dir: dir.to_owned(), file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }
}

/// Numbers of all segment files, in order and without a gap.
pub(crate) fn segment_numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", &dir))? {
        let name = entry.map_err(Error::io("list", &dir))?.file_name();
        numbers.extend(name.to_str().and_then(segment_number));
    }
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(Error::SegmentMissing { dir: dir.to_owned(), number: pair[0] + 1 });
        }
    }
    Ok(numbers)
}

/// Removes what a crash left of a segment that was being made.
pub(crate) fn remove_unfinished(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", &dir))? {
        let entry = entry.map_err(Error::io("list", &dir))?;
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX));
        if stem.and_then(segment_number).is_some() {
            fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

pub(crate) fn unfinished_path(dir: &Path, number: u64) -> PathBuf {
    let mut path = segment_path(dir, number).into_os_string();
    path.push(TEMPORARY_SUFFIX);
    path.into()
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", &dir))
}

/// Leaves a mark that no later start may trust this directory; the process ends right after, so
/// a failure to write it is only reported.
pub(crate) fn mark_suspect(dir: &Path, reason: &str) {
    if let Err(error) = replace(&dir.join(SUSPECT_FILE), reason.as_bytes()) {
        tracing::error!(%error, "cannot mark the journal as suspect");
    }
}

pub(crate) fn check_suspect(dir: &Path) -> Result<(), Error> {
    let path = dir.join(SUSPECT_FILE);
    match fs::read(&path) {
        Ok(reason) => Err(Error::Suspect {
            dir: dir.to_owned(),
            reason: String::from_utf8_lossy(&reason).into_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Writes a small file so that it is there in full or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
    file.write_all(bytes).map_err(Error::io("write", &temporary))?;
    file.sync_all().map_err(Error::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("rename", &temporary))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}
