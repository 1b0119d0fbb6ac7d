//! What liquidation costs and tells beside the fills, and who is warned before it comes to that.

use protocol::{
    AccountId, OrderId, SymbolId, TradeId,
    event::{LiquidationFeePaid, MarginCallIssued, Mark},
    limits::{CALL_LINE, CALL_TARGET},
    order::{CallKind, CashReason, MarginMode, OrderOrigin, OrderStatus, PositionSide},
};

use super::{
    Accounts,
    apply::{Step, cash_income_id, narrow},
    figures::{SymbolFigures, bracket_table, leg_figures, position_of},
};
use crate::{
    store::row::{IncomeKind, IncomeRow, SlotRow},
    views::{
        market::{MarketNotice, News, forced::ForcedOrder},
        notice::{CalledPosition, MarginCallNotice, UserNotice},
        order::Order,
    },
};

/// Whether the owner of an isolated position knows that it nears its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Warned {
    #[default]
    No,
    Yes,
}

impl Accounts {
    /// Keeps an eye on a position as long as it is isolated.
    pub(super) fn watch(&mut self, slot: &SlotRow) {
        let key = (slot.symbol, slot.account, slot.position_side);
        let account = self.by_id.get(&slot.account);
        let isolated = account.is_some_and(|known| known.slot(slot.symbol).isolated);
        if isolated && slot.position != 0 {
            self.isolated.entry(key).or_default();
        } else {
            self.isolated.remove(&key);
        }
    }
}

impl Step<'_> {
    pub(super) fn liquidation_fee(&mut self, paid: &LiquidationFeePaid) {
        let (id, symbol, leg) = (paid.account, paid.symbol, paid.position_side);
        self.set_cash(id, paid.cash);
        self.slot(id, symbol, leg).wallet = paid.isolated_wallet;
        self.keep_slot(id, symbol, leg);
        self.income(IncomeRow {
            account: id,
            ts: self.header.ts,
            kind: IncomeKind::InsuranceClear,
            id: cash_income_id(self.header, self.shard),
            symbol,
            amount: -paid.amount,
            trade: TradeId::NONE,
        });
        self.tell_charge(id, symbol, leg, -paid.amount, CashReason::Insurance);
    }

    /// Tells the market of a liquidation once its order has ended with something traded.
    pub(super) fn tell_forced(&mut self, order: &Order) {
        let over = match order.status {
            OrderStatus::New | OrderStatus::PartiallyFilled => false,
            OrderStatus::Filled
            | OrderStatus::Canceled
            | OrderStatus::Rejected
            | OrderStatus::Expired
            | OrderStatus::ExpiredInMatch => true,
        };
        if order.wanted_by != OrderOrigin::Liquidation || !over || order.cum_qty == 0 {
            return;
        }
        let last_qty = self.last_fill(order.account, order.symbol, order.order);
        let news = News::Forced(ForcedOrder::of(order, last_qty));
        let (symbol, ts) = (order.symbol, self.header.ts);
        self.effects.market.push(MarketNotice { symbol, ts, news });
    }

    /// An order that trades at once has the account's newest fill on the symbol.
    fn last_fill(&mut self, account: AccountId, symbol: SymbolId, order: OrderId) -> i64 {
        let fills = &self.account(account).fills;
        let newest = fills.range((symbol, TradeId(0))..=(symbol, TradeId(u64::MAX))).next_back();
        newest.map_or(0, |(_, fill)| if fill.order == order { fill.qty } else { 0 })
    }

    pub(super) fn mark(&mut self, mark: &Mark) {
        self.accounts.restore_mark(mark.symbol, mark.mark);
        self.warn_isolated(mark.symbol);
    }

    /// A shard calls for collateral. If the rest of the wallet is worth enough to meet the call,
    /// its owner has nothing to do about it, and hears nothing.
    pub(super) fn margin_call(&mut self, call: &MarginCallIssued) {
        match call.kind {
            CallKind::Need if !call.account.is_insurance() => {}
            CallKind::Need | CallKind::Order | CallKind::Debt => return,
        }
        let figures = self.accounts.figures(call.account, self.instruments);
        let equity = figures.cross_wallet + figures.cross_unrealized;
        if is_above(equity, figures.cross_maintenance, CALL_TARGET) {
            return;
        }
        let cross = figures.symbols.iter().filter(|row| !row.isolated && row.position != 0);
        let notice = MarginCallNotice {
            ts: self.header.ts,
            cross_wallet: Some(narrow(figures.cross_wallet)),
            positions: cross.map(called).collect(),
        };
        if !notice.positions.is_empty() {
            self.tell(call.account, UserNotice::MarginCall(Box::new(notice)));
        }
    }

    /// Tells owners of isolated positions, once until they are well again, that these near their
    /// line: no shard asks for more margin for those.
    fn warn_isolated(&mut self, symbol: SymbolId) {
        let Some(instrument) = self.instruments.get(symbol) else { return };
        let Some(brackets) = bracket_table(instrument) else { return };
        let (mark, mult) = (self.accounts.mark(symbol), instrument.spec.mult);
        let first = (symbol, AccountId(0), PositionSide::Both);
        let last = (symbol, AccountId(u32::MAX), PositionSide::Short);
        for (&(_, id, leg), warned) in self.accounts.isolated.range_mut(first..=last) {
            let Some(account) = self.accounts.by_id.get(&id) else { continue };
            let slot = account.leg(symbol, leg);
            let position = position_of(&slot);
            let equity = i128::from(slot.wallet) + position.pnl(mark, mult);
            let maintenance = brackets.maintenance(position.value(mark, mult).abs());
            let above = |line| is_above(equity, maintenance, line);
            match warned {
                Warned::No if !above(CALL_LINE) => {
                    *warned = Warned::Yes;
                    let notice = MarginCallNotice {
                        ts: self.header.ts,
                        cross_wallet: None,
                        positions: vec![called(&leg_figures(account, instrument, leg, mark))],
                    };
                    self.effects.user.push((id, UserNotice::MarginCall(Box::new(notice))));
                }
                Warned::Yes if above(CALL_TARGET) => *warned = Warned::No,
                Warned::No | Warned::Yes => {}
            }
        }
    }
}

fn called(row: &SymbolFigures) -> CalledPosition {
    CalledPosition {
        symbol: row.symbol,
        position_side: row.side,
        position: row.position,
        mode: if row.isolated { MarginMode::Isolated } else { MarginMode::Cross },
        wallet: narrow(row.wallet),
        mark: row.mark,
        unrealized: narrow(row.unrealized),
        maintenance: narrow(row.maintenance),
    }
}

/// Whether equity is more than so many times the maintenance margin: a fraction.
fn is_above(equity: i128, maintenance: i128, (times, of): (i128, i128)) -> bool {
    equity * of > maintenance * times
}
