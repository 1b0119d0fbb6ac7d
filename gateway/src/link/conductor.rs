//! The link's thread: one loop that reads, applies, answers and sends, and never blocks.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use protocol::{
    Command, Event, Reject, ShardId,
    command::Lend,
    event::{EventHeader, LendSettled, Outcome, WithdrawalSettled},
    order::SessionKind,
    wire::{self, Hello, Message, MessageKind},
};
use transport::{StreamId, Subscription, Transport};

use super::{
    LinkError, LinkStatus, Listener, Received, Reply, SubmitError,
    client::{Settings, Submission, Waiter},
    discovery::Discovery,
    idle::Idle,
    modes::{Modes, is_begun},
    rounds::{Admit, Closed, Lane, Rounds, Short},
    session::{Request, Settled},
    settlements::Settlements,
    shard::Shard,
};

/// Events applied under one lock before replies are made.
const BATCH_MAX: usize = 4_096;
/// Commands taken from handlers in one turn.
const SUBMISSIONS_PER_TURN: usize = 1_024;
/// Hellos read in one turn.
const HELLOS_PER_TURN: usize = 64;
/// How often deadlines, timers and the status are looked at.
const TICK: Duration = Duration::from_millis(10);
/// Shards whose number is beyond what a cluster has are noise.
const SHARDS_MAX: usize = protocol::limits::SHARDS_MAX;

pub struct Conductor {
    settings: Settings,
    transport: Box<dyn Transport>,
    listener: Box<dyn Listener>,
    submissions: mpsc::Receiver<Submission>,
    status: LinkStatus,
    hellos: Box<dyn Subscription>,
    discovery: Discovery,
    shards: BTreeMap<ShardId, Shard<Owner>>,
    rounds: Rounds<Waiter>,
    modes: Modes<Waiter>,
    settlements: Settlements<Waiter>,
    started: Instant,
    ticked: Duration,
    idle: Idle,
    batch: Vec<Received>,
    settled: Vec<Settled<Owner>>,
    message: Box<Message>,
}

/// Whose command it was.
#[derive(Debug)]
enum Owner {
    Client(Waiter),
    /// Our own question to the ledger, for the round of this lane.
    Lend(Lane),
}

