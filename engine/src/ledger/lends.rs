//! Lends: what is free goes at once, what is lacking is recalled from the shards that may have it,
//! and after a bounded time the answer is what has come back.

use alloc::vec::Vec;

use protocol::{
    AccountId, Cash, Micros, OrderId, Reject, Seq, SessionId, ShardId,
    command::{Lend, Return},
    event::{GrantIssued, LendSettled, RecallIssued},
    limits::{CALL_LATE_US, CALL_RECALL_WAIT_US, CASH_MAX, PENDING_LENDS_MAX, RECALL_WAIT_US},
    order::CashReason,
};

use super::{Ledger, Wallet};
use crate::{
    accounts::Accounts,
    engine::Frame,
    hash::Digest,
    limits::LENDS_PER_TICK_MAX,
    links::Message,
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    verdict::{Verdict, require},
};

/// A lend brings at least this part of what is free, so that the next order need not ask again.
const LEND_SHARE: Cash = 4;

/// More than anybody gives, so that nobody has given all and is asked a third time.
const ASKED_TWICE: Cash = Cash::MAX;
const _: () = assert!(ASKED_TWICE > CASH_MAX);

/// A lend, or a margin call, that waits for what shards give back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub lend: Seq,
    pub session: SessionId,
    pub number: u64,
    /// The margin call that it is for, by its place in the shard's stream; 0: a gateway's.
    pub call: u64,
    /// The account is in need: a part of the amount is worth a grant, and shards are asked
    /// urgently.
    pub takes_part: bool,
    pub account: AccountId,
    pub shard: ShardId,
    pub amount: Cash,
    pub deadline: Micros,
    /// Shards, as bits, that have not answered.
    pub awaited: u16,
    /// What each of them was asked for; [`ASKED_TWICE`] after the second time.
    pub asked: Cash,
    /// Shards, as bits, that have given all of that: they may have more.
    pub gave_all: u16,
}

impl Pending {
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.lend).add(self.session.0).add(self.number).add(self.call);
        into.add_flag(self.takes_part);
        into.add(self.account.0).add(self.shard.0).add(self.amount);
        into.add(self.deadline).add(self.awaited).add(self.asked).add(self.gave_all);
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        Ok(Self {
            lend: saved.take()?,
            session: SessionId(saved.take()?),
            number: saved.take()?,
            call: saved.take()?,
            takes_part: saved.flag()?,
            account: AccountId(saved.take()?),
            shard: ShardId(saved.take()?),
            amount: saved.take()?,
            deadline: saved.take()?,
            awaited: saved.take()?,
            asked: saved.take()?,
            gave_all: saved.take()?,
        })
    }
}

impl Ledger {
    /// Lends or calls that wait, with the room that they have in a new ledger.
    pub(super) fn load_pending(&self, saved: &mut Saved<'_>) -> Result<Vec<Pending>, LoadError> {
        let mut waiting = Vec::with_capacity(PENDING_LENDS_MAX);
        for _ in 0..saved.len()? {
            let pending = Pending::load(saved)?;
            let known = self.find(pending.account).is_some();
            sound(known && (1..self.shards).contains(&pending.shard.0))?;
            sound(waiting.len() < PENDING_LENDS_MAX)?;
            waiting.push(pending);
        }
        sound(waiting.is_sorted_by_key(|pending| pending.lend))?;
        Ok(waiting)
    }

