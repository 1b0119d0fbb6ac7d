//! A moving view into a segment file, by plain reads.
//!
//! Reads, not a map: a bad sector or a file that someone cut short is then an error or zeros, and
//! never a SIGBUS.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf};

use crate::Error;

/// Bytes read at once; a longer record widens the buffer.
const WINDOW_BYTES: usize = 256 << 10;

pub(crate) struct Window {
    pub path: PathBuf,
    file: File,
    /// Where the view ends for good: the size every segment of the volume has.
    bytes: u64,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    pub fn open(path: PathBuf, bytes: u64) -> Result<Self, Error> {
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { path, file, bytes, buffer: Vec::new(), start: 0, filled: 0 })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the file measures now; less than [`Self::bytes`] when it was cut.
    pub fn file_bytes(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::io("inspect", &self.path))?.len())
    }

    /// The bytes of `offset .. offset + len`, which must lie in the segment. What a cut file no
    /// longer has reads as zeros.
    pub fn view(&mut self, offset: u64, len: usize) -> Result<&[u8], Error> {
        assert!(offset + len as u64 <= self.bytes, "a view ends within its segment");
        let held = offset >= self.start && offset + len as u64 <= self.start + self.filled as u64;
        if !held {
            let room = usize::try_from(self.bytes - offset).unwrap_or(usize::MAX);
            self.fill(offset, len.max(WINDOW_BYTES.min(room)))?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + len])
    }

    /// Makes the next view read the file again.
    pub fn forget(&mut self) {
        self.filled = 0;
    }

    /// Reads a few bytes as they are now, past the buffer.
    pub fn peek<const N: usize>(&self, offset: u64) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        read_padded(&self.file, &mut bytes, offset).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    fn fill(&mut self, offset: u64, len: usize) -> Result<(), Error> {
        self.filled = 0;
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        read_padded(&self.file, &mut self.buffer[..len], offset)
            .map_err(Error::io("read", &self.path))?;
        self.start = offset;
        self.filled = len;
        Ok(())
    }
}

fn read_padded(file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(0) => {
                into[done..].fill(0);
                return Ok(());
            }
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
