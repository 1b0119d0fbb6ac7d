//! Margin calls: a shard asks for an account whose owner is not there to ask, as a gateway asks
//! with a Lend. The answer is a grant over the link, of nothing when nothing can be had.

use protocol::{
    OrderId, Reject, SessionId,
    command::MarginCall,
    event::GrantIssued,
    limits::{CALL_RECALL_WAIT_US, CASH_MAX, PENDING_LENDS_MAX},
    order::CallKind,
};

use super::{Ledger, lends::Pending};
use crate::{
    accounts::Accounts,
    engine::Frame,
    links::Message,
    output::{Output, Sink},
    verdict::{Verdict, require},
};

impl Ledger {
    pub(super) fn margin_call<S: Sink>(
        &mut self,
        frame: &Frame,
        call: &MarginCall,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let &MarginCall { link_seq, account, from, kind, amount, .. } = call;
        let shard = (1..self.shards).contains(&from.0);
        let sane = shard && Accounts::may_hold(account) && (1..=CASH_MAX).contains(&amount);
        require(sane, Reject::Malformed)?;
        self.take(from, link_seq, out)?;
        let at = self.open(account);
        let takes_part = match kind {
            CallKind::Order => false,
            CallKind::Need | CallKind::Debt => true,
        };
        if takes_part {
            self.end_withdrawal_of(account, out);
        }
        let mut pending = Pending {
            lend: frame.seq,
            session: SessionId::NONE,
            number: 0,
            call: link_seq,
            takes_part,
            account,
            shard: from,
            amount,
            deadline: frame.now + CALL_RECALL_WAIT_US,
            awaited: 0,
            asked: 0,
            gave_all: 0,
        };
        let waits = self.wallets[at].free < amount && self.calls.len() < PENDING_LENDS_MAX;
        if waits {
            self.recall(at, self.wallets[at].shards, &mut pending, out);
        }
        if pending.awaited == 0 {
            self.answer(&pending, out);
        } else {
            self.calls.push(pending);
        }
        Ok(OrderId::NONE)
    }

    /// Tells a shard that its call is in vain, if the link has room: else it ends by its grace.
    pub(super) fn refuse_call<S: Sink>(&mut self, call: &Pending, out: &mut Output<'_, S>) {
        let (account, to) = (call.account, call.shard);
        let link = &mut self.links[usize::from(to.0)];
        if link.has_room() {
            let call = call.call;
            let link_seq = link.send(Message::Grant { call }, account, 0);
            out.emit(&GrantIssued { link_seq, account, to, _pad: [0; 3], amount: 0, call });
        }
    }
}
