//! The insurance fund's part on a shard: an account that no client can name.
//!
//! What rounding leaves and what liquidations bring is its own. Out of it come the losses that
//! accounts can't bear: it takes positions over at their bankruptcy price, as long as it can bear
//! them itself, and sells them at the mark as the book allows. The ledger lends it more, as it
//! does for any account.

use protocol::{
    AccountId, Cash, Micros, SymbolId,
    event::DebtIssued,
    limits::{CALL_TARGET, NOTIONAL_MAX, POSITION_MAX},
    order::{CallKind, CashReason, OrderOrigin, PositionSide, Side, TradeKind},
};
use rules::{
    liquidation::{self, Solvency},
    money::{cash, div_ceil, value},
};

use super::{
    Shard,
    liquidation::{Step, Target, work_frame},
};
use crate::{
    accounts::{Holding, HoldingAt},
    due::{PoolAt, Stage},
    engine::Frame,
    forced::Forced,
    foresight::Foresight,
    links::Message,
    output::{Output, Sink},
    work::Unit,
};

impl Shard {
    /// Changes what the fund has, below 0 if it must: a loss is never cut off.
    pub(super) fn move_fund<S: Sink>(&mut self, delta: i128, out: &mut Output<'_, S>) {
        let delta = cash(delta);
        if delta != 0 {
            self.move_cash(self.fund(), CashReason::Insurance, delta, out);
        }
    }

    /// The fund's place, where it is from the beginning.
    pub(super) fn fund(&self) -> u32 {
        self.accounts.find(AccountId::INSURANCE).expect("made with the shard")
    }

    /// Gives a position away that the book did not take: to the fund, if it bears it, else to
    /// those on the other side.
    pub(super) fn hand_over<S: Sink>(
        &mut self,
        frame: &Frame,
        pool: PoolAt,
        target: &Target,
        out: &mut Output<'_, S>,
    ) -> Step {
        let fund = self.fund();
        if self.accounts.owner_of(pool) == fund {
            return self.deleverage(pool, target);
        }
        let Err(after) = self.take_over(frame, target, out) else {
            return self.after_part(target);
        };
        if self.accounts.account(fund).call != 0 {
            return Step::Pause;
        }
        if self.accounts.due_mut(pool).stage != Stage::FundCalled
            && self.ledger.has_room()
            && let Some(after) = after
        {
            self.accounts.due_mut(pool).stage = Stage::FundCalled;
            let wanted = div_ceil(after.maintenance * CALL_TARGET.0, CALL_TARGET.1);
            let amount = cash((wanted - after.equity).min(Cash::MAX.into()));
            self.call(frame.now, fund, CallKind::Need, amount, out);
            return Step::Pause;
        }
        self.deleverage(pool, target)
    }

    /// Gives a position to the fund if it bears it; else says what the fund would have with it.
    pub(super) fn take_over<S: Sink>(
        &mut self,
        frame: &Frame,
        target: &Target,
        out: &mut Output<'_, S>,
    ) -> Result<(), Option<Solvency>> {
        self.pools.book_all(&mut self.accounts, AccountId::INSURANCE, self.symbols.quotes(), out);
        let symbol = self.accounts.holding(target.holding).symbol;
        let counter = Forced {
            holding: self.accounts.open_holding(AccountId::INSURANCE, symbol, PositionSide::Both),
            side: target.order.side.opposite(),
            origin: OrderOrigin::Takeover,
            ..target.order
        };
        let after = self.fund_after(&counter);
        if after.is_none_or(|after| after.equity < after.maintenance) {
            return Err(after);
        }
        let mut desk = self.desk_of(frame, target);
        desk.force_trade(TradeKind::Takeover, &target.order, &counter, out);
        Ok(())
    }

    /// The fund's pool after a trade; `None` when its position would be beyond all limits.
    fn fund_after(&self, trade: &Forced) -> Option<Solvency> {
        let Forced { holding: at, side, limit, lots, .. } = *trade;
        let holding = self.accounts.holding(at);
        let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
        let mut after = holding.exposure;
        let gained = after.trade(side.sign() * lots, limit, quote.mult, holding.leverage(quote));
        let held = after.position.qty.abs();
        let worth = value(quote.mark.max(limit), held, quote.mult);
        if held > POSITION_MAX || worth > NOTIONAL_MAX.into() {
            return None;
        }
        let exposure_of = |of: HoldingAt, other: &Holding| match of == at {
            true => after,
            false => other.exposure,
        };
        Some(self.accounts.cross_pool(self.fund(), self.symbols.quotes(), exposure_of, gained))
    }

    /// Lifts an account without positions to 0; what it owes for it is the ledger's to collect.
    pub(super) fn advance<S: Sink>(
        &mut self,
        place: u32,
        amount: i128,
        out: &mut Output<'_, S>,
    ) -> Step {
        if !self.ledger.has_room() {
            return Step::Pause;
        }
        let amount = cash(amount);
        self.move_cash(place, CashReason::Advance, amount, out);
        self.move_fund(-i128::from(amount), out);
        let account = self.accounts.account(place).id;
        let link_seq = self.ledger.send(Message::Debt, account, amount);
        out.emit(&DebtIssued { link_seq, account, _pad: 0, amount });
        Step::End
    }

    /// Queues what the fund may sell at new marks of what it has taken over.
    pub(super) fn look_for_unwinding(&mut self) {
        let fund = self.fund();
        if self.accounts.account(fund).due.queued {
            return;
        }
        let mut next = self.accounts.first_holding(fund);
        while let Some(at) = next {
            let holding = self.accounts.holding(at);
            if holding.exposure.position.qty != 0 {
                let symbol = self.symbols.symbol(holding.symbol).spec.symbol;
                self.work.add(symbol, Unit::Unwind);
            }
            next = self.accounts.next_holding(at);
        }
    }

    /// Closes a part of what the fund has on a symbol, at the mark or better.
    pub(super) fn unwind<S: Sink>(
        &mut self,
        now: Micros,
        symbol: SymbolId,
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) {
        let frame = &work_frame(now, out);
        self.pools.book_all(&mut self.accounts, AccountId::INSURANCE, self.symbols.quotes(), out);
        let symbol = self.symbols.find(symbol).expect("work is on listed symbols");
        let leg = (AccountId::INSURANCE, symbol, PositionSide::Both);
        let Some(at) = self.accounts.find_holding(leg.0, leg.1, leg.2) else { return };
        if !self.is_open(at) {
            return;
        }
        let quote = &self.symbols.quotes()[usize::from(symbol)];
        let position = self.accounts.holding(at).exposure.position;
        let Some(brackets) = &quote.brackets else { return };
        let order = Forced {
            holding: at,
            side: if position.qty > 0 { Side::Sell } else { Side::Buy },
            limit: quote.mark,
            lots: liquidation::portion(&position, quote.mark, quote.mult, brackets).lots,
            origin: OrderOrigin::Unwind,
        };
        let mut desk = self.desk_at(frame, symbol);
        if desk.would_fill(&order, scratch) {
            desk.force(&order, out);
        }
    }
}
