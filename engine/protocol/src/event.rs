//! What a shard says happened. Events carry results, so that nobody behind it computes state.
//!
//! Each applied frame gives one or more events with the frame's seq and a dense index from 0; the
//! last of them, and only the last, is an [`Outcome`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    AccountId, AlgoId, Cash, ClientId, DecodeError, Lots, Micros, OrderId, Rate, Reject, Seq,
    SessionId, ShardId, SymbolId, Ticks, TradeId,
    command::PlaceAlgo,
    ids::Name,
    instrument::{Brackets, SymbolSpec},
    layout::{layout, read},
    limits::EVENT_BYTES_MAX,
    order::{
        AlgoStatus, CallKind, CashReason, CloseReason, HoldFor, HoldState, MarginMode, ModeChange,
        OrderOrigin, OrderStatus, OrderType, PositionMode, PositionSide, PriceMatch,
        SelfTradePrevention, SessionKind, Side, SymbolState, TimeInForce, TradeKind,
    },
};

/// What stands before every event in a ring, a journal or a message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EventHeader {
    /// The frame it came from.
    pub seq: Seq,
    /// That frame's log time.
    pub ts: Micros,
    /// Its place among the frame's events, from 0.
    pub index: u32,
    /// An [`EventKind`].
    pub kind: u16,
    /// Bytes of body behind this header: a multiple of 8.
    pub len: u16,
}

pub const EVENT_HEADER_BYTES: usize = size_of::<EventHeader>();

/// A body that can be emitted: it knows its kind and is its own encoding.
pub trait EventBody: IntoBytes + Immutable {
    const KIND: EventKind;
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $kind:literal),+ $(,)?) => {
        /// The kinds of event, as a header names them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum EventKind { $($(#[$doc])* $name = $kind),+ }

        impl EventKind {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub const fn from_u16(kind: u16) -> Option<Self> {
                match kind { $($kind => Some(Self::$name),)+ _ => None }
            }
        }

        /// A decoded event.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Event { $($(#[$doc])* $name($body)),+ }

        impl Event {
            pub const fn kind(&self) -> EventKind {
                match self { $(Self::$name(_) => EventKind::$name),+ }
            }

            /// Reads a body of this kind.
            pub fn decode(kind: u16, body: &[u8]) -> Result<Self, DecodeError> {
                let kind = EventKind::from_u16(kind).ok_or(DecodeError::Unknown)?;
                Ok(match kind { $(EventKind::$name => Self::$name(read(body)?)),+ })
            }

            /// The bytes of the body.
            pub fn body(&self) -> &[u8] {
                match self { $(Self::$name(body) => body.as_bytes()),+ }
            }
        }

        $(impl EventBody for $body { const KIND: EventKind = EventKind::$name; })+

        const _: () = { $(
            assert!(size_of::<$body>() <= EVENT_BYTES_MAX);
            assert!(size_of::<$body>().is_multiple_of(8));
        )+ };
    };
}

