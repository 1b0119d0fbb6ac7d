//! The engine as its node drives it: frames in, events out, each command once.

use alloc::{boxed::Box, vec::Vec};

use protocol::{
    Command, CommandKind, Envelope, FrameHeader, Micros, OrderId, Reject, Seq, SessionId, ShardId,
    command::{Genesis, Open},
    event::{Outcome, SessionOpened},
    limits::{EVENTS_PER_COMMAND_MAX, SHARDS_MAX},
};

use crate::{
    hash::{Digest, hash_of},
    ledger::Ledger,
    limits::WORK_PER_TURN_MAX,
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    sessions::Sessions,
    shard::Shard,
    verdict::{Refusal, Verdict, require},
};

/// The form of saved state: one more with whatever changes what is saved, or how.
const STATE_VERSION: u32 = 5;

/// What an engine makes room for before it starts; beyond it, it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    pub accounts: usize,
    /// Resting orders of a symbol.
    pub orders: usize,
}

/// A shard's state, advanced frame by frame.
pub struct Engine {
    capacity: Capacity,
    last_seq: Seq,
    last_ts: Micros,
    sessions: Sessions,
    role: Role,
    work_max: usize,
}

/// Whose state it is; the first frame says.
enum Role {
    Unborn,
    Ledger(Genesis, Box<Ledger>),
    Trading(Genesis, Box<Shard>),
}

/// What a frame tells besides its command.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub seq: Seq,
    pub now: Micros,
    pub session: SessionId,
    pub number: u64,
    pub last_try: bool,
    /// The frame's events may not become more than these.
    pub ceiling: usize,
    /// The events among them that are left.
    pub room: usize,
}

impl Engine {
    pub fn new(capacity: Capacity) -> Self {
        let sessions = Sessions::new();
        Self {
            capacity,
            last_seq: 0,
            last_ts: 0,
            sessions,
            role: Role::Unborn,
            work_max: WORK_PER_TURN_MAX,
        }
    }

    /// As the engine is, but for how many units of pending work a frame does. All engines of a
    /// log need the same bound, so this is for tests alone.
    pub const fn with_work_per_turn(mut self, most: usize) -> Self {
        self.work_max = most;
        self
    }

    /// Applies one frame: emits at least one event, and the last, only the last, is an
    /// [`Outcome`].
    ///
    /// Any payload is safe: what is no command is refused and changes nothing. The header is the
    /// node's own: frames come in order and time never goes back, else this panics.
    pub fn apply<S: Sink>(&mut self, header: &FrameHeader, payload: &[u8], out: &mut S) {
        assert_eq!(header.seq, self.last_seq + 1, "frames are applied in order");
        assert!(header.ts >= self.last_ts, "time never goes back in a log");
        (self.last_seq, self.last_ts) = (header.seq, header.ts);
        let mut out = Output::new(out);
        if let Role::Trading(_, shard) = &mut self.role {
            shard.work(header.ts, self.work_max, &mut out);
        }
        let (mut session, mut number) = (SessionId::NONE, 0);
        // Looked at where it lies, as it is some hundred bytes long.
        let verdict = match &Command::decode(header.kind, payload) {
            Err(_) => Err(Reject::Malformed.into()),
            Ok((envelope, command)) => {
                if needs_session(command.kind()) {
                    (session, number) = (envelope.session, envelope.number);
                }
                self.decide(header, envelope, command, &mut out)
            }
        };
        if let Role::Trading(_, shard) = &mut self.role {
            shard.close_frame();
        }
        let (order, Refusal { reject, amount }) = match verdict {
            Ok(order) => (order, Reject::None.into()),
            Err(refusal) => (OrderId::NONE, refusal),
        };
        let command = header.kind;
        out.emit(&Outcome { session, number, order, amount, reject, command, _pad: 0 });
        assert!(out.events() <= EVENTS_PER_COMMAND_MAX, "a frame's events are bounded");
    }

