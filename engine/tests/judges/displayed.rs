//! What a trader is shown as available can be spent, wherever it lies: one order at a time.

use std::collections::BTreeMap;

use engine::Engine;
use protocol::{
    AccountId, Command, Event, Reject, ShardId, SymbolId,
    command::{CancelAll, PlaceAlgo, SetPositionMode, Tick},
    instrument::SymbolSpec,
    limits::{EARMARK_US, RECALL_WAIT_US, SWEEP_AFTER_US},
    order::{AlgoStatus, CashReason, PositionMode, Side},
};

use crate::{
    auditor::Auditor,
    bench::{Bench, CAPACITY, brackets, index, outcome, spec},
    displayed_needs::Need,
    lending::{Cluster, deposit, lend},
    sweeps::link,
    trading::limit,
};

pub const ALICE: u32 = 1;
pub const BOB: u32 = 2;
const LEDGER: usize = 0;

/// A ledger and three trading shards of two symbols each, as a gateway sees them: all that is known
/// of money and of orders is what they have said.
pub struct Venue {
    pub cluster: Cluster,
    /// By node: a replay of its log; and of trading shards who listens to it.
    replays: [Bench; 4],
    pub audits: [Auditor; 4],
    /// What the ledger has last said of alice: what is free, and what it has lent to each shard.
    free: i64,
    lent: [i64; 4],
    /// What each shard has got of it.
    received: [i64; 4],
    /// What alice owes the insurance fund: what comes back of her money goes there first.
    owed: i64,
    pub marks: [[i64; 2]; 4],
    /// Alice's conditional orders, by shard and id; and what has become of those that fired, by
    /// shard and number.
    pub algos: BTreeMap<(usize, u64), PlaceAlgo>,
    pub fates: BTreeMap<(usize, u64), Reject>,
    /// Of those that wait: whether they fitted when their account's last call was made.
    pub waiting: BTreeMap<(usize, u64), bool>,
    pub seen: Seen,
    /// Refusals for margin that was shown.
    pub faults: Vec<String>,
}

/// What a flow has had of each, by [`What`], to know that it judges something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// What fitted what is shown; what of it the ledger was asked for; and what did not fit and
    /// was refused.
    pub fitted: [usize; 5],
    pub lent: [usize; 5],
    pub refused: [usize; 5],
    /// Judged with both legs of a symbol open.
    pub both_legs: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Order,
    Amend,
    Leverage,
    Margin,
    Fired,
}

/// It was refused because margin is lacking.
pub const fn is_short(reject: Reject) -> bool {
    matches!(
        reject,
        Reject::NeedMargin
            | Reject::InsufficientMargin
            | Reject::LeverageNeedsMargin
            | Reject::CrossInsufficient
    )
}

impl Venue {
    pub fn new(alice: i64) -> Self {
        let mut cluster = Cluster::new();
        for shard in 1..4 {
            let of_shard = ShardId(shard as u8);
            let second = SymbolSpec { shard: of_shard, ..spec(2) };
            cluster.send(shard, &Command::ListSymbol(second));
            cluster.send(shard, &Command::SetBrackets(brackets(2)));
            cluster.send(shard, &link(true));
        }
        let mut replays = [0, 1, 2, 3].map(Bench::new);
        for bench in cluster.nodes.iter_mut().chain(&mut replays) {
            // one unit of work a frame: what is shown is known before each
            let engine = Engine::load(CAPACITY, &bench.engine.save()).unwrap();
            bench.engine = engine.with_work_per_turn(1);
        }
        let mut audits = [(); 4].map(|()| Auditor::default());
        audits.iter_mut().for_each(|audit| audit.turns.few = true);
        let mut venue = Self {
            cluster,
            replays,
            audits,
            free: 0,
            lent: [0; 4],
            received: [0; 4],
            owed: 0,
            marks: [[100; 2]; 4],
            algos: BTreeMap::new(),
            fates: BTreeMap::new(),
            waiting: BTreeMap::new(),
            seen: Seen::default(),
            faults: Vec::new(),
        };
        venue.send(LEDGER, &deposit(ALICE, 1, alice));
        venue.send(LEDGER, &deposit(BOB, 1, 1 << 40));
        for shard in 1..4 {
            venue.mark(shard, 1, 100);
            venue.mark(shard, 2, 100);
        }
        venue
    }

    /// Sends a command to a node and listens.
    pub fn send(&mut self, node: usize, command: &Command) -> Vec<Event> {
        let events = self.cluster.send(node, command);
        self.listen(node);
        events
    }

