//! The words every part of the exchange shares: ids, units, commands, events, frames, messages.
//!
//! The same bytes stand in the rings, in the journals and on the wire, so there is one
//! definition of each and no translation between them. Layouts are fixed at compile time
//! (`zerocopy`), integers are little-endian, padding is explicit and zero. Decoding checks every
//! enum and length: garbage is an error, never a value.
#![no_std]

#[cfg(target_endian = "big")]
compile_error!("the layouts are little-endian; a big-endian host would need conversions");

pub mod command;
pub mod decimal;
pub mod event;
pub mod frame;
pub mod ids;
pub mod instrument;
mod layout;
pub mod limits;
pub mod order;
pub mod reject;
pub mod wire;

pub use command::{Command, CommandKind, Envelope};
pub use event::{Event, EventBody, EventKind};
pub use frame::FrameHeader;
pub use ids::{AccountId, AlgoId, ClientId, Name, OrderId, SessionId, ShardId, SymbolId, TradeId};
pub use reject::Reject;

/// A price in ticks of its symbol.
pub type Ticks = i64;
/// A quantity in lots of its symbol; positions are signed, long up.
pub type Lots = i64;
/// An amount of the margin asset in units of 1e-8.
pub type Cash = i64;
/// A ratio (fee, margin, funding) in units of 1e-8.
pub type Rate = i64;
/// A place in a shard's log; the first frame is 1, so 0 means "none yet".
pub type Seq = u64;
/// A log time: microseconds since the Unix epoch, stamped by the ingress.
pub type Micros = u64;

/// One, as a [`Rate`].
pub const RATE_ONE: Rate = 100_000_000;
/// Decimals of [`Cash`] and [`Rate`].
pub const CASH_DECIMALS: u32 = 8;

/// Why bytes are not a message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the layout needs.
    Truncated,
    /// More bytes than the layout has.
    Oversized,
    /// A kind, version or magic number that is not ours.
    Unknown,
    /// The right size, but a field holds a value that its type does not have.
    Invalid,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "message is cut short",
            Self::Oversized => "message is longer than its kind",
            Self::Unknown => "message is of an unknown kind or version",
            Self::Invalid => "message holds a value out of its type's range",
        })
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod roundtrip_test;
