//! What a user data stream tells its owner, as data: the stream writes the JSON.

use protocol::{
    Cash, Lots, Micros, SymbolId, Ticks, TradeId,
    order::{CashReason, CloseReason, MarginMode, PositionSide},
};

use super::{algo::Algo, order::Order};

/// One message to the owner of an account; the order of notices is the engine's.
#[derive(Clone, Debug)]
pub enum UserNotice {
    /// ORDER_TRADE_UPDATE.
    Order(Box<OrderNotice>),
    /// TRADE_LITE: a fill, in short.
    TradeLite(Box<OrderNotice>),
    /// ALGO_UPDATE: a conditional order was listed, or came a step further.
    Algo(Box<AlgoNotice>),
    /// ACCOUNT_UPDATE: the wallet or a position has changed.
    Account(AccountNotice),
    /// MARGIN_CALL: positions near their liquidation.
    MarginCall(Box<MarginCallNotice>),
    /// ACCOUNT_CONFIG_UPDATE: the leverage of a symbol.
    Leverage { ts: Micros, symbol: SymbolId, leverage: u8 },
}

/// An order after something happened to it.
#[derive(Clone, Copy, Debug)]
pub struct OrderNotice {
    pub ts: Micros,
    pub order: Order,
    pub execution: Execution,
    /// The account's open buys and sells on the symbol, in value.
    pub bids: Cash,
    pub asks: Cash,
}

/// A conditional order after something happened to it.
#[derive(Clone, Copy, Debug)]
pub struct AlgoNotice {
    pub ts: Micros,
    pub algo: Algo,
}

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    New,
    Trade(Filled),
    Amendment,
    Closed(CloseReason),
}

/// One fill of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    pub trade: TradeId,
    pub price: Ticks,
    pub qty: Lots,
    /// Paid; a rebate is negative.
    pub fee: Cash,
    pub pnl: Cash,
    pub maker: bool,
}

impl Execution {
    /// The expiry reason that clients read as `er`.
    pub const fn expiry(self) -> u8 {
        match self {
            Self::New | Self::Trade(_) | Self::Amendment => 0,
            Self::Closed(reason) => match reason {
                CloseReason::Canceled
                | CloseReason::Amended
                | CloseReason::FillsMax
                | CloseReason::GoodTillDate => 0,
                CloseReason::SelfTrade => 1,
                CloseReason::IocRemainder => 2,
                CloseReason::ReduceOnly => 4,
                CloseReason::Liquidation => 5,
                CloseReason::Delisted => 7,
                CloseReason::MarketRemainder => 9,
            },
        }
    }
}

/// The wallet, and where it was one the position, after a change.
#[derive(Clone, Copy, Debug)]
pub struct AccountNotice {
    pub ts: Micros,
    pub cause: Cause,
    /// The whole wallet: free, under way and on every shard.
    pub wallet: Cash,
    /// The wallet less what is set aside for isolated positions.
    pub cross_wallet: Cash,
    /// How the wallet changed apart from fees and realised profit.
    pub change: Cash,
    pub position: Option<PositionNotice>,
}

/// Why an account changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Order,
    Cash(CashReason),
    /// Its owner moved margin into an isolated wallet or out of it.
    Margin,
    /// A symbol's margin mode has changed.
    MarginType,
}

/// Positions that come near their maintenance margin: all that the cross wallet backs, or one of
/// isolated margin.
#[derive(Clone, Debug)]
pub struct MarginCallNotice {
    pub ts: Micros,
    /// The cross wallet, where it is what runs short.
    pub cross_wallet: Option<Cash>,
    pub positions: Vec<CalledPosition>,
}

/// A position that more margin is wanted for, in cash units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalledPosition {
    pub symbol: SymbolId,
    pub position_side: PositionSide,
    pub position: Lots,
    pub mode: MarginMode,
    /// What is set aside for it, when it is isolated.
    pub wallet: Cash,
    pub mark: Ticks,
    pub unrealized: Cash,
    pub maintenance: Cash,
}

/// A position after a change.
#[derive(Clone, Copy, Debug)]
pub struct PositionNotice {
    pub symbol: SymbolId,
    pub position_side: PositionSide,
    pub mode: MarginMode,
    /// What is set aside for it, when it is isolated.
    pub wallet: Cash,
    pub position: Lots,
    pub entry: Cash,
    /// Realised on the symbol since ever, fees not counted.
    pub realized: Cash,
    pub unrealized: Cash,
    /// The rate that a close would pay, for the break-even price.
    pub taker_fee: protocol::Rate,
}
