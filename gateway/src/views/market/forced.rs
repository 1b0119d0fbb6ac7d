//! Orders that liquidated somebody: the market is told of them without a name.

use protocol::{
    Cash, Lots, Micros, Ticks,
    order::{OrderStatus, OrderType, Side, TimeInForce},
};

use crate::views::order::Order;

/// An order of a liquidation, once nothing more of it can trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForcedOrder {
    pub side: Side,
    pub order_type: OrderType,
    pub time_in_force: TimeInForce,
    pub status: OrderStatus,
    pub price: Ticks,
    pub qty: Lots,
    /// Its last fill.
    pub last_qty: Lots,
    pub cum_qty: Lots,
    pub cum_quote: Cash,
    pub ts: Micros,
}

impl ForcedOrder {
    pub const fn of(order: &Order, last_qty: Lots) -> Self {
        Self {
            side: order.side,
            order_type: order.order_type,
            time_in_force: order.time_in_force,
            status: order.status,
            price: order.price,
            qty: order.qty,
            last_qty,
            cum_qty: order.cum_qty,
            cum_quote: order.cum_quote,
            ts: order.updated,
        }
    }

    /// Of two that fall into one moment the larger is told, of two alike the later.
    pub fn outweighs(&self, other: &Self) -> bool {
        (self.cum_quote, self.ts) >= (other.cum_quote, other.ts)
    }
}
