//! The two threads beside the appender.

use std::{
    io, process,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crate::{
    Error,
    files::StateFile,
    prealloc::{Maker, Spares},
    sync::{Progress, Syncer},
};

#[derive(Debug)]
pub(crate) struct Threads {
    running: Option<(JoinHandle<StateFile>, JoinHandle<()>)>,
    spares: Arc<Spares>,
    progress: Arc<Progress>,
}

impl Threads {
    pub fn start(maker: Maker, syncer: Syncer) -> Result<Self, Error> {
        let dir = maker.dir.clone();
        let failed = Error::io("start threads for", &dir);
        let (spares, progress) = (Arc::clone(&maker.spares), Arc::clone(&syncer.progress));
        match spawn_both(maker, syncer) {
            Ok(running) => Ok(Self { running: Some(running), spares, progress }),
            Err(error) => {
                // The first may be running without the second.
                spares.ask_to_stop();
                Err(failed(error))
            }
        }
    }

    pub fn are_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn wake_syncer(&self) {
        if let Some((syncer, _)) = &self.running {
            syncer.thread().unpark();
        }
    }

    /// Ends both after everything asked for is durable; `None` when they had ended before.
    pub fn stop(&mut self) -> Option<StateFile> {
        let (syncer, maker) = self.running.take()?;
        self.progress.ask_to_stop();
        syncer.thread().unpark();
        self.spares.ask_to_stop();
        // Neither can have panicked: that ends the process.
        let state_file = syncer.join().unwrap_or_else(|_| process::abort());
        maker.join().unwrap_or_else(|_| process::abort());
        Some(state_file)
    }
}

fn spawn_both(maker: Maker, syncer: Syncer) -> io::Result<(JoinHandle<StateFile>, JoinHandle<()>)> {
    let maker = thread::Builder::new().name("journal-spares".into()).spawn(move || {
        let _guard = AbortOnPanic;
        maker.run();
    })?;
    let syncer = thread::Builder::new().name("journal-sync".into()).spawn(move || {
        let _guard = AbortOnPanic;
        syncer.run()
    })?;
    Ok((syncer, maker))
}

/// Without these threads the journal would go on and never be durable: end instead.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            process::abort();
        }
    }
}
