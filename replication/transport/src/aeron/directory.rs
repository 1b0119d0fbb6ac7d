//! Looks at a driver's directory before aeron-rs does, and while it works.
//!
//! aeron-rs trusts what it finds: it panics over a control file that was cut off, and waits ten
//! seconds in the directory of a driver that is long dead.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aeron_rs::cnc_file_descriptor::{self, CNC_FILE, CNC_VERSION};
use aeron_rs::concurrent::ring_buffer::ManyToOneRingBuffer;
use aeron_rs::utils::memory_mapped_file::MemoryMappedFile;
use aeron_rs::utils::misc::semantic_version_major;

use crate::Error;

/// A live driver beats once a second; one that has not for so long is waited for.
const HEARTBEAT_FRESH: Duration = Duration::from_secs(3);

/// How often a driver that is not there yet is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Where the control file's fields lie: a version, five lengths, and behind them the buffers.
const CNC_LENGTH_OFFSETS: [usize; 5] = [4, 8, 12, 16, 20];

/// Waits until a live driver serves the directory.
pub fn await_driver(directory: &Path, patience: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    loop {
        let Err(reason) = find_driver(directory) else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(unavailable(directory, reason));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

pub fn unavailable(directory: &Path, reason: impl Into<String>) -> Error {
    Error::DriverUnavailable { directory: directory.display().to_string(), reason: reason.into() }
}

/// The identity of a driver's control file: another driver in its place makes another file.
#[derive(Debug, PartialEq, Eq)]
pub struct ControlFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl ControlFile {
    pub fn of(directory: &Path) -> ControlFile {
        let path = directory.join(CNC_FILE);
        let identity = identity(&path);
        ControlFile { path, identity }
    }

    /// Whether the file that was there is still there. A driver takes it away when it ends.
    pub fn is_in_place(&self) -> bool {
        self.identity.is_some() && identity(&self.path) == self.identity
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn find_driver(directory: &Path) -> Result<(), String> {
    let path = directory.join(CNC_FILE);
    let name = path.to_str().ok_or("the directory's name is not UTF-8")?;
    check_layout(&path)?;
    let file = MemoryMappedFile::map_existing(name, false).map_err(|error| error.to_string())?;
    let to_driver = cnc_file_descriptor::create_to_driver_buffer(&file);
    let ring = ManyToOneRingBuffer::new(to_driver)
        .map_err(|error| format!("{name} has no ring to its driver: {error:?}"))?;
    let beat_ms = u64::try_from(ring.consumer_heartbeat_time()).unwrap_or(0);
    if beat_ms == 0 {
        return Err("its driver has not started".into());
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = since_epoch.saturating_sub(Duration::from_millis(beat_ms));
    if age > HEARTBEAT_FRESH {
        return Err(format!("its driver was last alive {} s ago", age.as_secs()));
    }
    Ok(())
}

/// Checks that the file is as long as its header says, so that mapping it is safe.
fn check_layout(path: &Path) -> Result<(), String> {
    use std::io::Read;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = fs::File::open(path).map_err(failed)?;
    let file_bytes = file.metadata().map_err(failed)?.len();
    let mut header = [0u8; 24];
    file.read_exact(&mut header).map_err(failed)?;
    let field = |offset: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[offset..offset + 4]);
        i32::from_ne_bytes(bytes)
    };
    let version = field(0);
    if version == 0 {
        return Err(format!("{} is not filled in yet", path.display()));
    }
    if semantic_version_major(version) != semantic_version_major(CNC_VERSION) {
        return Err(format!("{} has an unknown version, {version:#x}", path.display()));
    }
    let mut needed = *cnc_file_descriptor::META_DATA_LENGTH as u64;
    for offset in CNC_LENGTH_OFFSETS {
        let length = u64::try_from(field(offset))
            .map_err(|_| format!("{} has a negative length", path.display()))?;
        needed += length;
    }
    if file_bytes < needed {
        return Err(format!("{} is cut off: {file_bytes} of {needed} bytes", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_millis(1);

    fn refusal(directory: &Path) -> String {
        match await_driver(directory, BRIEF) {
            Err(Error::DriverUnavailable { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn directories_without_a_driver_are_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        assert!(refusal(&temp.path().join("missing")).contains("No such file"));
        let cnc = temp.path().join(CNC_FILE);
        fs::write(&cnc, [0u8; 8]).unwrap();
        refusal(temp.path());
        fs::write(&cnc, [0u8; 4096]).unwrap();
        assert!(refusal(temp.path()).contains("not filled in"));
        fs::write(&cnc, [0xffu8; 4096]).unwrap();
        assert!(refusal(temp.path()).contains("unknown version"));
    }

    #[test]
    fn a_cut_off_or_inconsistent_control_file_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let cnc = temp.path().join(CNC_FILE);
        let mut header = vec![0u8; 4096];
        header[..4].copy_from_slice(&CNC_VERSION.to_ne_bytes());
        header[4..8].copy_from_slice(&(1024 * 1024_i32).to_ne_bytes());
        fs::write(&cnc, &header).unwrap();
        assert!(refusal(temp.path()).contains("cut off"));
        header[4..8].copy_from_slice(&(-1_i32).to_ne_bytes());
        fs::write(&cnc, &header).unwrap();
        assert!(refusal(temp.path()).contains("negative"));
        header[4..8].copy_from_slice(&1000_i32.to_ne_bytes());
        fs::write(&cnc, &header).unwrap();
        assert!(refusal(temp.path()).contains("no ring"));
    }

    #[test]
    fn a_control_file_is_known_by_more_than_its_name() {
        let temp = tempfile::tempdir().unwrap();
        assert!(!ControlFile::of(temp.path()).is_in_place());
        let cnc = temp.path().join(CNC_FILE);
        fs::write(&cnc, "one").unwrap();
        let held = fs::File::open(&cnc).unwrap();
        let file = ControlFile::of(temp.path());
        assert!(file.is_in_place());
        fs::remove_file(&cnc).unwrap();
        assert!(!file.is_in_place());
        fs::write(&cnc, "two").unwrap();
        assert!(!file.is_in_place());
        drop(held);
    }
}
