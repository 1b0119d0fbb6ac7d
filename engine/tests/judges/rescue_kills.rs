//! Who has what he needs on another shard is not liquidated, though the ledger or the shard that
//! has it dies between his call and the answer: with messages that take their time, several
//! accounts called at once, and marks that go on moving.
//!
//! It holds as far as the graces go. A shard that dies is back well inside the time that the ledger
//! waits for it. A ledger may be away as long as a call waits whose link is down; but one that has
//! a call in its log and is back just when it has waited long enough for what it has recalled, so
//! that it can't know that it was away, answers with what it has.

use std::collections::BTreeMap;

use engine::Engine;
use proptest::prelude::*;
use protocol::{
    Command, Event, Reject, ShardId,
    command::{LinkAck, Tick},
    limits::{
        CALL_LATE_US, CALL_RECALL_WAIT_US, EARMARK_US, MARGIN_CALL_GRACE_DOWN_US,
        MARGIN_CALL_GRACE_US,
    },
    order::{CallKind, OrderOrigin, Side},
};

use crate::{
    bench::{Bench, CAPACITY, Collected, index, outcome},
    differential::{cases, is_full},
    lending::{Cluster, deposit, lend, worth},
    sweeps::link,
    trading::limit,
};

const NODES: usize = 4;
const ACCOUNTS: u32 = 4;
const STEPS: usize = 40;
/// Frames of one turn are durable together, and what they say leaves with its end.
const TURN_US: u64 = 2_000;
const DELAY_US: u64 = 5_000;
/// A link that has owed an acknowledgement for so long is down, as the node sees it.
const SILENT_US: u64 = 150_000;
/// A node that others wait for is away for so long at most.
const AWAY_US: u64 = 60_000;
const _: () = assert!(AWAY_US + 12 * (TURN_US + DELAY_US) < CALL_RECALL_WAIT_US);
/// The ledger.
const LEDGER_AWAY_US: u64 = 1_500_000;
const _: () = assert!(LEDGER_AWAY_US + MARGIN_CALL_GRACE_US < MARGIN_CALL_GRACE_DOWN_US);

/// A call, and what became of it.
#[derive(Clone, Copy, Debug)]
struct Call {
    number: u64,
    opened: u64,
    /// The marks of all shards when it was made.
    marks: [i64; NODES],
    /// The marks when its answer came, and what was left for the account elsewhere.
    answer: Option<([i64; NODES], i128)>,
    /// It waited for the ledger or a shard that has died meanwhile.
    struck: [bool; 2],
}

/// What a node's events say.
#[derive(Clone, Default)]
struct Book {
    cash: BTreeMap<u32, i64>,
    entries: BTreeMap<u32, i64>,
    positions: BTreeMap<u32, i64>,
    /// By account, what was granted a short time ago, which is not given away again, and until
    /// when.
    earmarks: BTreeMap<u32, (i64, u64)>,
    /// By account, when its position changed last.
    traded: BTreeMap<u32, u64>,
    /// By account, the last.
    calls: BTreeMap<u32, Call>,
}

/// What a node has when a turn begins.
#[derive(Clone)]
struct Kept {
    frames: usize,
    seq: u64,
    sessions: [(u64, u64); 2],
    links: [u64; NODES],
    book: Book,
    mark: i64,
}

#[derive(Clone, Copy, Default, Debug)]
struct Told {
    /// Calls that were open when the ledger, or a shard that lends, died, and that brought something.
    saved: [usize; 2],
    /// Turns in which more than one account waited for an answer.
    together: usize,
    liquidated: usize,
    /// Liquidations at marks that have moved since the call.
    moved: usize,
}

struct World {
    nodes: [Bench; NODES],
    books: [Book; NODES],
    marks: [i64; NODES],
    indices: [i64; NODES],
    now: u64,
    away_until: [u64; NODES],
    /// Since when a shard's link owes an acknowledgement, and whether it is said to be up.
    silence: [(Option<u64>, bool); NODES],
    wire: Vec<(u64, usize, Command)>,
    random: u64,
    transfers: u64,
    told: Told,
}

