//! A stage of the pipeline as the thread that runs it sees it.

use crate::clock::Now;

/// One duty cycle at a time: looks once at everything it has, does what there is, never waits.
///
/// Agents own their ring ends, so any number of them may share a thread and each may have one of
/// its own.
pub trait Agent: Send {
    fn name(&self) -> &'static str;

    /// Returns how much was done; 0 lets the thread rest.
    fn poll(&mut self, now: &Now) -> usize;
}
