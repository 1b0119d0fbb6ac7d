//! Accounts in need: at the end of each frame that moves a mark, all of them are looked at.

use protocol::order::{CallKind, PositionSide};

use super::{
    algos::{Job, What},
    margin::ceil_div,
    shard::Shard,
};

impl Shard {
    /// Below 1.15 times what must stay, with something that it must stay behind.
    fn in_need(&self, account: u32) -> bool {
        let (equity, maintenance) = self.cross_pool(account);
        maintenance > 0 && equity * 20 < maintenance * 23
    }

    pub fn look_for_need(&mut self) {
        let accounts: Vec<u32> = self.accounts.keys().copied().collect();
        for account in accounts {
            let in_need = self.in_need(account);
            let has_call = self.has_call(account);
            let known = self.accounts.get_mut(&account).unwrap();
            known.warned &= in_need;
            let job = Job { symbol: 0, what: What::Need { account } };
            let asks = in_need && !known.warned && !has_call && !self.queue.contains(&job);
            if asks && !self.is_due((account, 0, PositionSide::Both)) {
                self.fresh.push(job);
            }
            self.look_at_pools(account);
        }
        self.look_for_unwinding();
    }

    pub fn call_for_need(&mut self, account: u32) {
        self.book_account(account);
        if self.has_call(account) || !self.may_wait(account) || self.accounts[&account].warned {
            return;
        }
        if self.in_need(account) {
            let (equity, maintenance) = self.cross_pool(account);
            self.accounts.get_mut(&account).unwrap().warned = true;
            let amount = ceil_div(3 * maintenance, 2) - equity;
            self.call(account, CallKind::Need, amount.min(i64::MAX.into()) as i64);
        }
    }

    /// An account whose need has called opens nothing until the answer.
    pub fn may_open(&self, account: u32) -> bool {
        !self.is_in_liquidation(account) && !self.needs_call(account)
    }

    /// Its open call is for itself, not for an order.
    pub fn needs_call(&self, account: u32) -> bool {
        let needs = |kind| kind != CallKind::Order;
        self.calls.iter().any(|call| call.account == account && needs(call.kind))
    }
}
