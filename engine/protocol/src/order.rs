//! The vocabulary of an order, as traders know it.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

macro_rules! word {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash,
            TryFromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn from_u8(byte: u8) -> Option<Self> {
                match byte { $($value => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

word!(Side { Buy = 0, Sell = 1 });

impl Side {
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
    /// +1 for buy, -1 for sell.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }
}

word!(OrderType { Limit = 0, Market = 1 });
word!(TimeInForce {
    /// Good till cancelled.
    Gtc = 0,
    /// Immediate or cancel.
    Ioc = 1,
    /// Fill or kill.
    Fok = 2,
    /// Post only.
    Gtx = 3,
    /// Good till date.
    Gtd = 4,
});
word!(/// Which side of a match between one owner's orders expires; the taker's mode decides.
SelfTradePrevention { ExpireTaker = 0, ExpireMaker = 1, ExpireBoth = 2 });
word!(/// The leg of a position: both ways in one, or, in hedge mode, the long and the short one.
#[derive(Default, PartialOrd, Ord)]
PositionSide {
    #[default]
    Both = 0,
    Long = 1,
    Short = 2,
});

impl PositionSide {
    /// An order of this side closes the leg; both ways in one close either way, so of them this
    /// says nothing.
    pub const fn closed_by(self, side: Side) -> bool {
        matches!((self, side), (Self::Long, Side::Sell) | (Self::Short, Side::Buy))
    }
}

word!(/// Whether an account's positions have one leg a symbol or two.
#[derive(Default)]
PositionMode {
    #[default]
    OneWay = 0,
    Hedge = 1,
});
word!(/// What an account is held for.
HoldFor {
    /// A change of its position mode: only where nothing is open.
    Mode = 0,
    /// A withdrawal: whatever is open.
    Withdrawal = 1,
});
word!(/// What stands against a change of the position mode on a shard.
HoldState { Clean = 0, HasOrders = 1, HasPosition = 2 });
word!(/// Why a shard makes a margin call.
CallKind {
    /// An order has fired that lacks margin.
    Order = 0,
    /// The account nears its maintenance margin: a part of what is asked for helps too.
    Need = 1,
    /// The account has no position and owes more than it has: a part helps too.
    Debt = 2,
});
word!(/// How a hold ends.
ModeChange { Keep = 0, OneWay = 1, Hedge = 2 });
word!(/// What backs a position: all of the account, or a wallet of its own.
#[derive(Default)]
MarginMode {
    #[default]
    Cross = 0,
    Isolated = 1,
});
word!(/// A limit taken from the book instead of from the client.
PriceMatch {
    None = 0, Opponent = 1, Opponent5 = 2, Opponent10 = 3, Opponent20 = 4,
    Queue = 5, Queue5 = 6, Queue10 = 7, Queue20 = 8,
});
word!(OrderStatus {
    New = 0, PartiallyFilled = 1, Filled = 2, Canceled = 3, Rejected = 4, Expired = 5,
    ExpiredInMatch = 6,
});
word!(/// Why an order ended without being filled.
CloseReason {
    /// Its owner asked.
    Canceled = 0,
    /// Self-trade prevention.
    SelfTrade = 1,
    /// What an IOC could not fill at once.
    IocRemainder = 2,
    /// A reduce-only order with nothing left to reduce.
    ReduceOnly = 3,
    /// Liquidation of its account, or a fill that would have made its owner insolvent.
    Liquidation = 4,
    /// What a market order could not fill.
    MarketRemainder = 5,
    /// More fills than one command may cause.
    FillsMax = 6,
    /// An amend to a quantity at or below what is filled, or one that would take as post-only.
    Amended = 7,
    /// Its date has come.
    GoodTillDate = 8,
    /// Its symbol closed.
    Delisted = 9,
});
word!(/// What a symbol accepts.
SymbolState {
    Trading = 0,
    /// Cancels.
    CancelOnly = 1,
    /// What can only reduce its position, and cancels.
    ReduceOnly = 2,
    /// Nothing.
    Halted = 3,
    /// Its orders end, then its positions, then it is halted.
    Settling = 4,
});
word!(/// Why an account's cash changed, trades apart.
CashReason {
    Deposit = 0, Withdraw = 1, GrantIssued = 2, GrantApplied = 3, ReturnIssued = 4,
    ReturnTaken = 5, Funding = 6,
    /// The insurance fund's own: a fee, what rounding left, or what it advances.
    Insurance = 7,
    /// The insurance fund lifts an account's debt to 0.
    Advance = 8,
    /// What was advanced goes back to the insurance fund.
    Repayment = 9,
});
word!(/// Who wanted an order.
#[derive(Default)]
OrderOrigin {
    #[default]
    Owner = 0,
    /// The engine, as its account is due.
    Liquidation = 1,
    /// The engine: its account is the counterparty of one that is due.
    Deleverage = 2,
    /// The insurance fund takes a position over.
    Takeover = 3,
    /// The insurance fund sells what it has taken over.
    Unwind = 4,
    /// Its symbol is settled.
    Settlement = 5,
});
word!(/// Where a trade comes from. Only trades of the book make prices.
#[derive(Default)]
TradeKind {
    #[default]
    Book = 0,
    /// The insurance fund has taken a position over, at its bankruptcy price.
    Takeover = 1,
    /// A position was closed against one in profit, at its bankruptcy price.
    Deleverage = 2,
});
word!(/// Who speaks in a session.
SessionKind { Gateway = 0, Feed = 1, Operator = 2, Kafka = 3 });
word!(/// What a conditional order becomes, and by which condition.
AlgoType { Stop = 0, StopMarket = 1, TakeProfit = 2, TakeProfitMarket = 3, TrailingStopMarket = 4 });
word!(/// Which price a condition looks at.
WorkingType { Contract = 0, Mark = 1 });
word!(AlgoStatus {
    /// Waits for its condition; told again when a trailing stop meets its activation price.
    New = 0,
    /// Its condition held; its order waits for margin.
    Triggering = 1,
    /// Its order has been placed.
    Triggered = 2,
    /// Its order has ended.
    Finished = 3,
    /// Its owner asked.
    Canceled = 4,
    /// Its condition held, and its order was refused.
    Rejected = 5,
    /// It lost its purpose: its position is gone, or its partner fired.
    Expired = 6,
});
