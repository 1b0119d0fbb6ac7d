//! How the link's thread waits when nothing happens: hot for a moment, then ever more quietly.

use std::{thread, time::Duration};

/// Turns spent spinning, then yielding, then in short parks, before the long ones.
const SPINS: u32 = 64;
const YIELDS: u32 = 128;
const SHORT_PARKS: u32 = 512;
const SHORT_PARK: Duration = Duration::from_micros(50);
const MEDIUM_PARK: Duration = Duration::from_millis(1);
/// Where nobody has asked for anything for [`QUIET_AFTER`].
const LONG_PARK: Duration = Duration::from_millis(5);
const QUIET_AFTER: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Idle {
    turns: u32,
    asked: Duration,
}

impl Idle {
    /// A client has handed in a command.
    pub fn asked(&mut self, now: Duration) {
        self.asked = now;
    }

    /// A turn is over that did `work` things.
    pub fn turn(&mut self, work: usize, now: Duration) {
        if work > 0 {
            self.turns = 0;
            return;
        }
        self.turns = self.turns.saturating_add(1);
        if now.saturating_sub(self.asked) >= QUIET_AFTER {
            thread::park_timeout(LONG_PARK);
        } else if self.turns <= SPINS {
            std::hint::spin_loop();
        } else if self.turns <= SPINS + YIELDS {
            thread::yield_now();
        } else if self.turns <= SPINS + YIELDS + SHORT_PARKS {
            thread::park_timeout(SHORT_PARK);
        } else {
            thread::park_timeout(MEDIUM_PARK);
        }
    }
}
