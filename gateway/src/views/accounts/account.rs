//! One account: its slots, its cash on every shard, its orders and its latest history.

use std::collections::{BTreeMap, HashMap};

use protocol::{
    AlgoId, Cash, ClientId, Micros, OrderId, ShardId, SymbolId, TradeId, order::PositionSide,
};

use super::super::{algo::Algo, order::Order};
use crate::store::row::{AmendmentRow, FillRow, IncomeKind, IncomeRow, MarginRow, SlotRow, Sums};

/// Orders in their order of listing: by symbol, then by age.
pub type Orders = BTreeMap<(SymbolId, OrderId), Order>;
/// Where an entry stands in a statement.
pub type IncomeKey = (Micros, IncomeKind, u64);
/// Where an amendment stands in an account's history; the last is the event's own number.
pub type AmendmentKey = (SymbolId, OrderId, u64);

/// Where a move of margin stands in an account's history; the last is the event's own number.
pub type MarginKey = (SymbolId, Micros, u64);

/// What the shards' events say about one account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub slots: BTreeMap<(SymbolId, PositionSide), SlotRow>,
    /// Two legs a symbol.
    pub hedge: bool,
    /// By shard; the ledger's is what is free.
    pub cash: BTreeMap<ShardId, ShardCash>,
    /// By trading shard: what the ledger says that it holds.
    pub lent: BTreeMap<ShardId, Cash>,
    pub open: Orders,
    /// Closed, and perhaps not in the store yet.
    pub closed: Orders,
    /// Conditional orders that wait, or whose order is open.
    pub algos: BTreeMap<AlgoId, Algo>,
    /// Those that are over, and perhaps not in the store yet.
    pub ended_algos: BTreeMap<AlgoId, Algo>,
    pub fills: BTreeMap<(SymbolId, TradeId), FillRow>,
    pub incomes: BTreeMap<IncomeKey, IncomeRow>,
    pub amendments: BTreeMap<AmendmentKey, AmendmentRow>,
    pub margins: BTreeMap<MarginKey, MarginRow>,
    /// The newest order of each client id among `open` and `closed`.
    pub(super) by_client_id: HashMap<(SymbolId, ClientId), OrderId>,
    /// The newest conditional order of each client id; such an id holds on all symbols.
    pub(super) algo_by_client_id: HashMap<ClientId, AlgoId>,
    /// What became of `algos`.
    pub(super) born_of: HashMap<(SymbolId, OrderId), AlgoId>,
    /// When wallet or positions last changed.
    pub updated: Micros,
}

/// An account's money on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardCash {
    pub cash: Cash,
    /// Grants applied less returns issued over there, since ever.
    pub received: Cash,
    pub updated: Micros,
}

impl Account {
    /// The whole wallet: what is free, what is under way, and what the shards hold.
    ///
    /// Under way is what the ledger says a shard holds less what that shard says it got. The two
    /// event streams may come in either order: one early makes the difference negative and the
    /// other end's figure larger by as much, so the sum stands still throughout.
    pub fn wallet(&self) -> i128 {
        let held: i128 = self.cash.values().map(|at| i128::from(at.cash)).sum();
        held + self.in_flight()
    }

    /// Collateral between the ledger and the shards, signed.
    pub fn in_flight(&self) -> i128 {
        let lent: i128 = self.lent.values().map(|lent| i128::from(*lent)).sum();
        let received: i128 = self.cash.values().map(|at| i128::from(at.received)).sum();
        lent - received
    }

    pub fn order(&self, symbol: SymbolId, id: OrderId) -> Option<&Order> {
        self.open.get(&(symbol, id)).or_else(|| self.closed.get(&(symbol, id)))
    }

    pub fn order_by_client_id(&self, symbol: SymbolId, client_id: &ClientId) -> Option<&Order> {
        let id = self.by_client_id.get(&(symbol, *client_id))?;
        self.order(symbol, *id)
    }

    pub fn algo(&self, id: AlgoId) -> Option<&Algo> {
        self.algos.get(&id).or_else(|| self.ended_algos.get(&id))
    }

