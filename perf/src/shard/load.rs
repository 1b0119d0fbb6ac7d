//! The two ends of a measured shard: commands at their times, and when their outputs came.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hdrhistogram::Histogram;
use node::{Now, Source, Taker, Tap};
use protocol::{Seq, SessionId, limits::COMMAND_BYTES_MAX};

use super::script::Script;
use crate::machine::thread_cpu_ns;

/// From one index price to the next: without them a symbol stops trading.
const INDEX_NS: u64 = 2_000_000_000;
/// Commands handed over in one duty cycle, as a busy transport would.
const COMMANDS_PER_POLL: usize = 256;
const NS_PER_S: u128 = 1_000_000_000;
/// Latencies are kept up to here; a longer one counts as this.
pub const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// How commands are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// So many a second, each at its time, whether or not those before it are done.
    Rate(u64),
    /// As fast as they are taken.
    Unlimited,
}

/// What both ends know of the run; written by one thread each.
#[derive(Debug)]
pub struct Run {
    pub clock: quanta::Clock,
    pub offer: Offer,
    /// Seq of the first measured command; 0 until it has one.
    first_seq: AtomicU64,
    /// When the first measured command was due.
    start_ns: AtomicU64,
    pub measured: u64,
}

impl Run {
    pub fn new(offer: Offer, measured: u64) -> Self {
        let clock = quanta::Clock::new();
        let (first_seq, start_ns) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { clock, offer, first_seq, start_ns, measured }
    }

    fn now_ns(&self) -> u64 {
        self.clock.delta_as_nanos(0, self.clock.raw())
    }

    /// When a measured command is due, after the first one.
    fn due_after_ns(&self, nth: u64) -> u64 {
        match self.offer {
            Offer::Rate(rate) => (u128::from(nth) * NS_PER_S / u128::from(rate)) as u64,
            Offer::Unlimited => 0,
        }
    }

    /// How many measured commands are due so long after the first one.
    fn due_by(&self, elapsed_ns: u64) -> u64 {
        match self.offer {
            Offer::Rate(rate) => {
                let due = u128::from(elapsed_ns) * u128::from(rate) / NS_PER_S + 1;
                due.min(u128::from(self.measured)) as u64
            }
            Offer::Unlimited => self.measured,
        }
    }
}

/// Sends the script: what is not measured at once, the rest as it is due.
pub struct Load {
    script: Script<'static>,
    run: Arc<Run>,
    /// Commands before the measured ones.
    warm: usize,
    sent: usize,
    is_open: bool,
    /// When the last index price was sent.
    index_ns: u64,
    /// All before the measured ones has come out when this says so.
    done: Arc<AtomicU64>,
    last_warm_seq: Seq,
    payload: [u8; COMMAND_BYTES_MAX],
}

impl Load {
    pub fn new(script: Script<'static>, warm: usize, run: Arc<Run>, done: Arc<AtomicU64>) -> Self {
        let warm = script.setup_len() + warm;
        Self {
            script,
            run,
            warm,
            sent: 0,
            is_open: false,
            index_ns: 0,
            done,
            last_warm_seq: 0,
            payload: [0; COMMAND_BYTES_MAX],
        }
    }

    /// How many commands may be sent now.
    fn due(&mut self) -> usize {
        if self.sent < self.warm {
            return self.warm - self.sent;
        }
        if self.sent == self.warm {
            if self.done.load(Ordering::Acquire) < self.last_warm_seq {
                return 0;
            }
            self.run.start_ns.store(self.run.now_ns(), Ordering::Release);
        }
        let elapsed = self.run.now_ns() - self.run.start_ns.load(Ordering::Acquire);
        self.warm + self.run.due_by(elapsed) as usize - self.sent
    }

    /// Says what the index is once more, as a feed does, when it is time for that.
    fn send_index(&mut self, taker: &mut Taker<'_>) -> bool {
        let now = self.run.now_ns();
        if self.sent < self.script.setup_len() || now - self.index_ns < INDEX_NS {
            return false;
        }
        self.index_ns = now;
        let (envelope, command) = self.script.index();
        let len = command.encode(&envelope, &mut self.payload);
        taker.take(command.kind(), &self.payload[..len]);
        true
    }

