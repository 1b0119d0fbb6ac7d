//! A snapshot on disk: written whole or not at all, and checked to the last byte when it is read.
//!
//! ```text
//!   DIR/snapshots/00000000000000123456.snapshot
//!   | magic, version | len, crc, up to 1 MiB of state | … | 0, 0 | trailer, crc |
//! ```

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use protocol::{Micros, Seq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Error;

const MAGIC: [u8; 8] = *b"XCHGSNAP";
const VERSION: u32 = 1;
const SECTION_BYTES_MAX: usize = 1 << 20;
const SUFFIX: &str = ".snapshot";
/// Of one that is being written.
const NEXT: &str = "next";

/// Where a shard stood, and what its journals were like there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Stand {
    pub seq: Seq,
    /// Log time of that frame.
    pub ts: Micros,
    /// Of the log up to there.
    pub chain: u64,
    /// Of the events up to there.
    pub event_chain: u64,
    pub state_hash: u64,
    pub epoch: u32,
    pub _pad: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    version: u32,
    _pad: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Section {
    len: u32,
    crc: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Trailer {
    stand: Stand,
    state_bytes: u64,
    /// Of the state's sections, and of this trailer before it.
    sections: u32,
    crc: u32,
}

impl Trailer {
    fn checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        crc32c::crc32c(&bytes[..bytes.len() - size_of::<u32>()])
    }
}

/// The snapshots in a directory, the newest first; whether they are sound is not looked at.
pub fn list(dir: &Path) -> Result<Vec<(Seq, PathBuf)>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("read", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let seq = name.and_then(|name| name.strip_suffix(SUFFIX)).and_then(|seq| seq.parse().ok());
        found.extend(seq.map(|seq| (seq, path)));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Where the snapshot of a seq is.
pub fn path_of(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{seq:020}{SUFFIX}"))
}

/// Writes a snapshot: it has its name only once all of it is on the disk.
pub fn write(dir: &Path, stand: &Stand, state: &[u8]) -> Result<PathBuf, Error> {
    let path = path_of(dir, stand.seq);
    let next = path.with_extension(NEXT);
    let file = File::create(&next).map_err(Error::io("create", &next))?;
    let mut out = BufWriter::new(file);
    write_to(&mut out, stand, state).map_err(Error::io("write", &next))?;
    let file = out.into_inner().map_err(|error| Error::io("write", &next)(error.into_error()))?;
    file.sync_all().map_err(Error::io("sync", &next))?;
    fs::rename(&next, &path).map_err(Error::io("rename to", &path))?;
    sync_dir(dir)?;
    Ok(path)
}

/// Reads a snapshot back: where it stands, and the state.
pub fn read(path: &Path) -> Result<(Stand, Vec<u8>), Error> {
    let bad = |why: &str| Error::BadFile { path: path.into(), why: why.to_owned() };
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut input = Input { reader: BufReader::new(file), path };
    let head: Head = input.take()?;
    if head.magic != MAGIC || (head.version, head._pad) != (VERSION, 0) {
        return Err(bad("it is no snapshot of this version"));
    }
    let (mut state, mut sections) = (Vec::new(), 0);
    loop {
        let Section { len, crc } = input.take()?;
        let (from, len) = (state.len(), len as usize);
        if (len, crc) == (0, 0) {
            break;
        }
        if len > SECTION_BYTES_MAX {
            return Err(bad("a section is too long"));
        }
        state.resize(from + len, 0);
        input.fill(&mut state[from..])?;
        if crc32c::crc32c(&state[from..]) != crc {
            return Err(bad("the checksum of a section is wrong"));
        }
        sections += 1;
    }
    let trailer: Trailer = input.take()?;
    if trailer.crc != trailer.checksum() {
        return Err(bad("the checksum of the trailer is wrong"));
    }
    if trailer.sections != sections || trailer.state_bytes != state.len() as u64 {
        return Err(bad("sections are missing"));
    }
    input.end()?;
    Ok((trailer.stand, state))
}

/// Removes all snapshots but those of these seqs, and what a process that was killed has left half
/// written. The caller is the only one who writes here.
pub fn prune(dir: &Path, keep: &[Seq]) -> Result<(), Error> {
    for (seq, path) in list(dir)? {
        if !keep.contains(&seq) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let path = entry.map_err(Error::io("read", dir))?.path();
        if path.extension().is_some_and(|extension| extension == NEXT) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    sync_dir(dir)
}

fn write_to(out: &mut impl Write, stand: &Stand, state: &[u8]) -> io::Result<()> {
    out.write_all(Head { magic: MAGIC, version: VERSION, _pad: 0 }.as_bytes())?;
    let sections = state.chunks(SECTION_BYTES_MAX);
    let count = sections.len() as u32;
    for section in sections {
        let (len, crc) = (section.len() as u32, crc32c::crc32c(section));
        out.write_all(Section { len, crc }.as_bytes())?;
        out.write_all(section)?;
    }
    out.write_all(Section { len: 0, crc: 0 }.as_bytes())?;
    let state_bytes = state.len() as u64;
    let mut trailer = Trailer { stand: *stand, state_bytes, sections: count, crc: 0 };
    trailer.crc = trailer.checksum();
    out.write_all(trailer.as_bytes())?;
    out.flush()
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    let open = File::open(dir).map_err(Error::io("open", dir))?;
    open.sync_all().map_err(Error::io("sync", dir))
}

/// A file that has to hold what is asked for.
struct Input<'a> {
    reader: BufReader<File>,
    path: &'a Path,
}

impl Input<'_> {
    fn take<T: FromBytes + IntoBytes>(&mut self) -> Result<T, Error> {
        let mut value = T::new_zeroed();
        self.fill(value.as_mut_bytes())?;
        Ok(value)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.bad("it is cut short"),
            _ => Error::io("read", self.path)(error),
        })
    }

    fn end(&mut self) -> Result<(), Error> {
        let more = self.reader.read(&mut [0]).map_err(Error::io("read", self.path))?;
        if more == 0 { Ok(()) } else { Err(self.bad("something follows its trailer")) }
    }

    fn bad(&self, why: &str) -> Error {
        Error::BadFile { path: self.path.into(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAND: Stand =
        Stand { seq: 7, ts: 8, chain: 9, event_chain: 10, state_hash: 11, epoch: 1, _pad: 0 };

    #[test]
    fn what_is_written_is_read() {
        let temp = tempfile::tempdir().unwrap();
        for len in [0, 1, SECTION_BYTES_MAX, 2 * SECTION_BYTES_MAX + 5] {
            let state: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let path = write(temp.path(), &STAND, &state).unwrap();
            assert_eq!(read(&path).unwrap(), (STAND, state));
        }
        assert_eq!(list(temp.path()).unwrap().len(), 1, "one seq, one snapshot");
    }

    #[test]
    fn no_byte_can_be_wrong_or_missing() {
        let temp = tempfile::tempdir().unwrap();
        let path = write(temp.path(), &STAND, b"a state of some bytes").unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            assert!(matches!(read(&path), Err(Error::BadFile { .. })), "byte {at} is flipped");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(matches!(read(&path), Err(Error::BadFile { .. })), "cut at {at}");
        }
        fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert!(matches!(read(&path), Err(Error::BadFile { .. })), "a byte more");
    }

    #[test]
    fn the_newest_come_first_and_all_but_the_good_go() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(list(&temp.path().join("none")).unwrap(), []);
        for seq in [9, 1_000, 30] {
            write(temp.path(), &Stand { seq, ..STAND }, b"state").unwrap();
        }
        let half = temp.path().join("00000000000000002000.next");
        fs::write(&half, "half").unwrap();
        let seqs = |dir| list(dir).unwrap().into_iter().map(|(seq, _)| seq).collect::<Vec<_>>();
        assert_eq!(seqs(temp.path()), [1_000, 30, 9]);
        prune(temp.path(), &[9, 30, 77]).unwrap();
        assert_eq!(seqs(temp.path()), [30, 9], "whichever are known to be good");
        assert!(!half.exists());
    }
}