impl World {
    fn new(seed: u64) -> Self {
        let nodes = Cluster::new().nodes;
        let mut world = Self {
            now: nodes[1].ts,
            nodes,
            books: Default::default(),
            marks: [100; NODES],
            indices: [100; NODES],
            away_until: [0; NODES],
            silence: [(None, true); NODES],
            wire: Vec::new(),
            random: seed.wrapping_mul(2).wrapping_add(1),
            transfers: 1,
            told: Told::default(),
        };
        for shard in 1..NODES {
            world.send(shard, &link(true)).unwrap();
        }
        for account in 1..=ACCOUNTS {
            world.send(0, &deposit(account, 1, 45_000)).unwrap();
            for shard in 1..NODES {
                world.send(0, &lend(account, shard as u8, 15_000)).unwrap();
            }
        }
        world.drain().unwrap();
        world
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % n
    }

    fn send(&mut self, node: usize, command: &Command) -> Result<Vec<Event>, String> {
        self.send_as(node, false, command)
    }

    fn send_as(
        &mut self,
        node: usize,
        last_try: bool,
        command: &Command,
    ) -> Result<Vec<Event>, String> {
        let bench = &mut self.nodes[node];
        bench.ts = bench.ts.max(self.now);
        let own = matches!(command, Command::Tick(_) | Command::LinkState(_));
        let events = match own || command.kind().is_link() {
            true => bench.raw(command),
            false => bench.send_as(0, last_try, command),
        };
        if let Command::Grant(grant) = command
            && outcome(&events).reject == Reject::None
        {
            let (account, ts) = (grant.account.0, self.nodes[node].ts);
            let (earmark, until) = self.books[node].earmarks.entry(account).or_default();
            *earmark = grant.amount + if *until > ts { *earmark } else { 0 };
            *until = ts + EARMARK_US;
            let answer = (self.marks, self.elsewhere(account, node));
            if let Some(call) = self.books[node].calls.get_mut(&account)
                && call.number == grant.call
            {
                call.answer = Some(answer);
                for (saved, struck) in self.told.saved.iter_mut().zip(call.struck) {
                    *saved += usize::from(struck && grant.amount > 0);
                }
            }
        }
        for event in &events {
            self.hear(node, event)?;
        }
        Ok(events)
    }

