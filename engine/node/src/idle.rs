//! What a thread does when there is nothing to do: less and less.

use std::{hint, thread, time::Duration};

use crate::clock::Now;

/// Cycles without work before the next step.
const SPINS: u32 = 64;
const YIELDS: u32 = 64;
/// While clients send: short enough not to be noticed.
const PARK_SHORT: Duration = Duration::from_micros(50);
/// A quiet shard wakes two hundred times a second.
const PARK_LONG: Duration = Duration::from_millis(5);
/// So long without a client's command, and the shard is quiet.
pub const QUIET_AFTER_NS: u64 = 100_000_000;

/// How a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It has a core to itself and never lets go of it.
    Spin,
    /// It shares its core.
    BackOff,
}

/// Counts a thread's empty cycles.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    patience: Patience,
    empty: u32,
}

/// The steps down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Spin,
    Yield,
    ParkShort,
    ParkLong,
}

impl Idle {
    pub fn new(patience: Patience) -> Self {
        Self { patience, empty: 0 }
    }

    /// After a cycle: `work` was done, the last client's command came at `client_ns`.
    #[inline]
    pub fn rest(&mut self, work: usize, now: &Now, client_ns: u64) {
        if work > 0 {
            self.empty = 0;
            return;
        }
        match self.step(now, client_ns) {
            Step::Spin => hint::spin_loop(),
            Step::Yield => thread::yield_now(),
            Step::ParkShort => thread::park_timeout(PARK_SHORT),
            Step::ParkLong => thread::park_timeout(PARK_LONG),
        }
    }

    fn step(&mut self, now: &Now, client_ns: u64) -> Step {
        self.empty = self.empty.saturating_add(1);
        let is_quiet = now.monotonic.0.saturating_sub(client_ns) > QUIET_AFTER_NS;
        match self.patience {
            Patience::Spin => Step::Spin,
            Patience::BackOff if is_quiet => Step::ParkLong,
            Patience::BackOff if self.empty <= SPINS => Step::Spin,
            Patience::BackOff if self.empty <= SPINS + YIELDS => Step::Yield,
            Patience::BackOff => Step::ParkShort,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::MonotonicNs;

    fn now(ns: u64) -> Now {
        Now { monotonic: MonotonicNs(ns), wall_ns: 0 }
    }

    #[test]
    fn it_backs_off_in_steps_and_comes_back_with_work() {
        let mut idle = Idle::new(Patience::BackOff);
        let mut seen: Vec<Step> = Vec::new();
        for _ in 0..=(SPINS + YIELDS) {
            let step = idle.step(&now(0), 0);
            if seen.last() != Some(&step) {
                seen.push(step);
            }
        }
        assert_eq!(seen, [Step::Spin, Step::Yield, Step::ParkShort]);
        idle.rest(1, &now(0), 0);
        assert_eq!(idle.step(&now(0), 0), Step::Spin);
    }

    #[test]
    fn a_quiet_shard_sleeps_long_whatever_else_happens() {
        let mut idle = Idle::new(Patience::BackOff);
        idle.rest(3, &now(0), 0);
        assert_eq!(idle.step(&now(QUIET_AFTER_NS + 1), 0), Step::ParkLong);
        assert_eq!(idle.step(&now(QUIET_AFTER_NS + 1), QUIET_AFTER_NS), Step::Spin);
    }

    #[test]
    fn a_thread_with_its_own_core_never_parks() {
        let mut idle = Idle::new(Patience::Spin);
        assert!((0..1_000).all(|_| idle.step(&now(u64::MAX), 0) == Step::Spin));
    }
}
