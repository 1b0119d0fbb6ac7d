//! Collateral over the links: nothing is lost or doubled, whatever is resent.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::{
    AccountId, Command, Event, Reject, ShardId,
    command::{Deposit, Lend, LinkAck, Place, Tick},
    event::LendSettled,
    limits::{EARMARK_US, RECALL_WAIT_US},
    order::{AlgoStatus, CashReason, Side},
};

use crate::{
    bench::{Bench, brackets, index, outcome, spec},
    differential::cases,
    trading::limit,
    triggers::{changes, stop},
};

pub fn deposit(account: u32, transfer: u64, amount: i64) -> Command {
    Command::Deposit(Deposit { account: AccountId(account), _pad: 0, transfer, amount })
}

pub fn lend(account: u32, shard: u8, amount: i64) -> Command {
    Command::Lend(Lend { account: AccountId(account), shard: ShardId(shard), _pad: [0; 3], amount })
}

fn settled(events: &[Event]) -> Option<LendSettled> {
    events.iter().find_map(|event| match event {
        Event::LendSettled(settled) => Some(*settled),
        _ => None,
    })
}

/// What cash and a position with its entry value are worth at a mark, and what must stay.
pub fn worth((cash, entry, lots): (i64, i64, i64), mark: i64) -> (i128, i128) {
    let value = i128::from(lots) * i128::from(mark * spec(1).mult);
    let table = brackets(1);
    let rows = table.rows[..usize::from(table.count)].iter();
    // each part of the value at its own bracket's rate
    let parts = rows.map(|row| {
        let part = value.abs().min(row.cap.into()) - i128::from(row.floor);
        part.max(0) * i128::from(row.maintenance)
    });
    let must_stay = -(-parts.sum::<i128>()).div_euclid(100_000_000);
    (i128::from(cash) + value - i128::from(entry), must_stay)
}

/// A ledger and three trading shards, with links that a test drives.
pub struct Cluster {
    pub nodes: [Bench; 4],
    /// The last word of each account's free cash and of its cash by shard.
    pub cash: BTreeMap<(u8, u32), i64>,
    /// The last word of each account's entry value by shard, each of which has one symbol.
    entries: BTreeMap<(u8, u32), i64>,
    /// And of its positions.
    pub positions: BTreeMap<(u8, u32), i64>,
    /// The last mark of each shard's symbol.
    pub marks: [i64; 4],
    fees: i128,
    /// Deposits less withdrawals.
    pub deposited: i128,
}

impl Cluster {
    pub fn new() -> Self {
        let mut nodes = [0, 1, 2, 3].map(Bench::new);
        for (shard, node) in nodes.iter_mut().enumerate().skip(1) {
            let shard = ShardId(shard as u8);
            node.ok(&Command::ListSymbol(protocol::instrument::SymbolSpec { shard, ..spec(1) }));
            node.ok(&Command::SetBrackets(brackets(1)));
            node.ok(&index(1, 100));
        }
        Self {
            nodes,
            cash: BTreeMap::new(),
            entries: BTreeMap::new(),
            positions: BTreeMap::new(),
            marks: [100; 4],
            fees: 0,
            deposited: 0,
        }
    }

    /// Sends a command to a node and takes note of money.
    pub fn send(&mut self, node: usize, command: &Command) -> Vec<Event> {
        let own = matches!(command, Command::Tick(_) | Command::LinkState(_));
        let events = match own || command.kind().is_link() {
            true => self.nodes[node].raw(command),
            false => self.nodes[node].send(command),
        };
        self.note(node, &events);
        events
    }

    /// Takes note of the money in a node's events.
    pub fn note(&mut self, node: usize, events: &[Event]) {
        for event in events {
            if let Event::Mark(mark) = event {
                self.marks[node] = mark.mark;
            }
            if let Event::CashChanged(change) = event {
                self.cash.insert((node as u8, change.account.0), change.cash);
                if matches!(change.reason, CashReason::Deposit | CashReason::Withdraw) {
                    self.deposited += i128::from(change.delta);
                }
            }
            if let Event::LiquidationFeePaid(fee) = event {
                self.cash.insert((node as u8, fee.account.0), fee.cash);
            }
            if let Event::Trade(trade) = event {
                for fill in [&trade.taker, &trade.maker] {
                    self.cash.insert((node as u8, fill.account.0), fill.cash);
                    self.entries.insert((node as u8, fill.account.0), fill.entry);
                    self.positions.insert((node as u8, fill.account.0), fill.position);
                    self.fees += i128::from(fill.fee);
                }
            }
        }
    }

    /// Delivers the n-th unacknowledged message of a node's outbox; acknowledges it if told to.
    pub fn deliver(&mut self, from: usize, nth: usize, ack: bool) -> Vec<Event> {
        let message = self.nodes[from].engine.outbox().nth(nth);
        let Some((to, _, command)) = message else { return Vec::new() };
        if usize::from(to.0) >= self.nodes.len() {
            return Vec::new();
        }
        let events = self.send(to.0.into(), &command);
        let applied = events.iter().find_map(|event| match event {
            Event::LinkApplied(applied) => Some(applied.link_seq),
            _ => None,
        });
        let link_seq = applied.expect("each link message is answered");
        if ack {
            let peer = to;
            self.send(from, &Command::LinkAck(LinkAck { peer, _pad: [0; 7], link_seq }));
        }
        events
    }

