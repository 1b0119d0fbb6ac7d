//! A shard in a few lines, over a lossy network, for tests of the link.
//!
//! It keeps sessions and a log as a real node does and answers every Place by the account's
//! wish: an account below [`SHORT_FROM`] has what it needs, others are short until the ledger has
//! granted. Messages in both directions are lost, doubled and swapped at given rates.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use protocol::{
    AccountId, AlgoId, Cash, Command, CommandKind, Event, EventBody, Name, OrderId, Reject, Seq,
    SessionId, ShardId, SymbolId,
    command::{CancelAlgo, Place, PlaceAlgo},
    event::{
        AlgoAccepted, AlgoChanged, CashChanged, CountdownSet, EventHeader, LendSettled,
        LinkApplied, OrderAccepted, OrderClosed, Outcome, SessionOpened, WithdrawalSettled,
    },
    order::{AlgoStatus, CashReason, CloseReason, OrderOrigin, OrderStatus},
    wire::{self, EventsHeader, Follow, Hello, Message, MessageKind, NodeRole},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use transport::{Publication, StreamId, Subscription, Transport, local::LocalNetwork};
use zerocopy::IntoBytes;

pub const CLUSTER: u64 = 42;
pub const CHANNEL: &str = "local";
/// Accounts from here on lack margin until they were granted some.
pub const SHORT_FROM: u32 = 1_000;
/// Accounts from here on are lent nothing, and nothing is paid out to them. Withdrawals with an
/// even number take a moment.
pub const POOR_FROM: u32 = 2_000;

/// How bad the network is, in percent of the messages.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    pub lost: u32,
    pub doubled: u32,
    pub swapped: u32,
}

/// What survives a node's death: its log of events, and the state that its commands built.
#[derive(Default)]
pub struct Disk {
    pub log: Vec<Vec<u8>>,
    /// Orders that were placed: (account, client id).
    pub placed: Vec<(AccountId, String)>,
    open: BTreeMap<OrderId, Place>,
    algos: BTreeMap<AlgoId, PlaceAlgo>,
    algos_listed: u64,
    sessions: HashMap<SessionId, u64>,
    granted: HashMap<AccountId, Cash>,
    transfers: HashMap<AccountId, u64>,
    link_seq: u64,
    /// Withdrawals that are settled a little later.
    leaving: Vec<WithdrawalSettled>,
}

impl Disk {
    fn decide_algo(&mut self, command: &Command, frame: &mut Frame, outcome: &mut Outcome) {
        match command {
            Command::PlaceAlgo(terms) => {
                self.algos_listed += 1;
                let algo = AlgoId::new(terms.symbol, self.algos_listed);
                outcome.order = OrderId(algo.0);
                self.algos.insert(algo, *terms);
                frame.emit(&AlgoAccepted { algo, terms: *terms });
            }
            Command::CancelAlgo(cancel) => {
                let due = |algo: AlgoId, _: &PlaceAlgo| algo == cancel.algo;
                let CancelAlgo { account, symbol, .. } = *cancel;
                outcome.order = OrderId(cancel.algo.0);
                if self.end_algos(account, symbol, due, frame) == 0 {
                    outcome.reject = Reject::UnknownAlgo;
                }
            }
            Command::CancelAllAlgos(all) => {
                self.end_algos(all.account, all.symbol, |_, _| true, frame);
            }
            Command::Countdown(countdown) => {
                let (account, symbol) = (countdown.account, countdown.symbol);
                let at = countdown.after;
                frame.emit(&CountdownSet { account, symbol, _pad: [0; 2], at });
            }
            other => panic!("{other:?} is about no conditional order"),
        }
    }

    /// Cancels an account's conditional orders that `due` picks; says how many.
    fn end_algos(
        &mut self,
        account: AccountId,
        symbol: SymbolId,
        due: impl Fn(AlgoId, &PlaceAlgo) -> bool,
        frame: &mut Frame,
    ) -> usize {
        let meant = |algo: &AlgoId, terms: &mut PlaceAlgo| {
            terms.account == account && terms.symbol == symbol && due(*algo, terms)
        };
        let ended: Vec<_> = self.algos.extract_if(.., meant).collect();
        for (algo, terms) in &ended {
            frame.emit(&AlgoChanged {
                algo: *algo,
                account,
                symbol,
                side: terms.side,
                status: AlgoStatus::Canceled,
                order: OrderId::NONE,
                reject: Reject::None,
                activated: false,
                _pad: [0; 5],
            });
        }
        ended.len()
    }
}