    fn hear(&mut self, node: usize, event: &Event) -> Result<(), String> {
        let (book, ts) = (&mut self.books[node], self.nodes[node].ts);
        match event {
            Event::Mark(mark) => self.marks[node] = mark.mark,
            Event::CashChanged(change) => _ = book.cash.insert(change.account.0, change.cash),
            Event::LiquidationFeePaid(fee) => _ = book.cash.insert(fee.account.0, fee.cash),
            Event::Trade(trade) => {
                for fill in [&trade.taker, &trade.maker] {
                    book.cash.insert(fill.account.0, fill.cash);
                    book.entries.insert(fill.account.0, fill.entry);
                    book.positions.insert(fill.account.0, fill.position);
                    book.traded.insert(fill.account.0, ts);
                }
            }
            Event::MarginCallIssued(call) if call.kind == CallKind::Need => {
                let (number, marks) = (call.link_seq, self.marks);
                let call_ = Call { number, opened: ts, marks, answer: None, struck: [false; 2] };
                book.calls.insert(call.account.0, call_);
            }
            Event::OrderAccepted(order)
                if order.origin == OrderOrigin::Liquidation && !order.account.is_insurance() =>
            {
                self.told.liquidated += 1;
                let call = book.calls.get(&order.account.0);
                let call = call.ok_or_else(|| format!("not called: {order:?}"))?;
                match call.answer {
                    None => return Err(format!("{node}: not answered: {call:?} {order:?}")),
                    Some((marks, _)) if marks != call.marks => self.told.moved += 1,
                    Some((_, 0)) => {}
                    Some(_) => return Err(format!("{node}: has it: {call:?} {order:?}")),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What an account has for a shard: what others could give, what is free, and what is on its
    /// way to the ledger. What comes free by a trade after the call is for the next one: each shard
    /// is asked once.
    fn elsewhere(&self, account: u32, shard: usize) -> i128 {
        let opened = self.books[shard].calls.get(&account).map_or(0, |call| call.opened);
        let others = (1..NODES).filter(|other| {
            let traded = self.books[*other].traded.get(&account);
            *other != shard && traded.is_none_or(|traded| *traded < opened)
        });
        let spare = others.map(|other| {
            let book = &self.books[other];
            let of = |map: &BTreeMap<u32, i64>| map.get(&account).copied().unwrap_or(0);
            let held = (of(&book.cash), of(&book.entries), of(&book.positions));
            let (equity, must_stay) = worth(held, self.marks[other]);
            let said = self.nodes[other].engine.outbox().map(|(_, link_seq, command)| {
                let taken = link_seq <= self.nodes[0].links[other];
                match command {
                    Command::Return(back) if !taken && back.account.0 == account => back.amount,
                    _ => 0,
                }
            });
            let (earmark, until) = book.earmarks.get(&account).copied().unwrap_or_default();
            let earmark = if until > self.now { earmark.into() } else { 0 };
            let spare = equity - (6 * must_stay + 4).div_euclid(5) - earmark;
            spare.max(0) + i128::from(said.sum::<i64>())
        });
        let free = self.books[0].cash.get(&account).copied().unwrap_or(0);
        spare.sum::<i128>() + i128::from(free).max(0)
    }

    fn keep(&self, node: usize) -> Kept {
        let bench = &self.nodes[node];
        Kept {
            frames: bench.log.len(),
            seq: bench.seq,
            sessions: bench.sessions,
            links: bench.links,
            book: self.books[node].clone(),
            mark: self.marks[node],
        }
    }

    /// The node dies before the turn's frames are durable, and is away for some time.
    fn kill(&mut self, node: usize, kept: Kept, away: u64) {
        let bench = &mut self.nodes[node];
        bench.log.truncate(kept.frames);
        bench.engine = Engine::new(CAPACITY);
        for (header, payload) in &bench.log {
            bench.engine.apply(header, payload, &mut Collected::default());
        }
        bench.ts = bench.log.last().unwrap().0.ts;
        (bench.seq, bench.sessions, bench.links) = (kept.seq, kept.sessions, kept.links);
        (self.books[node], self.marks[node]) = (kept.book, kept.mark);
        self.away_until[node] = self.now + away;
        for shard in (1..NODES).filter(|shard| *shard != node) {
            for call in self.books[shard].calls.values_mut().filter(|call| call.answer.is_none()) {
                call.struck[usize::from(node != 0)] = true;
            }
        }
    }

    fn is_here(&self, node: usize) -> bool {
        self.now >= self.away_until[node]
    }

    /// What a node has to say, and how far it has come with each peer.
    fn says(&self, node: usize) -> Vec<(usize, Command)> {
        let bench = &self.nodes[node];
        let outbox = bench.engine.outbox().map(|(to, _, command)| (usize::from(to.0), command));
        let mut all: Vec<_> = outbox.collect();
        let peers = if node == 0 { 1..NODES } else { 0..1 };
        for peer in peers {
            let (me, link_seq) = (ShardId(node as u8), bench.links[peer]);
            let mut unheard = self.nodes[peer].engine.outbox().filter(|(to, ..)| *to == me);
            if unheard.next().is_some_and(|(_, first, _)| first <= link_seq) {
                let ack = LinkAck { peer: me, _pad: [0; 7], link_seq };
                all.push((peer, Command::LinkAck(ack)));
            }
        }
        all
    }

    /// Everything is said and heard at once.
    fn drain(&mut self) -> Result<(), String> {
        while self.nodes.iter().any(|node| node.engine.outbox().next().is_some()) {
            for node in 0..NODES {
                for (to, command) in self.says(node) {
                    self.send(to, &command)?;
                }
            }
        }
        Ok(())
    }

    /// One turn: what has come is heard, what is due is done, and what is new leaves; or a node
    /// dies instead.
    fn turn(&mut self, kill: Option<(usize, u64)>) -> Result<(), String> {
        self.now += TURN_US;
        let kept = kill.map(|(node, _)| self.keep(node));
        let now = self.now;
        let (come, wire) = std::mem::take(&mut self.wire).into_iter().partition(|at| at.0 <= now);
        self.wire = wire;
        let come: Vec<(u64, usize, Command)> = come;
        for (_, to, command) in come {
            if self.is_here(to) {
                self.note_ack(to, &command);
                self.send(to, &command)?;
            }
        }
        for node in 0..NODES {
            if self.is_here(node) && self.nodes[node].wake_at().is_some_and(|at| at <= now) {
                self.send(node, &Command::Tick(Tick { _reserved: 0 }))?;
            }
            if node > 0 && self.is_here(node) {
                self.look_at_link(node)?;
            }
        }
        if let (Some((node, away)), Some(kept)) = (kill, kept) {
            self.kill(node, kept, away);
        }
        let is_bad = now / TURN_US % 2 == 1;
        for node in (0..NODES).filter(|node| self.is_here(*node)).collect::<Vec<_>>() {
            for (to, command) in self.says(node) {
                let (delay, lost) = (self.below(DELAY_US), is_bad && self.below(4) == 0);
                if !lost {
                    self.wire.push((now + delay, to, command));
                }
            }
        }
        let waiting = |account: &u32| {
            let calls = self.books.iter().filter_map(|book| book.calls.get(account));
            calls.into_iter().any(|call| call.answer.is_none())
        };
        let waiting = (1..=ACCOUNTS).filter(waiting).count();
        self.told.together += usize::from(waiting > 1);
        Ok(())
    }

    /// A shard hears of the ledger.
    fn note_ack(&mut self, node: usize, command: &Command) {
        if let (1.., Command::LinkAck(_)) = (node, command) {
            self.silence[node].0 = None;
        }
    }

    /// Says whether a shard's link is up, as its node does.
    fn look_at_link(&mut self, shard: usize) -> Result<(), String> {
        let engine = &self.nodes[shard].engine;
        let owed = engine.outbox().next().is_some() || engine.awaits_ledger();
        let (since, was_up) = self.silence[shard];
        let since = owed.then_some(since.unwrap_or(self.now));
        let up = since.is_none_or(|since| self.now - since < SILENT_US);
        self.silence[shard] = (since, up);
        if up != was_up {
            self.send(shard, &link(up))?;
        }
        Ok(())
    }

    fn is_quiet(&self) -> bool {
        (0..NODES).all(|node| {
            let bench = &self.nodes[node];
            let said = bench.engine.outbox().next().is_some();
            self.is_here(node) && !said && bench.wake_at().is_none()
        })
    }

    /// Who may die now, and for how long.
    fn death(&mut self, shard: usize) -> Option<(usize, u64)> {
        let other = 1 + (shard + self.below(2) as usize) % 3;
        let has_word = (1..NODES).any(|from| {
            let open = |call: &Call| call.answer.is_none();
            let mut calls = self.books[from].calls.values().filter(|call| open(call));
            calls.any(|call| call.number <= self.nodes[0].links[from])
        });
        match self.below(4) {
            0 => None,
            1 => Some((other, self.below(AWAY_US))),
            2 if has_word => Some((0, self.below(AWAY_US))),
            _ if has_word => {
                let anew = CALL_RECALL_WAIT_US + CALL_LATE_US + TURN_US;
                Some((0, anew + self.below(LEDGER_AWAY_US - anew)))
            }
            _ => Some((0, self.below(LEDGER_AWAY_US))),
        }
    }

    /// Moves a shard's mark, perhaps more than once, and lets follow what follows from it.
    fn play(&mut self, shard: usize, mark: i64) -> Result<(), String> {
        // earmarks are over, and no index is stale
        self.now += EARMARK_US;
        for other in 1..NODES {
            self.send(other, &index(1, self.indices[other]))?;
        }
        self.go_on()?;
        self.indices[shard] = mark;
        self.send(shard, &index(1, mark))?;
        let (death, again) = (self.below(20), 4 + self.below(40));
        for turn in 0..=again {
            let kill = if turn == death { self.death(shard) } else { None };
            self.turn(kill)?;
        }
        if self.below(2) == 0 {
            self.indices[shard] = (mark + self.below(9) as i64 - 4).clamp(70, 130);
            self.send(shard, &index(1, self.indices[shard]))?;
        }
        self.go_on()
    }

    fn go_on(&mut self) -> Result<(), String> {
        for _ in 0..(2 * MARGIN_CALL_GRACE_DOWN_US / TURN_US) {
            if self.is_quiet() {
                return Ok(());
            }
            self.turn(None)?;
        }
        Err("it never gets quiet".into())
    }

    /// Sends an order as a gateway does.
    fn place(&mut self, shard: usize, account: u32, side: Side, qty: i64) -> Result<(), String> {
        let order = limit(account, side, self.indices[shard], qty);
        let first = outcome(&self.send(shard, &Command::Place(order))?);
        if first.reject == Reject::NeedMargin {
            self.send(0, &lend(account, shard as u8, first.amount))?;
            self.drain()?;
            self.send_as(shard, true, &Command::Place(order))?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let (account, shard) = (1 + self.below(4) as u32, 1 + self.below(3) as usize);
        match self.below(8) {
            0 => {
                self.transfers += 1;
                let amount = 4_000 * self.below(7) as i64 + 1;
                self.send(0, &deposit(account, self.transfers, amount))?;
            }
            1 | 2 => {
                let (other, qty) = (account % ACCOUNTS + 1, 1 + self.below(8) as i64);
                self.place(shard, account, Side::Buy, qty)?;
                self.place(shard, other, Side::Sell, qty)?;
            }
            // one against all others, who come into need together
            3 | 4 => {
                let (side, qty) = (Side::ALL[self.below(2) as usize], 1 + self.below(4) as i64);
                for other in (1..=ACCOUNTS).filter(|other| *other != account) {
                    self.place(shard, account, side, qty)?;
                    self.place(shard, other, side.opposite(), qty)?;
                }
            }
            _ => {
                let by = 2 * self.below(21) as i64 - 20;
                let mark = (self.indices[shard] + by).clamp(70, 130);
                self.play(shard, mark)?;
            }
        }
        Ok(())
    }
}

fn world(seed: u64) -> Result<Told, String> {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step()?;
    }
    Ok(world.told)
}

proptest! {
    #![proptest_config(cases(100, 20_000))]

    #[test]
    fn nobody_is_liquidated_who_has_it_where_kills_delay_it(seed: u64) {
        if let Err(fault) = world(seed) {
            prop_assert!(false, "seed {}: {}", seed, fault);
        }
    }
}

/// A shard that has given what it could closes a part of a position of the same account there.
#[test]
fn what_comes_free_after_an_answer_is_for_the_next_call() {
    world(17_127_614_530_531_657_843).unwrap();
}

/// A shard's debt takes what the ledger had for a call, and what it has recalled for it.
#[test]
fn a_debt_on_another_shard_takes_nothing_from_a_call() {
    world(5_901_359_079_990_907_219).unwrap();
}

#[test]
fn kills_meet_calls_that_are_answered_all_the_same() {
    let mut all = Told::default();
    let worlds = if is_full() { 4_000 } else { 100 };
    for seed in 0..worlds {
        let told = world(seed).unwrap_or_else(|fault| panic!("{seed}: {fault}"));
        all.saved = [all.saved[0] + told.saved[0], all.saved[1] + told.saved[1]];
        (all.together, all.moved) = (all.together + told.together, all.moved + told.moved);
        all.liquidated += told.liquidated;
    }
    println!("{worlds} worlds: {all:?}");
    let least = worlds as usize / 4;
    assert!(all.saved.iter().all(|saved| *saved > least), "{all:?}");
    assert!(all.together > least && all.liquidated - all.moved > least, "{all:?}");
}
