//! kill -9 at random moments: what was acknowledged is there, nothing is there twice.
//!
//! The child is this test binary once more: a shard in one process whose commands come over a
//! socket and whose outcomes go back over it. The parent plays the gateway: it numbers commands,
//! sends again what has no outcome, and remembers every outcome it was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use engine::{Engine, LoadError};
use protocol::{
    Command, CommandKind, Envelope, Event, FrameHeader, Micros, Name, Reject, Seq, SessionId,
    ShardId, command::Open, event::decode_next, limits::COMMAND_BYTES_MAX, order::SessionKind,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use replication::Solo;

use crate::{
    CAPACITY, Clock, Control, DataDir, Layout, Mind, Owner, Parts, Pipeline, Progress, Recovered,
    Sink, Source, Store, Taker, Tap,
    client::{CLUSTER, deposit},
    clock::Now,
    genesis, recover,
    ring::{INPUT_SLOTS_DEFAULT, OUTPUT_SLOTS_MIN},
    snapshot,
};

const DIR_VARIABLE: &str = "EXCHANGE_KILL_TEST_DIR";
const SOCKET: &str = "socket";
const SEGMENT_BYTES: u64 = 8 << 20;
const ROUNDS: usize = 6;
const ROUNDS_FULL: usize = 100;
/// Commands without an outcome at once.
const WINDOW: u64 = 64;
/// The living engine's hash is told at each so many frames.
const HASH_EVERY: u64 = 256;
const PATIENCE: Duration = Duration::from_secs(30);

/// From the child to the parent: what, seq, session, number or hash, reject.
type Word = [u64; 5];
const OPENED: u64 = 1;
const OUTCOME: u64 = 2;
const HASH: u64 = 3;
const WORD_BYTES: usize = size_of::<Word>();

#[test]
fn what_was_acknowledged_survives_kills_and_nothing_is_there_twice() {
    let temp = tempfile::tempdir().unwrap();
    let rounds = if env::var_os("EXCHANGE_FULL").is_some() { ROUNDS_FULL } else { ROUNDS };
    let mut random = StdRng::seed_from_u64(0xD1E);
    let mut gateway = Gateway::default();
    let mut snapshots = BTreeSet::new();
    for round in 0..rounds {
        let goal = gateway.acknowledged.len() + random.random_range(1..400);
        let linger = Duration::from_micros(random.random_range(0..20_000));
        let mut child = Shard::spawn(temp.path());
        gateway.talk(&mut child, goal, linger);
        if round % 2 == 1 {
            let taken = snapshot::take(temp.path()).unwrap();
            snapshots.extend(taken.map(|taken| taken.stand.seq));
        }
        child.kill();
        gateway.listen_to_the_end(&mut child);
    }
    assert!(gateway.acknowledged.len() > rounds, "each round gets something done");
    assert!(snapshots.len() > 1, "snapshots are taken beside a living shard");
    check(temp.path(), &gateway);
}

/// Replays what is on disk and holds it against what the gateway was told.
fn check(dir: &Path, gateway: &Gateway) {
    let data_dir = DataDir::take(dir, owner()).unwrap();
    let mut applied: BTreeMap<(u64, u64), Seq> = BTreeMap::new();
    let hashes: Arc<Mutex<BTreeMap<Seq, u64>>> = Arc::default();
    let tell: Teller = Box::new({
        let hashes = hashes.clone();
        move |seq, hash| {
            hashes.lock().unwrap().insert(seq, hash);
        }
    });
    let mut replayed = Telling { engine: Engine::new(CAPACITY), tell: Some(tell) };
    crate::replay(&data_dir.dirs.journal, &mut replayed, |header, events| {
        if let Some((session, number, reject)) = outcome_of(events)
            && reject == Reject::None as u64
        {
            let twice = applied.insert((session, number), header.seq);
            assert_eq!(twice, None, "command {number} of session {session} was applied twice");
        }
        Ok(())
    })
    .unwrap();
    for (key, seq) in &gateway.acknowledged {
        assert_eq!(applied.get(key), Some(seq), "{key:?} was acknowledged");
    }
    assert!(!gateway.hashes.is_empty(), "hashes were told");
    let hashes = hashes.lock().unwrap();
    for (seq, hash) in &gateway.hashes {
        assert_eq!(hashes.get(seq), Some(hash), "the state at {seq} is that of a replay");
    }
    // Opening compares every event on disk with a replay.
    let again = recover(&store(&data_dir), Engine::new(CAPACITY)).unwrap();
    assert_eq!(again.mind.state_hash(), Engine::state_hash(&replayed.engine));
    assert!(again.snapshot > 0, "it began at a snapshot");
}

/// What the parent keeps.
#[derive(Default)]
struct Gateway {
    session: Option<SessionId>,
    /// The last number that was ever sent.
    sent: u64,
    /// (session, number) of what was applied, and its seq.
    acknowledged: BTreeMap<(u64, u64), Seq>,
    hashes: BTreeMap<Seq, u64>,
    settled: u64,
}

impl Gateway {
    /// Sends and listens until there are so many outcomes, and a little longer.
    fn talk(&mut self, shard: &mut Shard, goal: usize, linger: Duration) {
        let start = Instant::now();
        let mut next = self.settled + 1;
        let mut asked = false;
        let mut reached: Option<Instant> = None;
        while reached.is_none_or(|at| at.elapsed() < linger) {
            assert!(start.elapsed() < PATIENCE, "the shard does not answer");
            match self.session {
                None if !asked => asked = shard.send(&open()),
                None => {}
                Some(session) => {
                    while next <= self.settled + WINDOW {
                        shard.send(&deposit(session, next, 1));
                        self.sent = self.sent.max(next);
                        next += 1;
                    }
                }
            }
            if let Some(word) = shard.hear(Duration::from_millis(1)) {
                self.take(word);
            }
            if self.acknowledged.len() >= goal {
                reached.get_or_insert_with(Instant::now);
            }
        }
    }

    /// Takes in what the child had said before it died.
    fn listen_to_the_end(&mut self, shard: &mut Shard) {
        while let Some(word) = shard.hear(PATIENCE) {
            self.take(word);
        }
    }

    fn take(&mut self, [what, seq, session, number, reject]: Word) {
        match what {
            OPENED => self.session = Some(SessionId(session)),
            HASH => {
                self.hashes.insert(seq, number);
            }
            OUTCOME if reject == Reject::None as u64 => {
                let twice = self.acknowledged.insert((session, number), seq);
                assert!(twice.is_none(), "{number} was acknowledged twice");
                self.settled = number;
            }
            // Sent again, though it had been applied before the kill: its outcome was lost on
            // the way, so it settles the command without having acknowledged it.
            OUTCOME if reject == Reject::Duplicate as u64 => {
                self.settled = self.settled.max(number);
            }
            other => panic!("{other} {seq} {session} {number} {reject}"),
        }
    }
}

/// A living child.
struct Shard {
    child: Child,
    socket: UnixStream,
    words: Receiver<Word>,
}

impl Shard {
    fn spawn(dir: &Path) -> Self {
        let path = dir.join(SOCKET);
        if path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut child = Process::new(env::current_exe().unwrap())
            .args(["kill_test::child_of_the_kill_test", "--exact", "--ignored", "--nocapture"])
            .env(DIR_VARIABLE, dir)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let socket = loop {
            match listener.accept() {
                Ok((socket, _)) => break socket,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            assert_eq!(child.try_wait().unwrap(), None, "the child ended at its start");
            assert!(start.elapsed() < PATIENCE, "the child does not come");
            thread::sleep(Duration::from_millis(1));
        };
        socket.set_nonblocking(false).unwrap();
        let mut inbox = socket.try_clone().unwrap();
        let (sender, words) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; WORD_BYTES];
            while inbox.read_exact(&mut bytes).is_ok() {
                let mut word = [0; 5];
                for (value, chunk) in word.iter_mut().zip(bytes.chunks_exact(8)) {
                    *value = u64::from_le_bytes(chunk.try_into().unwrap());
                }
                if sender.send(word).is_err() {
                    break;
                }
            }
        });
        Self { child, socket, words }
    }

    fn send(&mut self, (envelope, command): &(Envelope, Command)) -> bool {
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(envelope, &mut payload);
        let mut bytes = Vec::with_capacity(len + 4);
        bytes.extend_from_slice(&(command.kind() as u16).to_le_bytes());
        bytes.extend_from_slice(&(len as u16).to_le_bytes());
        bytes.extend_from_slice(&payload[..len]);
        self.socket.write_all(&bytes).is_ok()
    }

    fn hear(&mut self, patience: Duration) -> Option<Word> {
        self.words.recv_timeout(patience).ok()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn open() -> (Envelope, Command) {
    let name = Name::new("kill").unwrap();
    let open = Open { nonce: 1, kind: SessionKind::Gateway, _pad: [0; 7], name };
    (Envelope::default(), Command::Open(open))
}

fn owner() -> Owner {
    Owner { cluster: CLUSTER, shard: 0, replica: 0 }
}

fn store(data_dir: &DataDir) -> Store {
    Store {
        dirs: data_dir.dirs.clone(),
        cluster: CLUSTER,
        shard: ShardId::LEDGER,
        shards: 2,
        segment_bytes: SEGMENT_BYTES,
        spare_segments: 1,
    }
}

/// (session, number, reject) of a frame that a session sent.
fn outcome_of(mut events: &[u8]) -> Option<(u64, u64, u64)> {
    while let Ok((_, event, rest)) = decode_next(events) {
        events = rest;
        if let Event::Outcome(outcome) = event
            && !outcome.session.is_none()
        {
            return Some((outcome.session.0, outcome.number, outcome.reject as u64));
        }
    }
    None
}

/// Run by the parent alone.
#[test]
#[ignore = "it is the child of the kill test"]
fn child_of_the_kill_test() {
    let dir = PathBuf::from(env::var_os(DIR_VARIABLE).expect("only the kill test starts this"));
    let socket = UnixStream::connect(dir.join(SOCKET)).unwrap();
    let data_dir = DataDir::take(&dir, owner()).unwrap();
    let mind = Telling { engine: Engine::new(CAPACITY), tell: None };
    let recovered = recover(&store(&data_dir), mind).unwrap();
    let Recovered { mut mind, journal, events, mut tail, .. } = recovered;
    let mut hashes = socket.try_clone().unwrap();
    mind.tell = Some(Box::new(move |seq, hash| tell(&mut hashes, [HASH, seq, 0, hash, 0])));
    if tail.last_seq == 0 {
        tail.genesis = Some(genesis(CLUSTER, ShardId::LEDGER, 2).unwrap());
    }
    let (sender, commands) = mpsc::sync_channel(1_024);
    let control = Arc::new(Control::default());
    let running = Pipeline::new(Parts {
        source: FromSocket { commands },
        rule: Solo::new(tail.epoch),
        mind,
        tap: ToSocket { socket: socket.try_clone().unwrap() },
        tail,
        journal,
        events,
        outlets: None,
        input_slots: INPUT_SLOTS_DEFAULT,
        output_slots: OUTPUT_SLOTS_MIN,
        control: control.clone(),
        progress: Arc::new(Progress::at(tail.last_seq)),
    })
    .start(&Layout::Compact, Clock::default())
    .unwrap();
    let mut socket = socket;
    while let Ok(command) = read_command(&mut socket) {
        sender.send(command).unwrap();
    }
    running.stop().unwrap();
}

type Said = (CommandKind, Vec<u8>);

fn read_command(socket: &mut UnixStream) -> io::Result<Said> {
    let mut head = [0; 4];
    socket.read_exact(&mut head)?;
    let kind = CommandKind::from_u16(u16::from_le_bytes([head[0], head[1]])).unwrap();
    let mut payload = vec![0; usize::from(u16::from_le_bytes([head[2], head[3]]))];
    socket.read_exact(&mut payload)?;
    Ok((kind, payload))
}

struct FromSocket {
    commands: Receiver<Said>,
}

impl Source for FromSocket {
    fn poll(&mut self, _now: &Now, room: usize, taker: &mut Taker<'_>) -> usize {
        for count in 0..room {
            match self.commands.try_recv() {
                Ok((kind, payload)) => taker.take(kind, &payload),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return count,
            };
        }
        room
    }
}

struct ToSocket {
    socket: UnixStream,
}

impl Tap for ToSocket {
    fn frame(&mut self, seq: Seq, events: &[u8]) {
        let mut rest = events;
        while let Ok((_, event, behind)) = decode_next(rest) {
            rest = behind;
            if let Event::SessionOpened(opened) = event {
                tell(&mut self.socket, [OPENED, seq, opened.session.0, 0, 0]);
            }
        }
        if let Some((session, number, reject)) = outcome_of(events) {
            tell(&mut self.socket, [OUTCOME, seq, session, number, reject]);
        }
    }
}

/// A parent that is gone needs to be told nothing.
fn tell(socket: &mut UnixStream, word: Word) {
    let bytes: Vec<u8> = word.iter().flat_map(|value| value.to_le_bytes()).collect();
    let _ = socket.write_all(&bytes);
}

/// An engine that tells its state's hash now and then, once it serves.
struct Telling {
    engine: Engine,
    tell: Option<Teller>,
}

type Teller = Box<dyn FnMut(Seq, u64) + Send>;

impl Mind for Telling {
    fn apply<S: Sink>(&mut self, header: &FrameHeader, payload: &[u8], sink: &mut S) {
        self.engine.apply(header, payload, sink);
        if let Some(tell) = &mut self.tell
            && header.seq.is_multiple_of(HASH_EVERY)
        {
            tell(header.seq, Engine::state_hash(&self.engine));
        }
    }

    fn load(state: &[u8]) -> Option<Result<Self, LoadError>> {
        Some(Engine::load(CAPACITY, state).map(|engine| Self { engine, tell: None }))
    }

    fn wake_at(&self) -> Option<Micros> {
        Engine::wake_at(&self.engine)
    }

    fn state_hash(&self) -> u64 {
        Engine::state_hash(&self.engine)
    }

    fn unacknowledged(&self, visit: &mut dyn FnMut(ShardId, u64, Command)) {
        self.engine.unacknowledged(visit);
    }
}