    /// Takes what a node has said since.
    fn listen(&mut self, node: usize) {
        let known = self.replays[node].log.len();
        for at in known..self.cluster.nodes[node].log.len() {
            let (header, payload) = &self.cluster.nodes[node].log[at];
            self.replays[node].ts = header.ts - 1;
            let events = self.replays[node].apply_bytes(header.kind, payload).events();
            let ts = header.ts;
            if node != LEDGER {
                self.judge_fired(node, &events);
                self.audits[node].take(ts, &events);
            }
            events.iter().for_each(|event| self.hear(node, event));
        }
    }

    fn hear(&mut self, node: usize, event: &Event) {
        match event {
            Event::CashChanged(change) if change.account == AccountId(ALICE) => {
                if change.reason == CashReason::Repayment {
                    self.owed += change.delta;
                }
                if node == LEDGER {
                    self.free = change.cash;
                    self.lent[usize::from(change.shard.0)] = change.lent;
                } else if matches!(
                    change.reason,
                    CashReason::GrantApplied | CashReason::ReturnIssued
                ) {
                    self.received[node] += change.delta;
                }
            }
            Event::DebtIssued(debt) if debt.account == AccountId(ALICE) => self.owed += debt.amount,
            Event::AlgoAccepted(algo) => {
                self.algos.insert((node, algo.algo.0), algo.terms);
            }
            Event::AlgoChanged(change)
                if matches!(change.status, AlgoStatus::Triggered | AlgoStatus::Rejected) =>
            {
                self.fates.insert((node, change.algo.count()), change.reject);
            }
            _ => {}
        }
    }

    /// What is shown as available, but for its bound at 0: what is free or under way, and each
    /// shard's cross equity less what it must cover. What is owed is taken off, as what comes home
    /// repays it first; a gateway does not know of debts and shows that much more.
    pub fn shown(&self) -> i128 {
        let under_way = self.lent.iter().sum::<i64>() - self.received.iter().sum::<i64>();
        let on_shards: i128 = self.audits[1..].iter().map(|audit| audit.available(ALICE)).sum();
        i128::from(self.free) + i128::from(under_way) + on_shards - i128::from(self.owed)
    }

    /// Delivers everything, and lets everything be done that has come due.
    pub fn settle(&mut self) {
        loop {
            if let Some(node) = (1..4).find(|node| self.cluster.nodes[*node].works()) {
                // a frame that moves no mark
                self.send(node, &link(true));
            } else if !self.deliver() {
                return;
            }
        }
    }

    /// Delivers one message between nodes; false: there is none.
    fn deliver(&mut self) -> bool {
        let has_any = |node: &usize| self.cluster.nodes[*node].engine.outbox().next().is_some();
        let Some(from) = (0..4).find(has_any) else { return false };
        self.cluster.deliver(from, 0, true);
        (0..4).for_each(|node| self.listen(node));
        true
    }

    /// Sends a command as a gateway does: when it lacks margin, once more with what the ledger
    /// lends. How it ended, and what the ledger was asked for.
    pub fn round(&mut self, shard: usize, account: u32, command: &Command) -> (Reject, i64) {
        let first = outcome(&self.send(shard, command));
        if first.reject != Reject::NeedMargin {
            self.settle();
            return (first.reject, 0);
        }
        self.send(LEDGER, &lend(account, shard as u8, first.amount));
        self.settle();
        let events = self.cluster.nodes[shard].send_as(0, true, command);
        self.cluster.note(shard, &events);
        self.listen(shard);
        self.settle();
        (outcome(&events).reject, first.amount)
    }

    /// As [`Self::round`], of alice: what fits what is shown is not refused for margin, and no more
    /// is asked for than it lacks. How it ended, and whether it had fitted.
    pub fn judged(&mut self, shard: usize, command: &Command) -> (Reject, bool) {
        let audit = &self.audits[shard];
        let (what, need) = match command {
            Command::Place(order) => (What::Order, audit.order_needs(order)),
            Command::Amend(amend) => (What::Amend, audit.amend_needs(amend)),
            Command::SetLeverage(set) => (What::Leverage, audit.leverage_needs(set)),
            Command::MoveMargin(set) if set.amount > 0 => {
                (What::Margin, Need::Margin(set.amount.into()))
            }
            Command::MoveMargin(_) => (What::Margin, Need::Nothing),
            other => panic!("nothing is held back for {other:?}"),
        };
        let (shown, here) = (self.shown(), audit.available(ALICE));
        let fits = need.fits(shown);
        let (reject, asked) = self.round(shard, ALICE, command);
        self.count(what, fits, asked != 0, reject);
        let holds = |symbol, leg| self.audits[shard].position((ALICE, symbol, leg)).qty != 0;
        let both = [1, 2].iter().any(|symbol| holds(*symbol, 1) && holds(*symbol, 2));
        self.seen.both_legs += usize::from(both);
        // what only closes may lack something else: more behind its position
        let too_much = matches!(need, Need::Margin(more) if i128::from(asked) > more - here);
        if fits && is_short(reject) || asked != 0 && too_much {
            let asked = format!("asked for {asked} with {here} there");
            self.faults.push(format!("{need:?} of {shown}, {asked}: {reject:?} {command:?}"));
        }
        (reject, fits)
    }

