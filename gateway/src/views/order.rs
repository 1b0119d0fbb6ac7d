//! One order as its owner sees it: views keep it, the store writes it, REST and streams show it.

use protocol::{
    AccountId, Cash, ClientId, Lots, Micros, OrderId, SymbolId, Ticks,
    order::{
        OrderOrigin, OrderStatus, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side,
        TimeInForce,
    },
};

use super::algo::Origin;

/// How the names of orders begin that close a position for its owner.
const LIQUIDATED: &str = "autoclose-";
const DELEVERAGED: &str = "adl_autoclose";
const SETTLED: &str = "settlement_autoclose-";

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
    /// Who wanted it, where that was not its account's owner.
    pub wanted_by: OrderOrigin,
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
    /// Says by which name an order goes that no client has named: always the same one. Clients know
    /// by it that they were liquidated or deleveraged.
    pub fn own_client_id(order: OrderId, wanted_by: OrderOrigin) -> ClientId {
        let name = match wanted_by {
            OrderOrigin::Owner | OrderOrigin::Takeover | OrderOrigin::Unwind => {
                format!("auto_{order}")
            }
            OrderOrigin::Liquidation => format!("{LIQUIDATED}{order}"),
            OrderOrigin::Deleverage => DELEVERAGED.to_owned(),
            OrderOrigin::Settlement => format!("{SETTLED}{order}"),
        };
        ClientId::new(&name).unwrap_or_default()
    }

    /// Only orders of the engine's own have such a name.
    pub fn is_reserved_name(name: &str) -> bool {
        [LIQUIDATED, DELEVERAGED, SETTLED].iter().any(|prefix| name.starts_with(prefix))
    }

    /// The engine has closed a position by it, whether its owner liked that or not.
    pub const fn is_forced(&self) -> bool {
        match self.wanted_by {
            OrderOrigin::Liquidation | OrderOrigin::Deleverage | OrderOrigin::Settlement => true,
            OrderOrigin::Owner | OrderOrigin::Takeover | OrderOrigin::Unwind => false,
        }
    }

    /// Its shard knows it by its id alone.
    pub fn is_nameless(&self) -> bool {
        self.client_id == Self::own_client_id(self.order, self.wanted_by)
    }
}
