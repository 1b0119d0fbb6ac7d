//! Which thread runs which stage, and how a running pipeline is brought to rest.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use core_affinity::CoreId;

use crate::{
    Error,
    agent::Agent,
    clock::Clock,
    control::{Control, DeathWatch, Phase},
    idle::{Idle, Patience},
    pipeline::Pipeline,
    progress::Progress,
};

/// Stages of a pipeline; `spread` wants a core for each.
pub const STAGES: usize = 5;
/// From so many cores on, each stage may have one of its own.
pub const SPREAD_CORES_MIN: usize = 6;
/// What is under way when a node is told to stop has this long to come through.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// How stages are laid over threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All on one thread, which rests when there is nothing to do.
    Compact,
    /// What leads to a decision on one thread, what follows from it on another: for a shard that
    /// has two cores to itself. Both rest when there is nothing to do.
    Halves,
    /// One thread a stage, each on a core of its own that it never lets go of. The cores by
    /// number, one a stage; empty: the first ones there are.
    Spread { cores: Vec<usize> },
}

impl Layout {
    /// What suits a machine with so many cores.
    pub fn for_cores(cores: usize) -> Self {
        if cores < SPREAD_CORES_MIN { Self::Compact } else { Self::Spread { cores: Vec::new() } }
    }

    /// The core of each thread, checked against those of this machine; nothing has been started.
    fn pins(&self) -> Result<Vec<Option<CoreId>>, Error> {
        let cores = match self {
            Self::Compact => return Ok(vec![None]),
            Self::Halves => return Ok(vec![None; 2]),
            Self::Spread { cores } => cores,
        };
        let lacking = |why: String| Error::Cores { needed: STAGES, why };
        let present = core_affinity::get_core_ids()
            .filter(|present| !present.is_empty())
            .ok_or_else(|| lacking("this machine does not say which it has".into()))?;
        if cores.is_empty() {
            if present.len() < STAGES {
                return Err(lacking(format!("there are {}", present.len())));
            }
            return Ok(present.into_iter().take(STAGES).map(Some).collect());
        }
        if cores.len() != STAGES {
            return Err(lacking(format!("the configuration names {}", cores.len())));
        }
        cores
            .iter()
            .enumerate()
            .map(|(at, core)| {
                if cores[..at].contains(core) {
                    return Err(lacking(format!("core {core} is named twice")));
                }
                let found = present.iter().find(|id| id.id == *core);
                found.copied().map(Some).ok_or_else(|| lacking(format!("core {core} is not there")))
            })
            .collect()
    }

    /// Whether this machine can run it.
    pub fn check(&self) -> Result<(), Error> {
        self.pins().map(|_| ())
    }
}

/// A pipeline at work.
pub struct Running {
    threads: Vec<JoinHandle<()>>,
    pub control: Arc<Control>,
    pub progress: Arc<Progress>,
}

impl Running {
    pub(crate) fn start(pipeline: Pipeline, layout: &Layout, clock: Clock) -> Result<Self, Error> {
        let patience = match layout {
            Layout::Compact | Layout::Halves => Patience::BackOff,
            Layout::Spread { .. } => Patience::Spin,
        };
        Self::launch(pipeline, layout.pins()?, patience, clock)
    }

    /// A thread for each of `pins`, on that core where there is one.
    fn launch(
        pipeline: Pipeline,
        pins: Vec<Option<CoreId>>,
        patience: Patience,
        clock: Clock,
    ) -> Result<Self, Error> {
        let Pipeline { agents, control, progress } = pipeline;
        let mut running = Self { threads: Vec::new(), control, progress };
        for (agents, core) in shares(agents, pins.len()).into_iter().zip(pins) {
            let name = agents[0].name();
            let shift = Shift {
                agents,
                core,
                clock,
                idle: Idle::new(patience),
                control: Arc::clone(&running.control),
                progress: Arc::clone(&running.progress),
            };
            let thread = thread::Builder::new().name(name.into()).spawn(move || shift.work(name));
            match thread {
                Ok(thread) => running.threads.push(thread),
                Err(error) => {
                    running.control.stop();
                    return Err(Error::Thread(error));
                }
            }
        }
        Ok(running)
    }

    /// Ends intake, lets what is under way come through, stops the threads; the journals are
    /// durable and closed when this returns. The failure that ended the node, if one did.
    pub fn stop(mut self) -> Result<(), Error> {
        self.control.drain();
        self.wake();
        let started = Instant::now();
        while self.control.phase() == Phase::Draining && !self.progress.is_drained() {
            if started.elapsed() > DRAIN_TIMEOUT {
                let waited_ms = DRAIN_TIMEOUT.as_millis() as u64;
                self.control.fail(Error::DrainTimeout { waited_ms });
            }
            thread::sleep(DRAIN_LOOK_INTERVAL);
        }
        self.end();
        self.control.take_failure().map_or(Ok(()), Err)
    }

    /// Wakes threads that rest, because there is something to do.
    pub fn wake(&self) {
        for thread in &self.threads {
            thread.thread().unpark();
        }
    }

