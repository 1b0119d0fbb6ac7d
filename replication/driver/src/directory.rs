//! The directory a driver shares with its clients: who may take it, and what may be in it.
//!
//! A starting driver deletes the directory with all it holds, because a predecessor that was
//! killed leaves files that clients would take for a live driver's. So before anything is
//! deleted, it must be certain that no live driver uses the directory, and that the directory
//! holds nothing but a driver's files.

use std::ffi::{CString, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusteron_media_driver::bindings::aeron_is_driver_active;

use crate::driver::Error;

/// What a driver puts into its directory, and thus all that may be deleted.
const DRIVER_FILES: [&str; 4] = ["cnc.dat", "loss-report.dat", "publications", "images"];

/// Where the process id stands in `cnc.dat`: behind the version, five lengths and two times.
const CNC_PID_OFFSET: u64 = 40;

/// A driver whose heartbeat is older is taken for dead; Aeron's own default.
const HEARTBEAT_AGE_MS_MAX: i64 = 10_000;

/// A driver's directory, held by this process until it ends, however it ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes the directory, or tells why it cannot be taken. Deletes nothing yet.
    pub fn claim(path: &Path) -> Result<Directory, Error> {
        let lock_path = lock_path(path)?;
        if let Some(parent) = lock_path.parent() {
            fs::create_dir_all(parent).map_err(|source| not_usable(path, source))?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| not_usable(path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse { directory: path.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(not_usable(path, source)),
        }
        check_contents(path)?;
        if has_other_driver(path)? {
            return Err(Error::InUse { directory: path.to_path_buf() });
        }
        Ok(Directory { path: path.to_path_buf(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The lock lies beside the directory, because the directory itself comes and goes.
fn lock_path(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| {
        not_usable(path, io::Error::new(io::ErrorKind::InvalidInput, "it has no name"))
    })?;
    let mut lock_name = OsString::from(name);
    lock_name.push(".lock");
    Ok(path.with_file_name(lock_name))
}

fn check_contents(path: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(not_usable(path, source)),
    };
    for entry in entries {
        let name = entry.map_err(|source| not_usable(path, source))?.file_name();
        if !DRIVER_FILES.iter().any(|known| name == *known) {
            let found = name.to_string_lossy().into_owned();
            return Err(Error::ForeignFiles { directory: path.to_path_buf(), found });
        }
    }
    Ok(())
}

/// Whether a driver that does not lock as this one does is alive in the directory.
///
/// The heartbeat alone would keep out the successor of a killed driver for ten seconds, so the
/// process must exist as well; that is asked first, as it takes no waiting.
fn has_other_driver(path: &Path) -> Result<bool, Error> {
    let pid = match driver_pid(&path.join("cnc.dat")) {
        Ok(pid) => pid,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => return Ok(false),
            _ => return Err(not_usable(path, error)),
        },
    };
    let is_this_process = u64::try_from(pid).is_ok_and(|pid| pid == u64::from(std::process::id()));
    if is_this_process || !Path::new("/proc").join(pid.to_string()).exists() {
        return Ok(false);
    }
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends in a zero byte and outlives the call, which only reads the file.
    Ok(unsafe { aeron_is_driver_active(c_path.as_ptr(), HEARTBEAT_AGE_MS_MAX, Some(ignore)) })
}

/// Aeron tells its findings about the heartbeat; the answer itself is enough here.
unsafe extern "C" fn ignore(_: *const std::ffi::c_char) {}

fn driver_pid(cnc: &Path) -> io::Result<i64> {
    let mut file = File::open(cnc)?;
    file.seek(SeekFrom::Start(CNC_PID_OFFSET))?;
    let mut pid = [0; 8];
    file.read_exact(&mut pid)?;
    Ok(i64::from_ne_bytes(pid))
}

fn not_usable(path: &Path, source: io::Error) -> Error {
    Error::NotUsable { directory: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_claimed_by_one_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("made/on/demand/aeron");
        let first = Directory::claim(&path).unwrap();
        assert_eq!(first.path(), path);
        assert!(matches!(Directory::claim(&path), Err(Error::InUse { .. })));
        drop(first);
        Directory::claim(&path).unwrap();
    }

    #[test]
    fn files_of_somebody_else_are_never_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("home");
        fs::create_dir(&path).unwrap();
        Directory::claim(&path).unwrap();
        fs::create_dir(path.join("images")).unwrap();
        Directory::claim(&path).unwrap();
        fs::write(path.join("thesis.txt"), "years").unwrap();
        let refused = Directory::claim(&path).unwrap_err();
        assert!(matches!(&refused, Error::ForeignFiles { found, .. } if found == "thesis.txt"));
        assert!(path.join("thesis.txt").exists());
    }

    #[test]
    fn a_file_is_not_a_directory_and_the_root_has_no_name() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(matches!(Directory::claim(&path), Err(Error::NotUsable { .. })));
        let below = path.join("aeron");
        assert!(matches!(Directory::claim(&below), Err(Error::NotUsable { .. })));
        assert!(matches!(Directory::claim(Path::new("/")), Err(Error::NotUsable { .. })));
    }

    #[test]
    fn a_truncated_control_file_is_no_live_driver() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("aeron");
        fs::create_dir(&path).unwrap();
        for length in [0, 1, 39, 47, 4096] {
            fs::write(path.join("cnc.dat"), vec![0u8; length]).unwrap();
            Directory::claim(&path).unwrap();
        }
    }
}
