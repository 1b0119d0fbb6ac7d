//! A conditional order as its owner sees it, from its listing to the end of what it became.

use protocol::{
    AccountId, AlgoId, Cash, ClientId, Lots, Micros, OrderId, Rate, Reject, SymbolId, Ticks,
    command::PlaceAlgo,
    order::{AlgoStatus, AlgoType, OrderType, WorkingType},
};

/// The only kind of algo order there is.
pub const ALGO_KIND: &str = "CONDITIONAL";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algo {
    pub algo: AlgoId,
    /// What its owner asked for.
    pub terms: PlaceAlgo,
    pub status: AlgoStatus,
    /// The order it became; 0 before that.
    pub order: OrderId,
    /// Why its order was refused.
    pub reject: Reject,
    /// A trailing stop has met its activation price.
    pub activated: bool,
    /// What its order has traded.
    pub cum_qty: Lots,
    pub cum_quote: Cash,
    pub created: Micros,
    pub updated: Micros,
    /// 0: its condition has not held yet.
    pub triggered: Micros,
}

impl Algo {
    pub const fn new(algo: AlgoId, terms: PlaceAlgo, ts: Micros) -> Self {
        Self {
            algo,
            terms,
            status: AlgoStatus::New,
            order: OrderId::NONE,
            reject: Reject::None,
            activated: false,
            cum_qty: 0,
            cum_quote: 0,
            created: ts,
            updated: ts,
            triggered: 0,
        }
    }

    pub const fn account(&self) -> AccountId {
        self.terms.account
    }

    pub const fn symbol(&self) -> SymbolId {
        self.terms.symbol
    }

    pub const fn client_id(&self) -> &ClientId {
        &self.terms.client_id
    }

    /// Its condition has not held, or its order waits for margin.
    pub const fn is_waiting(&self) -> bool {
        match self.status {
            AlgoStatus::New | AlgoStatus::Triggering => true,
            AlgoStatus::Triggered
            | AlgoStatus::Finished
            | AlgoStatus::Canceled
            | AlgoStatus::Rejected
            | AlgoStatus::Expired => false,
        }
    }

    /// Nothing can happen to it any more, nor to its order.
    pub const fn is_over(&self) -> bool {
        !self.is_waiting() && !matches!(self.status, AlgoStatus::Triggered)
    }

    /// What its order remembers of it.
    pub const fn origin(&self) -> Origin {
        Origin {
            algo: self.algo,
            algo_type: self.terms.algo_type,
            trigger_price: self.terms.trigger_price,
            activate_price: self.terms.activate_price,
            callback: self.terms.callback,
            working_type: self.terms.working_type,
            close_position: self.terms.close_position,
            price_protect: self.terms.price_protect,
        }
    }
}

/// The type of the order that a conditional one becomes.
pub const fn becomes(algo_type: AlgoType) -> OrderType {
    match algo_type {
        AlgoType::Stop | AlgoType::TakeProfit => OrderType::Limit,
        AlgoType::StopMarket | AlgoType::TakeProfitMarket | AlgoType::TrailingStopMarket => {
            OrderType::Market
        }
    }
}

/// The conditional order that an order was born of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub algo: AlgoId,
    pub algo_type: AlgoType,
    pub trigger_price: Ticks,
    pub activate_price: Ticks,
    pub callback: Rate,
    pub working_type: WorkingType,
    pub close_position: bool,
    pub price_protect: bool,
}
