//! Withdrawals: money leaves only what all shards together can spare.
//!
//! While the ledger asks, the account is held on every shard where it may have money, so that
//! nothing is spent twice. What a shard spares is signed: margin that is lacking on one shard
//! keeps money in on the others. A shard that does not answer ends the withdrawal, not the money.
//!
//! ```text
//!   Withdraw ─▶ Hold to each shard ─▶ all Held? ─▶ free suffices ───────────▶ paid out
//!                                       │  │                             ▲
//!                                       │  └─▶ Recall ─▶ Returns ────────┘
//!                                       └─▶ too much, or too late ──▶ refused; Release to each
//! ```

use protocol::{
    AccountId, Cash, Micros, OrderId, Reject, Seq, SessionId, ShardId,
    command::{Held, Withdraw},
    event::{HoldIssued, ReleaseIssued, WithdrawalSettled},
    limits::{CASH_MAX, PENDING_WITHDRAWALS_MAX, SHARDS_MAX, WITHDRAW_WAIT_US},
    order::{CashReason, HoldFor, ModeChange},
};

use super::Ledger;
use crate::{
    accounts::Accounts,
    engine::Frame,
    hash::Digest,
    limits::WITHDRAWALS_PER_TICK_MAX,
    links::Message,
    output::{Output, Sink},
    saved::{LoadError, Saved},
    verdict::{Verdict, require},
};

/// A withdrawal under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Withdrawal {
    withdraw: Seq,
    session: SessionId,
    number: u64,
    pub account: AccountId,
    transfer: u64,
    amount: Cash,
    pub deadline: Micros,
    /// Shards, as bits, that hold the account.
    holding: u16,
    /// Shards, as bits, that have not answered what they were asked last.
    awaited: u16,
    /// They have all said what they can spare, and were asked for it.
    recalls: bool,
    /// By shard.
    spare: [Cash; SHARDS_MAX],
}

impl Withdrawal {
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.withdraw).add(self.session.0).add(self.number).add(self.account.0);
        into.add(self.transfer).add(self.amount).add(self.deadline);
        into.add(self.holding).add(self.awaited).add(u8::from(self.recalls));
        self.spare.iter().for_each(|spare| {
            into.add(*spare);
        });
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut loaded = Self {
            withdraw: saved.take()?,
            session: SessionId(saved.take()?),
            number: saved.take()?,
            account: AccountId(saved.take()?),
            transfer: saved.take()?,
            amount: saved.take()?,
            deadline: saved.take()?,
            holding: saved.take()?,
            awaited: saved.take()?,
            recalls: saved.flag()?,
            spare: [0; SHARDS_MAX],
        };
        for spare in &mut loaded.spare {
            *spare = saved.take()?;
        }
        Ok(loaded)
    }
}

impl Ledger {
    pub(super) fn withdraw<S: Sink>(
        &mut self,
        frame: &Frame,
        withdraw: &Withdraw,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let Withdraw { account, transfer, amount, .. } = *withdraw;
        require((1..=CASH_MAX).contains(&amount), Reject::AmountInvalid)?;
        let known = self.find(account).filter(|_| Accounts::is_id(account));
        let wallet = &self.wallets[known.ok_or(Reject::UnknownAccount)?];
        require(transfer > wallet.withdrawal, Reject::TransferDuplicate)?;
        require(wallet.debt == 0, Reject::WithdrawalTooLarge)?;
        let holding = wallet.shards;
        let held = self.is_leaving(account) || self.is_changing(account);
        require(!held, Reject::AccountHeld)?;
        let has_room = (1..self.shards)
            .all(|shard| holding & 1 << shard == 0 || self.links[usize::from(shard)].has_room());
        let full = self.withdrawals.len() == PENDING_WITHDRAWALS_MAX;
        require(has_room && !full, Reject::LedgerBusy)?;
        let (change, purpose) = (frame.seq, HoldFor::Withdrawal);
        for to in shards_of(holding) {
            let link = &mut self.links[usize::from(to.0)];
            let link_seq = link.send(Message::Hold { change, purpose }, account, 0);
            out.emit(&HoldIssued { link_seq, change, account, to, purpose, _pad: [0; 2] });
        }
        self.withdrawals.push(Withdrawal {
            withdraw: change,
            session: frame.session,
            number: frame.number,
            account,
            transfer,
            amount,
            deadline: frame.now + WITHDRAW_WAIT_US,
            holding,
            awaited: holding,
            recalls: false,
            spare: [0; SHARDS_MAX],
        });
        if holding == 0 {
            self.decide(self.withdrawals.len() - 1, out);
        }
        Ok(OrderId::NONE)
    }

    /// The account stands still until its withdrawal is settled.
    pub(super) fn is_leaving(&self, account: AccountId) -> bool {
        self.withdrawals.iter().any(|withdrawal| withdrawal.account == account)
    }

    /// Takes what a shard can spare of an account that it holds, if that is for a withdrawal.
    pub(super) fn take_spare<S: Sink>(&mut self, held: &Held, out: &mut Output<'_, S>) {
        let Held { account, from, spare, change, .. } = *held;
        let Some(place) = self.withdrawal(change, account) else { return };
        let withdrawal = &mut self.withdrawals[place];
        if withdrawal.recalls || withdrawal.awaited & 1 << from.0 == 0 {
            return;
        }
        withdrawal.spare[usize::from(from.0)] = spare;
        withdrawal.awaited &= !(1 << from.0);
        if withdrawal.awaited == 0 {
            self.decide(place, out);
        }
    }

