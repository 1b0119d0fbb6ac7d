//! The ledger's rules.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    AccountId, Command, Event, Reject, SessionId, ShardId,
    command::{Debt, Deposit, Held, Lend, MarginCall, Return, SetPositionMode},
    event::{
        CashChanged, GrantIssued, HoldIssued, LendSettled, LinkAcked, LinkApplied,
        PositionModeChanged, PositionModeSettled, RecallIssued, ReleaseIssued,
    },
    limits::{
        ACCOUNTS_MAX, CALL_LATE_US, CALL_RECALL_WAIT_US, CASH_MAX, LINK_WINDOW_MAX, MODE_WAIT_US,
        PENDING_LENDS_MAX, PENDING_MODES_MAX, RECALL_WAIT_US,
    },
    order::{CallKind, CashReason, HoldFor, HoldState, ModeChange, PositionMode},
};

use super::{Answer, Context, no, withdrawals::Leaving};

/// All deposits together stay within this.
const ALL_DEPOSITS_MAX: i128 = 1 << 62;
const SETTLED_PER_TICK: usize = 1_024;
const CHANGES_PER_TICK: usize = 64;

#[derive(Default)]
pub(super) struct Wallet {
    pub free: i128,
    transfer: u64,
    /// Owed to the insurance fund.
    pub debt: i128,
    pub withdrawal: u64,
    /// By shard, net.
    lent: BTreeMap<u8, i128>,
    /// Shards that were ever granted some.
    pub granted: BTreeSet<u8>,
    hedge: bool,
}

/// A position mode that is about to change, unless a shard says no.
struct Change {
    session: u64,
    number: u64,
    account: u32,
    hedge: bool,
    until: u64,
    said: Vec<(u8, HoldState)>,
}

impl Change {
    /// Shards that have said nothing.
    fn silent(&self, all: &BTreeMap<u8, Stream>) -> usize {
        all.keys().filter(|shard| !self.said.iter().any(|(by, _)| by == *shard)).count()
    }
}

struct Waiting {
    session: u64,
    number: u64,
    /// A shard's margin call; 0: a gateway's lend.
    call: u64,
    /// Somebody is in need: a part of the amount will do, and shards are asked urgently.
    takes_part: bool,
    account: u32,
    shard: u8,
    amount: i128,
    until: u64,
    from: Vec<u8>,
    /// What these were asked for, and who has given all of it.
    asked: i128,
    gave_all: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Stream {
    applied: u64,
    pub sent: u64,
    acked: u64,
}

pub struct Ledger {
    shards: u8,
    pub(super) wallets: BTreeMap<u32, Wallet>,
    pub(super) streams: BTreeMap<u8, Stream>,
    /// By the seq of the lend.
    waiting: BTreeMap<u64, Waiting>,
    /// By the seq of the withdrawal.
    pub(super) leaving: BTreeMap<u64, Leaving>,
    /// Less withdrawals.
    pub(super) deposited: i128,
    /// By the seq of the command.
    changes: BTreeMap<u64, Change>,
}

impl Ledger {
    pub fn new(shards: u8) -> Self {
        // the insurance fund may have something anywhere
        let fund = Wallet { granted: (1..shards).collect(), ..Wallet::default() };
        Self {
            shards,
            wallets: BTreeMap::from([(0, fund)]),
            streams: (1..shards).map(|shard| (shard, Stream::default())).collect(),
            waiting: BTreeMap::new(),
            leaving: BTreeMap::new(),
            deposited: 0,
            changes: BTreeMap::new(),
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
            Command::Withdraw(withdraw) => self.withdraw(context, withdraw, events),
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
                let late = |waiting: &Waiting| {
                    waiting.call != 0 && waiting.until + CALL_LATE_US < context.now
                };
                if self.waiting.values().any(late) {
                    for waiting in self.waiting.values_mut().filter(|waiting| waiting.call != 0) {
                        waiting.until = context.now + CALL_RECALL_WAIT_US;
                    }
                }
                let over = self.waiting.iter().filter(|(_, waiting)| waiting.until <= context.now);
                let mut over: Vec<_> = over.map(|(lend, by)| (by.call == 0, *lend)).collect();
                over.sort_unstable();
                for (_, lend) in over.into_iter().take(SETTLED_PER_TICK) {
                    let waiting = self.waiting.remove(&lend).unwrap();
                    self.settle(lend, &waiting, events);
                }
                let over = self.changes.iter().filter(|(_, change)| change.until <= context.now);
                let over: Vec<u64> = over.map(|(seq, _)| *seq).take(CHANGES_PER_TICK).collect();
                for seq in over {
                    self.end_change(seq, events);
                }
                self.give_up_withdrawals(context.now, events);
                Ok(0)
            }
            Command::SetPositionMode(set) => self.set_mode(context, set, events),
            Command::Held(held) => self.held(held, events),
            Command::Debt(debt) => self.debt(debt, events),
            Command::MarginCall(call) => self.margin_call(context, call, events),
            _ => no(Reject::WrongShard),
        }
    }

