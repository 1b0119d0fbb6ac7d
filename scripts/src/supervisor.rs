//! Keeps every process of the cluster running, and `cluster.json` true.
//!
//! A process that dies is started again: at once when it had served for a while, else after a
//! pause that doubles. The media driver is the exception: when it dies, the shared memory under
//! every client is gone with it, so everything above it is started again.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    process::Child,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    Error,
    cluster::{ClusterFile, ProcessEntry},
    layout::Layout,
    process::{ProcessSpec, log_tail, signal},
};

/// When the dead are started again.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// A life in which it never served, or a shorter one than this, counts as a failed start. Who
    /// serves for longer is replaced at once however often it ends, as a drill that kills it wants.
    settled_after: Duration,
    pause_first: Duration,
    pause_max: Duration,
}

const PACE: Pace = Pace {
    settled_after: Duration::from_secs(1),
    pause_first: Duration::from_millis(100),
    pause_max: Duration::from_secs(5),
};
/// Before those that need the driver are started after it.
const DRIVER_HEAD_START: Duration = Duration::from_millis(100);
/// How long a process may take to end cleanly before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(8);

struct Exit {
    pid: u32,
    status: Option<ExitStatus>,
}

struct Managed {
    spec: ProcessSpec,
    /// `None` while it waits to be started again.
    pid: Option<u32>,
    started: Instant,
    /// Where in its log its life began.
    log_from: u64,
    restarts: u32,
    failed_starts: u32,
}

pub struct Supervisor {
    layout: Layout,
    file: ClusterFile,
    pace: Pace,
    managed: Vec<Managed>,
    exits: UnboundedReceiver<Exit>,
    exit_sender: UnboundedSender<Exit>,
    starts: UnboundedReceiver<usize>,
    start_sender: UnboundedSender<usize>,
    /// Written once the cluster serves; before that a reader would see a half-started one.
    announced: bool,
}

impl Supervisor {
    pub fn new(layout: Layout, file: ClusterFile) -> Self {
        let (exit_sender, exits) = unbounded_channel();
        let (start_sender, starts) = unbounded_channel();
        Self {
            layout,
            file,
            pace: PACE,
            managed: Vec::new(),
            exits,
            exit_sender,
            starts,
            start_sender,
            announced: false,
        }
    }

    /// Starts one more process and keeps it running from now on.
    pub fn start(&mut self, spec: ProcessSpec) -> Result<(), Error> {
        self.managed.push(Managed {
            spec,
            pid: None,
            started: Instant::now(),
            log_from: 0,
            restarts: 0,
            failed_starts: 0,
        });
        self.spawn(self.managed.len() - 1)
    }

    /// While the cluster starts, a process that ends is an error instead of a restart.
    pub fn check_started(&mut self) -> Result<(), Error> {
        let Ok(exit) = self.exits.try_recv() else { return Ok(()) };
        let Some(dead) = self.managed.iter().find(|m| m.pid == Some(exit.pid)) else {
            return Ok(());
        };
        let log = dead.spec.log.clone();
        Err(Error::StartFailed { role: dead.spec.title(), tail: log_tail(&log), log })
    }

    /// From now on `cluster.json` exists and is kept true.
    pub fn announce(&mut self) -> Result<&ClusterFile, Error> {
        self.announced = true;
        self.publish()?;
        Ok(&self.file)
    }

