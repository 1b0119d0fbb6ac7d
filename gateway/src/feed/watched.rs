//! The feed's own file, which an operator may write anew while prices are sent.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{FeedConfig, LOOK_AGAIN, Plan};
use crate::config;

/// A file, and when what is known of it was written.
pub struct Watched {
    path: PathBuf,
    written: Option<SystemTime>,
    looked: Instant,
}

impl Watched {
    /// What it says now is known.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), written: written(path), looked: Instant::now() }
    }

    /// Looks now and then; returns the plan when another one was written. One that is wrong is
    /// told once and changes nothing.
    pub fn change(&mut self) -> Option<Plan> {
        if self.looked.elapsed() < LOOK_AGAIN {
            return None;
        }
        self.looked = Instant::now();
        self.read_if_new()
    }

    fn read_if_new(&mut self) -> Option<Plan> {
        let written = written(&self.path)?;
        if self.written.replace(written) == Some(written) {
            return None;
        }
        let read = config::read::<FeedConfig>(&self.path).map_err(|error| error.to_string());
        match read.and_then(|config| config.check().map_err(|error| error.to_string())) {
            Ok(plan) => {
                info!(symbols = plan.symbols().len(), "another configuration: taken over");
                Some(plan)
            }
            Err(error) => {
                warn!(error, "another configuration that is wrong: the one before stays");
                None
            }
        }
    }
}

/// When a file was written; none while it can't be seen.
fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|known| known.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "cluster = 1\naeron_dir = \"a\"\nchannel = \"aeron:ipc\"\n\
        admin_url = \"http://127.0.0.1:1\"\nadmin_token = \"t\"\n";
    const SIMULATION: &str = "[[simulation]]\nsymbol = \"BTCUSDT\"\nprice = \"0.5\"\n";

    #[test]
    fn a_file_is_taken_over_once_and_only_when_it_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("feed.toml");
        let write = |text: String, second: u64| {
            fs::write(&path, text).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
            fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        write(CLUSTER.into(), 1);
        let mut file = Watched::new(&path);
        assert!(file.read_if_new().is_none(), "it is known");
        write(format!("{CLUSTER}colour = 1"), 2);
        assert!(file.read_if_new().is_none(), "it is wrong");
        write(format!("{CLUSTER}{SIMULATION}"), 3);
        let plan = file.read_if_new().unwrap();
        assert_eq!(plan.symbols(), ["BTCUSDT"].into());
        assert!(file.read_if_new().is_none(), "it was read");
        fs::remove_file(&path).unwrap();
        assert!(file.read_if_new().is_none(), "it is away");
    }
}
