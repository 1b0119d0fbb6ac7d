//! Orders, positions, settings and cash of every account as the shards' events tell them.

use protocol::{AccountId, ClientId, Event, OrderId, ShardId, SymbolId, event::EventHeader};

pub use super::notice::UserNotice;
use super::{Effects, instruments::Instruments, order::Order};

#[derive(Default)]
pub struct Accounts {}

impl Accounts {
    /// An open order, or one of the account's recently closed ones.
    pub fn order(&self, _account: AccountId, _symbol: SymbolId, _id: OrderId) -> Option<&Order> {
        None
    }

    /// The newest order with this client id that is open or closed recently.
    pub fn order_by_client_id(
        &self,
        _account: AccountId,
        _symbol: SymbolId,
        _client_id: &ClientId,
    ) -> Option<&Order> {
        None
    }

    /// The account's open orders, on one symbol or on all, by symbol and id.
    pub fn open_orders(&self, _account: AccountId, _symbol: Option<SymbolId>) -> Vec<Order> {
        Vec::new()
    }

    pub fn apply(
        &mut self,
        _shard: ShardId,
        _header: &EventHeader,
        _event: &Event,
        _instruments: &Instruments,
        _effects: &mut Effects,
    ) {
    }
}
