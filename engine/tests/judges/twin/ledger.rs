//! The ledger's rules.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    AccountId, Command, Event, Reject, SessionId, ShardId,
    command::{Deposit, Lend, Return},
    event::{CashChanged, GrantIssued, LendSettled, LinkAcked, LinkApplied, RecallIssued},
    limits::{ACCOUNTS_MAX, CASH_MAX, LINK_WINDOW_MAX, PENDING_LENDS_MAX, RECALL_WAIT_US},
    order::CashReason,
};

use super::{Answer, Context, no};

/// All deposits together stay within this.
const ALL_DEPOSITS_MAX: i128 = 1 << 62;
const SETTLED_PER_TICK: usize = 1_024;

#[derive(Default)]
struct Wallet {
    free: i128,
    transfer: u64,
    /// By shard, net.
    lent: BTreeMap<u8, i128>,
    /// Shards that were ever granted some.
    granted: BTreeSet<u8>,
}

struct Waiting {
    session: u64,
    number: u64,
    account: u32,
    shard: u8,
    amount: i128,
    until: u64,
    from: Vec<u8>,
}

#[derive(Default)]
struct Stream {
    applied: u64,
    sent: u64,
    acked: u64,
}

pub struct Ledger {
    shards: u8,
    wallets: BTreeMap<u32, Wallet>,
    streams: BTreeMap<u8, Stream>,
    /// By the seq of the lend.
    waiting: BTreeMap<u64, Waiting>,
    deposited: i128,
}

impl Ledger {
    pub fn new(shards: u8) -> Self {
        Self {
            shards,
            wallets: BTreeMap::new(),
            streams: (1..shards).map(|shard| (shard, Stream::default())).collect(),
            waiting: BTreeMap::new(),
            deposited: 0,
        }
    }

