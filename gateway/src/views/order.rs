//! One order as its owner sees it: views keep it, the store writes it, REST and streams show it.

use protocol::{
    AccountId, Cash, ClientId, Lots, Micros, OrderId, SymbolId, Ticks,
    order::{
        OrderOrigin, OrderStatus, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side,
        TimeInForce,
    },
};

use super::algo::Origin;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub order: OrderId,
    pub account: AccountId,
    pub symbol: SymbolId,
    pub side: Side,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub self_trade: SelfTradePrevention,
    pub price_match: PriceMatch,
    pub position_side: PositionSide,
    pub reduce_only: bool,
    pub status: OrderStatus,
    /// The limit; of a market order the worst price it could trade at, which is not shown.
    pub price: Ticks,
    pub qty: Lots,
    pub cum_qty: Lots,
    pub cum_quote: Cash,
    /// 0: it has no date.
    pub good_till: Micros,
    /// Its client's, or one made from `order` where there is none.
    pub client_id: ClientId,
    /// Of a conditional order that has fired.
    pub origin: Option<Origin>,
    pub created: Micros,
    pub updated: Micros,
}

impl Order {
    /// Says by which name an order goes that no client has named: always the same one, and by the
    /// words that clients know the venue's own orders by.
    pub fn own_client_id(origin: OrderOrigin, order: OrderId) -> ClientId {
        let whose = match origin {
            OrderOrigin::Settlement => "settlement_autoclose-",
            OrderOrigin::Owner
            | OrderOrigin::Liquidation
            | OrderOrigin::Deleverage
            | OrderOrigin::Takeover
            | OrderOrigin::Unwind => "auto_",
        };
        ClientId::new(&format!("{whose}{order}")).unwrap_or_default()
    }

    /// Its shard knows it by its id alone. An order of the venue's own never rests, so nobody
    /// needs to name it to its shard.
    pub fn is_nameless(&self) -> bool {
        self.client_id == Self::own_client_id(OrderOrigin::Owner, self.order)
    }
}
