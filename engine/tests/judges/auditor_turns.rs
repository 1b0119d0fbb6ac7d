//! The auditor's eye on what comes due by itself: conditions, dates and countdowns have their turn.

use std::collections::BTreeMap;

use protocol::event::CountdownSet;

use crate::{
    auditor::{Auditor, Order},
    bench::WORK_PER_TURN,
};

/// Frames in which an engine does all that is due, but for what more units of work take.
const FRAMES: usize = 1;

/// What comes due, and how long it may wait for its turn.
#[derive(Clone, Default)]
pub struct Turns {
    /// With few units of work a frame others may have theirs first for as long as they come.
    pub few: bool,
    countdowns: BTreeMap<(u32, u16), u64>,
    /// Whose countdown ended in this frame, before anything else happened to them.
    over: Vec<(u32, u16)>,
    /// The event at hand is what its owner asked for: a countdown that bounded work has not come
    /// to yet may still be called off, and then nothing is cancelled.
    pub asked: bool,
}

impl Turns {
    /// Some countdown ends before the next frame's command.
    pub fn expect_work(&self, now: u64) -> bool {
        self.countdowns.values().any(|at| *at <= now)
    }

    /// Frames that something may stay due for, if so many things wait.
    pub const fn frames(&self, waiting: usize) -> usize {
        if self.few { usize::MAX } else { FRAMES + waiting / WORK_PER_TURN }
    }
}

impl Order {
    /// It is open, and its date has come.
    pub const fn is_over(&self, now: u64) -> bool {
        !self.ended && self.good_till != 0 && self.good_till <= now
    }
}

impl Auditor {
    pub fn hear_countdown(&mut self, set: &CountdownSet) {
        let key = (set.account.0, set.symbol.0);
        let before = self.turns.countdowns.remove(&key);
        if set.at != 0 {
            assert!(set.at > self.now, "a countdown ends later: {set:?}");
            self.turns.countdowns.insert(key, set.at);
        } else if before.is_some_and(|at| at <= self.now) && !self.turns.asked {
            self.turns.over.push(key);
        }
    }

    /// No order outlives its owner's countdown, but for what came in the same frame.
    pub fn check_countdowns(&mut self) {
        for (account, symbol) in std::mem::take(&mut self.turns.over) {
            let left = self.orders.iter().filter(|((of, _), order)| {
                (*of, order.account, order.ended) == (symbol, account, false)
            });
            assert!(left.count() <= 1, "{account} on {symbol} has orders after its countdown");
        }
    }

    /// No order outlives its date for long.
    pub fn check_dates(&mut self) {
        let over = self.orders.values().filter(|order| order.is_over(self.now)).count();
        if over == 0 {
            return;
        }
        let most = self.turns.frames(over);
        for (key, order) in self.orders.iter_mut().filter(|(_, order)| order.is_over(self.now)) {
            order.late += 1;
            assert!(order.late <= most, "{key:?} outlives its date: {order:?}");
        }
    }
}
