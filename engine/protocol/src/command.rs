//! What can be asked of a shard: an envelope and one of these bodies.
//!
//! A command is data, not a promise: the engine checks every field and answers each command with
//! exactly one [`crate::event::Outcome`], the last event of its sequence number.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::{
    AccountId, AlgoId, Cash, ClientId, DecodeError, Lots, Micros, OrderId, Rate, SessionId,
    ShardId, SymbolId, Ticks,
    ids::Name,
    instrument::{Brackets, SymbolSpec},
    layout::{layout, read},
    limits::{COMMAND_BYTES_MAX, INDEX_PRICES_MAX},
    order::{
        AlgoType, CallKind, HoldFor, HoldState, MarginMode, ModeChange, OrderType, PositionMode,
        PositionSide, PriceMatch, SelfTradePrevention, SessionKind, Side, SymbolState, TimeInForce,
        WorkingType,
    },
};

/// What stands before every body: whose command it is and whether it was seen before.
///
/// A command of a session is applied iff `prev` is the session's last number. Frames of the
/// cluster itself (ticks, links) have session 0 and need none of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Envelope {
    pub session: SessionId,
    pub prev: u64,
    pub number: u64,
    /// Applied later than this it is rejected; 0: never.
    pub expires_at: Micros,
    /// 1: short of margin once more, it is rejected instead of answered with NeedMargin.
    pub last_try: u32,
    pub _pad: u32,
}

pub const ENVELOPE_BYTES: usize = size_of::<Envelope>();

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $kind:literal),+ $(,)?) => {
        /// The kinds of command, as a frame names them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum CommandKind { $($(#[$doc])* $name = $kind),+ }

        impl CommandKind {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub const fn from_u16(kind: u16) -> Option<Self> {
                match kind { $($kind => Some(Self::$name),)+ _ => None }
            }
        }

        /// A decoded command.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Command { $($(#[$doc])* $name($body)),+ }

        impl Command {
            pub const fn kind(&self) -> CommandKind {
                match self { $(Self::$name(_) => CommandKind::$name),+ }
            }

            /// Reads the payload of a frame of this kind.
            pub fn decode(kind: u16, payload: &[u8]) -> Result<(Envelope, Self), DecodeError> {
                let kind = CommandKind::from_u16(kind).ok_or(DecodeError::Unknown)?;
                let (envelope, body) =
                    Envelope::read_from_prefix(payload).map_err(|_| DecodeError::Truncated)?;
                // Built where it is returned: the widest command is three times the usual one.
                match kind {
                    $(CommandKind::$name => Ok((envelope, Self::$name(read(body)?)))),+
                }
            }

            fn body(&self) -> &[u8] {
                match self { $(Self::$name(body) => body.as_bytes()),+ }
            }
        }

        const _: () = { $(assert!(ENVELOPE_BYTES + size_of::<$body>() <= COMMAND_BYTES_MAX);)+ };
    };
}

bodies! {
    /// Opens a command session; its id is this frame's seq.
    Open(Open) = 1,
    /// The ingress's clock, at least once a second. Only the node itself makes it.
    Tick(Tick) = 2,
    /// The first frame of every log: whose it is, and its secret. Only the node itself makes it.
    Genesis(Genesis) = 3,
    /// Whether the shard hears of the ledger. Only the node itself makes it.
    LinkState(LinkState) = 4,
    Place(Place) = 10,
    Amend(Amend) = 11,
    Cancel(Cancel) = 12,
    /// Every open order of an account on one symbol.
    CancelAll(CancelAll) = 13,
    /// Checks a Place as if it came now, and changes nothing.
    TestPlace(Place) = 14,
    /// A conditional order.
    PlaceAlgo(PlaceAlgo) = 15,
    CancelAlgo(CancelAlgo) = 16,
    /// Every conditional order of an account on one symbol that waits.
    CancelAllAlgos(CancelAll) = 17,
    /// Cancels every open order of an account on a symbol unless it is said again in time.
    Countdown(Countdown) = 18,
    SetLeverage(SetLeverage) = 20,
    SetMarginMode(SetMarginMode) = 21,
    /// Into an isolated wallet or out of it.
    MoveMargin(MoveMargin) = 22,
    ListSymbol(SymbolSpec) = 30,
    SetBrackets(Brackets) = 31,
    SetFees(SetFees) = 32,
    SetSymbolState(SetSymbolState) = 33,
    /// Ends a symbol: what is open on it is cancelled, its positions are closed at one price.
    Settle(Settle) = 34,
    IndexPrices(IndexPrices) = 40,
    /// To the ledger: money from outside.
    Deposit(Deposit) = 50,
    /// To the ledger, from a gateway: lend to a shard.
    Lend(Lend) = 51,
    /// To the ledger, from a gateway: one leg a symbol, or two; on all shards or on none.
    SetPositionMode(SetPositionMode) = 52,
    /// To the ledger: money to the outside; its answer comes later.
    Withdraw(Withdraw) = 53,
    /// Ledger to shard.
    Grant(Grant) = 60,
    /// Ledger to shard.
    Recall(Recall) = 61,
    /// Shard to ledger; the answer to a recall, also when it is nothing.
    Return(Return) = 62,
    /// Either way: everything up to a number has been applied over there.
    LinkAck(LinkAck) = 63,
    /// Ledger to shard: take no orders of an account.
    Hold(Hold) = 64,
    /// Ledger to shard: the hold is over.
    Release(Release) = 65,
    /// Shard to ledger; the answer to a hold.
    Held(Held) = 66,
    /// Shard to ledger: an account is short of collateral there. A Grant answers it.
    MarginCall(MarginCall) = 67,
    /// Shard to ledger: the insurance fund has advanced what an account could not pay.
    Debt(Debt) = 68,
}

