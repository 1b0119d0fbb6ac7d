//! Keeps every process of the cluster running, and `cluster.json` true.
//!
//! A process that dies is started again: at once when it had lived a while, else after a pause
//! that doubles. The media driver is the exception: when it dies, the shared memory under every
//! client is gone with it, so everything above it is started again.

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

/// A life shorter than this counts as a failed start: the slowest process serves in half of it. A
/// longer one is replaced at once however often it ends, as who kills it for a drill wants to see.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
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
    restarts: u32,
    failed_starts: u32,
}

pub struct Supervisor {
    layout: Layout,
    file: ClusterFile,
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
                Some(index) = self.starts.recv() => {
                    if self.managed[index].pid.is_none() {
                        self.managed[index].restarts += 1;
                        self.spawn_or_retry(index)?;
                    }
                }
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
        let dead = &mut self.managed[index];
        dead.pid = None;
        let what = dead.spec.title();
        let how = exit.status.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
        if dead.spec.role == "driver" {
            warn!("{what} ended ({how}): starting everything above it again");
            return self.restart_above(index).await;
        }
        let pause = pause_after(dead.started.elapsed(), &mut dead.failed_starts);
        warn!("{what} ended ({how}): starting it again in {} ms", pause.as_millis());
        if pause.is_zero() {
            dead.restarts += 1;
            return self.spawn_or_retry(index);
        }
        self.later(index, pause);
        self.publish()
    }

    async fn restart_above(&mut self, driver: usize) -> Result<(), Error> {
        for index in (driver + 1..self.managed.len()).rev() {
            // without a driver there is nothing to end cleanly: their journals are safe as they are
            if let Some(pid) = self.managed[index].pid.take() {
                signal(pid, Signal::KILL);
                self.await_exit(pid, STOP_PATIENCE).await;
            }
        }
        for index in driver..self.managed.len() {
            self.managed[index].restarts += 1;
            self.spawn_or_retry(index)?;
            if index == driver {
                sleep(PAUSE_FIRST).await;
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
            let pause = pause_before(failed.failed_starts);
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

/// The pause after a life of some length; counts it if it was a failed start.
fn pause_after(lived: Duration, failed_starts: &mut u32) -> Duration {
    if lived >= SETTLED_AFTER {
        *failed_starts = 0;
        return Duration::ZERO;
    }
    let pause = pause_before(*failed_starts);
    *failed_starts = failed_starts.saturating_add(1);
    pause
}

/// Nothing before the first restart, then doubling up to a bound.
fn pause_before(failed_starts: u32) -> Duration {
    match failed_starts {
        0 => Duration::ZERO,
        n => PAUSE_FIRST.saturating_mul(1 << (n - 1).min(10)).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        assert_eq!(pause_before(0), Duration::ZERO);
        assert_eq!(pause_before(1), PAUSE_FIRST);
        assert_eq!(pause_before(3), PAUSE_FIRST * 4);
        assert_eq!(pause_before(u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn who_has_served_is_replaced_at_once_however_often() {
        let mut failed = 0;
        for _ in 0..100 {
            assert_eq!(pause_after(SETTLED_AFTER, &mut failed), Duration::ZERO);
        }
        let short = SETTLED_AFTER / 2;
        let pauses = [(); 3].map(|()| pause_after(short, &mut failed));
        assert_eq!(pauses, [Duration::ZERO, PAUSE_FIRST, PAUSE_FIRST * 2]);
        assert_eq!(pause_after(SETTLED_AFTER, &mut failed), Duration::ZERO);
        assert_eq!(pause_after(short, &mut failed), Duration::ZERO, "and begins anew");
    }
}
