//! How the one thread of a shared driver waits: alert under load, asleep in a quiet cluster.
//!
//! Each wake costs a small machine 10 to 30 µs, and a quiet cluster still has some hundred
//! heartbeats, status messages and announcements a second. Aeron's own backoff starts over with
//! spinning after each of them. This one learns from what came before: it stays awake after data
//! where data has lately followed on data at once, as in a conversation or under load, and
//! otherwise goes back to sleep, to look in at a steady, slow pace.

use std::thread;
use std::time::{Duration, Instant};

/// Work is counted in bytes. A data frame has at least so many; a heartbeat, a status message
/// and a setup have at most 40.
const DATA_WORK_MIN: i32 = 64;

/// How long to stay awake for what follows on data: its answer, or more of it.
const ALERT: Duration = Duration::from_micros(100);

/// Data that followed in that time gains trust, data that did not loses it. With none left it is
/// not worth staying awake; no more than this, so that a quiet minute after a load starts soon.
const TRUST_MAX: u32 = 16;

/// Without trust it stays awake once in so many times, to see whether that has become worth it.
const PROBE_INTERVAL: u32 = 16;

/// The first park after an alert; the following are longer.
const PARK_MIN: Duration = Duration::from_micros(50);

/// The longest park, and so what a message in a quiet cluster waits for at most.
const PARK_MAX: Duration = Duration::from_millis(2);

pub struct Idle {
    trust: u32,
    until_probe: u32,
    awake: bool,
    last_data: Instant,
    park: Duration,
}

/// What to do before the next turn.
#[derive(Debug, PartialEq, Eq)]
enum Pause {
    Nothing,
    Yield,
    Park(Duration),
}

impl Idle {
    pub fn new() -> Idle {
        Idle {
            trust: 0,
            until_probe: PROBE_INTERVAL,
            awake: false,
            last_data: Instant::now(),
            park: PARK_MAX,
        }
    }

    /// Waits as befits a turn with so much work.
    pub fn after(&mut self, work: i32) {
        match self.pause(work, Instant::now()) {
            Pause::Nothing => {}
            Pause::Yield => thread::yield_now(),
            Pause::Park(time) => thread::sleep(time),
        }
    }

    fn pause(&mut self, work: i32, now: Instant) -> Pause {
        if work >= DATA_WORK_MIN {
            self.note_data(now);
        }
        if work > 0 {
            return Pause::Nothing;
        }
        if self.awake && now.duration_since(self.last_data) < ALERT {
            return Pause::Yield;
        }
        let park = self.park;
        self.park = (2 * park).min(PARK_MAX);
        Pause::Park(park)
    }

    fn note_data(&mut self, now: Instant) {
        if now.duration_since(self.last_data) < ALERT {
            self.trust = (self.trust + 1).min(TRUST_MAX);
        } else {
            self.trust = self.trust.saturating_sub(1);
        }
        self.last_data = now;
        self.until_probe -= 1;
        let probes = self.until_probe == 0;
        if probes {
            self.until_probe = PROBE_INTERVAL;
        }
        self.awake = self.trust > 0 || probes;
        self.park = if self.trust > 0 { PARK_MIN } else { PARK_MAX };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: i32 = 0;
    const HEARTBEAT: i32 = 40;
    const DATA: i32 = 64;

    /// Lets data come again and again after a pause of its sender's, and counts the turns that
    /// ended in a park.
    fn parks_of_a_talk(
        idle: &mut Idle,
        now: &mut Instant,
        messages: usize,
        gap: Duration,
    ) -> usize {
        let mut parks = 0;
        for _ in 0..messages {
            let next = *now + gap;
            assert_eq!(idle.pause(DATA, *now), Pause::Nothing);
            while *now < next {
                *now += match idle.pause(NOTHING, *now) {
                    Pause::Nothing => panic!("there was no work"),
                    Pause::Yield => Duration::from_micros(1),
                    Pause::Park(time) => {
                        parks += 1;
                        time
                    }
                };
            }
        }
        parks
    }

    #[test]
    fn a_quiet_cluster_is_looked_at_at_a_steady_pace() {
        let mut idle = Idle::new();
        let mut now = Instant::now();
        let mut yields = 0;
        for _ in 0..160 {
            now += Duration::from_millis(5);
            assert_eq!(idle.pause(DATA, now), Pause::Nothing);
            assert_eq!(idle.pause(HEARTBEAT, now), Pause::Nothing);
            match idle.pause(NOTHING, now) {
                Pause::Park(time) => assert_eq!(time, PARK_MAX),
                Pause::Yield => yields += 1,
                Pause::Nothing => panic!("there was no work"),
            }
        }
        assert_eq!(yields, 160 / PROBE_INTERVAL);
    }

    #[test]
    fn a_conversation_wakes_it_and_silence_lets_it_sleep() {
        let mut idle = Idle::new();
        let mut now = Instant::now() + PARK_MAX;
        let gap = ALERT / 4;
        let probing = PROBE_INTERVAL as usize;
        assert!(parks_of_a_talk(&mut idle, &mut now, probing, gap) >= probing - 1);
        assert_eq!(parks_of_a_talk(&mut idle, &mut now, 1000, gap), 0);
        assert_eq!(idle.trust, TRUST_MAX);

        let rare = 10 * PARK_MAX;
        parks_of_a_talk(&mut idle, &mut now, TRUST_MAX as usize + 1, rare);
        assert_eq!(idle.trust, 0);
        let parks = parks_of_a_talk(&mut idle, &mut now, 10, rare);
        assert_eq!(parks, 10 * 10);
    }

    #[test]
    fn parks_grow_after_an_alert() {
        let mut idle = Idle::new();
        let mut now = Instant::now();
        idle.pause(DATA, now);
        idle.pause(DATA, now);
        assert_eq!(idle.pause(NOTHING, now), Pause::Yield);
        now += ALERT;
        let mut park = PARK_MIN;
        for _ in 0..10 {
            assert_eq!(idle.pause(NOTHING, now), Pause::Park(park));
            park = (2 * park).min(PARK_MAX);
        }
        assert_eq!(park, PARK_MAX);
    }
}
