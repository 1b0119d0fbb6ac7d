//! Why a command was refused: a business value, not an error.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

macro_rules! rejects {
    ($($(#[$doc:meta])* $name:ident = $value:literal),+ $(,)?) => {
        /// The reason in an [`crate::event::Outcome`]. The gateway maps each to a code of its API.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash,
            TryFromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(u16)]
        pub enum Reject { $($(#[$doc])* $name = $value),+ }

        impl Reject {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

rejects! {
    /// Not refused.
    None = 0,
    // of the log and its sessions
    /// The payload is no command (garbage, wrong length, a value out of range).
    Malformed = 1,
    /// This session has no such id here, or it has been forgotten.
    SessionUnknown = 2,
    /// `prev` is not the session's last number: something before it is missing.
    SessionGap = 3,
    /// Applied before; the outcome stands earlier in the events.
    Duplicate = 4,
    /// Its time had passed when it was applied.
    Expired = 5,
    /// A command for the ledger came to a trading shard, or the other way round.
    WrongShard = 6,
    /// A named limit of the shard is reached (accounts, orders, sessions, symbols).
    ShardFull = 7,
    /// A command that only a node makes for itself.
    Unsupported = 8,

    // of symbols
    UnknownSymbol = 20,
    /// The symbol's state does not allow it.
    SymbolNotTrading = 21,
    /// No index price has come yet, or, where a fresh one is needed, of late.
    NoMarkPrice = 22,
    /// A listing or bracket table that contradicts itself.
    InvalidInstrument = 23,
    /// The symbol can't come from its state into this one.
    StateInvalid = 24,

    // of orders
    PriceNotPositive = 30,
    PriceTooLow = 31,
    PriceTooHigh = 32,
    /// Above the band around the mark.
    PriceAboveBand = 33,
    PriceBelowBand = 34,
    QtyNotPositive = 35,
    QtyTooLow = 36,
    QtyTooHigh = 37,
    NotionalTooLow = 38,
    /// Beyond a limit of the shard's arithmetic.
    NotionalTooHigh = 39,
    ClientIdInvalid = 40,
    /// An open order of the account has this client id.
    ClientIdDuplicate = 41,
    TooManyOpenOrders = 42,
    /// Fill-or-kill, and it can't be filled at once.
    WouldNotFill = 43,
    /// Post-only, and it would take.
    WouldTake = 44,
    /// Reduce-only, and there is nothing to reduce.
    ReduceOnly = 45,
    /// No price in the book for a price match or a market order.
    NoDepth = 46,
    /// A combination of type, time in force, price and dates that makes no sense.
    InvalidCombination = 47,
    /// The order is not open, or not this account's.
    UnknownOrder = 48,
    /// An amend that changes nothing.
    Unchanged = 49,
    /// An amend that says reduce-only of an order that is not.
    NotReduceOnly = 50,
    /// An amend with another side than the order's.
    WrongSide = 51,
    /// A market order whose best counter price is beyond the bound around the mark.
    BeyondMarketBound = 52,
    /// A GTD date too early or too late.
    GoodTillInvalid = 53,
    TooManyAmends = 54,
    /// A condition that holds already.
    WouldTrigger = 55,
    /// A conditional order that does not wait, or not this account's.
    UnknownAlgo = 56,
    TooManyAlgos = 57,
    /// A callback rate or an activation price that makes no sense.
    TrailInvalid = 58,
    /// A waiting conditional order of the account closes this position on this side already.
    ClosePositionDuplicate = 59,

    // of margin
    /// The shard lacks `amount` of collateral; the ledger may have it.
    NeedMargin = 60,
    InsufficientMargin = 61,
    /// More position than the brackets allow at the chosen leverage.
    PositionLimit = 62,
    LeverageInvalid = 63,
    /// A lower leverage than the present exposure has margin for.
    LeverageNeedsMargin = 64,

    // of margin modes
    /// The symbol has the margin mode already.
    MarginModeUnchanged = 65,
    /// A mode can't be changed while orders are open.
    OrdersOpen = 66,
    /// A mode can't be changed while there is a position.
    PositionOpen = 67,
    /// A lower leverage for an isolated position.
    IsolatedLeverage = 68,
    /// The position's margin is cross: nothing goes in or out of it.
    NotIsolated = 69,

    // of the ledger
    AmountInvalid = 70,
    /// A deposit with this or a later transfer number was booked.
    TransferDuplicate = 71,
    UnknownAccount = 72,
    /// Too many lends wait for collateral.
    LedgerBusy = 73,

    // of isolated wallets
    /// There is no position to give margin to or to take it from.
    NoPosition = 80,
    /// Less is available than is to go into an isolated wallet.
    CrossInsufficient = 81,
    /// An isolated wallet can't spare so much.
    IsolatedInsufficient = 82,

    // of position modes
    /// The account has the position mode already.
    PositionModeUnchanged = 90,
    /// The account has open orders on some shard.
    PositionModeOrders = 91,
    /// The account has a position on some shard.
    PositionModePosition = 92,
    /// A leg in one-way mode, or none in hedge mode.
    PositionSideMismatch = 93,
    /// The account stands still for a moment: its position mode is being changed, or a withdrawal
    /// is under way.
    AccountHeld = 94,

    // of withdrawals
    /// More than is free and can be spared on all shards together.
    WithdrawalTooLarge = 100,
    /// A shard did not answer in time.
    WithdrawalTimeout = 101,
}

impl Reject {
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}