    fn send(&mut self, taker: &mut Taker<'_>) {
        let (envelope, command) = self.script.command(self.sent);
        let len = command.encode(&envelope, &mut self.payload);
        let seq = taker.take(command.kind(), &self.payload[..len]);
        if self.sent == self.warm {
            self.run.first_seq.store(seq, Ordering::Release);
        }
        self.sent += 1;
        self.last_warm_seq = seq;
    }
}

impl Source for Load {
    fn poll(&mut self, _now: &Now, room: usize, taker: &mut Taker<'_>) -> usize {
        let mut room = room.min(COMMANDS_PER_POLL);
        if !self.is_open && room > 0 {
            let open = self.script.open();
            let len = open.encode(&Default::default(), &mut self.payload);
            let seq = taker.take(open.kind(), &self.payload[..len]);
            self.script.opened(SessionId(seq));
            self.is_open = true;
            room -= 1;
        }
        room -= usize::from(room > 0 && self.send_index(taker));
        let count = self.due().min(room);
        for _ in 0..count {
            self.send(taker);
        }
        count
    }
}

/// What a run came to.
pub struct Figures {
    pub latencies: Histogram<u64>,
    /// From the first command's time to the last output.
    pub elapsed_ns: u64,
    /// CPU time of the thread that runs the stages, over the measured commands.
    pub cpu_ns: u64,
}

/// Notes when each command's output is out.
pub struct Watch {
    run: Arc<Run>,
    done: Arc<AtomicU64>,
    latencies: Histogram<u64>,
    seen: u64,
    cpu_start_ns: u64,
    result: std::sync::mpsc::Sender<Figures>,
}

impl Watch {
    pub fn new(
        run: Arc<Run>,
        done: Arc<AtomicU64>,
        latencies: Histogram<u64>,
        result: std::sync::mpsc::Sender<Figures>,
    ) -> Self {
        Self { run, done, latencies, seen: 0, cpu_start_ns: 0, result }
    }

    fn measured(&mut self) {
        let start = self.run.start_ns.load(Ordering::Acquire);
        let elapsed = self.run.now_ns() - start;
        let latency = elapsed.saturating_sub(self.run.due_after_ns(self.seen));
        self.latencies.saturating_record(latency);
        if self.seen == 0 {
            self.cpu_start_ns = thread_cpu_ns();
        }
        self.seen += 1;
        if self.seen == self.run.measured {
            let figures = Figures {
                latencies: self.latencies.clone(),
                elapsed_ns: elapsed,
                cpu_ns: thread_cpu_ns() - self.cpu_start_ns,
            };
            // The receiver waits for exactly this.
            let _ = self.result.send(figures);
        }
    }
}

impl Tap for Watch {
    fn frame(&mut self, seq: Seq, events: &[u8]) {
        let first = self.run.first_seq.load(Ordering::Acquire);
        // Ticks of the node itself and index prices lie between the commands.
        let is_command = !is_between(events);
        if first != 0 && seq >= first && is_command && self.seen < self.run.measured {
            self.measured();
        }
        self.done.store(seq, Ordering::Release);
    }
}

/// Whether a frame is a tick or an index price, as its last event says.
fn is_between(events: &[u8]) -> bool {
    use protocol::{CommandKind, Event, event::decode_next};
    const OUTCOME_BYTES: usize =
        protocol::event::EVENT_HEADER_BYTES + size_of::<protocol::event::Outcome>();
    let Some(last) = events.len().checked_sub(OUTCOME_BYTES) else { return false };
    matches!(
        decode_next(&events[last..]),
        Ok((_, Event::Outcome(outcome), _))
            if [CommandKind::Tick as u16, CommandKind::IndexPrices as u16]
                .contains(&outcome.command)
    )
}
