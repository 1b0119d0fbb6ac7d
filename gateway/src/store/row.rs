//! What views hand to the store: whole states and single facts, never differences.
//!
//! A state (an order, a slot, cash) stands for itself, so that the writer may keep only the last
//! one of a batch; a fact (a fill, an income) has a key of its own, so that it is written once.

use protocol::{
    AccountId, Cash, ClientId, Lots, Micros, OrderId, Rate, Seq, ShardId, SymbolId, Ticks, TradeId,
    order::{MarginMode, PositionSide, Side},
};

use super::market::MarketRow;
use crate::views::{algo::Algo, order::Order};

/// One thing to be written.
#[derive(Clone, Debug)]
pub enum Row {
    /// An order as it is now, open or closed.
    Order(Box<Order>),
    /// A conditional order as it is now.
    Algo(Box<Algo>),
    Amendment(AmendmentRow),
    Fill(FillRow),
    Income(IncomeRow),
    Slot(SlotRow),
    Cash(CashRow),
    Lent(LentRow),
    Mode(ModeRow),
    Margin(MarginRow),
    /// What the market views keep: written by [`super::market::write`].
    Market(MarketRow),
    /// Ends the rows of a frame: everything before it of this shard belongs to `seq` or earlier.
    Boundary {
        shard: ShardId,
        seq: Seq,
        ts: Micros,
    },
}

/// What an account has on one symbol, or on one leg of it, apart from its orders. What is chosen for
/// the symbol stands in the slot that is of no leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotRow {
    pub account: AccountId,
    pub symbol: SymbolId,
    pub position_side: PositionSide,
    /// The position and its entry value, signed.
    pub position: Lots,
    pub entry: Cash,
    /// Of an isolated position: what of the account's cash is set aside for it.
    pub wallet: Cash,
    /// Realised on this symbol since ever, fees not counted.
    pub realized: Cash,
    /// What open orders hold back: the sums B, S, L and F.
    pub reserved: Sums,
    /// `None`: not chosen, the symbol's default holds.
    pub leverage: Option<u8>,
    pub isolated: bool,
    /// Maker and taker rate; `None`: the symbol's own.
    pub fees: Option<Fees>,
    /// When the position last changed.
    pub updated: Micros,
}

impl SlotRow {
    pub const fn margin_mode(&self) -> MarginMode {
        if self.isolated { MarginMode::Isolated } else { MarginMode::Cross }
    }
}

/// The sums B, S, L and F of an account's open orders on a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub buy: Cash,
    pub sell: Cash,
    pub loss: Cash,
    pub fee: Cash,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    pub maker: Rate,
    pub taker: Rate,
}

/// An account's cash on a shard; on the ledger: what is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CashRow {
    pub account: AccountId,
    pub shard: ShardId,
    pub cash: Cash,
    /// Grants applied less returns issued by this shard, since ever; 0 on the ledger.
    pub received: Cash,
    pub updated: Micros,
}

/// What the ledger says a shard holds of an account, net.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LentRow {
    pub account: AccountId,
    pub shard: ShardId,
    pub lent: Cash,
}

/// An account's position mode, once it was ever changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModeRow {
    pub account: AccountId,
    pub hedge: bool,
}

/// Margin that its owner moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarginRow {
    pub account: AccountId,
    pub symbol: SymbolId,
    pub position_side: PositionSide,
    pub ts: Micros,
    /// Unique within the symbol, growing, and below 2^53.
    pub id: u64,
    /// Into the position's wallet; negative: out of it.
    pub amount: Cash,
}

/// One account's side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillRow {
    pub account: AccountId,
    pub symbol: SymbolId,
    pub trade: TradeId,
    pub order: OrderId,
    pub side: Side,
    pub position_side: PositionSide,
    pub maker: bool,
    pub price: Ticks,
    pub qty: Lots,
    pub quote: Cash,
    pub fee: Cash,
    pub pnl: Cash,
    pub ts: Micros,
}

/// Why money came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IncomeKind {
    Transfer = 0,
    RealizedPnl = 1,
    Commission = 2,
    Funding = 3,
    InsuranceClear = 4,
}

impl IncomeKind {
    pub const ALL: [Self; 5] =
        [Self::Transfer, Self::RealizedPnl, Self::Commission, Self::Funding, Self::InsuranceClear];

    /// The name clients use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "TRANSFER",
            Self::RealizedPnl => "REALIZED_PNL",
            Self::Commission => "COMMISSION",
            Self::Funding => "FUNDING_FEE",
            Self::InsuranceClear => "INSURANCE_CLEAR",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// One entry of an account's statement; (`ts`, `kind`, `id`) is unique within an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncomeRow {
    pub account: AccountId,
    pub ts: Micros,
    pub kind: IncomeKind,
    /// Unique within the account and the kind, and below 2^53.
    pub id: u64,
    /// 0: of no symbol.
    pub symbol: SymbolId,
    pub amount: Cash,
    /// 0: of no trade.
    pub trade: TradeId,
}

/// One change of an order by its owner or by a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendmentRow {
    pub account: AccountId,
    pub symbol: SymbolId,
    pub order: OrderId,
    /// Unique within the symbol, growing, and below 2^53.
    pub id: u64,
    pub client_id: ClientId,
    pub price_before: Ticks,
    pub price_after: Ticks,
    pub qty_before: Lots,
    pub qty_after: Lots,
    pub ts: Micros,
}
