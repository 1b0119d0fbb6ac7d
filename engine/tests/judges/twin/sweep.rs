//! What a shard gives back of accounts that rest.

use protocol::{
    AccountId, Event,
    event::ReturnIssued,
    limits::{CASH_MAX, LINK_WINDOW_MAX, SWEEP_AFTER_US},
    order::CashReason,
};

use super::{margin::ceil_div, shard::Shard};

impl Shard {
    /// The frame's events so far.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.note_uses();
        self.uses_seen = 0;
        std::mem::take(&mut self.events)
    }

    /// Who has an order accepted or ended, or a fill, or gets cash, uses what he has.
    fn note_uses(&mut self) {
        let fresh = self.events[self.uses_seen..].to_vec();
        for event in &fresh {
            match event {
                Event::OrderAccepted(order) => self.note_use(order.account),
                Event::OrderClosed(order) => self.note_use(order.account),
                Event::Trade(trade) => {
                    self.note_use(trade.taker.account);
                    self.note_use(trade.maker.account);
                }
                Event::CashChanged(change) if change.reason != CashReason::ReturnIssued => {
                    self.note_use(change.account);
                }
                _ => {}
            }
        }
        self.uses_seen = self.events.len();
    }

    fn note_use(&mut self, account: AccountId) {
        let now = self.now;
        let known = self.accounts.get_mut(&account.0).unwrap();
        known.used = now;
        known.alarm.get_or_insert(now + SWEEP_AFTER_US);
    }

    /// Looks at the account whose alarm rings first.
    pub fn sweep_one(&mut self) -> bool {
        if self.hears_ledger != Some(true) {
            return false;
        }
        self.note_uses();
        let all = self.accounts.iter();
        let alarms = all.filter_map(|(account, known)| known.alarm.map(|at| (at, *account)));
        let Some((_, account)) = alarms.filter(|(at, _)| *at <= self.now).min() else {
            return false;
        };
        let busy = self.has_call(account) || self.sent - self.acked >= LINK_WINDOW_MAX as u64;
        let now = self.now;
        let known = self.accounts.get_mut(&account).unwrap();
        let rests_from = known.used + SWEEP_AFTER_US;
        if rests_from > now || busy || known.held {
            let later = if rests_from > now { rests_from } else { now + SWEEP_AFTER_US };
            known.alarm = Some(later);
            return true;
        }
        known.alarm = None;
        self.book_account(account);
        let initial = self.cross_pool(account).0 - self.available(account);
        let amount = self.spare(account) + initial - ceil_div(6 * initial, 5);
        let amount = amount.min(CASH_MAX.into());
        if amount > 0 {
            let account = AccountId(account);
            self.move_cash(account, CashReason::ReturnIssued, -amount);
            self.sent += 1;
            let (link_seq, amount) = (self.sent, amount as i64);
            let back = ReturnIssued { link_seq, account, _pad: 0, amount, lend: 0 };
            self.events.push(Event::ReturnIssued(back));
        }
        true
    }
}