    /// Restarts what dies; returns only with an error that leaves the cluster unsupervised.
    pub async fn run(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                Some(exit) = self.exits.recv() => self.on_exit(&exit).await?,
                Some(index) = self.starts.recv() => self.start_again(index).await?,
            }
        }
    }

    /// Ends everything, last started first, each cleanly if it can.
    pub async fn stop(&mut self) {
        for index in (0..self.managed.len()).rev() {
            self.stop_one(index).await;
        }
        if let Err(error) = ClusterFile::remove(&self.layout) {
            warn!(%error, "cluster.json stays behind");
        }
    }

    async fn on_exit(&mut self, exit: &Exit) -> Result<(), Error> {
        let Some(index) = self.managed.iter().position(|m| m.pid == Some(exit.pid)) else {
            return Ok(());
        };
        self.managed[index].pid = None;
        let settled = self.has_settled(index);
        let is_driver = is_driver(&self.managed[index]);
        if is_driver {
            self.end_above(index).await;
        }
        let dead = &mut self.managed[index];
        let pause = self.pace.pause_after(settled, &mut dead.failed_starts);
        let what = dead.spec.title();
        let how = exit.status.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
        let whom = if is_driver { "it and everything above it" } else { "it" };
        warn!("{what} ended ({how}): starting {whom} again in {} ms", pause.as_millis());
        if pause.is_zero() {
            return self.start_again(index).await;
        }
        self.later(index, pause);
        self.publish()
    }

    /// Whether the life that has ended was a success. A driver serves when a client of it does.
    fn has_settled(&self, index: usize) -> bool {
        let dead = &self.managed[index];
        let serves = |life: &Managed| life.spec.has_served(life.log_from);
        let served = match is_driver(dead) {
            true => self.managed[index + 1..].iter().any(serves),
            false => serves(dead),
        };
        served && dead.started.elapsed() >= self.pace.settled_after
    }

    /// Without a driver there is nothing to end cleanly: their journals are safe as they are.
    async fn end_above(&mut self, driver: usize) {
        for index in (driver + 1..self.managed.len()).rev() {
            if let Some(pid) = self.managed[index].pid.take() {
                signal(pid, Signal::KILL);
                self.await_exit(pid, STOP_PATIENCE).await;
            }
        }
    }

    async fn start_again(&mut self, index: usize) -> Result<(), Error> {
        // without a driver it could not serve, and is started with it
        let waits = self.managed[..index].iter().any(|m| is_driver(m) && m.pid.is_none());
        if waits || self.managed[index].pid.is_some() {
            return Ok(());
        }
        self.managed[index].restarts += 1;
        self.spawn_or_retry(index)?;
        if !is_driver(&self.managed[index]) || self.managed[index].pid.is_none() {
            return Ok(());
        }
        sleep(DRIVER_HEAD_START).await;
        for above in index + 1..self.managed.len() {
            if self.managed[above].pid.is_none() {
                self.managed[above].restarts += 1;
                self.spawn_or_retry(above)?;
            }
        }
        Ok(())
    }

    async fn stop_one(&mut self, index: usize) {
        let Some(pid) = self.managed[index].pid.take() else { return };
        let what = self.managed[index].spec.title();
        signal(pid, Signal::TERM);
        if !self.await_exit(pid, STOP_PATIENCE).await {
            warn!("{what} did not end within {} s: killed", STOP_PATIENCE.as_secs());
            signal(pid, Signal::KILL);
            self.await_exit(pid, STOP_PATIENCE).await;
        }
        info!("{what} stopped");
    }

    /// Waits for one process; exits of others meanwhile concern processes that are ending too.
    async fn await_exit(&mut self, pid: u32, patience: Duration) -> bool {
        let exits = &mut self.exits;
        let managed = &mut self.managed;
        let wait = async {
            while let Some(exit) = exits.recv().await {
                if exit.pid == pid {
                    break;
                }
                if let Some(other) = managed.iter_mut().find(|m| m.pid == Some(exit.pid)) {
                    other.pid = None;
                }
            }
        };
        timeout(patience, wait).await.is_ok()
    }

    fn spawn_or_retry(&mut self, index: usize) -> Result<(), Error> {
        if let Err(error) = self.spawn(index) {
            let failed = &mut self.managed[index];
            failed.failed_starts += 1;
            let pause = self.pace.pause_before(failed.failed_starts);
            warn!(%error, "trying again in {} ms", pause.as_millis());
            self.later(index, pause);
        }
        self.publish()
    }

    fn later(&self, index: usize, pause: Duration) {
        let sender = self.start_sender.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            // fails only when the supervisor is gone, and with it the wish to start anything
            let _ = sender.send(index);
        });
    }

    fn spawn(&mut self, index: usize) -> Result<(), Error> {
        let managed = &mut self.managed[index];
        managed.log_from = managed.spec.log_len();
        let mut child: Child = managed.spec.spawn()?;
        let Some(pid) = child.id() else {
            let source = std::io::Error::other("it ended before it had a pid");
            return Err(Error::Spawn { role: managed.spec.title(), source });
        };
        managed.pid = Some(pid);
        managed.started = Instant::now();
        info!("{} started, pid {pid}", managed.spec.title());
        let sender = self.exit_sender.clone();
        tokio::spawn(async move {
            let status = child.wait().await.ok();
            // fails only when the supervisor is gone
            let _ = sender.send(Exit { pid, status });
        });
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Error> {
        self.file.processes = self.managed.iter().filter_map(entry).collect();
        if self.announced { self.file.write(&self.layout) } else { Ok(()) }
    }
}

fn entry(managed: &Managed) -> Option<ProcessEntry> {
    Some(ProcessEntry {
        role: managed.spec.role.to_owned(),
        shard: managed.spec.shard,
        replica: managed.spec.shard.map(|_| 0),
        pid: managed.pid?,
        restarts: managed.restarts,
    })
}

fn is_driver(managed: &Managed) -> bool {
    managed.spec.role == "driver"
}

impl Pace {
    /// The pause after a life; counts it if it was a failed start.
    fn pause_after(&self, settled: bool, failed_starts: &mut u32) -> Duration {
        if settled {
            *failed_starts = 0;
            return Duration::ZERO;
        }
        let pause = self.pause_before(*failed_starts);
        *failed_starts = failed_starts.saturating_add(1);
        pause
    }

    /// Nothing before the first restart, then doubling up to a bound.
    fn pause_before(&self, failed_starts: u32) -> Duration {
        match failed_starts {
            0 => Duration::ZERO,
            n => self.pause_first.saturating_mul(1 << (n - 1).min(10)).min(self.pause_max),
        }
    }
}

#[cfg(test)]
#[path = "supervisor_test.rs"]
mod supervisor_test;
