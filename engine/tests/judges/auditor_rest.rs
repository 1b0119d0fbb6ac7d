//! What shards give back by themselves: only of accounts that rest, and nothing that is needed.

use std::collections::BTreeMap;

use protocol::{Event, event::ReturnIssued, limits::SWEEP_AFTER_US, order::CashReason};

use crate::auditor::Auditor;

/// When each account has used what it has; not since it was given back.
#[derive(Clone, Default)]
pub struct Rests {
    used: BTreeMap<u32, u64>,
    /// To know that a flow has some.
    pub swept: usize,
}

impl Rests {
    /// A look at some account may be due.
    pub fn expect_work(&self, now: u64) -> bool {
        self.used.values().any(|used| used + SWEEP_AFTER_US <= now)
    }

    pub fn hear(&mut self, now: u64, event: &Event) {
        let accounts = match event {
            Event::OrderAccepted(order) => vec![order.account],
            Event::OrderClosed(order) => vec![order.account],
            Event::Trade(trade) => vec![trade.taker.account, trade.maker.account],
            Event::CashChanged(change) if change.reason != CashReason::ReturnIssued => {
                vec![change.account]
            }
            _ => return,
        };
        self.used.extend(accounts.into_iter().map(|account| (account.0, now)));
    }
}

impl Auditor {
    pub fn check_sweep(&mut self, back: &ReturnIssued) {
        if back.lend != 0 {
            return;
        }
        let used = self.rests.used.remove(&back.account.0);
        let rests = used.is_some_and(|used| used + SWEEP_AFTER_US <= self.now);
        assert!(rests && back.amount > 0, "it is at work, since {used:?}: {back:?}");
        let left = self.spare(back.account.0);
        assert!(left >= 0, "what is needed stays: {left} {back:?}");
        self.rests.swept += 1;
    }
}
