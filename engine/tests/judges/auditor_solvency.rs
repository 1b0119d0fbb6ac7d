//! Who pays for a fill: what the auditor says of each account's equity around it.

use protocol::{
    event::{Fill, MarginCallIssued, ReturnIssued, Trade},
    limits::CASH_MAX,
    order::CallKind,
};

use crate::auditor::{Auditor, Leg};

/// What stands behind a position at the marks, and the least that must.
#[derive(Clone, Copy, Debug)]
pub struct Worth {
    pub equity: i128,
    pub maintenance: i128,
    /// Of an isolated position: what its account has beside it.
    pub beside: Option<i128>,
}

impl Auditor {
    /// What stands behind the leg that a fill is on.
    pub fn worth(&self, symbol: u16, fill: &Fill) -> Worth {
        let leg = (fill.account.0, symbol, fill.position_side as u8);
        let cross = self.cross_worth(leg.0);
        if !self.is_isolated(leg) {
            return cross;
        }
        let held = self.position(leg);
        let profit = self.value(leg, held) - i128::from(held.entry);
        let equity = i128::from(held.wallet) + profit;
        Worth { equity, maintenance: self.maintenance(leg), beside: Some(cross.equity) }
    }

    /// An account is called when it is in need, for what lifts it to 1.5 times what it must keep;
    /// one whose order has fired, for something.
    pub fn hear_call(&mut self, call: &MarginCallIssued) {
        assert!(call.amount > 0, "{call:?}");
        if call.kind == CallKind::Order {
            return;
        }
        self.liquidation.fund_was_refused |= self.was_called(0);
        let heard = self.links.applied;
        self.liquidation.calls.insert(call.account.0, (self.now, heard));
        if call.account.is_insurance() {
            // for what it is to take over
            return;
        }
        let Worth { equity, maintenance, .. } = self.cross_worth(call.account.0);
        if call.kind == CallKind::Debt {
            self.liquidation.debt_calls += 1;
            assert_eq!((maintenance, i128::from(call.amount)), (0, -equity), "{call:?}");
            return;
        }
        self.needs += 1;
        assert!(equity * 20 < maintenance * 23, "not in need: {equity} {maintenance} {call:?}");
        let lacking = (3 * maintenance + 1) / 2 - equity;
        assert_eq!(i128::from(call.amount), lacking.min(CASH_MAX.into()));
    }

    /// What is given back was not needed: by the account's orders, or at the least by its
    /// positions.
    pub fn hear_return(&mut self, back: &ReturnIssued) {
        assert!(back.amount >= 0, "{back:?}");
        if back.amount > 0 {
            let Worth { equity, maintenance, .. } = self.cross_worth(back.account.0);
            let kept = equity * 5 >= maintenance * 6;
            assert!(kept || self.available(back.account.0) >= 0, "{equity} {maintenance} {back:?}");
        }
    }

    pub fn cross_worth(&self, account: u32) -> Worth {
        let mut cross = Worth { equity: 0, maintenance: 0, beside: None };
        cross.equity = self.cash.get(&account).copied().unwrap_or(0).into();
        let legs = (account, 0, 0)..=(account, u16::MAX, u8::MAX);
        for (leg, held) in self.positions.range(legs) {
            if self.is_isolated(*leg) {
                cross.equity -= i128::from(held.wallet);
            } else {
                cross.equity += self.value(*leg, *held) - i128::from(held.entry);
                cross.equity -= self.funding.owed(*leg, self.symbols[&leg.1].mult);
                cross.maintenance += self.maintenance(*leg);
            }
        }
        cross
    }

    pub fn maintenance(&self, leg: Leg) -> i128 {
        let value = self.value(leg, self.position(leg)).abs();
        let Some(brackets) = self.symbols[&leg.1].brackets else { return 0 };
        let rows = &brackets.rows[..usize::from(brackets.count)];
        let at = rows.iter().position(|row| value <= row.cap.into()).unwrap_or(rows.len() - 1);
        let steps = rows[..=at].windows(2).map(|pair| {
            i128::from(pair[1].floor) * i128::from(pair[1].maintenance - pair[0].maintenance)
        });
        let exact = value * i128::from(rows[at].maintenance) - steps.sum::<i128>();
        -(-exact).div_euclid(100_000_000)
    }

    /// Beyond the mark everybody trades with what is his own, and at the mark or better no fill
    /// takes all that a solvent account has.
    pub fn check_fill(&self, trade: &Trade, before: [Worth; 2]) {
        let mark = self.symbols[&trade.symbol.0].mark;
        let signs = [trade.taker_side.sign(), -trade.taker_side.sign()];
        for ((fill, sign), before) in
            [&trade.taker, &trade.maker].into_iter().zip(signs).zip(before)
        {
            let after = self.worth(trade.symbol.0, fill);
            let (beyond, solvent) =
                (sign * (trade.price - mark) > 0, before.equity > before.maintenance);
            let told = (fill.account, before, after);
            let kept = after.equity >= before.equity.min(0);
            assert!(!(beyond || solvent) || kept, "{told:?} at {mark}: {trade:?}");
            let closes = fill.position == 0 || fill.position.signum() != sign;
            // of a position that is lost already, what is beside it pays any close
            let pays = closes && beyond && before.equity >= 0;
            if let (true, Some(was), Some(is)) = (pays, before.beside, after.beside) {
                // a wallet's part and its position's entry round once each
                assert!(
                    is >= (was - 2).min(0),
                    "an isolated position pays by itself: {told:?}: {trade:?}"
                );
            }
            let maker = fill.order == trade.maker.order;
            let fine = !(maker && beyond) || closes || after.equity > after.maintenance;
            assert!(fine, "a maker that opens beyond the mark: {told:?}: {trade:?}");
        }
    }
}
