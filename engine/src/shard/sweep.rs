//! What a shard gives back by itself: an account that rests keeps what its positions and orders
//! need, and a fifth of it. So what it has elsewhere in mind finds its money free.

use protocol::{
    Cash, Micros,
    event::ReturnIssued,
    limits::{CASH_MAX, SWEEP_AFTER_US, SWEEP_KEEP},
    order::CashReason,
};
use rules::money::div_ceil;

use super::Shard;
use crate::{
    links::Message,
    output::{Output, Sink},
};

impl Shard {
    /// An alarm rings, and there is a ledger to give anything to.
    #[inline]
    pub(super) fn may_sweep(&self, now: Micros) -> bool {
        self.accounts.next_alarm().is_some_and(|due| due <= now) && self.calls.hears_ledger()
    }

    /// Gives back what an account that rests does not need, or looks again later.
    pub(super) fn sweep<S: Sink>(&mut self, now: Micros, at: u32, out: &mut Output<'_, S>) {
        let account = *self.accounts.account(at);
        let rests_from = account.used + SWEEP_AFTER_US;
        if rests_from > now {
            return self.accounts.set_alarm(at, rests_from);
        }
        if account.held || account.call != 0 || !self.ledger.has_room() {
            return self.accounts.set_alarm(at, now + SWEEP_AFTER_US);
        }
        let account = account.id;
        self.pools.book_all(&mut self.accounts, account, self.symbols.quotes(), out);
        let totals = self.accounts.totals(at, self.symbols.quotes());
        let kept = div_ceil(totals.initial_margin * SWEEP_KEEP.0, SWEEP_KEEP.1);
        let spare = totals.cash.min(totals.equity) - kept;
        if spare <= 0 {
            return;
        }
        let (amount, lend) = (spare.min(CASH_MAX.into()) as Cash, 0);
        self.move_cash(at, CashReason::ReturnIssued, -amount, out);
        let link_seq = self.ledger.send(Message::Return { lend }, account, amount);
        out.emit(&ReturnIssued { link_seq, account, _pad: 0, amount, lend });
    }
}
