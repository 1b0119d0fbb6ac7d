//! Money of a shard: what the ledger grants and recalls over their link.

use protocol::{
    Cash, OrderId, Reject, ShardId,
    command::{Grant, LinkAck, Recall},
    event::{CashChanged, LinkAcked, LinkApplied, ReturnIssued},
    limits::{CALL_KEEP, CASH_MAX},
    order::CashReason,
};

use rules::money::div_ceil;

use super::Shard;
use crate::{
    accounts::Accounts,
    engine::Frame,
    limits::RECALL_EVENTS_MAX,
    links::Message,
    output::{Output, Sink},
    triggers::Answer,
    verdict::{Refusal, Verdict, require},
};

impl Shard {
    pub(super) fn grant<S: Sink>(
        &mut self,
        frame: &Frame,
        grant: &Grant,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        // only the answer to a call may bring nothing
        let least = Cash::from(grant.call == 0);
        let sane = Accounts::may_hold(grant.account) && (least..=CASH_MAX).contains(&grant.amount);
        require(sane, Reject::Malformed)?;
        self.take(grant.link_seq, out)?;
        let at = self.accounts.open(grant.account);
        if grant.amount > 0 {
            let account = self.accounts.account_mut(at);
            account.earmark = account.earmarked(frame.now) + grant.amount;
            account.earmark_until = frame.now + protocol::limits::EARMARK_US;
            self.move_cash(at, CashReason::GrantApplied, grant.amount, out);
        }
        if grant.call != 0 {
            let answer = if grant.amount > 0 { Answer::Granted } else { Answer::Refused };
            self.close_call(at, grant.call, answer);
        }
        Ok(OrderId::NONE)
    }

    /// Gives back what the account can spare, which may be nothing: to an order elsewhere all that
    /// is available here and waits for no order of its own; for a margin call also what its orders
    /// hold back, which are closed, and more of what is behind its positions; out of the wallet,
    /// for which it is held, no profit that is not realised.
    pub(super) fn recall<S: Sink>(
        &mut self,
        frame: &Frame,
        recall: &Recall,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let sane = Accounts::may_hold(recall.account) && (0..=CASH_MAX).contains(&recall.amount);
        require(sane, Reject::Malformed)?;
        require(self.ledger.has_room(), Reject::ShardFull)?;
        self.take(recall.link_seq, out)?;
        let found = self.accounts.find(recall.account);
        if let (Some(at), true) = (found, recall.urgent) {
            self.free_margin(frame, at, out);
        }
        let spare = found.map_or(0, |at| {
            let account = self.accounts.account(at);
            let earmarked = i128::from(account.earmarked(frame.now));
            if recall.urgent {
                let pool = self.cross_pool(at);
                let kept = div_ceil(pool.maintenance * CALL_KEEP.0, CALL_KEEP.1);
                return pool.equity - kept - earmarked;
            }
            let totals = self.accounts.totals(at, self.symbols.quotes());
            match account.held {
                true => totals.spare(),
                false => totals.available() - earmarked,
            }
        });
        // between 0 and what was asked for, so it fits
        let amount = spare.clamp(0, i128::from(recall.amount)) as Cash;
        if let (Some(at), 1..) = (found, amount) {
            self.move_cash(at, CashReason::ReturnIssued, -amount, out);
        }
        let (account, lend) = (recall.account, recall.lend);
        let link_seq = self.ledger.send(Message::Return { lend }, account, amount);
        out.emit(&ReturnIssued { link_seq, account, _pad: 0, amount, lend });
        Ok(OrderId::NONE)
    }

    /// Closes an account's orders that reserve margin, as far as one frame's events go.
    #[cold]
    fn free_margin<S: Sink>(&mut self, frame: &Frame, at: u32, out: &mut Output<'_, S>) {
        while out.events() <= RECALL_EVENTS_MAX
            && let Some(holding) = self.accounts.first_reserving(at)
        {
            let place = self.accounts.holding(holding).symbol;
            self.desk_at(frame, place).close_reserving(holding, out);
        }
    }

    /// Takes the ledger's next message; tells, in any case, how far it is.
    pub(super) fn take<S: Sink>(
        &mut self,
        link_seq: u64,
        out: &mut Output<'_, S>,
    ) -> Result<(), Refusal> {
        let next = self.ledger.check_next(link_seq);
        if next.is_ok() {
            self.ledger.advance();
        }
        let link_seq = self.ledger.applied();
        out.emit(&LinkApplied { peer: ShardId::LEDGER, _pad: [0; 7], link_seq });
        next
    }

    pub(super) fn acked<S: Sink>(&mut self, ack: &LinkAck, out: &mut Output<'_, S>) -> Verdict {
        require(ack.peer == ShardId::LEDGER, Reject::Malformed)?;
        self.ledger.ack(ack.link_seq)?;
        let link_seq = self.ledger.acked();
        out.emit(&LinkAcked { peer: ShardId::LEDGER, _pad: [0; 7], link_seq });
        Ok(OrderId::NONE)
    }

    pub(super) fn move_cash<S: Sink>(
        &mut self,
        at: u32,
        reason: CashReason,
        delta: Cash,
        out: &mut Output<'_, S>,
    ) {
        self.accounts.touch(at);
        if reason != CashReason::ReturnIssued {
            self.accounts.note_use(at, self.now);
        }
        let account = self.accounts.account_mut(at);
        account.cash = rules::money::cash(i128::from(account.cash) + i128::from(delta));
        out.emit(&CashChanged {
            account: account.id,
            reason,
            shard: ShardId::LEDGER,
            _pad: [0; 2],
            cash: account.cash,
            delta,
            lent: 0,
        });
    }
}