events! {
    /// Ends the events of a frame: what became of its command.
    Outcome(Outcome) = 1,
    SessionOpened(SessionOpened) = 2,
    OrderAccepted(OrderAccepted) = 10,
    Trade(Trade) = 11,
    OrderAmended(OrderAmended) = 12,
    OrderClosed(OrderClosed) = 13,
    /// A price level of a book as it is now.
    Level(Level) = 14,
    /// What an account's open orders on a symbol hold back, as it is now.
    Reserved(Reserved) = 15,
    AlgoAccepted(AlgoAccepted) = 16,
    AlgoChanged(AlgoChanged) = 17,
    CountdownSet(CountdownSet) = 18,
    SettingsChanged(SettingsChanged) = 20,
    FeesChanged(FeesChanged) = 21,
    /// Cash of an account went into an isolated wallet or out of it; its sum is as before.
    MarginMoved(MarginMoved) = 22,
    /// An account's position mode as it is now: on a shard, and on the ledger when it has changed.
    PositionModeChanged(PositionModeChanged) = 23,
    SymbolListed(SymbolSpec) = 30,
    BracketsSet(Brackets) = 31,
    SymbolStateChanged(SymbolStateChanged) = 32,
    Mark(Mark) = 40,
    /// A funding time of a symbol has come: its positions pay each other.
    Funding(Funding) = 41,
    /// A position has paid, or got, its funding.
    FundingPaid(FundingPaid) = 42,
    /// All positions have: what rounding has left goes to the insurance fund.
    FundingEnded(FundingEnded) = 43,
    /// What a liquidation was better than the bankruptcy price goes, in part, to the insurance fund.
    LiquidationFeePaid(LiquidationFeePaid) = 44,
    /// A position was closed as its symbol is settled, by an order of its own.
    PositionSettled(PositionSettled) = 45,
    /// An account's cash on this shard (on the ledger: what is free) as it is now.
    CashChanged(CashChanged) = 50,
    /// Ledger: a Lend has its answer.
    LendSettled(LendSettled) = 51,
    /// Ledger: a change of the position mode has its answer.
    PositionModeSettled(PositionModeSettled) = 52,
    /// Ledger: a Withdraw has its answer.
    WithdrawalSettled(WithdrawalSettled) = 53,
    /// A message for a link's other end; it is sent until acknowledged.
    GrantIssued(GrantIssued) = 60,
    RecallIssued(RecallIssued) = 61,
    ReturnIssued(ReturnIssued) = 62,
    /// A link message was applied (again): the other end may forget up to here.
    LinkApplied(LinkApplied) = 63,
    /// The other end has applied up to here.
    LinkAcked(LinkAcked) = 64,
    HoldIssued(HoldIssued) = 65,
    ReleaseIssued(ReleaseIssued) = 66,
    HeldIssued(HeldIssued) = 67,
    MarginCallIssued(MarginCallIssued) = 68,
    DebtIssued(DebtIssued) = 69,
}

impl EventKind {
    /// Of the links between ledger and shards: a message to be sent, or word of one.
    pub const fn is_link(self) -> bool {
        matches!(
            self,
            Self::GrantIssued
                | Self::RecallIssued
                | Self::ReturnIssued
                | Self::HoldIssued
                | Self::ReleaseIssued
                | Self::HeldIssued
                | Self::MarginCallIssued
                | Self::DebtIssued
                | Self::LinkApplied
                | Self::LinkAcked
        )
    }
}

/// Splits the first event off `bytes`: header, event, rest.
pub fn decode_next(bytes: &[u8]) -> Result<(EventHeader, Event, &[u8]), DecodeError> {
    let (header, rest) =
        EventHeader::read_from_prefix(bytes).map_err(|_| DecodeError::Truncated)?;
    let len = usize::from(header.len);
    if len > EVENT_BYTES_MAX {
        return Err(DecodeError::Oversized);
    }
    if rest.len() < len {
        return Err(DecodeError::Truncated);
    }
    let (body, rest) = rest.split_at(len);
    Ok((header, Event::decode(header.kind, body)?, rest))
}

