//! What liquidation costs and tells its accounts beside their fills.

use protocol::{TradeId, event::LiquidationFeePaid, order::CashReason};

use super::apply::{Step, cash_income_id};
use crate::store::row::{IncomeKind, IncomeRow};

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
}
