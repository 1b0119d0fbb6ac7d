//! Journals whose bytes have changed on the disk: reading and judging them ends with records in
//! their order or with an error, never with a panic, and twice the same.
//!
//! ```text
//!   input: edit | edit | …
//!   edit:  file (0 segment, 1 volume, 2 state) | offset, 16 bits | byte
//! ```

use std::{
    cell::RefCell,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use journal::{Config, Reader, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES, Sync};
use protocol::Envelope;
use tempfile::TempDir;

use crate::{commands, frames::frame};

const EDITS_MAX: usize = 64;
/// Edits reach the first bytes of a file; the log is shorter than that.
const REACH_BYTES: usize = 1 << 16;
const SEGMENT: &str = "0000000000000001.segment";

thread_local! {
    static VICTIM: RefCell<Option<Victim>> = const { RefCell::new(None) };
}

/// A sound journal in a directory of its own, made whole again after each run.
struct Victim {
    dir: TempDir,
    files: Vec<Part>,
}

/// A file and how it begins.
struct Part {
    path: PathBuf,
    sound: Vec<u8>,
}

/// Edits of a journal with some forty frames.
pub fn run(bytes: &[u8]) {
    VICTIM.with_borrow_mut(|victim| {
        let victim = victim.get_or_insert_with(Victim::make);
        for edit in bytes.chunks_exact(4).take(EDITS_MAX) {
            victim.edit(edit[0], u16::from_le_bytes([edit[1], edit[2]]), edit[3]);
        }
        let path = victim.dir.path();
        let first = read(path);
        assert_eq!(first, read(path), "a second look sees the same");
        let verified = journal::verify(path).map(|report| report.last_seq);
        let again = journal::verify(path).map(|report| report.last_seq);
        assert_eq!(verified.ok(), again.ok());
        victim.heal();
    });
}

/// Bytes of the frames that can be read, and whether an error ended them.
fn read(dir: &Path) -> (Vec<u8>, bool) {
    let mut frames = Vec::new();
    let Ok(mut reader) = Reader::open(dir, 1) else { return (frames, true) };
    let mut seq = 0;
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                seq += 1;
                assert_eq!(record.seq, seq, "records come in their order");
                frames.extend(record.frame);
            }
            Ok(None) => return (frames, false),
            Err(_) => return (frames, true),
        }
    }
}

impl Victim {
    fn make() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(parent).expect("a directory can be made");
        let config = Config {
            dir: dir.path().to_owned(),
            shard: 1,
            segment_bytes: SEGMENT_BYTES_MIN,
            sync: Sync::OnSeal,
            spare_segments: 1,
        };
        let mut log = journal::open(config).expect("a journal can be made").journal;
        for (seq, command) in (1..).zip(commands::samples()) {
            let frame = frame(seq, &Envelope::default(), &command);
            log.append(seq, 1, &frame).expect("there is room");
        }
        drop(log);
        let names = [SEGMENT, "volume", "state"];
        let files = names.map(|name| {
            let path = dir.path().join(name);
            let mut sound = fs::read(&path).expect("the journal has this file");
            sound.truncate(REACH_BYTES);
            Part { path, sound }
        });
        Self { dir, files: files.into() }
    }

    fn edit(&self, file: u8, offset: u16, byte: u8) {
        let part = &self.files[usize::from(file) % self.files.len()];
        let offset = u64::from(offset) % part.sound.len() as u64;
        open(&part.path).write_all_at(&[byte], offset).expect("the file can be written");
    }

    fn heal(&self) {
        for part in &self.files {
            open(&part.path).write_all_at(&part.sound, 0).expect("the file can be written");
        }
    }
}

fn open(path: &Path) -> File {
    File::options().write(true).open(path).expect("the file is there")
}

/// Flips in a record's head, in a frame, in each header, and one that changes nothing.
pub fn seeds() -> Vec<Vec<u8>> {
    let record = SEGMENT_HEADER_BYTES as u16;
    let edit = |file: u8, offset: u16, byte: u8| {
        let [low, high] = offset.to_le_bytes();
        vec![file, low, high, byte]
    };
    vec![
        edit(0, record, 1),
        edit(0, record + 4, 0xFF),
        edit(0, record + 60, 0xFF),
        edit(0, record + 400, 0),
        edit(0, 0, 0),
        edit(0, 20, 9),
        edit(0, u16::MAX, 0),
        [edit(1, 3, 0xFF), edit(2, 5, 0xFF)].concat(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_victim_is_read_whole_and_healed() {
        let victim = Victim::make();
        let (whole, failed) = read(victim.dir.path());
        assert!(!failed && whole.len() > 3_000, "{} bytes", whole.len());
        victim.edit(0, SEGMENT_HEADER_BYTES as u16 + 60, 0xFF);
        assert_ne!(read(victim.dir.path()).0, whole);
        victim.heal();
        assert_eq!(read(victim.dir.path()), (whole, false));
    }
}
