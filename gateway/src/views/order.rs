//! One order as its owner sees it: views keep it, the store writes it, REST and streams show it.

use protocol::{
    AccountId, Cash, ClientId, Lots, Micros, OrderId, SymbolId, Ticks,
    order::{
        OrderStatus, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side, TimeInForce,
    },
};

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
    pub client_id: ClientId,
    pub created: Micros,
    pub updated: Micros,
}
