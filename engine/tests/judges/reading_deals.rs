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

/// Numbers' product, so large as it may be, as limbs from the lowest.
fn product(factors: &[i128]) -> Vec<u32> {
    let mut limbs = vec![1u32];
    for factor in factors {
        let mut sum = vec![0u32; limbs.len() + 4];
        for (i, limb) in limbs.iter().enumerate() {
            let mut carry = 0u64;
            for j in 0..4 {
                let digit = (factor.unsigned_abs() >> (32 * j)) as u32;
                let cell = u64::from(*limb) * u64::from(digit) + u64::from(sum[i + j]) + carry;
                (sum[i + j], carry) = (cell as u32, cell >> 32);
            }
            sum[i + 4] = carry as u32;
        }
        limbs = sum;
    }
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
    limbs
}

/// Whether a fraction of products, with a sign, is above another.
fn above(left: (i128, [i128; 2], [i128; 2]), right: (i128, [i128; 2], [i128; 2])) -> bool {
    if left.0 != right.0 {
        return left.0 > right.0;
    }
    let a = product(&[left.1[0], left.1[1], right.2[0], right.2[1]]);
    let b = product(&[right.1[0], right.1[1], left.2[0], left.2[1]]);
    let larger = (a.len(), a.iter().rev().collect::<Vec<_>>())
        .cmp(&(b.len(), b.iter().rev().collect::<Vec<_>>()));
    if left.0 >= 0 { larger.is_gt() } else { larger.is_lt() }
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

    pub fn rank(&self, key: Key) -> Option<(i128, [i128; 2], [i128; 2])> {
        let position = &self.reading.positions[&key];
        let value = self.reading.notional(key.1, position.q);
        let gain =
            position.q * self.reading.marks[&key.1] * self.reading.mult(key.1) - position.entry;
        let (share, of) = self.reading.share(key);
        if share <= 0 {
            return None;
        }
        let entry = position.entry.abs();
        Some(match gain > 0 {
            true => (1, [gain, value * of], [entry, share]),
            false => (gain.signum(), [-gain, share], [entry, value * of]),
        })
    }

    fn judge_rank(&mut self, key: Key, other: Key, qty: i128, price: i128) {
        self.seen.deleveraged += 1;
        let held = self.reading.positions[&key].q;
        let theirs = self.reading.positions.get(&other).map_or(0, |position| position.q);
        if theirs.signum() != -held.signum() || qty > theirs.abs() {
            return self.fault(format!("{other:?} with {theirs} gives {qty} for {key:?} {held}"));
        }
        // the fund could have, if it can bear this and all it has without any leverage
        let fund = self.reading.cross(FUND);
        let lost =
            held.signum() * qty * (price - self.reading.marks[&key.1]) * self.reading.mult(key.1);
        let all: i128 = self
            .reading
            .held(FUND)
            .map(|of| self.reading.notional(of.1, self.reading.positions[&of].q))
            .sum();
        let all = all + self.reading.notional(key.1, qty);
        if key.0 != FUND && fund.equity - lost > all && !self.is_recent(self.funded) {
            self.fault(format!("{fund:?} could take {key:?}"));
        }
        let since = self.spells.get(&self.scope(key)).copied().unwrap_or(self.step);
        let asked = self.fund_calls.iter().filter(|called| **called >= since).count();
        let closed = asked > usize::from(self.reading.is_called(FUND));
        if key.0 != FUND && !closed {
            self.fault(format!("the fund was not asked for {key:?}"));
        }
        let (most, _) = self.most(key);
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
            let first = above(theirs, rank) || !above(rank, theirs) && of < other;
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
        if let Event::Mark(_) = event {
            self.attended.clear();
            self.marked = self.step;
            self.quarters.clear();
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
