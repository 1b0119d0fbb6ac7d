//! The second half of the judge by the reading: what trades of a liquidation cost, and whom.

use protocol::{
    Event,
    event::Trade,
    order::{OrderOrigin, TradeKind},
};

use crate::{
    reading::{Backing, Key, div_ceil},
    reading_chain::{E8, FUND, Judge},
};

/// An order to the book for a position that is due.
pub struct Asked {
    pub key: Key,
    pub bankruptcy: i128,
    pub sign: i128,
    pub notional: i128,
    pub above: i128,
    pub paid: i128,
}

/// A place in the queue of those who may be deleveraged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    gain: i128,
    entry: i128,
    value: i128,
    /// What stands behind it, in whole units of cash.
    share: i128,
}

impl Rank {
    /// It goes before another by more than counting in units of 1e-8 may take away.
    fn is_ahead(&self, other: &Self) -> bool {
        let ((place, dust), (theirs, more)) = (self.place(), other.place());
        place - theirs > dust + more
    }

    /// A profit times the leverage, or a loss by it; and what rounding of both takes away at most.
    fn place(&self) -> (f64, f64) {
        const UNIT: f64 = 1e-8;
        let profit = self.gain as f64 / self.entry as f64;
        let leverage = self.value as f64 / self.share as f64;
        if profit > 0.0 {
            return (profit * leverage, UNIT * (profit + leverage + 2.0));
        }
        let least = (leverage - UNIT).max(UNIT);
        let of_leverage = UNIT * profit.abs() / (leverage * least);
        (profit / leverage, UNIT * (1.0 + 1.0 / least) + of_leverage)
    }
}

impl Judge {
    /// What a trade finds of those it is about, if it is one of a liquidation.
    pub fn before(&self, event: &Event) -> Vec<(Key, Backing, i128, i128)> {
        let Event::Trade(trade) = event else { return Vec::new() };
        if trade.kind == TradeKind::Book && self.origin(trade) != OrderOrigin::Liquidation {
            return Vec::new();
        }
        let keys = [trade.taker, trade.maker]
            .map(|fill| (fill.account.0, trade.symbol.0, fill.position_side as u8));
        let of = |key: Key| {
            let q = self.reading.positions.get(&key).map_or(0, |position| position.q);
            let backing =
                if q == 0 { self.reading.cross(key.0) } else { self.reading.backing(key) };
            (key, backing, self.reading.wallet(key.0), q)
        };
        keys.map(of).to_vec()
    }

    fn origin(&self, trade: &Trade) -> OrderOrigin {
        self.reading.orders[&(trade.symbol.0, trade.taker.order.0)].origin
    }

    pub fn judge_trade(&mut self, trade: &Trade) {
        let symbol = trade.symbol.0;
        let (qty, price) = (i128::from(trade.qty), i128::from(trade.price));
        if self.origin(trade) == OrderOrigin::Liquidation {
            if trade.taker.fee != 0 {
                self.fault(format!("a liquidation pays a trading fee: {trade:?}"));
            }
            if let Some(asked) = self.asked.get_mut(&(symbol, trade.taker.order.0)) {
                let unit = qty * i128::from(self.reading.specs[&symbol].mult);
                asked.notional += price * unit;
                asked.above += asked.sign * (price - asked.bankruptcy) * unit;
            }
        }
        if trade.kind == TradeKind::Book {
            return;
        }
        let key = (trade.taker.account.0, symbol, trade.taker.position_side as u8);
        let other = (trade.maker.account.0, symbol, trade.maker.position_side as u8);
        if trade.maker.fee != 0 || self.origin(trade) != OrderOrigin::Liquidation {
            self.fault(format!("no liquidation, or a fee: {trade:?}"));
        }
        let bankruptcy = self.reading.bankruptcy(key);
        if bankruptcy != price {
            self.fault(format!("{:?} at {price}, not {bankruptcy}", trade.kind));
        }
        match trade.kind {
            TradeKind::Takeover => self.seen.taken += 1,
            _ => self.judge_rank(key, other, qty, price),
        }
    }

    /// What a position's owner has behind it after a close of some of it; of an isolated one all
    /// is counted, as a part must not lose more than its part of the wallet.
    pub fn equity_after(&self, key: Key, most: i128, price: i128) -> i128 {
        let held = self.reading.positions[&key].q;
        let closed = if self.reading.is_isolated(key) { held.abs() } else { most.min(held.abs()) };
        let lost = closed * (self.reading.marks[&key.1] - price) * self.reading.mult(key.1);
        self.reading.backing(key).equity - held.signum() * lost
    }

    pub fn rank(&self, key: Key) -> Option<Rank> {
        let position = &self.reading.positions[&key];
        let at_mark = position.q * self.reading.marks[&key.1] * self.reading.mult(key.1);
        let (share, of) = self.reading.share(key);
        let rank = Rank {
            gain: at_mark - position.entry,
            entry: position.entry.abs(),
            value: at_mark.abs(),
            share: share.div_euclid(of),
        };
        Some(rank).filter(|rank| rank.share > 0)
    }