    fn end(&mut self) {
        self.control.stop();
        self.wake();
        for thread in self.threads.drain(..) {
            // A panic there has become the failure already.
            drop(thread.join());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Divides the stages over so many threads: the last ones get one each, the first takes the rest.
fn shares(mut agents: Vec<Box<dyn Agent>>, threads: usize) -> Vec<Vec<Box<dyn Agent>>> {
    assert!((1..=agents.len()).contains(&threads), "each thread has a stage");
    let alone = agents.split_off(agents.len() + 1 - threads);
    let mut shares = vec![agents];
    shares.extend(alone.into_iter().map(|agent| vec![agent]));
    shares
}

/// What one thread does.
struct Shift {
    agents: Vec<Box<dyn Agent>>,
    core: Option<CoreId>,
    clock: Clock,
    idle: Idle,
    control: Arc<Control>,
    progress: Arc<Progress>,
}

impl Shift {
    fn work(mut self, name: &'static str) {
        let _watch = DeathWatch { control: Arc::clone(&self.control), thread: name };
        if let Some(core) = self.core
            && !core_affinity::set_for_current(core)
        {
            let why = format!("{name} may not run on core {}", core.id);
            return self.control.fail(Error::Cores { needed: STAGES, why });
        }
        while self.control.phase() != Phase::Stopped {
            let now = self.clock.now();
            let work = self.agents.iter_mut().map(|agent| agent.poll(&now)).sum();
            self.idle.rest(work, &now, self.progress.client_ns.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Now, Parts, Recovered, Source, Store, Taker, Tap,
        client::{PATIENCE, deposit},
        recover, replay,
        ring::{INPUT_SLOTS_MIN, OUTPUT_SLOTS_MIN},
        tally::Tally,
    };
    use protocol::{
        Command, CommandKind, Envelope, Event, Name, SessionId, command::Open, event::decode_next,
        limits::COMMAND_BYTES_MAX, order::SessionKind,
    };
    use replication::Solo;
    use std::sync::mpsc;

    /// Deposits of one session, as many as asked for.
    struct Deposits {
        session: SessionId,
        sent: u64,
        wanted: u64,
    }

    impl Source for Deposits {
        fn poll(&mut self, _now: &Now, room: usize, taker: &mut Taker<'_>) -> usize {
            let mut payload = [0; COMMAND_BYTES_MAX];
            if self.session.is_none() && room > 0 {
                let name = Name::EMPTY;
                let open = Open { nonce: 1, kind: SessionKind::Gateway, _pad: [0; 7], name };
                let len = Command::Open(open).encode(&Envelope::default(), &mut payload);
                self.session = SessionId(taker.take(CommandKind::Open, &payload[..len]));
                return 1;
            }
            let count = room.min((self.wanted - self.sent) as usize).min(64);
            for _ in 0..count {
                self.sent += 1;
                let (envelope, command) = deposit(self.session, self.sent, 1);
                let len = command.encode(&envelope, &mut payload);
                taker.take(command.kind(), &payload[..len]);
            }
            count
        }
    }

    /// The seqs that came out, and whether a deposit was behind each.
    struct Seqs(mpsc::Sender<(u64, bool)>);

    impl Tap for Seqs {
        fn frame(&mut self, seq: u64, events: &[u8]) {
            let first = decode_next(events).unwrap().1;
            self.0.send((seq, matches!(first, Event::CashChanged(_)))).unwrap();
        }
    }

    #[test]
    fn stages_on_threads_of_their_own_do_what_they_do_on_one() {
        const COMMANDS: u64 = 5_000;
        let mut hashes = Vec::new();
        for threads in [1, 2, STAGES] {
            let temp = tempfile::tempdir().unwrap();
            let store = Store::for_tests(temp.path());
            let Recovered { mind, journal, events, tail, .. } =
                recover(&store, Tally::default()).unwrap();
            let (sender, seqs) = mpsc::channel();
            let pipeline = Pipeline::new(Parts {
                source: Deposits { session: SessionId::NONE, sent: 0, wanted: COMMANDS },
                rule: Solo::new(tail.epoch),
                mind,
                tap: Seqs(sender),
                tail,
                journal,
                events,
                outlets: None,
                input_slots: INPUT_SLOTS_MIN,
                output_slots: OUTPUT_SLOTS_MIN,
                control: Arc::default(),
                progress: Arc::default(),
            });
            let pins = vec![None; threads];
            let running =
                Running::launch(pipeline, pins, Patience::BackOff, Clock::default()).unwrap();
            let (mut last, mut deposits) = (0, 0);
            while deposits < COMMANDS {
                let (seq, is_deposit) = seqs.recv_timeout(PATIENCE).unwrap();
                assert_eq!(seq, last + 1);
                last = seq;
                deposits += u64::from(is_deposit);
            }
            running.stop().unwrap();
            let mut mind = Tally::default();
            replay(&store.dirs.journal, &mut mind, |_, _| Ok(())).unwrap();
            hashes.push(mind.cash);
        }
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn few_cores_share_a_thread() {
        assert_eq!(Layout::for_cores(2), Layout::Compact);
        assert_eq!(Layout::for_cores(8), Layout::Spread { cores: Vec::new() });
        assert!(Layout::Compact.check().is_ok());
    }

    #[test]
    fn cores_that_cannot_be_had_are_an_error_before_the_start() {
        let cases = [
            (vec![0, 1], "names 2"),
            (vec![0, 0, 0, 0, 0], "named twice"),
            (vec![0, 100_001, 100_002, 100_003, 100_004], "is not there"),
        ];
        for (cores, why) in cases {
            let error = Layout::Spread { cores }.check().unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