    pub(super) fn lend<S: Sink>(
        &mut self,
        frame: &Frame,
        lend: &Lend,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let Lend { account, shard, amount, .. } = *lend;
        let trades = shard != ShardId::LEDGER && shard.0 < self.shards;
        require(trades, Reject::WrongShard)?;
        require((1..=CASH_MAX).contains(&amount), Reject::AmountInvalid)?;
        let known = self.find(account).filter(|_| Accounts::is_id(account));
        let at = known.ok_or(Reject::UnknownAccount)?;
        let mut pending = Pending {
            lend: frame.seq,
            session: frame.session,
            number: frame.number,
            call: 0,
            takes_part: false,
            account,
            shard,
            amount,
            deadline: frame.now + RECALL_WAIT_US,
            awaited: 0,
            asked: 0,
            gave_all: 0,
        };
        if self.is_leaving(account) {
            self.answer(&pending, out);
            return Ok(OrderId::NONE);
        }
        if self.wallets[at].free >= amount {
            require(self.links[usize::from(shard.0)].has_room(), Reject::LedgerBusy)?;
            self.answer(&pending, out);
            return Ok(OrderId::NONE);
        }
        require(self.pending.len() < PENDING_LENDS_MAX, Reject::LedgerBusy)?;
        self.recall(at, self.wallets[at].shards, &mut pending, out);
        if pending.awaited == 0 {
            self.answer(&pending, out);
        } else {
            self.pending.push(pending);
        }
        Ok(OrderId::NONE)
    }

    /// Asks some shards, as bits, but for the one that it is for, for what is lacking.
    pub(super) fn recall<S: Sink>(
        &mut self,
        at: usize,
        shards: u16,
        pending: &mut Pending,
        out: &mut Output<'_, S>,
    ) {
        let wallet = &self.wallets[at];
        // what comes repays first; free may be negative; what is lacking stays within what a
        // message may ask for
        let lacking = i128::from(pending.amount) - i128::from(wallet.free) + wallet.debt;
        let amount = lacking.min(CASH_MAX.into()) as Cash;
        (pending.asked, pending.gave_all) = (amount, 0);
        for shard in 1..self.shards {
            let elsewhere = shards & 1 << shard != 0 && shard != pending.shard.0;
            if !elsewhere || !self.links[usize::from(shard)].has_room() {
                continue;
            }
            let why = (pending.lend, pending.takes_part);
            self.send_recall(ShardId(shard), pending.account, amount, why, out);
            pending.awaited |= 1 << shard;
        }
    }

    pub(super) fn send_recall<S: Sink>(
        &mut self,
        to: ShardId,
        account: AccountId,
        amount: Cash,
        (lend, urgent): (Seq, bool),
        out: &mut Output<'_, S>,
    ) {
        let link = &mut self.links[usize::from(to.0)];
        let link_seq = link.send(Message::Recall { lend, urgent }, account, amount);
        out.emit(&RecallIssued { link_seq, account, to, urgent, _pad: [0; 2], amount, lend });
    }

    /// Answers a lend: with a grant when enough is free now, else with nothing.
    pub(super) fn answer<S: Sink>(&mut self, lend: &Pending, out: &mut Output<'_, S>) {
        let Pending { account, shard, .. } = *lend;
        let to = usize::from(shard.0);
        let at = self.find(account).unwrap_or_else(|| panic!("{account:?} had a wallet"));
        let free = self.wallets[at].free;
        let (mut granted, mut link_seq) = (0, 0);
        let least = if lend.takes_part { 1 } else { lend.amount };
        // an order can wait for a withdrawal, a margin call can't
        let may_have = lend.call != 0 || !self.is_leaving(account);
        if may_have && free >= least && self.links[to].has_room() {
            granted = lend.amount.max(free / LEND_SHARE).min(free);
            self.wallets[at].lent[to] += granted;
            self.wallets[at].shards |= 1 << shard.0;
            self.move_free(at, CashReason::GrantIssued, shard, -granted, out);
            let (call, amount) = (lend.call, granted);
            link_seq = self.links[to].send(Message::Grant { call }, account, amount);
            out.emit(&GrantIssued { link_seq, account, to: shard, _pad: [0; 3], amount, call });
        }
        if lend.call != 0 {
            if granted == 0 {
                self.refuse_call(lend, out);
            }
            return;
        }
        out.emit(&LendSettled {
            session: lend.session,
            number: lend.number,
            lend: lend.lend,
            account,
            shard,
            _pad: [0; 3],
            granted,
            link_seq,
        });
    }