pub struct FakeNode {
    pub disk: Arc<Mutex<Disk>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Money on its way from the ledger to the shards.
pub type Grants = Arc<Mutex<Vec<(ShardId, AccountId, Cash, u64)>>>;

#[derive(Clone)]
pub struct World {
    pub network: LocalNetwork,
    pub weather: Weather,
    pub grants: Grants,
    pub seed: u64,
}

impl FakeNode {
    pub fn start(world: &World, shard: ShardId, incarnation: u64, disk: Arc<Mutex<Disk>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut node = Node::new(world.clone(), shard, incarnation, disk.clone());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                node.turn();
                thread::sleep(Duration::from_micros(200));
            }
        });
        Self { disk, stop, thread: Some(thread) }
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Node {
    world: World,
    shard: ShardId,
    incarnation: u64,
    disk: Arc<Mutex<Disk>>,
    transport: Box<dyn Transport>,
    hello: Box<dyn Publication>,
    ingress: Box<dyn Subscription>,
    ingress_stream: StreamId,
    followers: BTreeMap<u64, Follower>,
    random: StdRng,
    said: Option<Instant>,
    held: Option<Vec<u8>>,
}

struct Follower {
    publication: Box<dyn Publication>,
    /// How many frames of the log were sent.
    sent: usize,
    held: Option<Vec<u8>>,
}

impl Node {
    fn new(world: World, shard: ShardId, incarnation: u64, disk: Arc<Mutex<Disk>>) -> Self {
        let mut transport = Box::new(world.network.transport());
        let ingress_stream = StreamId::fresh();
        let random = StdRng::seed_from_u64(world.seed ^ incarnation ^ u64::from(shard.0) << 32);
        Self {
            shard,
            incarnation,
            disk,
            hello: transport.publication(CHANNEL, StreamId::DISCOVERY).unwrap(),
            ingress: transport.subscription(CHANNEL, ingress_stream).unwrap(),
            transport,
            ingress_stream,
            followers: BTreeMap::new(),
            random,
            said: None,
            held: None,
            world,
        }
    }

    fn turn(&mut self) {
        if self.said.is_none_or(|at| at.elapsed() > Duration::from_millis(30)) {
            self.said = Some(Instant::now());
            self.say_hello();
        }
        let mut messages = Vec::new();
        self.ingress.poll(&mut |message| messages.push(message.to_vec()), 64);
        for message in messages {
            for message in blow(&mut self.random, self.world.weather, &mut self.held, message) {
                self.receive(&message);
            }
        }
        self.take_grants();
        self.settle_withdrawals();
        let disk = self.disk.lock().unwrap();
        let seen = disk.log.len() as Seq;
        for follower in self.followers.values_mut() {
            while follower.sent < disk.log.len() {
                let header = EventsHeader {
                    shard: self.shard,
                    _pad: [0; 3],
                    epoch: 1,
                    incarnation: self.incarnation,
                    committed: seen,
                };
                let mut message = Message::default();
                wire::begin(&mut message, CLUSTER, MessageKind::Events);
                message.push(header.as_bytes());
                message.push(&disk.log[follower.sent]);
                let bytes = message.as_bytes().to_vec();
                for bytes in blow(&mut self.random, self.world.weather, &mut follower.held, bytes) {
                    let _ = follower.publication.offer(&bytes);
                }
                follower.sent += 1;
            }
        }
    }

    fn say_hello(&mut self) {
        let hello = Hello {
            shard: self.shard,
            replica: 0,
            role: NodeRole::Primary,
            _pad: 0,
            epoch: 1,
            incarnation: self.incarnation,
            ingress_stream: self.ingress_stream.0,
            _pad2: 0,
            committed: self.disk.lock().unwrap().log.len() as Seq,
            ingress_channel: Name::new(CHANNEL).unwrap(),
        };
        let mut message = Message::default();
        wire::begin(&mut message, CLUSTER, MessageKind::Hello);
        message.push(hello.as_bytes());
        let _ = self.hello.offer(message.as_bytes());
    }

    fn receive(&mut self, message: &[u8]) {
        match wire::open(message, CLUSTER).unwrap() {
            (MessageKind::Follow, body) => self.follow(&wire::body(body).unwrap()),
            (MessageKind::Submit, body) => {
                for command in wire::commands(body) {
                    let (kind, payload) = command.unwrap();
                    self.apply(kind, payload);
                }
            }
            (MessageKind::Hello | MessageKind::Events, _) => panic!("not for an ingress"),
        }
    }

    fn follow(&mut self, follow: &Follow) {
        let from = follow.seq.saturating_sub(1) as usize;
        let transport = &mut self.transport;
        let follower = self.followers.entry(follow.follower).or_insert_with(|| Follower {
            publication: transport
                .publication(follow.channel.as_str(), StreamId(follow.stream))
                .unwrap(),
            sent: from,
            held: None,
        });
        if follow.rewind == 1 {
            follower.sent = from;
        }
    }

