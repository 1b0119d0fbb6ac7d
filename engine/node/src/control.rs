//! How a running pipeline is told to stop, and how it tells why it had to.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU8, Ordering},
};

use crate::Error;

/// What the stages are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running = 0,
    /// Nothing new is taken in; what is on its way goes through.
    Draining = 1,
    Stopped = 2,
}

/// Shared by all threads of a node. The phase only ever goes forward.
pub struct Control {
    phase: AtomicU8,
    failure: Mutex<Option<Error>>,
}

impl Default for Control {
    fn default() -> Self {
        Self { phase: AtomicU8::new(Phase::Running as u8), failure: Mutex::new(None) }
    }
}

impl Control {
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    pub fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Asks for a clean end.
    pub fn drain(&self) {
        self.phase.fetch_max(Phase::Draining as u8, Ordering::AcqRel);
    }

    pub fn stop(&self) {
        self.phase.fetch_max(Phase::Stopped as u8, Ordering::AcqRel);
    }

    /// Ends the node at once; the first reason is kept.
    pub fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop();
    }

    pub fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Ends the node when the thread that holds it ends by a panic.
pub struct DeathWatch {
    pub control: std::sync::Arc<Control>,
    pub thread: &'static str,
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.control.fail(Error::ThreadDied { thread: self.thread });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_phase_never_goes_back_and_the_first_failure_stays() {
        let control = Control::default();
        control.fail(Error::ThreadDied { thread: "a" });
        control.fail(Error::ThreadDied { thread: "b" });
        control.drain();
        assert_eq!(control.phase(), Phase::Stopped);
        assert!(matches!(control.take_failure(), Some(Error::ThreadDied { thread: "a" })));
        assert!(control.take_failure().is_none());
    }

    #[test]
    fn a_panic_ends_the_node() {
        let control = Arc::new(Control::default());
        let watch = DeathWatch { control: control.clone(), thread: "stage" };
        let thread = std::thread::spawn(move || {
            let _watch = watch;
            panic!("a broken invariant");
        });
        assert!(thread.join().is_err());
        assert_eq!(control.phase(), Phase::Stopped);
    }
}