impl Conductor {
    pub fn new(
        settings: Settings,
        mut transport: Box<dyn Transport>,
        listener: Box<dyn Listener>,
        submissions: mpsc::Receiver<Submission>,
        status: LinkStatus,
    ) -> Result<Self, LinkError> {
        let hellos = transport.subscription(&settings.discovery_channel, StreamId::DISCOVERY)?;
        Ok(Self {
            settings,
            transport,
            listener,
            submissions,
            status,
            hellos,
            discovery: Discovery::default(),
            shards: BTreeMap::new(),
            rounds: Rounds::default(),
            modes: Modes::default(),
            settlements: Settlements::default(),
            started: Instant::now(),
            ticked: Duration::ZERO,
            idle: Idle::default(),
            batch: Vec::new(),
            settled: Vec::new(),
            message: Box::default(),
        })
    }

    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), LinkError> {
        while !stop.load(Ordering::Acquire) {
            let now = self.started.elapsed();
            let work = self.turn(now)?;
            self.idle.turn(work, now);
        }
        Ok(())
    }

    fn turn(&mut self, now: Duration) -> Result<usize, LinkError> {
        let mut work = self.discover(now)? + self.take_submissions(now);
        let has_room = self.listener.has_room();
        for shard in self.shards.values_mut() {
            if !has_room || self.batch.len() >= BATCH_MAX {
                break;
            }
            work += shard.poll(self.settings.cluster, now, &mut self.batch);
        }
        if !self.batch.is_empty() {
            self.take_batch(now);
        }
        if now.saturating_sub(self.ticked) >= TICK {
            self.ticked = now;
            self.tick(now)?;
        }
        for shard in self.shards.values_mut() {
            work += shard.send(&self.settings, now, &mut self.message);
        }
        Ok(work)
    }

    /// Hears who is there and turns to who leads.
    fn discover(&mut self, now: Duration) -> Result<usize, LinkError> {
        let (discovery, cluster) = (&mut self.discovery, self.settings.cluster);
        let mut read = |message: &[u8]| {
            if let Ok((MessageKind::Hello, body)) = wire::open(message, cluster)
                && let Ok(hello) = wire::body::<Hello>(body)
                && usize::from(hello.shard.0) < SHARDS_MAX
            {
                discovery.hear(hello, now);
            }
        };
        let count = self.hellos.poll(&mut read, HELLOS_PER_TURN);
        if count == 0 {
            return Ok(0);
        }
        for id in self.discovery.shards() {
            let Some((hello, heard)) = self.discovery.primary(id) else { continue };
            let transport = self.transport.as_mut();
            if !self.shards.contains_key(&id) {
                self.shards.insert(id, Shard::new(id, &self.settings, transport)?);
            }
            if let Some(shard) = self.shards.get_mut(&id) {
                shard.lead(hello, heard, transport, now)?;
            }
        }
        Ok(count)
    }

    fn take_submissions(&mut self, now: Duration) -> usize {
        for count in 0..SUBMISSIONS_PER_TURN {
            let Ok(submission) = self.submissions.try_recv() else { return count };
            if self.settings.kind != SessionKind::Feed {
                // Prices come by the clock: they alone must not keep a quiet machine awake.
                self.idle.asked(now);
            }
            let Submission { shard, command, expires_at, wait, waiter } = submission;
            let request = Request { command, expires_at, last_try: false, deadline: now + wait };
            match Lane::of(shard, &command) {
                None => self.enqueue(shard, waiter, request, now),
                Some(lane) => match self.rounds.admit(lane, waiter, request) {
                    Admit::Send(waiter, request) => self.enqueue(shard, waiter, request, now),
                    Admit::Held => {}
                    Admit::Full(waiter) => waiter.tell(Err(SubmitError::Busy)),
                },
            }
        }
        SUBMISSIONS_PER_TURN
    }

    fn enqueue(&mut self, shard: ShardId, waiter: Waiter, request: Request, now: Duration) {
        match self.shards.get_mut(&shard).filter(|shard| shard.connected(now)) {
            Some(shard) => shard.session.push(Owner::Client(waiter), request),
            None => waiter.tell(Err(SubmitError::Unavailable)),
        }
    }

    /// Views first, then replies, then everybody else.
    fn take_batch(&mut self, now: Duration) {
        let batch = std::mem::take(&mut self.batch);
        self.listener.apply(&batch);
        for received in &batch {
            self.take_event(received, now);
        }
        self.listener.publish();
        self.batch = batch;
        self.batch.clear();
    }

    fn take_event(&mut self, received: &Received, now: Duration) {
        let Some(shard) = self.shards.get_mut(&received.shard) else { return };
        match &received.event {
            Event::Outcome(outcome) => {
                shard.session.outcome(&received.header, outcome, now, &mut self.settled);
                self.settle(received.shard, now);
            }
            Event::SessionOpened(opened) => shard.session.opened(opened, now),
            Event::LendSettled(settled) => self.lend_settled(settled, now),
            Event::PositionModeSettled(settled) => {
                if let Some((waiter, reply)) = self.modes.settled(settled) {
                    waiter.tell(Ok(reply));
                }
            }
            Event::WithdrawalSettled(settled) => self.withdrawal_settled(settled),
            Event::LinkApplied(link) if link.peer == ShardId::LEDGER => {
                for closed in self.rounds.applied(received.shard, link.link_seq) {
                    self.try_again(closed, now);
                }
            }
            Event::LinkApplied(_)
            | Event::OrderAccepted(_)
            | Event::Trade(_)
            | Event::OrderAmended(_)
            | Event::OrderClosed(_)
            | Event::AlgoAccepted(_)
            | Event::AlgoChanged(_)
            | Event::CountdownSet(_)
            | Event::Level(_)
            | Event::Reserved(_)
            | Event::SettingsChanged(_)
            | Event::FeesChanged(_)
            | Event::MarginMoved(_)
            | Event::PositionModeChanged(_)
            | Event::HoldIssued(_)
            | Event::ReleaseIssued(_)
            | Event::HeldIssued(_)
            | Event::Funding(_)
            | Event::FundingPaid(_)
            | Event::FundingEnded(_)
            | Event::LiquidationFeePaid(_)
            | Event::PositionSettled(_)
            | Event::MarginCallIssued(_)
            | Event::DebtIssued(_)
            | Event::SymbolListed(_)
            | Event::BracketsSet(_)
            | Event::SymbolStateChanged(_)
            | Event::Mark(_)
            | Event::CashChanged(_)
            | Event::GrantIssued(_)
            | Event::RecallIssued(_)
            | Event::ReturnIssued(_)
            | Event::LinkAcked(_) => {}
        }
    }

    fn tick(&mut self, now: Duration) -> Result<(), LinkError> {
        self.transport.check()?;
        let ids: Vec<ShardId> = self.shards.keys().copied().collect();
        for id in ids {
            let Some(shard) = self.shards.get_mut(&id) else { continue };
            if !shard.tick(now, &mut self.settled) {
                let (committed, seen) = (shard.said_committed(), shard.seen());
                return Err(LinkError::LogLost { shard: id, committed, seen });
            }
            self.status.set(id, shard.status(now));
            self.settle(id, now);
        }
        for waiter in self.modes.overdue(now) {
            waiter.tell(Err(SubmitError::Unknown));
        }
        for closed in self.rounds.overdue(now) {
            self.give_up(closed, Err(SubmitError::Unavailable), now);
        }
        for waiter in self.settlements.overdue(now) {
            waiter.tell(Err(SubmitError::Unknown));
        }
        Ok(())
    }

    /// Tells the owners of what has been settled on a shard.
    fn settle(&mut self, shard: ShardId, now: Duration) {
        for settled in std::mem::take(&mut self.settled) {
            match settled {
                Settled::Outcome {
                    owner: Owner::Client(waiter), request, outcome, header, ..
                } => {
                    self.answered(shard, waiter, request, outcome, header, now);
                }
                Settled::Outcome { owner: Owner::Lend(lane), number, outcome, .. } => {
                    self.lend_taken(lane, number, &outcome, now);
                }
                Settled::Unknown { owner: Owner::Client(waiter) } => {
                    waiter.tell(Err(SubmitError::Unknown));
                }
                Settled::Unsent { owner: Owner::Client(waiter) } => {
                    waiter.tell(Err(SubmitError::Unavailable));
                }
                Settled::Unknown { owner: Owner::Lend(lane) }
                | Settled::Unsent { owner: Owner::Lend(lane) } => {
                    if let Some(closed) = self.rounds.close(lane) {
                        self.give_up(closed, Err(SubmitError::Unavailable), now);
                    }
                }
            }
        }
    }

    fn answered(
        &mut self,
        shard: ShardId,
        waiter: Waiter,
        request: Request,
        outcome: Outcome,
        header: EventHeader,
        now: Duration,
    ) {
        let lane = Lane::of(shard, &request.command)
            .filter(|_| outcome.reject == Reject::NeedMargin && !request.last_try);
        let Some(lane) = lane else {
            let reply = Reply { outcome, shard, seq: header.seq, ts: header.ts };
            let later = matches!(request.command, Command::Withdraw(_)) && outcome.reject.is_none();
            if is_begun(&reply, &request.command) {
                self.modes.taken(waiter, reply, request.deadline);
            } else if !later {
                waiter.tell(Ok(reply));
            } else if let Some((waiter, reply)) =
                self.settlements.taken(waiter, reply, request.deadline)
            {
                waiter.tell(Ok(reply));
            }
            return;
        };
        let short = Short { owner: waiter, request, outcome, header };
        if self.rounds.begin(lane, short) {
            self.ask_ledger(lane, outcome.amount, request.deadline, now);
        }
    }

    fn ask_ledger(&mut self, lane: Lane, amount: i64, deadline: Duration, now: Duration) {
        let lend = Lend { account: lane.account, shard: lane.shard, _pad: [0; 3], amount };
        let request =
            Request { command: Command::Lend(lend), expires_at: 0, last_try: false, deadline };
        match self.shards.get_mut(&ShardId::LEDGER).filter(|ledger| ledger.connected(now)) {
            Some(ledger) => ledger.session.push(Owner::Lend(lane), request),
            None => {
                if let Some(closed) = self.rounds.close(lane) {
                    self.give_up(closed, Err(SubmitError::Unavailable), now);
                }
            }
        }
    }

    /// The ledger has taken our Lend, or refused to look at it.
    fn lend_taken(&mut self, lane: Lane, number: u64, outcome: &Outcome, now: Duration) {
        if outcome.reject == Reject::None {
            self.rounds.lending(lane, number);
            return;
        }
        let Some(closed) = self.rounds.close(lane) else { return };
        if outcome.reject == Reject::LedgerBusy {
            self.give_up(closed, Err(SubmitError::Busy), now);
        } else {
            self.refuse(closed, now);
        }
    }

    fn lend_settled(&mut self, settled: &LendSettled, now: Duration) {
        let Some(ledger) = self.shards.get(&ShardId::LEDGER) else { return };
        if ledger.session.id() != Some(settled.session) {
            return;
        }
        let lane = match ledger.session.owner_of(settled.number) {
            Some(Owner::Lend(lane)) => Some(*lane),
            Some(Owner::Client(_)) | None => self.rounds.lane_of(settled.number),
        };
        let Some(lane) = lane else { return };
        if settled.granted == 0 {
            if let Some(closed) = self.rounds.close(lane) {
                self.refuse(closed, now);
            }
        } else if let Some(closed) = self.rounds.granted(lane, settled.link_seq) {
            self.try_again(closed, now);
        }
    }

    /// The ledger has paid a withdrawal out, or will not.
    fn withdrawal_settled(&mut self, settled: &WithdrawalSettled) {
        let Some(ledger) = self.shards.get(&ShardId::LEDGER) else { return };
        let key = (settled.session, settled.number);
        let ours = ledger.session.id() == Some(settled.session)
            && matches!(ledger.session.owner_of(settled.number), Some(Owner::Client(_)));
        if let Some((waiter, reply)) = self.settlements.settled(key, settled.reject, ours) {
            waiter.tell(Ok(reply));
        }
    }

    /// The shard has the margin now: the order goes out once more, then what waited behind it.
    fn try_again(&mut self, closed: Closed<Waiter>, now: Duration) {
        let request = Request { last_try: true, ..closed.short.request };
        self.enqueue(closed.lane.shard, closed.short.owner, request, now);
        self.release(closed.lane, closed.held, now);
    }

    /// The ledger has no margin for it: the shard's NeedMargin stands.
    fn refuse(&mut self, closed: Closed<Waiter>, now: Duration) {
        let Short { outcome, header, .. } = closed.short;
        let shard = closed.lane.shard;
        let reply = Reply { outcome, shard, seq: header.seq, ts: header.ts };
        self.give_up(closed, Ok(reply), now);
    }

    fn give_up(
        &mut self,
        closed: Closed<Waiter>,
        result: Result<Reply, SubmitError>,
        now: Duration,
    ) {
        closed.short.owner.tell(result);
        self.release(closed.lane, closed.held, now);
    }

    fn release(
        &mut self,
        lane: Lane,
        held: std::collections::VecDeque<(Waiter, Request)>,
        now: Duration,
    ) {
        for (waiter, request) in held {
            self.enqueue(lane.shard, waiter, request, now);
        }
    }
}