    fn apply(&mut self, kind: u16, payload: &[u8]) {
        let (envelope, command) = Command::decode(kind, payload).unwrap();
        let mut disk = self.disk.lock().unwrap();
        let seq = disk.log.len() as Seq + 1;
        let mut frame = Frame { seq, index: 0, bytes: Vec::new() };
        let mut outcome = Outcome::new_zeroed_like(envelope.session, envelope.number, kind);
        if let Command::Open(open) = &command {
            disk.sessions.insert(SessionId(seq), 0);
            frame.emit(&SessionOpened {
                session: SessionId(seq),
                nonce: open.nonce,
                kind: open.kind,
                _pad: [0; 7],
                name: open.name,
            });
        } else {
            match disk.sessions.get(&envelope.session).copied() {
                None => outcome.reject = Reject::SessionUnknown,
                Some(last) if envelope.number <= last => outcome.reject = Reject::Duplicate,
                Some(last) if envelope.prev != last => {
                    outcome.reject = Reject::SessionGap;
                    outcome.amount = last as i64;
                }
                Some(_) => {
                    disk.sessions.insert(envelope.session, envelope.number);
                    let session = (envelope.session, envelope.number);
                    let last_try = envelope.last_try == 1;
                    self.decide(&mut disk, session, last_try, &command, &mut frame, &mut outcome);
                }
            }
        }
        frame.emit(&outcome);
        disk.log.push(frame.bytes);
    }

    fn decide(
        &self,
        disk: &mut Disk,
        session: (SessionId, u64),
        last_try: bool,
        command: &Command,
        frame: &mut Frame,
        outcome: &mut Outcome,
    ) {
        match command {
            Command::Place(place) => {
                let granted = disk.granted.get(&place.account).copied().unwrap_or(0);
                if place.account.0 >= SHORT_FROM && granted < place.qty {
                    outcome.amount = place.qty - granted;
                    outcome.reject =
                        if last_try { Reject::InsufficientMargin } else { Reject::NeedMargin };
                    return;
                }
                disk.placed.push((place.account, place.client_id.to_string()));
                outcome.order = OrderId(disk.placed.len() as u64);
                disk.open.insert(outcome.order, *place);
                frame.emit(&accepted(outcome.order, place));
            }
            Command::Cancel(cancel) => {
                let meant = |(id, place): &(&OrderId, &Place)| {
                    place.account == cancel.account
                        && (**id == cancel.order || place.client_id == cancel.client_id)
                };
                let Some(order) = disk.open.iter().find(meant).map(|(id, _)| *id) else {
                    outcome.reject = Reject::UnknownOrder;
                    return;
                };
                outcome.order = order;
                if let Some(place) = disk.open.remove(&order) {
                    frame.emit(&closed(order, &place));
                }
            }
            Command::Lend(lend) => {
                let granted = if lend.account.0 >= POOR_FROM { 0 } else { lend.amount };
                let mut grants = self.world.grants.lock().unwrap();
                if granted > 0 {
                    disk.link_seq += 1;
                    grants.push((lend.shard, lend.account, granted, disk.link_seq));
                }
                frame.emit(&LendSettled {
                    session: session.0,
                    number: session.1,
                    lend: frame.seq,
                    account: lend.account,
                    shard: lend.shard,
                    _pad: [0; 3],
                    granted,
                    link_seq: if granted > 0 { disk.link_seq } else { 0 },
                });
            }
            Command::PlaceAlgo(_)
            | Command::CancelAlgo(_)
            | Command::CancelAllAlgos(_)
            | Command::Countdown(_) => disk.decide_algo(command, frame, outcome),
            Command::ListSymbol(spec) => frame.emit(spec),
            Command::SetBrackets(brackets) => frame.emit(brackets),
            Command::Deposit(deposit) => {
                let last = disk.transfers.entry(deposit.account).or_default();
                if deposit.transfer <= *last {
                    outcome.reject = Reject::TransferDuplicate;
                    return;
                }
                *last = deposit.transfer;
                frame.emit(&CashChanged {
                    account: deposit.account,
                    reason: CashReason::Deposit,
                    shard: ShardId::LEDGER,
                    _pad: [0; 2],
                    cash: deposit.amount,
                    delta: deposit.amount,
                    lent: 0,
                });
            }
            Command::Withdraw(withdraw) => {
                let settled = WithdrawalSettled {
                    session: session.0,
                    number: session.1,
                    withdraw: frame.seq,
                    transfer: withdraw.transfer,
                    account: withdraw.account,
                    reject: match withdraw.account.0 >= POOR_FROM {
                        true => Reject::WithdrawalTooLarge,
                        false => Reject::None,
                    },
                    _pad: 0,
                    amount: withdraw.amount,
                };
                if withdraw.transfer % 2 == 0 {
                    disk.leaving.push(settled);
                } else {
                    frame.emit(&settled);
                }
            }
            other => panic!("nobody sends {other:?} here"),
        }
    }

