//! Ledger and shards over a bad network, killed at any time: no money appears or is lost.
//!
//! A message may be lost, doubled, late or out of turn. A kill forgets what was not durable, and
//! the node goes on from its log. Of each storm one kind of message is in the eye: its copies come
//! late again, and its nodes are killed around it. With a gate open for that kind a storm is told
//! from a good one within few seeds, so the judge can fail; [`crate::gates`] holds that.

use std::collections::BTreeMap;

use engine::Engine;
use proptest::prelude::*;
use protocol::{
    Command, Event, ShardId,
    command::{LinkAck, Tick},
    limits::WITHDRAW_WAIT_US,
};

use crate::{
    bench::{Bench, CAPACITY, Collected},
    differential::cases,
    gates::{Gate, Kind, stream_of},
    lending::{Cluster, deposit, lend},
    storm_audit::Told,
    storm_kills::{Kills, Open},
    sweeps::link,
};

pub const NODES: usize = 4;
pub const ACCOUNTS: u32 = 3;
const STEPS: usize = 250;
/// Rounds after which a cluster that was left alone is not quiet: it never will be.
const QUIET_AFTER: usize = 400;
/// What pays every debt when the weather has cleared.
const RELIEF: i64 = 100_000_000;
/// Late copies of what is in the eye.
const LATE: usize = 8;

/// How far a node has come with a peer's stream.
#[derive(Clone, Copy, Default)]
pub struct Taken {
    pub count: u64,
    /// Messages that passed without their numbers: the engine has counted so many more.
    extra: u64,
}

/// What of a node a kill leaves.
#[derive(Clone, Default)]
pub struct Durable {
    frames: usize,
    ts: u64,
    sessions: [(u64, u64); 2],
    /// By peer, the last message that may leave.
    pub sent: BTreeMap<u8, u64>,
    pub taken: BTreeMap<u8, Taken>,
}

pub struct Storm {
    pub eye: Kind,
    open: Option<Gate>,
    /// Its disks are, so that little waits for them.
    pub is_quick: bool,
    /// Who has sent what is in the eye is killed, else who has taken it.
    pub hits_senders: bool,
    random: u64,
    pub nodes: [Bench; NODES],
    pub durable: [Durable; NODES],
    /// What would be durable after each frame since.
    since: [Vec<Durable>; NODES],
    /// By node and peer.
    pub taken: BTreeMap<(usize, u8), Taken>,
    /// What was taken, by its place in its stream.
    pub kinds: BTreeMap<(usize, u8, u64), Kind>,
    /// By shard, the calls that the ledger has counted, by their places in their streams.
    calls: BTreeMap<(u8, u64), u64>,
    /// Copies under way.
    pub wire: Vec<(usize, Command)>,
    pub late: Vec<(usize, Command)>,
    pub under_way: [Open; NODES],
    pub kills: Kills,
}

impl Storm {
    fn new(seed: u64, eye: Kind, open: Option<Gate>) -> Self {
        let mut storm = Self {
            eye,
            open,
            is_quick: seed.is_multiple_of(2),
            hits_senders: seed & 2 == 0,
            random: seed.wrapping_mul(2).wrapping_add(1),
            nodes: Cluster::new().nodes,
            durable: Default::default(),
            since: Default::default(),
            taken: BTreeMap::new(),
            kinds: BTreeMap::new(),
            calls: BTreeMap::new(),
            wire: Vec::new(),
            late: Vec::new(),
            under_way: Default::default(),
            kills: Kills::default(),
        };
        for account in 1..=ACCOUNTS {
            storm.send(0, &deposit(account, 1, 90_000));
            for shard in 1..=3 {
                storm.send(0, &lend(account, shard, 25_000));
            }
        }
        for shard in 1..NODES {
            storm.send(shard, &link(true));
        }
        storm.carry_all();
        storm
    }

    /// Everything becomes durable, and comes.
    fn carry_all(&mut self) {
        (0..NODES).for_each(|node| self.commit(node));
        (0..NODES).for_each(|node| self.offer(node));
        while !self.wire.is_empty() {
            self.deliver(0, false, false);
        }
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % n
    }

