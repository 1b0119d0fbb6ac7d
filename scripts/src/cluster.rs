//! `cluster.json`: what runs, where and under which pid, kept true by the supervisor.

use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    layout::{Layout, write_atomically},
};

/// One process of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEntry {
    /// `driver`, `engine`, `gateway`, `feed`, `bots` or `supervisor`.
    pub role: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replica: Option<u8>,
    pub pid: u32,
    /// How often the supervisor has started it again.
    pub restarts: u32,
}

/// The file's content. Holds secrets: readable by its owner only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterFile {
    pub base_url: String,
    pub admin_url: String,
    pub api_key: String,
    pub api_secret: String,
    pub admin_token: String,
    pub supervisor: u32,
    pub processes: Vec<ProcessEntry>,
}

impl ClusterFile {
    pub fn write(&self, layout: &Layout) -> Result<(), Error> {
        let path = layout.cluster_file();
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::Format { path: path.clone(), reason: e.to_string() })?;
        write_atomically(&path, &text, 0o600)
    }

    /// The running cluster of a directory.
    pub fn read(layout: &Layout) -> Result<Self, Error> {
        let path = layout.cluster_file();
        let not_running = || Error::NotRunning { dir: layout.root().to_path_buf() };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(not_running()),
            Err(e) => return Err(Error::file(path)(e)),
        };
        let file: Self = serde_json::from_slice(&bytes)
            .map_err(|e| Error::Format { path, reason: e.to_string() })?;
        if is_alive(file.supervisor) { Ok(file) } else { Err(not_running()) }
    }

    pub fn remove(layout: &Layout) -> Result<(), Error> {
        let path = layout.cluster_file();
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(e)),
            _ => Ok(()),
        }
    }
}

/// Whether a process with this pid runs (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|s| s != 'Z' && s != 'X')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_and_only_a_living_supervisor_counts() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path()).unwrap();
        let mut file = ClusterFile {
            base_url: "http://127.0.0.1:1".into(),
            admin_url: "http://127.0.0.1:2".into(),
            api_key: "k".into(),
            api_secret: "s".into(),
            admin_token: "t".into(),
            supervisor: std::process::id(),
            processes: vec![],
        };
        assert!(matches!(ClusterFile::read(&layout), Err(Error::NotRunning { .. })));
        file.write(&layout).unwrap();
        let mode = fs::metadata(layout.cluster_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(ClusterFile::read(&layout).unwrap().base_url, file.base_url);

        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        file.supervisor = child.id();
        file.write(&layout).unwrap();
        assert!(matches!(ClusterFile::read(&layout), Err(Error::NotRunning { .. })));
        ClusterFile::remove(&layout).unwrap();
        ClusterFile::remove(&layout).unwrap();
    }
}