    fn settle_withdrawals(&mut self) {
        let mut disk = self.disk.lock().unwrap();
        for settled in std::mem::take(&mut disk.leaving) {
            let mut frame = Frame { seq: disk.log.len() as Seq + 1, index: 0, bytes: Vec::new() };
            frame.emit(&settled);
            let kind = CommandKind::Held as u16;
            frame.emit(&Outcome::new_zeroed_like(SessionId::NONE, 0, kind));
            disk.log.push(frame.bytes);
        }
    }

    fn take_grants(&mut self) {
        let mut grants = self.world.grants.lock().unwrap();
        let due: Vec<_> = grants.extract_if(.., |grant| grant.0 == self.shard).collect();
        for (_, account, amount, link_seq) in due {
            let mut disk = self.disk.lock().unwrap();
            let mut frame = Frame { seq: disk.log.len() as Seq + 1, index: 0, bytes: Vec::new() };
            let cash = disk.granted.entry(account).or_default();
            *cash += amount;
            let reason = CashReason::GrantApplied;
            let (shard, cash) = (ShardId::LEDGER, *cash);
            let (_pad, delta, lent) = ([0; 2], amount, 0);
            frame.emit(&CashChanged { account, reason, shard, _pad, cash, delta, lent });
            frame.emit(&LinkApplied { peer: ShardId::LEDGER, _pad: [0; 7], link_seq });
            frame.emit(&Outcome::new_zeroed_like(SessionId::NONE, 0, 60));
            disk.log.push(frame.bytes);
        }
    }
}

struct Frame {
    seq: Seq,
    index: u32,
    bytes: Vec<u8>,
}

impl Frame {
    fn emit<B: EventBody>(&mut self, body: &B) {
        let len = size_of_val(body) as u16;
        let kind = B::KIND as u16;
        let header =
            EventHeader { seq: self.seq, ts: self.seq * 1_000, index: self.index, kind, len };
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(body.as_bytes());
        self.index += 1;
    }
}

trait Zeroed {
    fn new_zeroed_like(session: SessionId, number: u64, command: u16) -> Self;
}

impl Zeroed for Outcome {
    fn new_zeroed_like(session: SessionId, number: u64, command: u16) -> Self {
        let bytes = [0; size_of::<Outcome>()];
        let Event::Outcome(outcome) = Event::decode(Outcome::KIND as u16, &bytes).unwrap() else {
            panic!("an outcome is an outcome");
        };
        Outcome { session, number, command, ..outcome }
    }
}

fn accepted(order: OrderId, place: &Place) -> OrderAccepted {
    OrderAccepted {
        order,
        account: place.account,
        symbol: place.symbol,
        side: place.side,
        order_type: place.order_type,
        time_in_force: place.time_in_force,
        self_trade: place.self_trade,
        price_match: place.price_match,
        position_side: place.position_side,
        reduce_only: place.reduce_only,
        origin: OrderOrigin::Owner,
        _pad: [0; 2],
        price: place.price,
        qty: place.qty,
        good_till: place.good_till,
        client_id: place.client_id,
        _pad2: [0; 4],
    }
}

fn closed(order: OrderId, place: &Place) -> OrderClosed {
    OrderClosed {
        order,
        account: place.account,
        symbol: place.symbol,
        side: place.side,
        status: OrderStatus::Canceled,
        reason: CloseReason::Canceled,
        _pad: [0; 7],
        qty: place.qty,
        cum_qty: 0,
        cum_quote: 0,
    }
}

/// What arrives of a message: nothing, it, it twice, or it after the next.
fn blow(
    random: &mut StdRng,
    weather: Weather,
    held: &mut Option<Vec<u8>>,
    message: Vec<u8>,
) -> Vec<Vec<u8>> {
    let roll = random.random_range(0..100);
    let mut out = Vec::new();
    if roll < weather.lost {
    } else if roll < weather.lost + weather.doubled {
        out.push(message.clone());
        out.push(message);
    } else if roll < weather.lost + weather.doubled + weather.swapped && held.is_none() {
        *held = Some(message);
        return out;
    } else {
        out.push(message);
    }
    out.extend(held.take());
    out
}