    fn deposit(&mut self, deposit: &Deposit, events: &mut Vec<Event>) -> Answer {
        let account = deposit.account.0;
        if account as usize > ACCOUNTS_MAX {
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
        self.repay(account, events);
        Ok(0)
    }

    fn debt(&mut self, debt: &Debt, events: &mut Vec<Event>) -> Answer {
        let (account, shard) = (debt.account.0, debt.from.0);
        let is_id = account >= 1 && account as usize <= ACCOUNTS_MAX;
        let Some(stream) = self.streams.get_mut(&shard).filter(|_| is_id) else {
            return no(Reject::Malformed);
        };
        if debt.amount <= 0 || debt.amount > CASH_MAX {
            return no(Reject::Malformed);
        }
        stream.take(shard, debt.link_seq, events)?;
        self.wallets.entry(account).or_default().debt += i128::from(debt.amount);
        self.keep_in(account, events);
        self.repay(account, events);
        Ok(0)
    }

    /// What is free goes to the fund as long as something is owed.
    fn repay(&mut self, account: u32, events: &mut Vec<Event>) {
        let wallet = self.wallets.get_mut(&account).unwrap();
        let part = wallet.free.min(wallet.debt);
        if part > 0 {
            wallet.debt -= part;
            self.change(account, CashReason::Repayment, 0, -part, events);
            self.change(0, CashReason::Repayment, 0, part, events);
        }
    }

    fn lend(&mut self, context: &Context, lend: &Lend, events: &mut Vec<Event>) -> Answer {
        let (account, target) = (lend.account.0, lend.shard.0);
        if !self.streams.contains_key(&target) {
            return no(Reject::WrongShard);
        }
        if lend.amount <= 0 || lend.amount > CASH_MAX {
            return no(Reject::AmountInvalid);
        }
        let wallet = self.wallets.get(&account).filter(|_| account != 0);
        let Some(wallet) = wallet else { return no(Reject::UnknownAccount) };
        let lacking = i128::from(lend.amount) - wallet.free;
        let mut waiting = Waiting {
            session: context.session,
            number: context.number,
            call: 0,
            takes_part: false,
            account,
            shard: target,
            amount: lend.amount.into(),
            until: context.now + RECALL_WAIT_US,
            from: Vec::new(),
            asked: 0,
            gave_all: Vec::new(),
        };
        if self.is_leaving(account) {
            self.settle(context.seq, &waiting, events);
            return Ok(0);
        }
        if lacking > 0 {
            if self.waiting_of(false) == PENDING_LENDS_MAX {
                return no(Reject::LedgerBusy);
            }
            waiting.from = self.askable(account, target);
        } else if !has_room(&self.streams[&target]) {
            return no(Reject::LedgerBusy);
        }
        self.ask(context.seq, waiting, events);
        Ok(0)
    }

    fn margin_call(
        &mut self,
        context: &Context,
        call: &MarginCall,
        events: &mut Vec<Event>,
    ) -> Answer {
        let (account, shard) = (call.account.0, call.from.0);
        let is_id = account as usize <= ACCOUNTS_MAX;
        let Some(stream) = self.streams.get_mut(&shard).filter(|_| is_id) else {
            return no(Reject::Malformed);
        };
        if call.amount <= 0 || call.amount > CASH_MAX {
            return no(Reject::Malformed);
        }
        stream.take(shard, call.link_seq, events)?;
        self.wallets.entry(account).or_default();
        let takes_part = call.kind != CallKind::Order;
        if takes_part {
            self.keep_in(account, events);
        }
        let free = self.wallets[&account].free;
        let amount = i128::from(call.amount);
        let waits = free < amount && self.waiting_of(true) < PENDING_LENDS_MAX;
        let waiting = Waiting {
            session: 0,
            number: 0,
            call: call.link_seq,
            takes_part,
            account,
            shard,
            amount,
            until: context.now + CALL_RECALL_WAIT_US,
            from: if waits { self.askable(account, shard) } else { Vec::new() },
            asked: 0,
            gave_all: Vec::new(),
        };
        self.ask(context.seq, waiting, events);
        Ok(0)
    }

    /// How many calls wait, or lends.
    fn waiting_of(&self, calls: bool) -> usize {
        self.waiting.values().filter(|waiting| (waiting.call != 0) == calls).count()
    }

    /// Shards that may have money of an account and can be asked.
    fn askable(&self, account: u32, target: u8) -> Vec<u8> {
        let granted = self.wallets[&account].granted.iter().copied();
        let elsewhere = granted.filter(|shard| *shard != target);
        elsewhere.filter(|shard| has_room(&self.streams[shard])).collect()
    }

    fn ask(&mut self, lend: u64, mut waiting: Waiting, events: &mut Vec<Event>) {
        let account = waiting.account;
        let wallet = &self.wallets[&account];
        waiting.asked = (waiting.amount - wallet.free + wallet.debt).min(CASH_MAX.into());
        for shard in &waiting.from {
            let stream = self.streams.get_mut(shard).unwrap();
            stream.sent += 1;
            events.push(Event::RecallIssued(RecallIssued {
                link_seq: stream.sent,
                account: AccountId(account),
                to: ShardId(*shard),
                urgent: waiting.takes_part,
                _pad: [0; 2],
                amount: waiting.asked as i64,
                lend,
            }));
        }
        if waiting.from.is_empty() {
            self.settle(lend, &waiting, events);
        } else {
            self.waiting.insert(lend, waiting);
        }
    }

    fn settle(&mut self, lend: u64, waiting: &Waiting, events: &mut Vec<Event>) {
        let (account, shard) = (AccountId(waiting.account), ShardId(waiting.shard));
        let free = self.wallets[&waiting.account].free;
        let (mut granted, mut link_seq) = (0, 0);
        let may_have = waiting.call != 0 || !self.is_leaving(waiting.account);
        let enough = free >= waiting.amount || waiting.takes_part && free > 0;
        if may_have && enough && has_room(&self.streams[&waiting.shard]) {
            granted = waiting.amount.max(free / 4).min(free);
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
                call: waiting.call,
            }));
        }
        if waiting.call != 0 {
            let stream = self.streams.get_mut(&waiting.shard).unwrap();
            if granted == 0 && has_room(stream) {
                stream.sent += 1;
                events.push(Event::GrantIssued(GrantIssued {
                    link_seq: stream.sent,
                    account,
                    to: shard,
                    _pad: [0; 3],
                    amount: 0,
                    call: waiting.call,
                }));
            }
            return;
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
        stream.take(from, back.link_seq, events)?;
        if back.amount > 0 {
            let wallet = self.wallets.get_mut(&account).unwrap();
            *wallet.lent.entry(from).or_default() -= i128::from(back.amount);
            self.change(account, CashReason::ReturnTaken, from, back.amount.into(), events);
            self.repay(account, events);
        }
        if let Some(mut waiting) = self.waiting.remove(&back.lend) {
            let awaited = waiting.from.contains(&from);
            waiting.from.retain(|shard| *shard != from);
            if awaited && i128::from(back.amount) >= waiting.asked {
                waiting.gave_all.push(from);
            }
            let enough = self.wallets[&account].free >= waiting.amount;
            if waiting.account != account || !enough && !waiting.from.is_empty() {
                self.waiting.insert(back.lend, waiting);
            } else if enough {
                self.settle(back.lend, &waiting, events);
            } else {
                // whoever gave all may have more
                let mut again = std::mem::take(&mut waiting.gave_all);
                again.sort_unstable();
                again.retain(|shard| has_room(&self.streams[shard]));
                let twice = !again.is_empty();
                waiting.from = again;
                self.ask(back.lend, waiting, events);
                if let Some(waiting) = self.waiting.get_mut(&back.lend).filter(|_| twice) {
                    // nobody is asked a third time
                    waiting.asked = i128::MAX;
                }
            }
        }
        self.paid_in(back.lend, account, from, events);
        Ok(0)
    }

    fn set_mode(
        &mut self,
        context: &Context,
        set: &SetPositionMode,
        events: &mut Vec<Event>,
    ) -> Answer {
        let account = set.account.0;
        if account == 0 || account as usize > ACCOUNTS_MAX {
            return no(Reject::UnknownAccount);
        }
        let hedge = set.mode == PositionMode::Hedge;
        if self.wallets.get(&account).is_some_and(|wallet| wallet.hedge) == hedge {
            return no(Reject::PositionModeUnchanged);
        }
        let busy = self.changes.len() == PENDING_MODES_MAX
            || self.is_changing(account)
            || self.is_leaving(account)
            || !self.streams.values().all(has_room);
        if busy {
            return no(Reject::LedgerBusy);
        }
        for (shard, stream) in &mut self.streams {
            stream.sent += 1;
            events.push(Event::HoldIssued(HoldIssued {
                link_seq: stream.sent,
                change: context.seq,
                account: set.account,
                to: ShardId(*shard),
                purpose: HoldFor::Mode,
                _pad: [0; 2],
            }));
        }
        let change = Change {
            session: context.session,
            number: context.number,
            account,
            hedge,
            until: context.now + MODE_WAIT_US,
            said: Vec::new(),
        };
        self.changes.insert(context.seq, change);
        if self.streams.is_empty() {
            self.end_change(context.seq, events);
        }
        Ok(0)
    }

    pub(super) fn is_changing(&self, account: u32) -> bool {
        self.changes.values().any(|change| change.account == account)
    }

    fn held(&mut self, held: &Held, events: &mut Vec<Event>) -> Answer {
        let account = held.account.0;
        let Some(stream) = self.streams.get_mut(&held.from.0) else {
            return no(Reject::Malformed);
        };
        if account == 0 || account as usize > ACCOUNTS_MAX {
            return no(Reject::Malformed);
        }
        stream.take(held.from.0, held.link_seq, events)?;
        let Some(change) = self.changes.get_mut(&held.change) else {
            self.said(held, events);
            return Ok(0);
        };
        change.said.push((held.from.0, held.state));
        if change.silent(&self.streams) == 0 {
            self.end_change(held.change, events);
        }
        Ok(0)
    }

    fn end_change(&mut self, seq: u64, events: &mut Vec<Event>) {
        let change = self.changes.remove(&seq).unwrap();
        let says = |state| change.said.iter().any(|(_, said)| *said == state);
        let reject = if says(HoldState::HasOrders) {
            Reject::PositionModeOrders
        } else if says(HoldState::HasPosition) {
            Reject::PositionModePosition
        } else if change.silent(&self.streams) > 0 {
            Reject::LedgerBusy
        } else {
            Reject::None
        };
        let mode = match (reject == Reject::None, change.hedge) {
            (false, _) => ModeChange::Keep,
            (true, false) => ModeChange::OneWay,
            (true, true) => ModeChange::Hedge,
        };
        let account = AccountId(change.account);
        for (shard, stream) in &mut self.streams {
            stream.sent += 1;
            let (link_seq, to) = (stream.sent, ShardId(*shard));
            let event = ReleaseIssued { link_seq, account, to, mode, _pad: [0; 2] };
            events.push(Event::ReleaseIssued(event));
        }
        let wallet = self.wallets.entry(change.account).or_default();
        if reject == Reject::None {
            wallet.hedge = change.hedge;
        }
        let mode = if wallet.hedge { PositionMode::Hedge } else { PositionMode::OneWay };
        if reject == Reject::None {
            let event = PositionModeChanged { account, mode, held: false, _pad: [0; 2] };
            events.push(Event::PositionModeChanged(event));
        }
        events.push(Event::PositionModeSettled(PositionModeSettled {
            session: SessionId(change.session),
            number: change.number,
            change: seq,
            account,
            mode,
            _pad: 0,
            reject,
        }));
    }

    pub(super) fn change(
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

impl Stream {
    /// The other end's next message and no other.
    fn take(
        &mut self,
        from: u8,
        link_seq: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), (Reject, i64)> {
        let before = self.applied;
        self.applied += u64::from(link_seq == before + 1);
        let (peer, applied) = (ShardId(from), self.applied);
        events.push(Event::LinkApplied(LinkApplied { peer, _pad: [0; 7], link_seq: applied }));
        match link_seq {
            _ if link_seq <= before => no(Reject::Duplicate),
            _ if link_seq > before + 1 => Err((Reject::SessionGap, before as i64)),
            _ => Ok(()),
        }
    }
}

pub(super) fn has_room(stream: &Stream) -> bool {
    stream.sent - stream.acked < LINK_WINDOW_MAX as u64
}