    /// A shard has given back what a withdrawal asked it for, if this was for one.
    pub(super) fn recalled<S: Sink>(
        &mut self,
        from: ShardId,
        withdraw: Seq,
        account: AccountId,
        out: &mut Output<'_, S>,
    ) {
        let Some(place) = self.withdrawal(withdraw, account) else { return };
        let withdrawal = &mut self.withdrawals[place];
        if !withdrawal.recalls {
            return;
        }
        withdrawal.awaited &= !(1 << from.0);
        let (awaited, amount) = (withdrawal.awaited, withdrawal.amount);
        if self.free(account) >= amount {
            self.end(place, Reject::None, out);
        } else if awaited == 0 {
            // prices have moved since the shards said what they could spare
            self.end(place, Reject::WithdrawalTooLarge, out);
        }
    }

    /// Gives up withdrawals whose patience has ended, a bounded number at once.
    pub(super) fn end_withdrawals<S: Sink>(&mut self, now: Micros, out: &mut Output<'_, S>) {
        for _ in 0..WITHDRAWALS_PER_TICK_MAX {
            if self.withdrawals.first().is_none_or(|first| first.deadline > now) {
                return;
            }
            self.end(0, Reject::WithdrawalTimeout, out);
        }
    }

    /// An account that is in need somewhere keeps its money in.
    pub(super) fn end_withdrawal_of<S: Sink>(
        &mut self,
        account: AccountId,
        out: &mut Output<'_, S>,
    ) {
        let leaving = |withdrawal: &Withdrawal| withdrawal.account == account;
        if let Some(place) = self.withdrawals.iter().position(leaving) {
            self.end(place, Reject::WithdrawalTooLarge, out);
        }
    }

    fn withdrawal(&self, withdraw: Seq, account: AccountId) -> Option<usize> {
        let found = self.withdrawals.binary_search_by_key(&withdraw, |known| known.withdraw);
        found.ok().filter(|place| self.withdrawals[*place].account == account)
    }

    /// All shards have said what they can spare: pays, asks for what is lacking, or refuses.
    fn decide<S: Sink>(&mut self, place: usize, out: &mut Output<'_, S>) {
        let withdrawal = self.withdrawals[place];
        let Withdrawal { withdraw, account, amount, .. } = withdrawal;
        let free = i128::from(self.free(account));
        let spare: i128 = withdrawal.spare.iter().map(|spare| i128::from(*spare)).sum();
        let mut lacking = i128::from(amount) - free;
        if lacking > spare {
            return self.end(place, Reject::WithdrawalTooLarge, out);
        }
        if lacking <= 0 {
            return self.end(place, Reject::None, out);
        }
        let mut asked = 0;
        for to in shards_of(withdrawal.holding) {
            let spare = i128::from(withdrawal.spare[usize::from(to.0)]);
            // no more than the amount, so it fits
            let part = lacking.min(spare).max(0) as Cash;
            if part == 0 || !self.links[usize::from(to.0)].has_room() {
                continue;
            }
            lacking -= i128::from(part);
            self.send_recall(to, account, part, (withdraw, false), out);
            asked |= 1 << to.0;
        }
        if lacking > 0 {
            // a link is full: its shard has said nothing for long
            return self.end(place, Reject::WithdrawalTimeout, out);
        }
        let withdrawal = &mut self.withdrawals[place];
        (withdrawal.recalls, withdrawal.awaited) = (true, asked);
    }

    /// Pays a withdrawal out, or not, and lets the account go on.
    fn end<S: Sink>(&mut self, place: usize, reject: Reject, out: &mut Output<'_, S>) {
        let withdrawal = self.withdrawals.remove(place);
        let Withdrawal { withdraw, account, amount, transfer, .. } = withdrawal;
        let at = self.find(account).unwrap_or_else(|| panic!("{account:?} had a wallet"));
        if reject.is_none() {
            self.wallets[at].withdrawal = transfer;
            self.deposits -= i128::from(amount);
            self.move_free(at, CashReason::Withdraw, ShardId::LEDGER, -amount, out);
        }
        for to in shards_of(withdrawal.holding) {
            let link = &mut self.links[usize::from(to.0)];
            let mode = ModeChange::Keep;
            let link_seq = link.send(Message::Release { mode }, account, 0);
            out.emit(&ReleaseIssued { link_seq, account, to, mode, _pad: [0; 2] });
        }
        out.emit(&WithdrawalSettled {
            session: withdrawal.session,
            number: withdrawal.number,
            withdraw,
            transfer,
            account,
            reject,
            _pad: 0,
            amount,
        });
    }

    pub(super) fn free(&self, account: AccountId) -> Cash {
        self.find(account).map_or(0, |at| self.wallets[at].free)
    }
}

/// The shards of a set of bits, ascending.
fn shards_of(bits: u16) -> impl Iterator<Item = ShardId> {
    (0..SHARDS_MAX as u8).filter(move |shard| bits & 1 << shard != 0).map(ShardId)
}
