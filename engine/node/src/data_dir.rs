//! A node's directory: who has it, whose it is, and how often it was started.
//!
//! ```text
//!   DIR/LOCK        held by the running engine
//!   DIR/node.toml   version, cluster, shard, replica, incarnation
//!   DIR/journal/    the log
//!   DIR/events/     what came of it
//!   DIR/snapshots/  states at some seqs, to start from
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{Error, pipeline::Dirs};

/// Of everything in the directory but the journals, which have their own.
pub const VERSION: u32 = 1;

const STATE_FILE: &str = "node.toml";
const LOCK_FILE: &str = "LOCK";

/// Whose directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub cluster: u64,
    pub shard: u8,
    pub replica: u8,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u32,
    /// As text: TOML's numbers are signed.
    #[serde(with = "text")]
    cluster: u64,
    shard: u8,
    replica: u8,
    /// Starts so far.
    incarnation: u64,
}

/// A directory that this process has for itself until it ends.
#[derive(Debug)]
pub struct DataDir {
    pub dirs: Dirs,
    /// Counts the starts, from 1.
    pub incarnation: u64,
    _lock: File,
}

impl DataDir {
    /// Takes the directory, making it if there is none, and counts this start.
    pub fn take(dir: &Path, owner: Owner) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let lock = lock(dir)?;
        let state = match read(dir)? {
            None => State {
                version: VERSION,
                cluster: owner.cluster,
                shard: owner.shard,
                replica: owner.replica,
                incarnation: 0,
            },
            Some(state) => {
                check(dir, &state, owner)?;
                state
            }
        };
        let state = State { incarnation: state.incarnation + 1, ..state };
        write(dir, &state)?;
        let dirs = Dirs::under(dir);
        for journal in [&dirs.journal, &dirs.events] {
            fs::create_dir_all(journal).map_err(Error::io("create", journal))?;
        }
        sync_dir(dir)?;
        Ok(Self { dirs, incarnation: state.incarnation, _lock: lock })
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
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

fn read(dir: &Path) -> Result<Option<State>, Error> {
    let path = dir.join(STATE_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return refuse_orphans(dir, path).map(|()| None);
        }
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    // The version decides whether the rest can be read.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let bad = |error: toml::de::Error| Error::BadFile {
        path: path.clone(),
        why: error.message().to_owned(),
    };
    let Version { version } = toml::from_str(&text).map_err(bad)?;
    if version != VERSION {
        return Err(Error::Version { dir: dir.into(), found: version, ours: VERSION });
    }
    toml::from_str(&text).map(Some).map_err(bad)
}

/// Journals without a state file are somebody's: nothing is begun among them.
fn refuse_orphans(dir: &Path, state_file: PathBuf) -> Result<(), Error> {
    let dirs = Dirs::under(dir);
    for journal in [dirs.journal, dirs.events] {
        let mut entries = match fs::read_dir(&journal) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("read", journal)(error)),
        };
        if entries.next().is_some() {
            let why = format!("it is not there, but {} has files", journal.display());
            return Err(Error::BadFile { path: state_file, why });
        }
    }
    Ok(())
}

fn check(dir: &Path, state: &State, owner: Owner) -> Result<(), Error> {
    let pairs = [
        ("cluster", state.cluster, owner.cluster),
        ("shard", state.shard.into(), owner.shard.into()),
        ("replica", state.replica.into(), owner.replica.into()),
    ];
    for (what, found, asked) in pairs {
        if found != asked {
            return Err(Error::Foreign { dir: dir.into(), what, found, asked });
        }
    }
    Ok(())
}

/// Durable before it is used, and whole or not there at all.
fn write(dir: &Path, state: &State) -> Result<(), Error> {
    let path = dir.join(STATE_FILE);
    let next = dir.join("node.toml.next");
    let text = toml::to_string(state)
        .map_err(|error| Error::BadFile { path: path.clone(), why: error.to_string() })?;
    let mut file = File::create(&next).map_err(Error::io("create", &next))?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", &next))?;
    file.sync_all().map_err(Error::io("sync", &next))?;
    fs::rename(&next, &path).map_err(Error::io("rename to", &path))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    let open = File::open(dir).map_err(Error::io("open", dir))?;
    open.sync_all().map_err(Error::io("sync", dir))
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { cluster: u64::MAX, shard: 2, replica: 0 };

    #[test]
    fn starts_are_counted_and_nobody_else_gets_in() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("made");
        let first = DataDir::take(&dir, OWNER).unwrap();
        assert_eq!(first.incarnation, 1);
        assert!(matches!(DataDir::take(&dir, OWNER), Err(Error::InUse { .. })));
        drop(first);
        assert_eq!(DataDir::take(&dir, OWNER).unwrap().incarnation, 2);
    }

    #[test]
    fn anothers_directory_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        drop(DataDir::take(temp.path(), OWNER).unwrap());
        let others = [
            Owner { cluster: 1, ..OWNER },
            Owner { shard: 3, ..OWNER },
            Owner { replica: 1, ..OWNER },
        ];
        for other in others {
            assert!(matches!(DataDir::take(temp.path(), other), Err(Error::Foreign { .. })));
        }
        assert_eq!(DataDir::take(temp.path(), OWNER).unwrap().incarnation, 2);
    }

    #[test]
    fn another_version_and_a_broken_file_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(STATE_FILE);
        fs::write(&path, "version = 2\nnew = true\n").unwrap();
        let refused = DataDir::take(temp.path(), OWNER);
        assert!(matches!(refused, Err(Error::Version { found: 2, ours: VERSION, .. })));
        for garbage in ["", "version", "version = 1\nshard = 300", "\u{0}"] {
            fs::write(&path, garbage).unwrap();
            assert!(matches!(DataDir::take(temp.path(), OWNER), Err(Error::BadFile { .. })));
        }
    }

    #[test]
    fn journals_without_a_state_file_are_not_begun_anew() {
        let temp = tempfile::tempdir().unwrap();
        drop(DataDir::take(temp.path(), OWNER).unwrap());
        fs::write(temp.path().join("journal/volume"), "x").unwrap();
        fs::remove_file(temp.path().join(STATE_FILE)).unwrap();
        assert!(matches!(DataDir::take(temp.path(), OWNER), Err(Error::BadFile { .. })));
    }
}