    pub fn algo_by_client_id(&self, client_id: &ClientId) -> Option<&Algo> {
        self.algo(*self.algo_by_client_id.get(client_id)?)
    }

    /// Conditional orders that count against the account's limit.
    pub fn waiting_algos(&self) -> impl Iterator<Item = &Algo> {
        self.algos.values().filter(|algo| algo.is_waiting())
    }

    /// What was chosen for a symbol, and in one-way mode what is held there.
    pub fn slot(&self, symbol: SymbolId) -> SlotRow {
        self.leg(symbol, PositionSide::Both)
    }

    pub fn leg(&self, symbol: SymbolId, side: PositionSide) -> SlotRow {
        self.slots.get(&(symbol, side)).copied().unwrap_or_default()
    }

    /// The legs that the account has on a symbol by its mode; and those in use, as a shard may have
    /// said so before the ledger's word of the mode is here.
    pub fn legs(&self, symbol: SymbolId) -> impl Iterator<Item = PositionSide> {
        let of_mode = |side| (side == PositionSide::Both) != self.hedge;
        let in_use = move |side| {
            let slot = self.leg(symbol, side);
            slot.position != 0 || slot.reserved != Sums::default()
        };
        let all = PositionSide::ALL.iter().copied();
        all.filter(move |side| of_mode(*side) || in_use(*side))
    }

    /// The wallet less what is set aside for isolated positions.
    pub fn cross_wallet(&self) -> i128 {
        self.wallet() - self.slots.values().map(|slot| i128::from(slot.wallet)).sum::<i128>()
    }

    pub(super) fn add_open(&mut self, order: Order) {
        self.name(&order);
        self.open.insert((order.symbol, order.order), order);
    }

    /// Moves an order from the open to the closed ones.
    pub(super) fn close(&mut self, order: Order) {
        self.open.remove(&(order.symbol, order.order));
        self.name(&order);
        self.closed.insert((order.symbol, order.order), order);
    }

    /// Drops a closed order that the store has.
    pub(super) fn forget(&mut self, symbol: SymbolId, id: OrderId) {
        let Some(order) = self.closed.remove(&(symbol, id)) else { return };
        let key = (symbol, order.client_id);
        if self.by_client_id.get(&key) == Some(&id) {
            self.by_client_id.remove(&key);
        }
    }

    /// Puts a conditional order where it belongs by its status; whether it is over now.
    pub(super) fn put_algo(&mut self, algo: Algo) -> bool {
        let key = (algo.symbol(), algo.order);
        self.name_algo(&algo);
        if algo.is_over() {
            self.algos.remove(&algo.algo);
            self.born_of.remove(&key);
            self.ended_algos.insert(algo.algo, algo);
            return true;
        }
        if !algo.order.is_none() {
            self.born_of.insert(key, algo.algo);
        }
        self.algos.insert(algo.algo, algo);
        false
    }

    /// Drops a conditional order that is over and that the store has.
    pub(super) fn forget_algo(&mut self, id: AlgoId) {
        let Some(algo) = self.ended_algos.remove(&id) else { return };
        if self.algo_by_client_id.get(algo.client_id()) == Some(&id) {
            self.algo_by_client_id.remove(algo.client_id());
        }
    }

    /// The conditional order that has become this order.
    pub(super) fn algo_of(&self, symbol: SymbolId, order: OrderId) -> Option<Algo> {
        self.born_of.get(&(symbol, order)).and_then(|id| self.algos.get(id)).copied()
    }

    fn name_algo(&mut self, algo: &Algo) {
        if algo.client_id().is_empty() {
            return;
        }
        let named = self.algo_by_client_id.get(algo.client_id()).and_then(|id| self.algo(*id));
        let newer =
            named.is_none_or(|named| (named.created, named.algo) <= (algo.created, algo.algo));
        if newer {
            self.algo_by_client_id.insert(*algo.client_id(), algo.algo);
        }
    }

    fn name(&mut self, order: &Order) {
        if order.client_id.is_empty() {
            return;
        }
        let newest = self.by_client_id.entry((order.symbol, order.client_id)).or_default();
        *newest = order.order.max(*newest);
    }
}
