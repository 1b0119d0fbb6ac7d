//! What accounts owe the insurance fund: it has advanced on a shard what they could not pay.
//!
//! Whatever comes into an account's free cash repays it first, and nothing leaves meanwhile.

use protocol::{
    AccountId, OrderId, Reject, ShardId, command::Debt, limits::CASH_MAX, order::CashReason,
};

use super::Ledger;
use crate::{
    accounts::Accounts,
    output::{Output, Sink},
    verdict::{Verdict, require},
};

impl Ledger {
    pub(super) fn take_debt<S: Sink>(&mut self, debt: &Debt, out: &mut Output<'_, S>) -> Verdict {
        let &Debt { link_seq, account, from, amount, .. } = debt;
        let shard = (1..self.shards).contains(&from.0);
        let sane = shard && Accounts::is_id(account) && (1..=CASH_MAX).contains(&amount);
        require(sane, Reject::Malformed)?;
        self.take(from, link_seq, out)?;
        let at = self.open(account);
        self.wallets[at].debt += i128::from(amount);
        self.end_withdrawal_of(account, out);
        self.repay(at, out);
        Ok(OrderId::NONE)
    }

    /// The fund's wallet is there from the beginning, and it may have money on each shard: what
    /// it earns there was never granted.
    pub(super) fn open_fund(&mut self) {
        let at = self.open(AccountId::INSURANCE);
        let trading = (1..self.shards).map(|shard| 1 << shard);
        self.wallets[at].shards = trading.sum();
    }

    fn fund(&self) -> usize {
        self.find(AccountId::INSURANCE).expect("made with the ledger")
    }

    /// Pays back what can be paid back now.
    pub(super) fn repay<S: Sink>(&mut self, at: usize, out: &mut Output<'_, S>) {
        let wallet = &mut self.wallets[at];
        let part = i128::from(wallet.free).min(wallet.debt);
        if part <= 0 {
            return;
        }
        wallet.debt -= part;
        let part = rules::money::cash(part);
        let fund = self.fund();
        self.move_free(at, CashReason::Repayment, ShardId::LEDGER, -part, out);
        self.move_free(fund, CashReason::Repayment, ShardId::LEDGER, part, out);
    }
}
