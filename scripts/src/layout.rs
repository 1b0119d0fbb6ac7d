//! Where a cluster keeps what: one directory, one name for everything in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::Error;

/// Changes whenever a directory written before could no longer be read.
pub const DATA_VERSION: &str = "exchange-data-1";

/// The directory of one cluster.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn new(root: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).map_err(Error::file(root))?;
        Ok(Self { root })
    }

    /// Makes the directory if it is new and refuses one of another version.
    pub fn prepare(&self) -> Result<(), Error> {
        for dir in [&self.root, &self.logs(), &self.configs()] {
            fs::create_dir_all(dir).map_err(Error::file(dir))?;
        }
        let path = self.root.join("VERSION");
        match fs::read_to_string(&path) {
            Ok(found) if found.trim() == DATA_VERSION => Ok(()),
            Ok(found) => Err(Error::DataVersion {
                dir: self.root.clone(),
                found: found.trim().to_owned(),
                expected: DATA_VERSION,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                write_atomically(&path, DATA_VERSION.as_bytes(), 0o644)
            }
            Err(e) => Err(Error::file(path)(e)),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn cluster_file(&self) -> PathBuf {
        self.root.join("cluster.json")
    }
    pub fn secrets_file(&self) -> PathBuf {
        self.root.join("secrets.json")
    }
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }
    pub fn configs(&self) -> PathBuf {
        self.root.join("config")
    }
    pub fn config(&self, name: &str) -> PathBuf {
        self.configs().join(format!("{name}.toml"))
    }
    pub fn shard(&self, shard: u8) -> PathBuf {
        self.root.join(format!("shard-{shard}"))
    }
    /// Why the last snapshot of a shard has failed; gone when one has succeeded.
    pub fn snapshot_failure(&self, shard: u8) -> PathBuf {
        self.root.join(format!("snapshot-{shard}.failed"))
    }
    pub fn gateway(&self) -> PathBuf {
        self.root.join("gateway")
    }
    /// Aeron's shared memory: gone with a reboot, as it should be.
    pub fn aeron(&self, cluster: u64) -> PathBuf {
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
        base.join(format!("exchange-aeron-{cluster:016x}"))
    }
}

/// Writes a file so that readers see the old or the new text, never half of it.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let draft = path.with_extension("draft");
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(Error::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path()).unwrap();
        layout.prepare().unwrap();
        layout.prepare().unwrap();
        fs::write(dir.path().join("VERSION"), "exchange-data-0\n").unwrap();
        let error = layout.prepare().unwrap_err();
        assert!(
            matches!(error, Error::DataVersion { ref found, .. } if found == "exchange-data-0")
        );
        assert_eq!(fs::read(dir.path().join("VERSION")).unwrap(), b"exchange-data-0\n");
    }
}