    /// Takes what a shard gave back, and answers the lend it was for when that is decided.
    pub(super) fn take_back<S: Sink>(&mut self, back: &Return, out: &mut Output<'_, S>) -> Verdict {
        let Return { account, from, amount, lend, link_seq, .. } = *back;
        let link = usize::from(from.0);
        let sane = (1..self.shards).contains(&from.0) && (0..=CASH_MAX).contains(&amount);
        let wallet = self.find(account).filter(|_| sane).ok_or(Reject::Malformed)?;
        self.take(from, link_seq, out)?;
        if amount > 0 {
            self.wallets[wallet].lent[link] -= amount;
            self.move_free(wallet, CashReason::ReturnTaken, from, amount, out);
            self.repay(wallet, out);
        }
        if !self.came_back(from, lend, (wallet, amount), out) {
            self.recalled(from, lend, account, out);
        }
        Ok(OrderId::NONE)
    }

    /// A shard has given an amount back that a lend or a call has recalled; false: none that waits.
    ///
    /// A debt that came meanwhile may have taken it, or the account's other shards what was free.
    /// So who has given all that he was asked for is asked again if it does not suffice: once, as two
    /// calls of one account could else take the same money from each other for as long as they wait.
    fn came_back<S: Sink>(
        &mut self,
        from: ShardId,
        lend: Seq,
        (at, amount): (usize, Cash),
        out: &mut Output<'_, S>,
    ) -> bool {
        let find = |all: &[Pending]| all.binary_search_by_key(&lend, |pending| pending.lend).ok();
        let (of_calls, place) = match (find(&self.pending), find(&self.calls)) {
            (Some(place), _) => (false, place),
            (None, Some(place)) => (true, place),
            (None, None) => return false,
        };
        let Wallet { account, free, .. } = self.wallets[at];
        let pending = &mut self.waiting(of_calls)[place];
        let bit = 1 << from.0;
        if amount >= pending.asked {
            pending.gave_all |= pending.awaited & bit;
        }
        pending.awaited &= !bit;
        if pending.account != account {
            return true;
        }
        let mut pending = *pending;
        if pending.awaited == 0 && free < pending.amount && pending.gave_all != 0 {
            self.recall(at, pending.gave_all, &mut pending, out);
            pending.asked = ASKED_TWICE;
        }
        let waiting = self.waiting(of_calls);
        if pending.awaited == 0 || free >= pending.amount {
            waiting.remove(place);
            self.answer(&pending, out);
        } else {
            waiting[place] = pending;
        }
        true
    }

    const fn waiting(&mut self, of_calls: bool) -> &mut Vec<Pending> {
        if of_calls { &mut self.calls } else { &mut self.pending }
    }

    /// Answers calls and lends whose patience has ended, a bounded number at once.
    pub(super) fn tick<S: Sink>(&mut self, now: Micros, out: &mut Output<'_, S>) {
        if self.calls.first().is_some_and(|call| call.deadline + CALL_LATE_US < now) {
            // all at once, so that they stay in their order
            self.calls.iter_mut().for_each(|call| call.deadline = now + CALL_RECALL_WAIT_US);
        }
        let over = |all: &[Pending], most: usize| {
            all.iter().take(most).take_while(|pending| pending.deadline <= now).count()
        };
        let calls = over(&self.calls, LENDS_PER_TICK_MAX);
        let lends = over(&self.pending, LENDS_PER_TICK_MAX - calls);
        for place in 0..calls {
            let call = self.calls[place];
            self.answer(&call, out);
        }
        self.calls.drain(..calls);
        for place in 0..lends {
            let lend = self.pending[place];
            self.answer(&lend, out);
        }
        self.pending.drain(..lends);
    }
}