    fn is_open(&self, gate: Gate, kind: Option<Kind>) -> bool {
        self.open == Some(gate) && kind == Some(self.eye)
    }

    pub fn send(&mut self, node: usize, command: &Command) {
        self.apply(node, command);
        self.close_frame(node);
    }

    fn apply(&mut self, node: usize, command: &Command) -> Vec<Event> {
        let own = matches!(command, Command::Tick(_) | Command::LinkState(_));
        let events = match own || command.kind().is_link() {
            true => self.nodes[node].raw(command),
            false => self.nodes[node].send(command),
        };
        self.under_way[node].note(self.nodes[node].ts, command, &events);
        events
    }

    /// A message comes to its node, which takes it if it is the next; or whenever it comes.
    pub fn take(&mut self, node: usize, mut command: Command) {
        let kind = self.kind_of(&command);
        let Some((peer, number)) = stream_of(&mut command) else {
            return self.send(node, &command);
        };
        let known = self.taken.get(&(node, peer)).copied().unwrap_or_default();
        let place = *number;
        let freely = place != known.count + 1 && self.is_open(Gate::Numbers, kind);
        let next = known.count + known.extra + 1;
        *number = if freely { next } else { place + known.extra };
        let events = self.apply(node, &command);
        let applied = |event: &Event| matches!(event, Event::LinkApplied(a) if a.link_seq == next);
        if events.iter().any(applied) {
            if let Command::MarginCall(_) = command {
                self.calls.insert((peer, next), place);
            }
            let taken = self.taken.entry((node, peer)).or_default();
            if freely {
                taken.extra += 1;
            } else {
                taken.count += 1;
                if let Some(kind) = kind {
                    self.kinds.insert((node, peer, place), kind);
                }
            }
        }
        self.close_frame(node);
    }

    /// Keeps what the last frame leaves when it is durable.
    fn close_frame(&mut self, node: usize) {
        let bench = &self.nodes[node];
        let last = self.since[node].last().unwrap_or(&self.durable[node]);
        let mut sent = last.sent.clone();
        sent.extend(bench.engine.outbox().map(|(to, link_seq, _)| (to.0, link_seq)));
        let own = self.taken.range((node, 0)..=(node, u8::MAX));
        let taken = own.map(|((_, peer), taken)| (*peer, *taken)).collect();
        let (frames, ts, sessions) = (bench.log.len(), bench.ts, bench.sessions);
        self.since[node].push(Durable { frames, ts, sessions, sent, taken });
    }

    /// Everything so far is durable.
    pub fn commit(&mut self, node: usize) {
        self.commit_before(node, |_| false);
    }

    /// Everything is durable before the first frame that leaves such a thing.
    pub fn commit_before(&mut self, node: usize, such: impl Fn(&Durable) -> bool) {
        let since = &mut self.since[node];
        let count = since.iter().position(such).unwrap_or(since.len());
        if let Some(last) = since.drain(..count).next_back() {
            self.durable[node] = last;
        }
    }

    /// The node dies, and goes on from its log.
    pub fn kill(&mut self, node: usize) {
        self.count_kill(node);
        self.since[node].clear();
        let durable = self.durable[node].clone();
        let bench = &mut self.nodes[node];
        bench.log.truncate(durable.frames);
        bench.engine = Engine::new(CAPACITY);
        let mut open = Open::default();
        for (header, payload) in &bench.log {
            let mut collected = Collected::default();
            bench.engine.apply(header, payload, &mut collected);
            let (_, command) = Command::decode(header.kind, payload).unwrap();
            open.note(header.ts, &command, &collected.events());
        }
        self.under_way[node] = open;
        (bench.seq, bench.ts, bench.sessions) =
            (durable.frames as u64, durable.ts, durable.sessions);
        self.taken.retain(|(of, _), _| *of != node);
        self.taken.extend(durable.taken.iter().map(|(peer, taken)| ((node, *peer), *taken)));
    }

