//! Margin calls on a trading shard.

use protocol::{
    AccountId, Event,
    event::MarginCallIssued,
    limits::{CASH_MAX, LINK_WINDOW_MAX, MARGIN_CALL_GRACE_DOWN_US, MARGIN_CALL_GRACE_US},
    order::CallKind,
};

use super::{
    algos::{Job, What},
    shard::Shard,
};

#[derive(Clone, Copy)]
pub struct Call {
    pub opened: u64,
    pub account: u32,
    /// Its place in the stream to the ledger.
    pub number: u64,
    pub kind: CallKind,
}

impl Shard {
    pub fn has_call(&self, account: u32) -> bool {
        self.calls.iter().any(|call| call.account == account)
    }

    /// One may be opened, or is.
    pub fn may_wait(&self, account: u32) -> bool {
        self.has_call(account) || self.sent - self.acked < LINK_WINDOW_MAX as u64
    }

    pub fn call(&mut self, account: u32, kind: CallKind, amount: i64) {
        self.sent += 1;
        let opened = self.now;
        self.calls.push(Call { opened, account, number: self.sent, kind });
        self.events.push(Event::MarginCallIssued(MarginCallIssued {
            link_seq: self.sent,
            account: AccountId(account),
            kind,
            _pad: [0; 3],
            amount: amount.min(CASH_MAX),
        }));
    }

    /// Closes the open call of this number: what waits for it is due again. With something granted
    /// anybody may ask again; without a word nobody may.
    pub fn close_call(&mut self, account: u32, number: u64, granted: Option<i64>) {
        let is = |call: &Call| (call.account, call.number) == (account, number);
        let Some(place) = self.calls.iter().position(is) else { return };
        self.calls.remove(place);
        self.go_on(account);
        for (symbol, market) in &mut self.markets {
            for algo in &mut market.algos {
                if algo.calls && algo.terms.account.0 == account {
                    algo.calls = false;
                    algo.asked = granted.is_none_or(|granted| algo.asked && granted == 0);
                    self.fresh.push(Job { symbol: *symbol, what: What::Fire(algo.id) });
                }
            }
        }
    }

    /// An answer can come only while the ledger is heard, and has some time then.
    fn is_over(&self, call: &Call) -> bool {
        let waits = self.now - call.opened;
        let heard = self.now - self.heard_again.max(call.opened);
        let late = self.hears_ledger != Some(false) && heard >= MARGIN_CALL_GRACE_US;
        late || waits >= MARGIN_CALL_GRACE_DOWN_US
    }

    /// Closes the oldest call whose grace is over.
    pub fn end_call(&mut self) -> bool {
        let over = self.calls.first().filter(|call| self.is_over(call)).copied();
        if let Some(call) = over {
            self.close_call(call.account, call.number, None);
        }
        over.is_some()
    }
}
