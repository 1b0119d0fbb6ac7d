//! Accounts that may have come to rest, by when to look: who has not used his money for some time
//! does not need it here.
//!
//! A use is an accepted order, a fill, an order's end, or cash that comes. It costs a stamp; an account has one
//! alarm, which is put off when it rings too early.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use protocol::{AccountId, Micros, limits::SWEEP_AFTER_US};

use crate::accounts::Accounts;

/// The first that rings is in front; of those that ring at once the lower id.
#[derive(Default)]
pub(crate) struct Sweeps(BinaryHeap<Reverse<(Micros, AccountId, u32)>>);

impl Sweeps {
    /// Room for one alarm an account.
    pub fn with_capacity(accounts: usize) -> Self {
        Self(BinaryHeap::with_capacity(accounts))
    }
}

impl Accounts {
    /// Notes that an account needs what it has.
    #[inline]
    pub fn note_use(&mut self, at: u32, now: Micros) {
        let account = self.account_mut(at);
        account.used = now;
        if account.alarm == 0 {
            self.set_alarm(at, now + SWEEP_AFTER_US);
        }
    }

    /// An account without an alarm gets one.
    pub fn set_alarm(&mut self, at: u32, due: Micros) {
        let account = self.account_mut(at);
        account.alarm = due;
        let alarm = Reverse((due, account.id, at));
        self.sweeps.0.push(alarm);
    }

    #[inline]
    pub fn next_alarm(&self) -> Option<Micros> {
        self.sweeps.0.peek().map(|Reverse((due, ..))| *due)
    }

    /// Takes the account whose alarm rings, if one does.
    pub fn take_alarm(&mut self, now: Micros) -> Option<u32> {
        self.next_alarm().filter(|due| *due <= now)?;
        let Reverse((_, _, at)) = self.sweeps.0.pop()?;
        self.account_mut(at).alarm = 0;
        Some(at)
    }
}
