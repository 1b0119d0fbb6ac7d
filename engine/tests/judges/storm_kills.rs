//! What a storm's kills meet: margin calls, urgent recalls and debts that are open.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    Command, Event, Reject,
    limits::MARGIN_CALL_GRACE_US,
    order::{CallKind, CashReason},
};

use crate::{
    bench::outcome,
    differential::is_full,
    gates::Kind,
    storm::{NODES, Storm, good},
};

/// What may be open when a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// From a shard's call until it has the answer, or until its grace may be over.
    Call,
    /// From the ledger's word until it has what comes back.
    UrgentRecall,
    /// From the advance until the ledger has got it back.
    Debt,
}

/// By what was open: kills of the ledger, and of the shard that it is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kills(pub [[usize; 2]; 3]);

/// What a node's frames have left open.
#[derive(Clone, Default)]
pub struct Open {
    now: u64,
    /// Of a shard, by account: the call's number, and when it was opened.
    calls: BTreeMap<u32, (u64, u64)>,
    /// Of the ledger: the shard that is asked, and for what.
    recalls: BTreeSet<(u8, u64)>,
    /// By account, what the ledger has yet to get back.
    owed: BTreeMap<u32, i128>,
}

impl Open {
    pub fn note(&mut self, now: u64, command: &Command, events: &[Event]) {
        self.now = now;
        if outcome(events).reject == Reject::None {
            match command {
                Command::Grant(grant) => {
                    self.calls.retain(|_, (number, _)| *number != grant.call);
                }
                Command::Return(back) => _ = self.recalls.remove(&(back.from.0, back.lend)),
                Command::Debt(debt) => {
                    *self.owed.entry(debt.account.0).or_default() += i128::from(debt.amount);
                }
                _ => {}
            }
        }
        for event in events {
            match event {
                Event::MarginCallIssued(call) if call.kind != CallKind::Order => {
                    self.calls.insert(call.account.0, (call.link_seq, now));
                }
                Event::RecallIssued(recall) if recall.urgent => {
                    self.recalls.insert((recall.to.0, recall.lend));
                }
                Event::CashChanged(change)
                    if change.reason == CashReason::Repayment && !change.account.is_insurance() =>
                {
                    *self.owed.entry(change.account.0).or_default() += i128::from(change.delta);
                }
                _ => {}
            }
        }
    }

    fn has_call(&self) -> bool {
        self.calls.values().any(|(_, opened)| self.now < opened + MARGIN_CALL_GRACE_US)
    }
}

impl Storm {
    /// What is open that a node has part in.
    pub fn open_at(&self, node: usize) -> Vec<(What, usize)> {
        let shards = || (1..NODES).filter(|shard| node == 0 || node == *shard);
        let called = shards().any(|shard| self.under_way[shard].has_call());
        let asked = &self.under_way[0].recalls;
        let recalled = shards().any(|shard| asked.iter().any(|(to, _)| usize::from(*to) == shard));
        let told = |shard: usize| {
            let mut outbox = self.nodes[shard].engine.outbox();
            outbox.any(|(.., command)| matches!(command, Command::Debt(_)))
        };
        let owes = node == 0 && self.under_way[0].owed.values().any(|owed| *owed > 0);
        let owed = owes || shards().any(told);
        let all = [(What::Call, called), (What::UrgentRecall, recalled), (What::Debt, owed)];
        all.into_iter().filter(|(_, open)| *open).map(|(what, _)| (what, node)).collect()
    }

    pub fn count_kill(&mut self, node: usize) {
        for (what, _) in self.open_at(node) {
            self.kills.0[what as usize][usize::from(node != 0)] += 1;
        }
    }
}

/// Storms with each kind of message in the eye.
const STORMS: [u64; 2] = [4, 200];
/// One kill of each of both, at least, in so many storms: by what is open.
const ONE_IN: [usize; 3] = [1, 2, 4];
/// Messages of each kind that are taken in all of them.
const TAKEN_MIN: usize = 20;

#[test]
fn kills_meet_all_that_is_open() {
    let (mut storms, mut kills, mut taken) = (0, Kills::default(), BTreeMap::new());
    let (mut swept, mut debts) = (0, 0);
    for eye in Kind::ALL {
        for seed in 0..STORMS[usize::from(is_full())] {
            let told = good(seed, eye).unwrap_or_else(|fault| panic!("{eye:?} {seed}: {fault}"));
            storms += 1;
            (swept, debts) = (swept + told.swept, debts + told.debts);
            for (all, these) in kills.0.iter_mut().flatten().zip(told.kills.0.iter().flatten()) {
                *all += these;
            }
            for (kind, count) in told.taken {
                *taken.entry(kind).or_insert(0) += count;
            }
        }
    }
    println!("{storms} storms: {kills:?}; {taken:?}");
    for (what, one_in) in kills.0.iter().zip(ONE_IN) {
        assert!(what.iter().all(|count| count * one_in >= storms), "{kills:?} in {storms}");
    }
    for kind in Kind::ALL {
        let count = taken.get(&kind).copied().unwrap_or(0);
        assert!(count >= TAKEN_MIN, "{kind:?} is seldom: {taken:?}");
    }
    assert!(swept > storms && debts > storms / 4, "{swept} swept, {debts} debts");
}