    pub(super) fn apply(
        &mut self,
        context: &Context,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Answer {
        match command {
            Command::Deposit(deposit) => self.deposit(deposit, events),
            Command::Lend(lend) => self.lend(context, lend, events),
            Command::Return(back) => self.take_back(back, events),
            Command::LinkAck(ack) => {
                let Some(stream) = self.streams.get_mut(&ack.peer.0) else {
                    return no(Reject::Malformed);
                };
                if ack.link_seq > stream.sent {
                    return no(Reject::Malformed);
                }
                stream.acked = stream.acked.max(ack.link_seq);
                let link_seq = stream.acked;
                events.push(Event::LinkAcked(LinkAcked { peer: ack.peer, _pad: [0; 7], link_seq }));
                Ok(0)
            }
            Command::Tick(_) => {
                let over = self.waiting.iter().filter(|(_, waiting)| waiting.until <= context.now);
                let over: Vec<u64> = over.map(|(lend, _)| *lend).take(SETTLED_PER_TICK).collect();
                for lend in over {
                    let waiting = self.waiting.remove(&lend).unwrap();
                    self.settle(lend, &waiting, events);
                }
                Ok(0)
            }
            _ => no(Reject::WrongShard),
        }
    }

    fn deposit(&mut self, deposit: &Deposit, events: &mut Vec<Event>) -> Answer {
        let account = deposit.account.0;
        if account == 0 || account as usize > ACCOUNTS_MAX {
            return no(Reject::UnknownAccount);
        }
        if deposit.amount <= 0 || deposit.amount > CASH_MAX {
            return no(Reject::AmountInvalid);
        }
        let amount = i128::from(deposit.amount);
        let (free, transfer) = self.wallets.get(&account).map_or((0, 0), |w| (w.free, w.transfer));
        if deposit.transfer <= transfer {
            return no(Reject::TransferDuplicate);
        }
        if free + amount > CASH_MAX.into() || self.deposited + amount > ALL_DEPOSITS_MAX {
            return no(Reject::AmountInvalid);
        }
        self.deposited += amount;
        self.wallets.entry(account).or_default().transfer = deposit.transfer;
        self.change(account, CashReason::Deposit, 0, amount, events);
        Ok(0)
    }

    fn lend(&mut self, context: &Context, lend: &Lend, events: &mut Vec<Event>) -> Answer {
        let (account, target) = (lend.account.0, lend.shard.0);
        if !self.streams.contains_key(&target) {
            return no(Reject::WrongShard);
        }
        if lend.amount <= 0 || lend.amount > CASH_MAX {
            return no(Reject::AmountInvalid);
        }
        let Some(wallet) = self.wallets.get(&account) else { return no(Reject::UnknownAccount) };
        let lacking = i128::from(lend.amount) - wallet.free;
        let mut waiting = Waiting {
            session: context.session,
            number: context.number,
            account,
            shard: target,
            amount: lend.amount.into(),
            until: context.now + RECALL_WAIT_US,
            from: Vec::new(),
        };
        if lacking > 0 {
            if self.waiting.len() == PENDING_LENDS_MAX {
                return no(Reject::LedgerBusy);
            }
            let elsewhere = wallet.granted.iter().copied().filter(|shard| *shard != target);
            waiting.from = elsewhere.filter(|shard| has_room(&self.streams[shard])).collect();
        } else if !has_room(&self.streams[&target]) {
            return no(Reject::LedgerBusy);
        }
        for shard in &waiting.from {
            let stream = self.streams.get_mut(shard).unwrap();
            stream.sent += 1;
            events.push(Event::RecallIssued(RecallIssued {
                link_seq: stream.sent,
                account: AccountId(account),
                to: ShardId(*shard),
                _pad: [0; 3],
                amount: lacking.min(CASH_MAX.into()) as i64,
                lend: context.seq,
            }));
        }
        if waiting.from.is_empty() {
            self.settle(context.seq, &waiting, events);
        } else {
            self.waiting.insert(context.seq, waiting);
        }
        Ok(0)
    }

    fn settle(&mut self, lend: u64, waiting: &Waiting, events: &mut Vec<Event>) {
        let (account, shard) = (AccountId(waiting.account), ShardId(waiting.shard));
        let free = self.wallets[&waiting.account].free;
        let (mut granted, mut link_seq) = (0, 0);
        if free >= waiting.amount && has_room(&self.streams[&waiting.shard]) {
            granted = waiting.amount.max(free / 4);
            let wallet = self.wallets.get_mut(&waiting.account).unwrap();
            *wallet.lent.entry(waiting.shard).or_default() += granted;
            wallet.granted.insert(waiting.shard);
            self.change(waiting.account, CashReason::GrantIssued, shard.0, -granted, events);
            let stream = self.streams.get_mut(&waiting.shard).unwrap();
            stream.sent += 1;
            link_seq = stream.sent;
            let (to, amount) = (shard, granted as i64);
            events.push(Event::GrantIssued(GrantIssued {
                link_seq,
                account,
                to,
                _pad: [0; 3],
                amount,
            }));
        }
        events.push(Event::LendSettled(LendSettled {
            session: SessionId(waiting.session),
            number: waiting.number,
            lend,
            account,
            shard,
            _pad: [0; 3],
            granted: granted as i64,
            link_seq,
        }));
    }

    fn take_back(&mut self, back: &Return, events: &mut Vec<Event>) -> Answer {
        let (account, from) = (back.account.0, back.from.0);
        let known = self.wallets.contains_key(&account) && from < self.shards;
        let Some(stream) = self.streams.get_mut(&from).filter(|_| known) else {
            return no(Reject::Malformed);
        };
        if back.amount < 0 || back.amount > CASH_MAX {
            return no(Reject::Malformed);
        }
        let before = stream.applied;
        if back.link_seq == before + 1 {
            stream.applied += 1;
        }
        let link_seq = stream.applied;
        events.push(Event::LinkApplied(LinkApplied { peer: back.from, _pad: [0; 7], link_seq }));
        if back.link_seq <= before {
            return no(Reject::Duplicate);
        }
        if back.link_seq != before + 1 {
            return Err((Reject::SessionGap, before as i64));
        }
        if back.amount > 0 {
            let wallet = self.wallets.get_mut(&account).unwrap();
            *wallet.lent.entry(from).or_default() -= i128::from(back.amount);
            self.change(account, CashReason::ReturnTaken, from, back.amount.into(), events);
        }
        if let Some(waiting) = self.waiting.get_mut(&back.lend) {
            waiting.from.retain(|shard| *shard != from);
            let enough = self.wallets[&account].free >= waiting.amount;
            if (waiting.from.is_empty() || enough) && waiting.account == account {
                let waiting = self.waiting.remove(&back.lend).unwrap();
                self.settle(back.lend, &waiting, events);
            }
        }
        Ok(0)
    }

    fn change(
        &mut self,
        account: u32,
        reason: CashReason,
        shard: u8,
        delta: i128,
        events: &mut Vec<Event>,
    ) {
        let wallet = self.wallets.get_mut(&account).unwrap();
        wallet.free += delta;
        events.push(Event::CashChanged(CashChanged {
            account: AccountId(account),
            reason,
            shard: ShardId(shard),
            _pad: [0; 2],
            cash: wallet.free as i64,
            delta: delta as i64,
            lent: wallet.lent.get(&shard).copied().unwrap_or(0) as i64,
        }));
    }
}

fn has_room(stream: &Stream) -> bool {
    stream.sent - stream.acked < LINK_WINDOW_MAX as u64
}