    /// It is so large that [`Self::look_ahead`] does something.
    #[inline]
    pub fn looks_ahead(&self) -> bool {
        matches!(&self.role, Role::Trading(_, shard) if shard.looks_ahead())
    }

    /// Is shown a frame that comes later, for memory to be asked for what it will need. Best is
    /// each frame once and in order, [`LOOK_AHEAD`](crate::LOOK_AHEAD) frames before it is applied.
    ///
    /// It decides nothing: without it, or with other frames, a large exchange only takes longer.
    #[inline]
    pub fn look_ahead(&mut self, header: &FrameHeader, payload: &[u8]) {
        if let Role::Trading(_, shard) = &mut self.role
            && shard.looks_ahead()
        {
            shard.look_ahead(header.kind, payload);
        }
    }

    /// A digest of all that decides what later frames do; not for the hot path.
    pub fn state_hash(&self) -> u64 {
        let mut digest = Digest::new();
        self.digest(&mut digest);
        digest.finish()
    }

    /// All that decides what later frames do, as bytes in an order that says nothing of how it
    /// came about; not for the hot path. [`Self::state_hash`] is the xxh3 of these bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut digest = Digest::keeping();
        self.digest(&mut digest);
        digest.into_bytes()
    }

    /// An engine that goes on from where the saved one stood.
    ///
    /// Any bytes are safe: what no engine has saved is an error.
    pub fn load(capacity: Capacity, bytes: &[u8]) -> Result<Self, LoadError> {
        let saved = &mut Saved::new(bytes);
        let found = saved.take()?;
        if found != STATE_VERSION {
            return Err(LoadError::Version { found, ours: STATE_VERSION });
        }
        let mut engine = Self::new(capacity);
        (engine.last_seq, engine.last_ts) = (saved.take()?, saved.take()?);
        engine.sessions = Sessions::load(saved)?;
        if saved.flag()? {
            let genesis = load_genesis(saved)?;
            engine.role = match genesis.shard {
                ShardId::LEDGER => {
                    Role::Ledger(genesis, Box::new(Ledger::load(&genesis, &capacity, saved)?))
                }
                _ => Role::Trading(genesis, Box::new(Shard::load(&genesis, &capacity, saved)?)),
            };
        }
        // What was read is what would be written again, to the last byte.
        sound(saved.is_empty() && engine.state_hash() == hash_of(bytes))?;
        Ok(engine)
    }

    fn digest(&self, into: &mut Digest) {
        into.add(STATE_VERSION).add(self.last_seq).add(self.last_ts);
        self.sessions.digest(into);
        into.add_flag(!matches!(self.role, Role::Unborn));
        match &self.role {
            Role::Unborn => {}
            Role::Ledger(genesis, ledger) => {
                digest_genesis(genesis, into);
                ledger.digest(into);
            }
            Role::Trading(genesis, shard) => {
                digest_genesis(genesis, into);
                shard.digest(into);
            }
        }
    }

    /// The last frame applied; 0 before the first.
    pub const fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// The log time from which on a tick has work to do.
    pub fn wake_at(&self) -> Option<Micros> {
        match &self.role {
            Role::Unborn => None,
            Role::Ledger(_, ledger) => ledger.wake_at(),
            Role::Trading(_, shard) => shard.wake_at(self.last_ts),
        }
    }

    /// Something has been asked of the ledger that it has not answered, acknowledged or not.
    pub fn awaits_ledger(&self) -> bool {
        matches!(&self.role, Role::Trading(_, shard) if shard.awaits_ledger())
    }

    /// Link messages that the other end has not acknowledged, each link's oldest first: (peer,
    /// its place in the link's stream, the command to send there). A node that restarts sends
    /// them again.
    pub fn outbox(&self) -> impl Iterator<Item = (ShardId, u64, Command)> + '_ {
        let (ledger, shard) = match &self.role {
            Role::Unborn => (None, None),
            Role::Ledger(_, ledger) => (Some(ledger.outbox()), None),
            Role::Trading(_, shard) => (None, Some(shard.outbox())),
        };
        ledger.into_iter().flatten().chain(shard.into_iter().flatten())
    }

    fn decide<S: Sink>(
        &mut self,
        header: &FrameHeader,
        envelope: &Envelope,
        command: &Command,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let frame = Frame {
            seq: header.seq,
            now: header.ts,
            session: envelope.session,
            number: envelope.number,
            last_try: envelope.last_try != 0,
            ceiling: EVENTS_PER_COMMAND_MAX,
            room: EVENTS_PER_COMMAND_MAX - out.events(),
        };
        match command {
            Command::Genesis(genesis) => return self.begin(genesis),
            Command::Open(open) => return self.open(header.seq, open, out),
            _ if !needs_session(command.kind()) => return self.dispatch(&frame, command, out),
            _ => {}
        }
        let session = self.sessions.check(envelope)?;
        let expired = envelope.expires_at != 0 && envelope.expires_at < header.ts;
        let verdict = match expired {
            true => Err(Reject::Expired.into()),
            false => self.dispatch(&frame, command, out),
        };
        let short = verdict.is_err_and(|refusal| refusal.reject == Reject::NeedMargin);
        if !short || !self.sessions.keeps_number_without_margin(session) {
            self.sessions.advance(session, envelope.number, header.seq);
        }
        verdict
    }

    fn dispatch<S: Sink>(
        &mut self,
        frame: &Frame,
        command: &Command,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        match &mut self.role {
            Role::Unborn => Err(Reject::WrongShard.into()),
            Role::Ledger(_, ledger) => ledger.apply(frame, command, out),
            Role::Trading(_, shard) => shard.apply(frame, command, out),
        }
    }

    fn begin(&mut self, genesis: &Genesis) -> Verdict {
        require(matches!(self.role, Role::Unborn), Reject::Unsupported)?;
        require(is_possible(genesis), Reject::Malformed)?;
        self.role = match genesis.shard {
            ShardId::LEDGER => {
                Role::Ledger(*genesis, Box::new(Ledger::new(genesis, &self.capacity)))
            }
            _ => Role::Trading(*genesis, Box::new(Shard::new(genesis, &self.capacity))),
        };
        Ok(OrderId::NONE)
    }

    fn open<S: Sink>(&mut self, seq: Seq, open: &Open, out: &mut Output<'_, S>) -> Verdict {
        require(!matches!(self.role, Role::Unborn), Reject::WrongShard)?;
        let session = self.sessions.open(seq, open)?;
        let Open { nonce, kind, name, .. } = *open;
        out.emit(&SessionOpened { session, nonce, kind, _pad: [0; 7], name });
        Ok(OrderId::NONE)
    }
}

/// True for what speakers send; links, openings and what the node itself says count for themselves.
const fn needs_session(kind: CommandKind) -> bool {
    !kind.is_link()
        && !matches!(
            kind,
            CommandKind::Open | CommandKind::Tick | CommandKind::Genesis | CommandKind::LinkState
        )
}

fn is_possible(genesis: &Genesis) -> bool {
    genesis.shard.0 < genesis.shards && usize::from(genesis.shards) <= SHARDS_MAX
}

fn digest_genesis(genesis: &Genesis, into: &mut Digest) {
    into.add(genesis.cluster).add(genesis.shard.0).add(genesis.shards);
    into.add_bytes(&genesis.secret);
}

fn load_genesis(saved: &mut Saved<'_>) -> Result<Genesis, LoadError> {
    let cluster = saved.take()?;
    let (shard, shards) = (ShardId(saved.take()?), saved.take()?);
    let mut secret = [0; 16];
    let len = secret.len();
    secret.copy_from_slice(saved.bytes(len)?);
    let genesis = Genesis { cluster, secret, shard, shards, _pad: [0; 6] };
    sound(is_possible(&genesis))?;
    Ok(genesis)
}
