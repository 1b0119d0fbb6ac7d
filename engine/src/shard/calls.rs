//! A shard asks the ledger for what a fired order lacks, as its owner is not there to ask.
//!
//! One call is open per account. What has fired meanwhile waits until the call is closed and is then
//! placed with what there is. What that is not enough for has a call of its own: an order is refused
//! when the ledger has not had what that order lacks, or when it is silent.

use protocol::{Cash, Micros, event::MarginCallIssued, limits::CASH_MAX, order::CallKind};

use super::Shard;
use crate::{
    accounts::Accounts,
    calls::Call,
    due::{PoolAt, Stage},
    hash::Digest,
    links::Message,
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    triggers::Answer,
};

impl Shard {
    /// Opens a call for so much.
    pub(super) fn call<S: Sink>(
        &mut self,
        now: Micros,
        account: u32,
        kind: CallKind,
        amount: Cash,
        out: &mut Output<'_, S>,
    ) {
        let known = self.accounts.account_mut(account);
        let (id, amount) = (known.id, amount.min(CASH_MAX));
        let number = self.ledger.send(Message::MarginCall { kind }, id, amount);
        (known.call, known.in_need) = (number, kind != CallKind::Order);
        self.calls.push(Call { opened: now, account, number, kind });
        out.emit(&MarginCallIssued { link_seq: number, account: id, kind, _pad: [0; 3], amount });
    }

    /// Closes a call if it is the one that is open: what waits for it has its turn.
    pub(super) fn close_call(&mut self, account: u32, number: u64, answer: Answer) {
        if self.accounts.account(account).call != number {
            return;
        }
        let known = self.accounts.account_mut(account);
        (known.call, known.in_need) = (0, false);
        // it may be in need of another
        self.accounts.touch(account);
        let due = self.accounts.account(account).due;
        if due.stage != Stage::None && !due.queued {
            self.queue_liquidation(PoolAt::Cross(account));
        }
        self.calls.remove(number);
        let mut next = self.accounts.first_holding(account);
        while let Some(at) = next {
            let holding = self.accounts.holding(at);
            let (symbol, _) = self.symbols.split(holding.symbol);
            if let Some(triggers) = &mut symbol.triggers {
                triggers.resume(holding.algos.first, answer, symbol.spec.symbol, &mut self.work);
            }
            next = self.accounts.next_holding(at);
        }
    }

    pub(super) fn digest_calls(&self, into: &mut Digest) {
        self.calls.digest_link(into);
        into.add_len(self.calls.iter().count());
        for Call { opened, account, number, kind } in self.calls.iter() {
            into.add(*opened).add(self.accounts.account(*account).id.0).add(*number);
            into.add(*kind as u8);
        }
    }

    pub(super) fn load_calls(&mut self, saved: &mut Saved<'_>) -> Result<(), LoadError> {
        self.calls.load_link(saved)?;
        let mut last = (0, 0);
        for _ in 0..saved.len()? {
            let (opened, id, number) = (saved.take()?, saved.take()?, saved.take()?);
            let kind = saved.word(CallKind::from_u8)?;
            let id = protocol::AccountId(id);
            sound(Accounts::may_hold(id) && number > last.1 && opened >= last.0)?;
            let account = self.accounts.find(id).ok_or(LoadError::Damaged)?;
            sound(self.accounts.account(account).call == 0)?;
            let known = self.accounts.account_mut(account);
            (known.call, known.in_need) = (number, kind != CallKind::Order);
            self.calls.push(Call { opened, account, number, kind });
            last = (opened, number);
        }
        Ok(())
    }
}