    /// Puts copies of what may leave on the wire: messages, and how far the node has come.
    pub fn offer(&mut self, node: usize) {
        let mut due = Vec::new();
        for (to, link_seq, mut command) in self.nodes[node].engine.outbox() {
            let kind = self.kind_of(&command);
            let durable = self.durable[node].sent.get(&to.0).is_some_and(|last| link_seq <= *last);
            if due.len() < 8 && (durable || self.is_open(Gate::Messages, kind)) {
                if let Command::Grant(grant) = &mut command {
                    let place = self.calls.get(&(to.0, grant.call));
                    grant.call = place.copied().unwrap_or(grant.call);
                }
                due.push((usize::from(to.0), command, kind));
            }
        }
        for (to, command, kind) in due {
            self.wire.push((to, command));
            if kind == Some(self.eye) {
                self.late.push((to, command));
            }
        }
        self.late.drain(..self.late.len().saturating_sub(LATE));
        let own: Vec<_> = self.taken.range((node, 0)..=(node, u8::MAX)).collect();
        let mut acks = Vec::new();
        for ((_, peer), taken) in own {
            let mut link_seq = self.durable[node].taken.get(peer).map_or(0, |taken| taken.count);
            let kind = |place| self.kinds.get(&(node, *peer, place)).copied();
            while link_seq < taken.count && self.is_open(Gate::Acks, kind(link_seq + 1)) {
                link_seq += 1;
            }
            let ack = LinkAck { peer: ShardId(node as u8), _pad: [0; 7], link_seq };
            acks.push((usize::from(*peer), Command::LinkAck(ack)));
        }
        self.wire.extend(acks.into_iter().filter(|(to, _)| *to < NODES));
    }

    /// One of the copies comes, perhaps not for the last time, or is lost.
    pub fn deliver(&mut self, at: usize, lost: bool, doubled: bool) {
        let (to, command) = self.wire[at];
        if !doubled {
            self.wire.remove(at);
        }
        if !lost {
            self.take(to, command);
        }
    }

    /// The weather clears: everything becomes durable, comes, and is acknowledged. At last each
    /// account gets what pays its debts.
    fn heal(&mut self) -> Result<(), String> {
        for round in 0..QUIET_AFTER {
            if round == 100 {
                self.nodes[0].ts += WITHDRAW_WAIT_US;
                self.send(0, &Command::Tick(Tick { _reserved: 0 }));
            }
            self.carry_all();
            let quiet = self.nodes.iter().all(|node| node.engine.outbox().next().is_none());
            if quiet && round > 100 {
                for account in 1..=ACCOUNTS {
                    self.send(0, &deposit(account, 1_000_000, RELIEF));
                }
                return Ok(());
            }
        }
        Err("it never gets quiet".into())
    }
}

/// How a storm ends: what the money says, and then what the streams say.
pub struct Verdict {
    pub money: Result<Told, String>,
    pub streams: Result<(), String>,
}

pub fn storm(seed: u64, eye: Kind, open: Option<Gate>) -> Verdict {
    let mut storm = Storm::new(seed, eye, open);
    for step in 1..=STEPS {
        storm.step(1 + step as u64);
    }
    let healed = storm.heal();
    let heard = storm.heard();
    let money = healed.and_then(|()| storm.money(&heard));
    Verdict { money, streams: storm.streams(&heard) }
}

/// A storm with its gates closed, in which nothing may be wrong.
pub fn good(seed: u64, eye: Kind) -> Result<Told, String> {
    let Verdict { money, streams } = storm(seed, eye, None);
    streams.and(money)
}

proptest! {
    #![proptest_config(cases(60, 20_000))]

    #[test]
    fn money_survives_kills_and_a_bad_network(seed: u64) {
        let eye = Kind::ALL[(seed % Kind::ALL.len() as u64) as usize];
        if let Err(fault) = good(seed, eye) {
            prop_assert!(false, "seed {}: {}", seed, fault);
        }
    }
}