    /// What an account has on a shard at a mark, with unrealised profit, and what it must keep.
    pub fn worth(&self, shard: u8, account: u32, mark: i64) -> (i128, i128) {
        let of = |map: &BTreeMap<(u8, u32), i64>| map.get(&(shard, account)).copied().unwrap_or(0);
        worth((of(&self.cash), of(&self.entries), of(&self.positions)), mark)
    }

    /// Sends an order as a gateway does: when it lacks margin, once more with what the ledger
    /// lends. How it ended.
    pub fn place(&mut self, shard: usize, order: Place) -> Reject {
        let first = outcome(&self.send(shard, &Command::Place(order)));
        if first.reject != Reject::NeedMargin {
            return first.reject;
        }
        self.send(0, &lend(order.account.0, shard as u8, first.amount));
        self.drain();
        let events = self.nodes[shard].send_as(0, true, &Command::Place(order));
        self.note(shard, &events);
        outcome(&events).reject
    }

    /// Everything unacknowledged, delivered and acknowledged, until nothing is.
    pub fn drain(&mut self) {
        while let Some(from) =
            (0..self.nodes.len()).find(|at| self.nodes[*at].engine.outbox().next().is_some())
        {
            self.deliver(from, 0, true);
        }
    }

    /// Free cash, cash on shards and fees, less the entry values of open positions (invariant 2 of
    /// money): what was deposited, once nothing is in flight.
    pub fn booked(&self) -> i128 {
        let sum = |of: &BTreeMap<_, i64>| of.values().map(|value| i128::from(*value)).sum::<i128>();
        sum(&self.cash) + self.fees - sum(&self.entries)
    }
}

#[test]
fn a_deposit_counts_once() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(1, 5, 1_000));
    ledger.refused(&deposit(1, 5, 1_000), Reject::TransferDuplicate);
    ledger.refused(&deposit(1, 4, 1_000), Reject::TransferDuplicate);
    ledger.refused(&deposit(1, 6, 0), Reject::AmountInvalid);
    ledger.refused(&deposit(u32::MAX, 6, 5), Reject::UnknownAccount);
    ledger.ok(&deposit(1, 6, 1));
    ledger.refused(&lend(2, 1, 1), Reject::UnknownAccount);
    ledger.refused(&lend(1, 0, 1), Reject::WrongShard);
    ledger.refused(&lend(1, 4, 1), Reject::WrongShard);
}

#[test]
fn what_is_free_is_lent_at_once() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(1, 1, 1_000));
    let granted = |events: &[Event]| settled(events).unwrap().granted;
    assert_eq!(granted(&cluster.send(0, &lend(1, 1, 100))), 250);
    assert_eq!(granted(&cluster.send(0, &lend(1, 1, 700))), 700);
    // 50 are left, and nobody else has any
    assert_eq!(granted(&cluster.send(0, &lend(1, 1, 51))), 0);
    cluster.drain();
    assert_eq!(cluster.cash[&(1, 1)], 950);
}

#[test]
fn what_lies_idle_elsewhere_comes_back() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(1, 1, 100_000));
    cluster.send(0, &lend(1, 1, 100_000));
    cluster.drain();
    // 1 lot of order holds 5,050 back on shard 1
    cluster.send(1, &Command::Place(limit(1, Side::Buy, 100, 1)));
    cluster.nodes[1].ts += EARMARK_US;
    let events = cluster.send(0, &lend(1, 2, 90_000));
    assert_eq!((settled(&events), outcome(&events).reject), (None, Reject::None));
    assert!(cluster.nodes[0].engine.wake_at().is_some());
    let back = cluster.deliver(0, 0, true);
    assert!(
        back.iter()
            .any(|event| matches!(event, Event::ReturnIssued(back) if back.amount == 90_000))
    );
    let answer = settled(&cluster.deliver(1, 0, true)).unwrap();
    assert_eq!((answer.granted, answer.link_seq), (90_000, 1));
    assert_eq!(cluster.nodes[0].engine.wake_at(), None);
    cluster.drain();
    assert_eq!((cluster.cash[&(1, 1)], cluster.cash[&(2, 1)]), (10_000, 90_000));
}

#[test]
fn an_earmarked_grant_waits_for_its_order() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(1, 1, 10_000));
    cluster.send(0, &lend(1, 1, 10_000));
    cluster.drain();
    cluster.send(0, &lend(1, 2, 4_000));
    cluster.deliver(0, 0, true);
    // nothing could be spared: the answer comes with the return
    assert_eq!(settled(&cluster.deliver(1, 0, true)).unwrap().granted, 0);
    // a last try frees it, whatever becomes of it
    let order = Command::Place(limit(1, Side::Buy, 100, 3));
    cluster.nodes[1].send_as(0, true, &order);
    cluster.send(0, &lend(1, 2, 4_000));
    cluster.deliver(0, 0, true);
    assert_eq!(settled(&cluster.deliver(1, 0, true)).unwrap().granted, 4_000);
}