impl CommandKind {
    /// Made by the cluster's own links, which count for themselves and need no session.
    pub const fn is_link(self) -> bool {
        matches!(
            self,
            Self::Grant
                | Self::Recall
                | Self::Return
                | Self::LinkAck
                | Self::Hold
                | Self::Release
                | Self::Held
                | Self::MarginCall
                | Self::Debt
        )
    }
}

/// Whom a command about an order concerns, for those who look where it will lead before it is its
/// turn.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    pub account: AccountId,
    pub symbol: SymbolId,
    /// Its side and price, if it is a new one or is moved.
    pub place: Option<(Side, Ticks)>,
    /// The order there is; none: it is a new one, or named by the client's id.
    pub order: OrderId,
    /// The client's id when `order` is none.
    pub client_id: ClientId,
}

/// The client's id, where the order's own does not count instead.
fn named(order: OrderId, client_id: &ClientId) -> ClientId {
    if order.is_none() { *client_id } else { ClientId::EMPTY }
}

impl Aim {
    /// Of the payload of a frame of this kind; `None`: it is about no order, or can't be read.
    pub fn of(kind: u16, payload: &[u8]) -> Option<Self> {
        let body = payload.get(ENVELOPE_BYTES..)?;
        match CommandKind::from_u16(kind)? {
            CommandKind::Place => Place::try_ref_from_bytes(body).ok().map(|order| Self {
                account: order.account,
                symbol: order.symbol,
                place: Some((order.side, order.price)),
                order: OrderId::NONE,
                client_id: order.client_id,
            }),
            CommandKind::Amend => Amend::try_ref_from_bytes(body).ok().map(|amend| Self {
                account: amend.account,
                symbol: amend.symbol,
                place: Some((amend.side, amend.price)),
                order: amend.order,
                client_id: named(amend.order, &amend.client_id),
            }),
            CommandKind::Cancel => Cancel::try_ref_from_bytes(body).ok().map(|cancel| Self {
                account: cancel.account,
                symbol: cancel.symbol,
                place: None,
                order: cancel.order,
                client_id: named(cancel.order, &cancel.client_id),
            }),
            _ => None,
        }
    }
}

impl Command {
    /// The account whose position, orders or equity a trading shard looks at for this command.
    pub const fn judged_account(&self) -> Option<AccountId> {
        match self {
            Self::Place(body) | Self::TestPlace(body) => Some(body.account),
            Self::Amend(body) => Some(body.account),
            Self::PlaceAlgo(body) => Some(body.account),
            Self::SetLeverage(body) => Some(body.account),
            Self::SetMarginMode(body) => Some(body.account),
            Self::MoveMargin(body) => Some(body.account),
            Self::Recall(body) => Some(body.account),
            Self::Hold(body) => Some(body.account),
            Self::Open(_)
            | Self::Tick(_)
            | Self::Genesis(_)
            | Self::LinkState(_)
            | Self::Cancel(_)
            | Self::CancelAll(_)
            | Self::CancelAlgo(_)
            | Self::CancelAllAlgos(_)
            | Self::Countdown(_)
            | Self::ListSymbol(_)
            | Self::SetBrackets(_)
            | Self::SetFees(_)
            | Self::SetSymbolState(_)
            | Self::Settle(_)
            | Self::IndexPrices(_)
            | Self::Deposit(_)
            | Self::Lend(_)
            | Self::Grant(_)
            | Self::Return(_)
            | Self::SetPositionMode(_)
            | Self::Withdraw(_)
            | Self::Release(_)
            | Self::Held(_)
            | Self::MarginCall(_)
            | Self::Debt(_)
            | Self::LinkAck(_) => None,
        }
    }

