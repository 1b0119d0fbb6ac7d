//! One process of the cluster: what it is, how it is started, how it is ended.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::{Error, layout::Layout};

/// Bytes of a log's end that an error message shows.
const LOG_TAIL_BYTES: u64 = 2_000;

/// What to start, again and again if need be.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    pub role: &'static str,
    pub shard: Option<u8>,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub log: PathBuf,
    /// What its log says once it serves, as one of these; none: that can't be told.
    pub serving: &'static [&'static str],
}

impl ProcessSpec {
    pub fn new(role: &'static str, shard: Option<u8>, program: &str, layout: &Layout) -> Self {
        let name = shard.map_or_else(|| role.to_owned(), |s| format!("{role}-{s}"));
        let (program, log) = (beside(program), layout.log(&name));
        Self { role, shard, program, args: Vec::new(), log, serving: &[] }
    }

    pub fn serving(mut self, words: &'static [&'static str]) -> Self {
        self.serving = words;
        self
    }

    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// `engine 2`, as messages call it.
    pub fn title(&self) -> String {
        self.shard.map_or_else(|| self.role.to_owned(), |s| format!("{} {s}", self.role))
    }

    /// How much of its log there is.
    pub fn log_len(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Whether a life whose log began there has got to serve, if that can be told. A log that is
    /// told to leave that out, or has been cut since, says that it has not.
    pub fn has_served(&self, log_from: u64) -> bool {
        if self.serving.is_empty() {
            return true;
        }
        let read = || -> std::io::Result<bool> {
            let mut log = BufReader::new(fs::File::open(&self.log)?);
            log.seek(SeekFrom::Start(log_from))?;
            let mut line = Vec::new();
            while log.read_until(b'\n', &mut line)? > 0 {
                let text = String::from_utf8_lossy(&line);
                if self.serving.iter().any(|word| text.contains(word)) {
                    return Ok(true);
                }
                line.clear();
            }
            Ok(false)
        };
        read().unwrap_or(false)
    }

    pub fn check(&self) -> Result<(), Error> {
        if self.program.is_file() {
            return Ok(());
        }
        Err(Error::MissingProgram { program: self.program.clone() })
    }

    /// Starts it in a process group of its own (a Ctrl-C at the terminal reaches the supervisor
    /// alone, which ends the others in order); it dies with the supervisor.
    pub fn spawn(&self) -> Result<Child, Error> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Error::file(&self.log))?;
        let also_log = log.try_clone().map_err(Error::file(&self.log))?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(log).stderr(also_log).process_group(0);
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and
        // touches no memory of this process.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
                    .map_err(Into::into)
            });
        }
        command.spawn().map_err(|source| Error::Spawn { role: self.title(), source })
    }
}

/// A program that was built together with this one.
pub fn beside(program: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(Path::new(".")).join(program)
}

/// Sends a signal; a process that is already gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// The last lines a process logged.
pub fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|e| format!("(no log: {e})"))
}