    fn judge_rank(&mut self, key: Key, other: Key, qty: i128, price: i128) {
        self.seen.deleveraged += 1;
        let held = self.reading.positions[&key].q;
        let theirs = self.reading.positions.get(&other).map_or(0, |position| position.q);
        if theirs.signum() != -held.signum() || qty > theirs.abs() {
            return self.fault(format!("{other:?} with {theirs} gives {qty} for {key:?} {held}"));
        }
        // the fund could have, if it can bear all that was offered and what it has without leverage
        let (most, _) = self.most(key);
        let fund = self.reading.cross(FUND);
        let away = price - self.reading.marks[&key.1];
        let lost = held.signum() * most * away * self.reading.mult(key.1);
        let all: i128 = self
            .reading
            .held(FUND)
            .map(|of| self.reading.notional(of.1, self.reading.positions[&of].q))
            .sum();
        let all = all + self.reading.notional(key.1, most);
        if key.0 != FUND && fund.equity - lost > all {
            self.fault(format!("{fund:?} could take {key:?}"));
        }
        let since = self.spells.get(&self.scope(key)).copied().unwrap_or(self.step);
        let asked = self.fund_calls.iter().filter(|called| **called >= since).count();
        let closed = asked > usize::from(self.reading.is_called(FUND));
        if key.0 != FUND && !closed {
            self.fault(format!("the fund was not asked for {key:?}"));
        }
        if self.equity_after(other, qty, price) < 0 {
            self.fault(format!("{other:?} is deleveraged below zero"));
        }
        let Some(rank) = self.rank(other) else { return };
        let others: Vec<_> = self
            .reading
            .positions
            .iter()
            .filter(|(k, p)| {
                k.1 == key.1
                    && p.q.signum() == -held.signum()
                    && **k != other
                    && k.0 != key.0
                    && k.0 != FUND
            })
            .map(|(k, _)| *k)
            .collect();
        self.seen.ranked += u64::from(!others.is_empty());
        for of in others {
            let Some(theirs) = self.rank(of) else { continue };
            let first = theirs.is_ahead(&rank) || theirs == rank && of < other;
            if !first {
                continue;
            }
            if self.equity_after(of, most, price) >= 0 {
                self.fault(format!("{other:?} before {of:?} for {key:?}"));
            }
            self.seen.passed += 1;
        }
    }

    pub fn after(&mut self, event: &Event, before: &[(Key, Backing, i128, i128)]) {
        if let Event::Mark(mark) = event {
            self.attended.clear();
            self.marked = self.step;
            self.quarters.retain(|key| key.1 != mark.symbol.0);
        }
        let (Event::Trade(trade), [(key, backing, wallet, held), ..]) = (event, before) else {
            return;
        };
        let key = *key;
        let reading = &self.reading;
        let now = reading.positions[&key].q;
        let closed = i128::from(trade.qty);
        let isolated = reading.is_isolated(key);
        let loss = held.signum()
            * closed
            * (i128::from(trade.price) - reading.marks[&key.1])
            * reading.mult(key.1);
        if now != held - held.signum() * closed {
            self.fault(format!("{key:?} {held} {now} by {closed}"));
        } else if isolated {
            // a part's loss is rounded up, and its part of the wallet down
            let dust = i128::from(now != 0);
            if reading.wallet(key.0) + dust < *wallet {
                let after = reading.wallet(key.0);
                self.fault(format!("{key:?} costs its account: {wallet} {after}"));
            }
        } else {
            let after = reading.cross(key.0);
            let none = reading.crossed(key.0).count() == 0 && trade.price > 1;
            if after.equity != backing.equity + loss {
                self.fault(format!("{key:?} {backing:?} {loss} {after:?}"));
            }
            if (after.equity < backing.equity.min(0)) || none && after.equity < 0 {
                self.fault(format!("{key:?} loses more than it has: {backing:?} {after:?}"));
            }
        }
        if trade.kind == TradeKind::Takeover {
            let fund = self.reading.cross(FUND);
            if fund.equity < fund.maintenance {
                self.fault(format!("the fund has taken {key:?} and is due: {fund:?}"));
            }
        }
    }

    pub fn judge_fees(&mut self) {
        for (id, asked) in std::mem::take(&mut self.asked) {
            let rate = i128::from(self.reading.specs[&id.0].liquidation_fee);
            let due = div_ceil(asked.notional * rate, E8).min(asked.above);
            // the fund would pay itself
            let due = if asked.key.0 == FUND { 0 } else { due };
            if asked.paid != due {
                self.fault(format!("{:?} paid {}, not {due}", asked.key, asked.paid));
            }
        }
    }
}