layout!(Outcome {
    /// Who asked; 0 for frames of the cluster itself.
    session: SessionId,
    number: u64,
    /// The order it was about, if there is one: the new order's id after a Place; after a
    /// PlaceAlgo and a CancelAlgo the [`AlgoId`]'s number.
    order: OrderId,
    /// With [`Reject::NeedMargin`] the collateral that is lacking; with
    /// [`Reject::SessionGap`] the session's last number; else 0.
    amount: i64,
    /// [`Reject::None`]: it was done.
    reject: Reject,
    /// The [`crate::CommandKind`].
    command: u16,
    _pad: u32,
});
layout!(SessionOpened {
    session: SessionId,
    nonce: u64,
    kind: SessionKind,
    _pad: [u8; 7],
    name: Name<32>,
});
layout!(
/// A new order, before any fill; a limit price may stem from a price match, a market order's is
/// the worst price it may trade at.
OrderAccepted {
    order: OrderId,
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    order_type: OrderType,
    time_in_force: TimeInForce,
    self_trade: SelfTradePrevention,
    price_match: PriceMatch,
    position_side: PositionSide,
    reduce_only: bool,
    origin: OrderOrigin,
    _pad: [u8; 2],
    price: Ticks,
    qty: Lots,
    good_till: Micros,
    client_id: ClientId,
    _pad2: [u8; 4],
});
layout!(
/// One side of a trade: the order and its account afterwards.
Fill {
    order: OrderId,
    account: AccountId,
    status: OrderStatus,
    position_side: PositionSide,
    /// The order is reduce-only.
    reduce_only: bool,
    _pad: u8,
    /// Filled so far, in lots and in value.
    cum_qty: Lots,
    cum_quote: Cash,
    /// Paid; a rebate is negative.
    fee: Cash,
    /// Realised by this fill.
    pnl: Cash,
    /// The position and its entry value, signed.
    position: Lots,
    entry: Cash,
    /// The account's cash on this shard, its isolated wallets included.
    cash: Cash,
    /// What of it is set aside for this position; 0 when it is cross.
    isolated_wallet: Cash,
});
layout!(Trade {
    trade: TradeId,
    symbol: SymbolId,
    taker_side: Side,
    kind: TradeKind,
    _pad: [u8; 4],
    price: Ticks,
    qty: Lots,
    taker: Fill,
    maker: Fill,
});
layout!(
/// The order as it is after an amend, or after a reduce-only order was clipped.
OrderAmended {
    order: OrderId,
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    /// 0: its owner asked; 1: clipped to the position.
    clipped: u8,
    price: Ticks,
    qty: Lots,
    cum_qty: Lots,
    cum_quote: Cash,
});
layout!(OrderClosed {
    order: OrderId,
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    status: OrderStatus,
    reason: CloseReason,
    _pad: [u8; 7],
    qty: Lots,
    cum_qty: Lots,
    cum_quote: Cash,
});
layout!(Level {
    symbol: SymbolId,
    side: Side,
    _pad: [u8; 5],
    price: Ticks,
    /// 0: the level is gone.
    qty: Lots,
    /// The symbol's book update id: one more for each of these.
    update: u64,
});
layout!(
/// The sums B, S, L and F of an account's open orders on a leg of a symbol.
Reserved {
    account: AccountId,
    symbol: SymbolId,
    position_side: PositionSide,
    _pad: u8,
    buy: Cash,
    sell: Cash,
    loss: Cash,
    fee: Cash,
});
layout!(
/// A new conditional order.
AlgoAccepted { algo: AlgoId, terms: PlaceAlgo });
layout!(AlgoChanged {
    algo: AlgoId,
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    status: AlgoStatus,
    /// The order it became; 0 before that.
    order: OrderId,
    /// With [`AlgoStatus::Rejected`]: why.
    reject: Reject,
    /// A trailing stop has met its activation price.
    activated: bool,
    _pad: [u8; 5],
});
layout!(
/// When the account's orders on the symbol will be cancelled; 0: never.
CountdownSet { account: AccountId, symbol: SymbolId, _pad: [u8; 2], at: Micros });
layout!(SettingsChanged {
    account: AccountId,
    symbol: SymbolId,
    /// 0: the account has not chosen one.
    leverage: u8,
    margin_mode: MarginMode,
});
layout!(MarginMoved {
    account: AccountId,
    symbol: SymbolId,
    position_side: PositionSide,
    _pad: u8,
    /// Into the isolated wallet; negative: out of it.
    delta: Cash,
    /// The wallet and the account's cash on this shard, which includes it.
    isolated_wallet: Cash,
    cash: Cash,
});
layout!(FeesChanged {
    account: AccountId,
    symbol: SymbolId,
    _pad: [u8; 2],
    maker: Rate,
    taker: Rate
});
layout!(SymbolStateChanged {
    symbol: SymbolId,
    /// What its operator says.
    state: SymbolState,
    /// Its index has stayed away: while that is so, trading only reduces.
    index_stale: bool,
    _pad: [u8; 4],
    /// While it is being settled: what its positions are closed at; else 0.
    settlement: Ticks,
});
layout!(Mark {
    symbol: SymbolId,
    _pad: [u8; 6],
    index_e8: i64,
    mark: Ticks,
    /// What the next funding's rate would be if it came now; 0 before the first sample.
    funding_rate: Rate,
    next_funding: Micros,
});
layout!(
/// `rate` is what longs pay shorts of their position's value at `mark`; negative: shorts pay.
Funding {
    symbol: SymbolId,
    _pad: [u8; 6],
    /// The funding time, which may lie before the frame's.
    time: Micros,
    rate: Rate,
    mark: Ticks,
});
layout!(FundingPaid {
    account: AccountId,
    symbol: SymbolId,
    position_side: PositionSide,
    _pad: u8,
    /// The funding time.
    time: Micros,
    /// What the account gets; negative: what it pays.
    amount: Cash,
    /// The position it is for.
    position: Lots,
    /// The account's cash on this shard, its isolated wallets included.
    cash: Cash,
    /// What of it is set aside for this position; 0 when it is cross.
    isolated_wallet: Cash,
});
layout!(LiquidationFeePaid {
    account: AccountId,
    symbol: SymbolId,
    position_side: PositionSide,
    _pad: u8,
    /// Paid, > 0.
    amount: Cash,
    /// The account's cash on this shard, its isolated wallets included.
    cash: Cash,
    /// What of it is set aside for this position; 0 when it is cross, or gone.
    isolated_wallet: Cash,
});
layout!(
/// The whole fill of an order with [`OrderOrigin::Settlement`]; nobody is on its other side, as the
/// positions of a symbol cancel out.
PositionSettled {
    trade: TradeId,
    symbol: SymbolId,
    /// Of the order: the other one than the position's.
    side: Side,
    _pad: [u8; 5],
    price: Ticks,
    qty: Lots,
    fill: Fill,
});
layout!(FundingEnded {
    symbol: SymbolId,
    _pad: [u8; 6],
    time: Micros,
    /// Paid more than got.
    residue: Cash,
});
layout!(CashChanged {
    account: AccountId,
    reason: CashReason,
    /// The trading shard at a link's other end; 0 at a deposit.
    shard: ShardId,
    _pad: [u8; 2],
    cash: Cash,
    delta: Cash,
    /// On the ledger, with a grant or a return: what that shard holds of the account now, net.
    lent: Cash,
});
layout!(LendSettled {
    /// The Lend's session and number, and its seq.
    session: SessionId,
    number: u64,
    lend: u64,
    account: AccountId,
    shard: ShardId,
    _pad: [u8; 3],
    /// 0: refused.
    granted: Cash,
    /// The grant's place in the link's stream; 0 when refused.
    link_seq: u64,
});
layout!(WithdrawalSettled {
    /// The Withdraw's session and number, and its seq.
    session: SessionId,
    number: u64,
    withdraw: u64,
    transfer: u64,
    account: AccountId,
    /// Why nothing was paid out; none: the amount was.
    reject: Reject,
    _pad: u16,
    amount: Cash,
});
layout!(GrantIssued {
    link_seq: u64,
    account: AccountId,
    to: ShardId,
    _pad: [u8; 3],
    amount: Cash,
    /// The margin call that it answers; 0: a Lend.
    call: u64,
});
layout!(
/// A shard asks for collateral; the call is closed by its answer or after its grace.
MarginCallIssued {
    link_seq: u64,
    account: AccountId,
    kind: CallKind,
    _pad: [u8; 3],
    amount: Cash,
});
layout!(RecallIssued {
    link_seq: u64,
    account: AccountId,
    to: ShardId,
    urgent: bool,
    _pad: [u8; 2],
    amount: Cash,
    lend: u64,
});
layout!(
/// The insurance fund has advanced so much: the account owes it.
DebtIssued { link_seq: u64, account: AccountId, _pad: u32, amount: Cash });
layout!(ReturnIssued { link_seq: u64, account: AccountId, _pad: u32, amount: Cash, lend: u64 });
layout!(PositionModeChanged {
    account: AccountId,
    mode: PositionMode,
    /// The shard takes no orders of the account: the ledger is about to change the mode.
    held: bool,
    _pad: [u8; 2],
});
layout!(PositionModeSettled {
    /// The SetPositionMode's session and number, and its seq.
    session: SessionId,
    number: u64,
    change: u64,
    account: AccountId,
    /// As it is now.
    mode: PositionMode,
    _pad: u8,
    /// [`Reject::None`]: it was changed.
    reject: Reject,
});
layout!(HoldIssued {
    link_seq: u64,
    change: u64,
    account: AccountId,
    to: ShardId,
    purpose: HoldFor,
    _pad: [u8; 2],
});
layout!(ReleaseIssued {
    link_seq: u64,
    account: AccountId,
    to: ShardId,
    mode: ModeChange,
    _pad: [u8; 2],
});
layout!(HeldIssued {
    link_seq: u64,
    change: u64,
    account: AccountId,
    state: HoldState,
    _pad: [u8; 3],
    spare: Cash,
});
layout!(LinkApplied { peer: ShardId, _pad: [u8; 7], link_seq: u64 });
layout!(LinkAcked { peer: ShardId, _pad: [u8; 7], link_seq: u64 });
