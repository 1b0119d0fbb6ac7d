//! The ledger's withdrawals: everybody is asked, then paid or not.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    AccountId, Event, Reject, SessionId, ShardId,
    command::{Held, Withdraw},
    event::{HoldIssued, RecallIssued, ReleaseIssued, WithdrawalSettled},
    limits::{CASH_MAX, PENDING_WITHDRAWALS_MAX, WITHDRAW_WAIT_US},
    order::{CashReason, HoldFor, ModeChange},
};

use super::{
    Answer, Context,
    ledger::{Ledger, has_room},
    no,
};

const GIVEN_UP_PER_TICK: usize = 64;

pub struct Leaving {
    session: u64,
    number: u64,
    transfer: u64,
    pub account: u32,
    amount: i128,
    until: u64,
    shards: BTreeSet<u8>,
    /// What each shard has said it can spare.
    said: BTreeMap<u8, i128>,
    /// Shards that were asked for money and have not answered, once all have said.
    owing: Option<BTreeSet<u8>>,
}

impl Ledger {
    pub(super) fn withdraw(
        &mut self,
        context: &Context,
        withdraw: &Withdraw,
        events: &mut Vec<Event>,
    ) -> Answer {
        let account = withdraw.account.0;
        if withdraw.amount <= 0 || withdraw.amount > CASH_MAX {
            return no(Reject::AmountInvalid);
        }
        let wallet = self.wallets.get(&account).filter(|_| account != 0);
        let Some(wallet) = wallet else { return no(Reject::UnknownAccount) };
        if withdraw.transfer <= wallet.withdrawal {
            return no(Reject::TransferDuplicate);
        }
        if wallet.debt > 0 {
            return no(Reject::WithdrawalTooLarge);
        }
        if self.is_leaving(account) || self.is_changing(account) {
            return no(Reject::AccountHeld);
        }
        let shards = wallet.granted.clone();
        let full = shards.iter().any(|shard| !has_room(&self.streams[shard]));
        if full || self.leaving.len() == PENDING_WITHDRAWALS_MAX {
            return no(Reject::LedgerBusy);
        }
        for shard in &shards {
            events.push(Event::HoldIssued(HoldIssued {
                link_seq: self.next_of(*shard),
                change: context.seq,
                account: withdraw.account,
                to: ShardId(*shard),
                purpose: HoldFor::Withdrawal,
                _pad: [0; 2],
            }));
        }
        let leaving = Leaving {
            session: context.session,
            number: context.number,
            transfer: withdraw.transfer,
            account,
            amount: withdraw.amount.into(),
            until: context.now + WITHDRAW_WAIT_US,
            shards,
            said: BTreeMap::new(),
            owing: None,
        };
        self.leaving.insert(context.seq, leaving);
        self.judge_withdrawal(context.seq, events);
        Ok(0)
    }

    /// A shard has answered a hold that may be for a withdrawal.
    pub(super) fn said(&mut self, held: &Held, events: &mut Vec<Event>) {
        if let Some(leaving) = self.leaving.get_mut(&held.change)
            && leaving.account == held.account.0
            && leaving.shards.contains(&held.from.0)
            && leaving.owing.is_none()
            && !leaving.said.contains_key(&held.from.0)
        {
            leaving.said.insert(held.from.0, held.spare.into());
            self.judge_withdrawal(held.change, events);
        }
    }

    /// A shard has answered a recall that may have been for a withdrawal.
    pub(super) fn paid_in(&mut self, hold: u64, account: u32, from: u8, events: &mut Vec<Event>) {
        let Some(leaving) = self.leaving.get_mut(&hold) else { return };
        if leaving.account != account {
            return;
        }
        let Some(owing) = &mut leaving.owing else { return };
        owing.remove(&from);
        let all = owing.is_empty();
        if self.wallets[&account].free >= leaving.amount {
            self.finish(hold, Reject::None, events);
        } else if all {
            self.finish(hold, Reject::WithdrawalTooLarge, events);
        }
    }

    pub(super) fn give_up_withdrawals(&mut self, now: u64, events: &mut Vec<Event>) {
        let late = self.leaving.iter().filter(|(_, leaving)| leaving.until <= now);
        let late: Vec<u64> = late.map(|(hold, _)| *hold).take(GIVEN_UP_PER_TICK).collect();
        for hold in late {
            self.finish(hold, Reject::WithdrawalTimeout, events);
        }
    }

    /// Somebody in need does not withdraw.
    pub(super) fn keep_in(&mut self, account: u32, events: &mut Vec<Event>) {
        let mut all = self.leaving.iter();
        let hold = all.find(|(_, leaving)| leaving.account == account).map(|(hold, _)| *hold);
        if let Some(hold) = hold {
            self.finish(hold, Reject::WithdrawalTooLarge, events);
        }
    }

    pub(super) fn is_leaving(&self, account: u32) -> bool {
        self.leaving.values().any(|leaving| leaving.account == account)
    }

    fn next_of(&mut self, shard: u8) -> u64 {
        let stream = self.streams.get_mut(&shard).unwrap();
        stream.sent += 1;
        stream.sent
    }

    fn judge_withdrawal(&mut self, hold: u64, events: &mut Vec<Event>) {
        let leaving = &self.leaving[&hold];
        if leaving.said.len() < leaving.shards.len() {
            return;
        }
        let free = self.wallets[&leaving.account].free;
        let (account, amount, said) = (leaving.account, leaving.amount, leaving.said.clone());
        if free + said.values().sum::<i128>() < amount {
            return self.finish(hold, Reject::WithdrawalTooLarge, events);
        }
        if free >= amount {
            return self.finish(hold, Reject::None, events);
        }
        let mut owing = BTreeSet::new();
        let mut lacking = amount - free;
        for (shard, spare) in said {
            let part = spare.min(lacking);
            if part <= 0 || !has_room(&self.streams[&shard]) {
                continue;
            }
            lacking -= part;
            owing.insert(shard);
            events.push(Event::RecallIssued(RecallIssued {
                link_seq: self.next_of(shard),
                account: AccountId(account),
                to: ShardId(shard),
                urgent: false,
                _pad: [0; 2],
                amount: part as i64,
                lend: hold,
            }));
        }
        if lacking > 0 {
            return self.finish(hold, Reject::WithdrawalTimeout, events);
        }
        self.leaving.get_mut(&hold).unwrap().owing = Some(owing);
    }

    fn finish(&mut self, hold: u64, reject: Reject, events: &mut Vec<Event>) {
        let leaving = self.leaving.remove(&hold).unwrap();
        let account = leaving.account;
        if reject == Reject::None {
            self.wallets.get_mut(&account).unwrap().withdrawal = leaving.transfer;
            self.deposited -= leaving.amount;
            self.change(account, CashReason::Withdraw, 0, -leaving.amount, events);
        }
        for shard in leaving.shards {
            events.push(Event::ReleaseIssued(ReleaseIssued {
                link_seq: self.next_of(shard),
                account: AccountId(account),
                to: ShardId(shard),
                mode: ModeChange::Keep,
                _pad: [0; 2],
            }));
        }
        events.push(Event::WithdrawalSettled(WithdrawalSettled {
            session: SessionId(leaving.session),
            number: leaving.number,
            withdraw: hold,
            transfer: leaving.transfer,
            account: AccountId(account),
            reject,
            _pad: 0,
            amount: leaving.amount as i64,
        }));
    }
}