#[test]
fn a_lend_is_answered_in_bounded_time() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(1, 1, 10_000));
    cluster.send(0, &lend(1, 1, 10_000));
    cluster.drain();
    cluster.send(0, &lend(1, 2, 4_000));
    let tick = Command::Tick(Tick { _reserved: 0 });
    assert_eq!(settled(&cluster.send(0, &tick)), None);
    cluster.nodes[0].ts += RECALL_WAIT_US;
    let answer = settled(&cluster.send(0, &tick)).unwrap();
    assert_eq!((answer.granted, answer.account), (0, AccountId(1)));
    assert_eq!(cluster.nodes[0].engine.wake_at(), None);
}

/// Whose stop on shard 1 fires while his money is elsewhere.
fn fired_on_shard_1(elsewhere: Option<u8>) -> Cluster {
    let mut cluster = Cluster::new();
    for account in 1..=3 {
        cluster.send(0, &deposit(account, 1, 400_000));
    }
    for account in 2..=3 {
        cluster.send(0, &lend(account, 1, 400_000));
    }
    if let Some(shard) = elsewhere {
        cluster.send(0, &lend(1, shard, 400_000));
    }
    cluster.drain();
    for node in &mut cluster.nodes {
        node.ts += EARMARK_US;
    }
    cluster.send(1, &Command::PlaceAlgo(stop(1, Side::Buy, 103, 5)));
    cluster.send(1, &Command::Place(limit(2, Side::Sell, 103, 6)));
    cluster.send(1, &Command::Place(limit(3, Side::Buy, 103, 1)));
    let events = cluster.send(1, &Command::Tick(Tick { _reserved: 0 }));
    assert_eq!(changes(&events), [(1, AlgoStatus::Triggering)]);
    cluster
}

#[test]
fn a_fired_stop_gets_what_is_free_or_lies_elsewhere() {
    for elsewhere in [None, Some(2)] {
        let mut cluster = fired_on_shard_1(elsewhere);
        cluster.drain();
        let events = cluster.send(1, &Command::Tick(Tick { _reserved: 0 }));
        let fates = [(1, AlgoStatus::Triggered), (1, AlgoStatus::Finished)];
        assert_eq!(changes(&events), fates, "money on {elsewhere:?}");
        assert_eq!(cluster.booked(), cluster.deposited);
        assert!(cluster.nodes[1].wake_at().is_none(), "the call is closed");
    }
}

#[test]
fn a_call_in_vain_is_answered_too() {
    let mut cluster = fired_on_shard_1(Some(2));
    // his money is at work there
    cluster.send(2, &Command::Place(limit(1, Side::Buy, 100, 78)));
    cluster.drain();
    let events = cluster.send(1, &Command::Tick(Tick { _reserved: 0 }));
    assert_eq!(changes(&events), [(1, AlgoStatus::Rejected)]);
    assert!(cluster.nodes[1].wake_at().is_none());
}

proptest! {
    #![proptest_config(cases(200, 20_000))]

    /// Whatever is lent, recalled, traded, sent twice or out of turn, all money is somewhere, and
    /// once nothing is in flight it is what was deposited.
    #[test]
    fn money_is_conserved_over_the_links(
        steps in prop::collection::vec((0u8..11, 0u8..3, 1u32..4, 1i64..40), 1..120),
    ) {
        let mut cluster = Cluster::new();
        let mut transfer = 0;
        for (choice, node, account, size) in steps {
            let shard = usize::from(node.clamp(1, 2));
            match choice {
                0 | 1 => {
                    transfer += 1;
                    cluster.send(0, &deposit(account, transfer, size * 1_000));
                }
                2 | 3 => {
                    cluster.send(0, &lend(account, shard as u8, size * 900));
                }
                4 => {
                    let side = if size % 2 == 0 { Side::Buy } else { Side::Sell };
                    cluster.send(shard, &Command::Place(limit(account, side, 80 + size, 1)));
                }
                10 => {
                    let algo = stop(account, Side::Buy, 80 + size, 2);
                    cluster.send(shard, &Command::PlaceAlgo(algo));
                }
                5 => {
                    cluster.nodes[0].ts += RECALL_WAIT_US / 2;
                    cluster.nodes[shard].ts += EARMARK_US / 2;
                    cluster.send(0, &Command::Tick(Tick { _reserved: 0 }));
                }
                // in turn, out of turn, or again
                6..=8 => {
                    cluster.deliver(node.into(), (size % 3) as usize, size % 2 == 0);
                }
                _ => {
                    cluster.deliver(node.into(), 0, true);
                }
            }
        }
        cluster.drain();
        cluster.nodes[0].ts += RECALL_WAIT_US;
        cluster.send(0, &Command::Tick(Tick { _reserved: 0 }));
        cluster.drain();
        prop_assert_eq!(cluster.nodes[0].engine.wake_at(), None);
        prop_assert_eq!(cluster.booked(), cluster.deposited);
    }
}
