//! What is left of a storm: the money of all logs, and what was said and taken over the links.

use std::collections::{BTreeMap, BTreeSet};

use engine::Engine;
use protocol::{Command, Event, Reject, event::PositionSettled, order::CashReason};

use crate::{
    bench::{Bench, CAPACITY, Collected, outcome},
    gates::{Kind, stream_of},
    storm::Storm,
    storm_kills::Kills,
};

/// What has happened in a storm, to know that it does.
#[derive(Default)]
pub struct Told {
    pub swept: usize,
    pub debts: usize,
    /// By kind, the messages that were taken.
    pub taken: BTreeMap<Kind, usize>,
    pub kills: Kills,
}

/// What a node's log says.
pub struct Heard {
    events: Vec<Event>,
    /// By peer, what it has said and what it has taken, in turn.
    said: BTreeMap<usize, Vec<Command>>,
    taken: BTreeMap<usize, Vec<Command>>,
    is_live: bool,
}

impl Storm {
    /// Plays all logs once more.
    pub fn heard(&self) -> Vec<Heard> {
        let play = |bench: &Bench| {
            let mut engine = Engine::new(CAPACITY);
            let (mut events, mut last) = (Vec::new(), BTreeMap::new());
            let (mut said, mut taken) = (BTreeMap::new(), BTreeMap::new());
            for (header, payload) in &bench.log {
                let mut collected = Collected::default();
                engine.apply(header, payload, &mut collected);
                let new = collected.events();
                let (_, mut command) = Command::decode(header.kind, payload).unwrap();
                if let (Some((peer, _)), Reject::None) =
                    (stream_of(&mut command), outcome(&new).reject)
                {
                    taken.entry(usize::from(peer)).or_insert_with(Vec::new).push(content(command));
                }
                for (to, link_seq, command) in engine.outbox() {
                    let last = last.entry(to).or_insert(0);
                    if link_seq > *last {
                        *last = link_seq;
                        let said = said.entry(usize::from(to.0)).or_insert_with(Vec::new);
                        said.push(content(command));
                    }
                }
                events.extend(new);
            }
            let is_live = engine.state_hash() == bench.engine.state_hash();
            Heard { events, said, taken, is_live }
        };
        self.nodes.iter().map(play).collect()
    }

    /// Each message that was said is taken once, in its turn.
    pub fn streams(&self, heard: &[Heard]) -> Result<(), String> {
        for (from, teller) in heard.iter().enumerate() {
            for (to, taker) in heard.iter().enumerate() {
                let (said, taken) = (teller.said.get(&to), taker.taken.get(&from));
                if said != taken {
                    return Err(format!("{from} said {said:?} and {to} has taken {taken:?}"));
                }
            }
        }
        Ok(())
    }

    /// Counts all money, and what was to be done with it once.
    pub fn money(&self, heard: &[Heard]) -> Result<Told, String> {
        let mut told = Told { kills: self.kills, ..Told::default() };
        for (node, heard) in heard.iter().enumerate() {
            if !heard.is_live {
                return Err(format!("node {node} is not what its log says"));
            }
            for command in heard.taken.values().flatten() {
                if let Some(kind) = self.kind_of(command) {
                    *told.taken.entry(kind).or_default() += 1;
                }
            }
        }
        let mut books = Books::default();
        for (node, heard) in heard.iter().enumerate() {
            for event in &heard.events {
                books.take(node, event)?;
                match event {
                    Event::DebtIssued(_) => told.debts += 1,
                    Event::ReturnIssued(back) => {
                        told.swept += usize::from(back.lend == 0);
                        let leaves = self.is_for_withdrawal(back.lend);
                        if leaves && !books.held.contains(&(node, back.account.0)) {
                            return Err(format!("{node} does not hold what leaves: {back:?}"));
                        }
                    }
                    _ => {}
                }
            }
        }
        books.close()?;
        Ok(told)
    }
}

/// What a message says, without its place in its stream.
fn content(mut command: Command) -> Command {
    if let Some((_, number)) = stream_of(&mut command) {
        *number = 0;
    }
    if let Command::Grant(grant) = &mut command {
        grant.call = grant.call.min(1);
    }
    command
}

/// The money of all nodes, as their events tell it.
#[derive(Default)]
struct Books {
    cash: BTreeMap<(usize, u32), i128>,
    entries: BTreeMap<(usize, u32), i128>,
    fees: i128,
    /// Deposits less withdrawals.
    outside: i128,
    held: BTreeSet<(usize, u32)>,
    paid: BTreeSet<(u32, u64)>,
    owed: BTreeMap<u32, i128>,
}

impl Books {
    fn take(&mut self, node: usize, event: &Event) -> Result<(), String> {
        match event {
            Event::CashChanged(change) => {
                let (account, delta) = (change.account, i128::from(change.delta));
                self.cash.insert((node, account.0), change.cash.into());
                if matches!(change.reason, CashReason::Deposit | CashReason::Withdraw) {
                    self.outside += delta;
                }
                if change.reason == CashReason::Repayment && !account.is_insurance() {
                    *self.owed.entry(account.0).or_default() += delta;
                }
            }
            Event::PositionSettled(PositionSettled { fill, .. }) => {
                let key = (node, fill.account.0);
                self.cash.insert(key, fill.cash.into());
                self.entries.insert(key, fill.entry.into());
            }
            Event::LiquidationFeePaid(fee) => {
                _ = self.cash.insert((node, fee.account.0), fee.cash.into());
            }
            Event::DebtIssued(debt) => {
                *self.owed.entry(debt.account.0).or_default() += i128::from(debt.amount);
            }
            Event::Trade(trade) => {
                for fill in [trade.taker, trade.maker] {
                    let key = (node, fill.account.0);
                    self.cash.insert(key, fill.cash.into());
                    self.entries.insert(key, fill.entry.into());
                    self.fees += i128::from(fill.fee);
                }
            }
            Event::PositionModeChanged(change) => {
                let key = (node, change.account.0);
                _ = if change.held { self.held.insert(key) } else { self.held.remove(&key) };
            }
            Event::WithdrawalSettled(settled)
                if settled.reject == Reject::None
                    && !self.paid.insert((settled.account.0, settled.transfer)) =>
            {
                return Err(format!("paid twice: {settled:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// When all is quiet, and each account has got more than it owed.
    fn close(&self) -> Result<(), String> {
        let sum = |of: &BTreeMap<_, i128>| of.values().sum::<i128>();
        let (booked, outside) = (sum(&self.cash) + self.fees - sum(&self.entries), self.outside);
        if booked != outside {
            return Err(format!("{outside} came in, {booked} are there"));
        }
        if let Some((account, owed)) = self.owed.iter().find(|(_, owed)| **owed != 0) {
            return Err(format!("{account} has paid its debts and owes {owed}"));
        }
        if self.held.is_empty() { Ok(()) } else { Err(format!("still held: {:?}", self.held)) }
    }
}