    /// Writes envelope and body; returns the bytes written (at most `COMMAND_BYTES_MAX`).
    pub fn encode(&self, envelope: &Envelope, out: &mut [u8; COMMAND_BYTES_MAX]) -> usize {
        let body = self.body();
        let len = ENVELOPE_BYTES + body.len();
        out[..ENVELOPE_BYTES].copy_from_slice(envelope.as_bytes());
        out[ENVELOPE_BYTES..len].copy_from_slice(body);
        len
    }
}

impl Place {
    /// It can only reduce its position: by its owner's word, or as it closes a leg.
    pub const fn reduces(&self) -> bool {
        self.reduce_only || self.position_side.closed_by(self.side)
    }
}

impl PlaceAlgo {
    /// As [`Place::reduces`] of what it becomes.
    pub const fn reduces(&self) -> bool {
        self.reduce_only || self.close_position || self.position_side.closed_by(self.side)
    }
}

layout!(Open {
    /// Drawn by the opener, so that it recognises the session made for it.
    nonce: u64,
    kind: SessionKind,
    _pad: [u8; 7],
    name: Name<32>,
});
layout!(Genesis {
    cluster: u64,
    /// Keys the tables whose keys clients choose, so that nobody can make collisions.
    secret: [u8; 16],
    shard: ShardId,
    /// Shards of the cluster, the ledger included.
    shards: u8,
    _pad: [u8; 6],
});
layout!(Tick { _reserved: u64 });
layout!(Place {
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    order_type: OrderType,
    time_in_force: TimeInForce,
    self_trade: SelfTradePrevention,
    price_match: PriceMatch,
    position_side: PositionSide,
    reduce_only: bool,
    _pad: [u8; 3],
    /// 0 for a market order or with a price match.
    price: Ticks,
    qty: Lots,
    /// For GTD; else 0.
    good_till: Micros,
    client_id: ClientId,
    _pad2: [u8; 4],
});
layout!(
/// Changes a resting limit order; `order` 0 means: by `client_id`.
Amend {
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    price_match: PriceMatch,
    order: OrderId,
    price: Ticks,
    qty: Lots,
    client_id: ClientId,
    /// The client says it is reduce-only: refused if it is not.
    reduce_only: bool,
    _pad: [u8; 3],
});
layout!(
/// Ends an open order; `order` 0 means: by `client_id`.
Cancel {
    account: AccountId,
    symbol: SymbolId,
    _pad: [u8; 2],
    order: OrderId,
    client_id: ClientId,
    _pad2: [u8; 4],
});
layout!(CancelAll { account: AccountId, symbol: SymbolId, _pad: [u8; 2] });
layout!(
/// A conditional order: what becomes an order once its condition holds.
PlaceAlgo {
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    algo_type: AlgoType,
    time_in_force: TimeInForce,
    self_trade: SelfTradePrevention,
    price_match: PriceMatch,
    position_side: PositionSide,
    working_type: WorkingType,
    reduce_only: bool,
    /// Closes what is there when it fires; then `qty` is 0.
    close_position: bool,
    /// Does not fire while last price and mark are too far apart.
    price_protect: bool,
    /// 0 for the market types or with a price match.
    price: Ticks,
    qty: Lots,
    /// 0 for a trailing stop.
    trigger_price: Ticks,
    /// Of a trailing stop, 0: at once.
    activate_price: Ticks,
    /// Of a trailing stop.
    callback: Rate,
    /// For GTD; else 0.
    good_till: Micros,
    client_id: ClientId,
    _pad: [u8; 4],
});
layout!(
/// Ends a conditional order that waits; `algo` 0 means: by `client_id`.
CancelAlgo {
    account: AccountId,
    symbol: SymbolId,
    _pad: [u8; 2],
    algo: AlgoId,
    client_id: ClientId,
    _pad2: [u8; 4],
});
layout!(
/// `after` is counted from when the command is applied; 0 ends the countdown.
Countdown { account: AccountId, symbol: SymbolId, _pad: [u8; 2], after: Micros });
layout!(SetLeverage { account: AccountId, symbol: SymbolId, leverage: u8, _pad: u8 });
layout!(SetMarginMode { account: AccountId, symbol: SymbolId, mode: MarginMode, _pad: u8 });
layout!(MoveMargin {
    account: AccountId,
    symbol: SymbolId,
    position_side: PositionSide,
    _pad: u8,
    /// Into the isolated wallet of the position; negative: out of it.
    amount: Cash,
});
layout!(
/// Rates of one account on one symbol of the shard.
SetFees { account: AccountId, symbol: SymbolId, _pad: [u8; 2], maker: Rate, taker: Rate });
layout!(
/// Any state but settling, which only [`Settle`] brings about and only its end ends.
SetSymbolState { symbol: SymbolId, state: SymbolState, _pad: [u8; 5] });
layout!(Settle {
    symbol: SymbolId,
    _pad: [u8; 6],
    /// What positions are closed at, inside the symbol's band; 0: the mark of this moment, if its
    /// index is fresh.
    price: Ticks,
});
layout!(
/// One index price, in quote units of 1e-8.
IndexPrice { symbol: SymbolId, _pad: [u8; 6], price_e8: i64 });
layout!(
/// The first `count` rows count; unknown symbols and prices <= 0 are passed over.
IndexPrices { count: u16, _pad: [u8; 6], rows: [IndexPrice; INDEX_PRICES_MAX] });
layout!(
/// `transfer` grows per account, so that a deposit sent twice counts once.
Deposit { account: AccountId, _pad: u32, transfer: u64, amount: Cash });
layout!(
/// `transfer` grows per account: one that was paid out is not paid out again. Deposits count for
/// themselves.
Withdraw { account: AccountId, _pad: u32, transfer: u64, amount: Cash });
layout!(Lend { account: AccountId, shard: ShardId, _pad: [u8; 3], amount: Cash });
layout!(Grant {
    /// Place in the ledger's stream to this shard: applied iff it is the next.
    link_seq: u64,
    account: AccountId,
    _pad: u32,
    /// 0 only as the answer to a margin call: nothing could be had.
    amount: Cash,
    /// The margin call that it answers, by its place in the shard's stream; 0: a Lend.
    call: u64,
});
layout!(
/// What an account lacks on a shard, as its owner is not there to ask.
MarginCall {
    /// Place in the shard's stream to the ledger.
    link_seq: u64,
    account: AccountId,
    from: ShardId,
    kind: CallKind,
    _pad: [u8; 2],
    amount: Cash,
});
layout!(Recall {
    link_seq: u64,
    account: AccountId,
    /// For a margin call: what only guards orders is given up for it.
    urgent: bool,
    _pad: [u8; 3],
    /// The most that is wanted back.
    amount: Cash,
    /// The Lend or the Withdraw it is for, by its seq at the ledger.
    lend: u64,
});
layout!(Return {
    /// Place in the shard's stream to the ledger.
    link_seq: u64,
    account: AccountId,
    from: ShardId,
    _pad: [u8; 3],
    amount: Cash,
    /// The Lend or the Withdraw that the recall was for.
    lend: u64,
});
layout!(SetPositionMode { account: AccountId, mode: PositionMode, _pad: [u8; 3] });
layout!(Hold {
    link_seq: u64,
    /// The SetPositionMode or Withdraw it is for, by its seq at the ledger.
    change: u64,
    account: AccountId,
    purpose: HoldFor,
    _pad: [u8; 3],
});
layout!(Release { link_seq: u64, account: AccountId, mode: ModeChange, _pad: [u8; 3] });
layout!(Held {
    link_seq: u64,
    /// The SetPositionMode or Withdraw that the hold was for.
    change: u64,
    account: AccountId,
    from: ShardId,
    state: HoldState,
    _pad: [u8; 2],
    /// What of the account's cash there nothing needs, `min(cash, equity) - initial margin`:
    /// negative where margin is lacking.
    spare: Cash,
});
layout!(
/// What an account owes the insurance fund more.
Debt {
    /// Place in the shard's stream to the ledger.
    link_seq: u64,
    account: AccountId,
    from: ShardId,
    _pad: [u8; 3],
    amount: Cash,
});
layout!(
/// `up`: false from when the peer owes an answer, or has no address, for too long.
LinkState { peer: ShardId, up: bool, _pad: [u8; 6] });
layout!(LinkAck { peer: ShardId, _pad: [u8; 7], link_seq: u64 });
