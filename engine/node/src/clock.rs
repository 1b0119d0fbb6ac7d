//! The one place that reads clocks, and the stamp that turns their readings into log time.
//!
//! Log time follows the wall clock but is not it: it never goes back, and while a process runs it
//! goes forward no faster than the monotonic clock and one percent. A wall clock that jumps an
//! hour so fires no funding and expires no order.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use protocol::Micros;
use replication::MonotonicNs;

/// Both clocks, read together once a duty cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub monotonic: MonotonicNs,
    /// Since the Unix epoch.
    pub wall_ns: u64,
}

impl Now {
    /// Nanoseconds since an earlier reading; 0 when it is not earlier.
    pub fn since(&self, earlier: MonotonicNs) -> u64 {
        self.monotonic.0.saturating_sub(earlier.0)
    }
}

/// Reads the machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    pub fn now(&self) -> Now {
        let monotonic = MonotonicNs(self.start.elapsed().as_nanos() as u64);
        // A wall clock before 1970 reads as 0: the log's own last time then holds.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic, wall_ns: wall.as_nanos() as u64 }
    }
}

/// How much faster than the monotonic clock log time may run, to catch up: one part in so many.
const CATCH_UP_PARTS: u64 = 100;
/// A wall clock this far from log time is worth an alarm.
pub const DRIFT_ALARM_NS: u64 = 1_000_000_000;
/// The first frame after a start from disk may leap; further than this is worth an alarm.
pub const LEAP_ALARM_NS: u64 = 3_600_000_000_000;

const NS_PER_US: u64 = 1_000;

/// Gives frames their times.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Of the last frame, in nanoseconds so that many frames in a microsecond lose nothing.
    last_ns: u64,
    /// When the last frame was stamped; none yet in this process.
    stamped: Option<MonotonicNs>,
}

/// What an operator should hear about a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockAlarm {
    /// The first frame of this process is far from the last one of the log.
    Leap { by_ns: u64 },
    /// The wall clock went away from log time.
    Drift { by_ns: u64 },
}

impl Stamp {
    /// Goes on after a log whose last frame has this time (0: an empty log).
    pub fn after(last: Micros) -> Self {
        Self { last_ns: last.saturating_mul(NS_PER_US), stamped: None }
    }

    /// The time of a frame stamped now.
    pub fn stamp(&mut self, now: &Now) -> Micros {
        let Some(stamped) = self.stamped else {
            self.last_ns = self.last_ns.max(now.wall_ns);
            self.stamped = Some(now.monotonic);
            return self.last();
        };
        let elapsed = now.since(stamped);
        let ceiling = self.last_ns + elapsed + elapsed / CATCH_UP_PARTS;
        self.last_ns = now.wall_ns.clamp(self.last_ns, ceiling);
        self.stamped = Some(now.monotonic.max(stamped));
        self.last()
    }

    /// The time a frame would get now.
    pub fn preview(&self, now: &Now) -> Micros {
        let mut copy = *self;
        copy.stamp(now)
    }

    /// Of the last frame.
    pub fn last(&self) -> Micros {
        self.last_ns / NS_PER_US
    }

    /// Whether the clock as it is now deserves an alarm; to be asked before [`Self::stamp`].
    pub fn alarm(&self, now: &Now) -> Option<ClockAlarm> {
        match self.stamped {
            None if self.last_ns == 0 => None,
            None => {
                let by_ns = now.wall_ns.abs_diff(self.last_ns);
                (by_ns > LEAP_ALARM_NS).then_some(ClockAlarm::Leap { by_ns })
            }
            Some(stamped) => {
                let by_ns = now.wall_ns.abs_diff(self.last_ns + now.since(stamped));
                (by_ns > DRIFT_ALARM_NS).then_some(ClockAlarm::Drift { by_ns })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_NS: u64 = 3_600_000_000_000;
    const MS_NS: u64 = 1_000_000;

    fn at(monotonic_ns: u64, wall_ns: u64) -> Now {
        Now { monotonic: MonotonicNs(monotonic_ns), wall_ns }
    }

    #[test]
    fn a_start_from_disk_takes_the_later_of_log_and_wall() {
        let mut behind = Stamp::after(5_000);
        assert_eq!(behind.stamp(&at(0, 9_000_000)), 9_000);
        let mut ahead = Stamp::after(5_000);
        assert_eq!(ahead.stamp(&at(0, 1_000_000)), 5_000);
        assert_eq!(ahead.stamp(&at(MS_NS, 2_000_000)), 5_000);
    }

    #[test]
    fn a_jump_forward_is_followed_at_one_percent() {
        let mut stamp = Stamp::after(0);
        let start = HOUR_NS;
        stamp.stamp(&at(0, start));
        let ts = stamp.stamp(&at(100 * MS_NS, start + HOUR_NS));
        assert_eq!(ts, (start + 101 * MS_NS) / NS_PER_US);
        assert!(matches!(
            stamp.alarm(&at(200 * MS_NS, start + HOUR_NS)),
            Some(ClockAlarm::Drift { .. })
        ));
    }

    #[test]
    fn a_jump_back_stands_still() {
        let mut stamp = Stamp::after(0);
        stamp.stamp(&at(0, 2 * HOUR_NS));
        assert_eq!(stamp.stamp(&at(MS_NS, HOUR_NS)), 2 * HOUR_NS / NS_PER_US);
    }

    #[test]
    fn frames_closer_than_a_microsecond_do_not_slow_it() {
        let mut stamp = Stamp::after(0);
        for step in 0..100_000u64 {
            stamp.stamp(&at(step * 100, HOUR_NS + step * 100));
        }
        assert_eq!(stamp.last(), (HOUR_NS + 99_999 * 100) / NS_PER_US);
    }

    #[test]
    fn a_long_rest_is_no_alarm() {
        let mut stamp = Stamp::after(1_000);
        assert!(matches!(stamp.alarm(&at(0, 2 * HOUR_NS)), Some(ClockAlarm::Leap { .. })));
        stamp.stamp(&at(0, 2 * HOUR_NS));
        assert_eq!(stamp.alarm(&at(HOUR_NS, 3 * HOUR_NS)), None);
    }

    proptest! {
        #[test]
        fn never_back_and_never_faster_than_allowed(
            steps in prop::collection::vec((0u64..10 * MS_NS, 0u64..3 * HOUR_NS), 1..50),
        ) {
            let mut stamp = Stamp::after(0);
            let (mut monotonic, mut last) = (0, stamp.stamp(&at(0, HOUR_NS)));
            for (elapsed, wall) in steps {
                monotonic += elapsed;
                let ts = stamp.stamp(&at(monotonic, wall));
                prop_assert!(ts >= last);
                prop_assert!(ts - last <= (elapsed + elapsed / CATCH_UP_PARTS) / NS_PER_US + 1);
                last = ts;
            }
        }
    }
}
