//! Orders, positions, settings and cash of every account as the shards' events tell them.
//!
//! Events carry results, so nothing is computed here but sums. What is live stays in memory;
//! what is over (closed orders, fills, income) stays until the store has it.

pub mod account;
mod apply;
mod apply_algo;
mod apply_liquidation;
mod apply_margin;
pub mod figures;
#[cfg(test)]
mod forced_test;
#[cfg(test)]
mod liquidation_price_test;
pub mod queues;
#[cfg(test)]
mod queues_test;
pub mod recent;
#[cfg(test)]
mod recount_test;
#[cfg(test)]
pub(crate) mod sample;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use protocol::{
    AccountId, ClientId, Event, Micros, OrderId, ShardId, SymbolId, Ticks, event::EventHeader,
    order::PositionSide,
};

pub use self::account::{Account, ShardCash};
use self::{
    apply_liquidation::Warned,
    recent::{Progress, Recent, Recents},
};
pub use super::notice::UserNotice;
use super::{Effects, algo::Algo, instruments::Instruments, order::Order};
use crate::store::row::{CashRow, LentRow, ModeRow, SlotRow};

/// The asset that every account's cash is in.
pub const MARGIN_ASSET: &str = "USDT";

#[derive(Debug, Default)]
pub struct Accounts {
    by_id: HashMap<AccountId, Account>,
    marks: BTreeMap<SymbolId, Ticks>,
    /// Every isolated position, by symbol so that a mark finds those it moves; and whether its
    /// owner was told that it nears its line.
    isolated: BTreeMap<(SymbolId, AccountId, PositionSide), Warned>,
    recents: Recents,
}

impl Accounts {
    pub fn get(&self, account: AccountId) -> Option<&Account> {
        self.by_id.get(&account)
    }

    /// Accounts that anything is known of.
    pub fn ids(&self) -> impl Iterator<Item = AccountId> {
        self.by_id.keys().copied()
    }

    /// The symbol's last mark; 0 before the first.
    pub fn mark(&self, symbol: SymbolId) -> Ticks {
        self.marks.get(&symbol).copied().unwrap_or(0)
    }

    /// An open order, or one of the account's recently closed ones.
    pub fn order(&self, account: AccountId, symbol: SymbolId, id: OrderId) -> Option<&Order> {
        self.get(account)?.order(symbol, id)
    }

    /// The newest order with this client id that is open or closed recently.
    pub fn order_by_client_id(
        &self,
        account: AccountId,
        symbol: SymbolId,
        client_id: &ClientId,
    ) -> Option<&Order> {
        self.get(account)?.order_by_client_id(symbol, client_id)
    }

    /// The account's open orders, on one symbol or on all, by symbol and id.
    pub fn open_orders(&self, account: AccountId, symbol: Option<SymbolId>) -> Vec<Order> {
        let Some(account) = self.get(account) else { return Vec::new() };
        match symbol {
            Some(symbol) => {
                let first = (symbol, OrderId(0));
                let last = (symbol, OrderId(u64::MAX));
                account.open.range(first..=last).map(|(_, order)| *order).collect()
            }
            None => account.open.values().copied().collect(),
        }
    }

    /// The account's conditional orders that wait, on one symbol or on all, by age and symbol.
    pub fn waiting_algos(&self, account: AccountId, symbol: Option<SymbolId>) -> Vec<Algo> {
        let Some(account) = self.get(account) else { return Vec::new() };
        let wanted = |algo: &&Algo| symbol.is_none_or(|symbol| symbol == algo.symbol());
        account.waiting_algos().filter(wanted).copied().collect()
    }

    /// Drops what is over once the store says that it has it.
    pub fn follow(&mut self, progress: Arc<Progress>) {
        self.recents.follow(progress);
    }

    /// Takes one event; `instruments` has taken it before.
    pub fn apply(
        &mut self,
        shard: ShardId,
        header: &EventHeader,
        event: &Event,
        instruments: &Instruments,
        effects: &mut Effects,
    ) {
        apply::Step { accounts: self, shard, header, instruments, effects }.apply(event);
    }

    /// Puts back an open order that the store kept.
    pub fn restore_order(&mut self, order: Order) {
        self.by_id.entry(order.account).or_default().add_open(order);
    }

    /// Puts back a conditional order that was not over.
    pub fn restore_algo(&mut self, algo: Algo) {
        self.by_id.entry(algo.account()).or_default().put_algo(algo);
    }

    pub fn restore_slot(&mut self, slot: SlotRow) {
        let account = self.by_id.entry(slot.account).or_default();
        account.updated = account.updated.max(slot.updated);
        account.slots.insert((slot.symbol, slot.position_side), slot);
        self.watch(&slot);
    }

    pub fn restore_cash(&mut self, row: CashRow) {
        let account = self.by_id.entry(row.account).or_default();
        account.updated = account.updated.max(row.updated);
        let CashRow { cash, received, updated, .. } = row;
        account.cash.insert(row.shard, ShardCash { cash, received, updated });
    }

    pub fn restore_lent(&mut self, row: LentRow) {
        self.by_id.entry(row.account).or_default().lent.insert(row.shard, row.lent);
    }

    pub fn restore_mode(&mut self, row: ModeRow) {
        self.by_id.entry(row.account).or_default().hedge = row.hedge;
    }

    pub fn restore_mark(&mut self, symbol: SymbolId, mark: Ticks) {
        self.marks.insert(symbol, mark);
    }

    /// Drops what the store has of this shard, a bounded number at a time.
    fn prune(&mut self, shard: ShardId, now: Micros) {
        /// More than any command adds on average, so that nothing piles up.
        const DROPS_MAX: usize = 64;
        for _ in 0..DROPS_MAX {
            let Some((account, what)) = self.recents.pop(shard, now) else { return };
            let Some(account) = self.by_id.get_mut(&account) else { continue };
            match what {
                Recent::Order(symbol, id) => account.forget(symbol, id),
                Recent::Algo(id) => account.forget_algo(id),
                Recent::Fill(symbol, trade) => drop(account.fills.remove(&(symbol, trade))),
                Recent::Income(key) => drop(account.incomes.remove(&key)),
                Recent::Amendment(key) => drop(account.amendments.remove(&key)),
                Recent::Margin(key) => drop(account.margins.remove(&key)),
            }
        }
    }
}