    fn count(&mut self, what: What, fits: bool, lent: bool, reject: Reject) {
        let (seen, what) = (&mut self.seen, what as usize);
        seen.fitted[what] += usize::from(fits && reject.is_none());
        seen.lent[what] += usize::from(fits && lent && reject.is_none());
        seen.refused[what] += usize::from(!fits && is_short(reject));
    }

    /// Everybody rests until what he has not used has gone home.
    pub fn rest(&mut self) {
        for node in &mut self.cluster.nodes {
            node.ts += SWEEP_AFTER_US;
        }
        for shard in 1..4 {
            self.send(shard, &Command::Tick(Tick { _reserved: 0 }));
            // an index that is away for so long would end trading
            self.mark(shard, 1, self.marks[shard][0]);
            self.mark(shard, 2, self.marks[shard][1]);
        }
        self.settle();
    }

    pub fn mark(&mut self, shard: usize, symbol: u16, mark: i64) {
        self.marks[shard][usize::from(symbol) - 1] = mark;
        self.send(shard, &index(symbol, mark));
        self.settle();
    }

    /// What is earmarked for an order is free again, and no index stays away.
    pub fn pass_time(&mut self) {
        for node in &mut self.cluster.nodes {
            node.ts += EARMARK_US + RECALL_WAIT_US;
        }
        for shard in 1..4 {
            for symbol in [1, 2] {
                self.mark(shard, symbol, self.marks[shard][usize::from(symbol) - 1]);
            }
        }
    }

    /// Alice's position mode, by the ledger's word.
    pub fn set_mode(&mut self, mode: PositionMode) -> Reject {
        let account = AccountId(ALICE);
        let set = Command::SetPositionMode(SetPositionMode { account, mode, _pad: [0; 3] });
        let reject = outcome(&self.send(LEDGER, &set)).reject;
        self.settle();
        reject
    }

    pub fn is_hedged(&self) -> bool {
        self.cluster.nodes[1].hedged.contains(&ALICE)
    }

    pub fn cancel_all(&mut self, shard: usize, symbol: u16) {
        let (account, symbol) = (AccountId(ALICE), SymbolId(symbol));
        self.send(shard, &Command::CancelAll(CancelAll { account, symbol, _pad: [0; 2] }));
        self.settle();
    }
}

/// What shards have given back by themselves can be spent on any of them, and again.
#[test]
fn money_that_went_home_is_spent() {
    let mut venue = Venue::new(100_000);
    for _ in 0..3 {
        for shard in [1, 2, 3] {
            let buy = Command::Place(limit(ALICE, Side::Buy, 100, 5));
            assert_eq!(venue.judged(shard, &buy), (Reject::None, true));
            venue.rest();
            venue.cancel_all(shard, 1);
            venue.rest();
            assert_eq!(venue.free, 100_000, "all is free again");
        }
    }
    let buy = Command::Place(limit(ALICE, Side::Buy, 100, 19));
    assert_eq!(venue.judged(1, &buy), (Reject::None, true), "wherever it lies");
}

#[test]
fn money_that_lies_elsewhere_is_spent() {
    let mut venue = Venue::new(100_000);
    let buy = |qty| Command::Place(limit(ALICE, Side::Buy, 100, qty));
    // a lot holds 5,050 back: nine on shard 1, nine on shard 2, and one more nowhere
    for shard in [1, 2] {
        assert_eq!(venue.judged(shard, &buy(9)), (Reject::None, true));
        venue.pass_time();
    }
    assert_eq!(venue.judged(3, &buy(2)), (Reject::InsufficientMargin, false));
    assert_eq!(venue.judged(3, &buy(1)), (Reject::None, true));
}
