//! Ids: dense integers, each a type of its own, so that one can't be passed for another.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            FromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            pub const NONE: Self = Self(0);
            pub const fn is_none(self) -> bool {
                self.0 == 0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(/// A margin account, given out by the ledger's operator, dense from 1. 0 is nobody's but the
    /// insurance fund's.
    AccountId(u32));
id!(/// A symbol, dense from 1 over all shards; 0 is none.
    SymbolId(u16));
id!(/// An order, counted per symbol from 1.
    OrderId(u64));
id!(/// A conditional order: a count per symbol above [`ALGO_SYMBOL_BITS`] bits of symbol, so that the id
    /// alone says where the order is.
    AlgoId(u64));
id!(/// A trade, counted per symbol from 1.
    TradeId(u64));
id!(/// A command session: the seq of the frame that opened it. 0: a frame of the cluster itself.
    SessionId(u64));

impl AccountId {
    /// The insurance fund: an account of each shard and of the ledger that no client can name.
    pub const INSURANCE: Self = Self(0);

    pub const fn is_insurance(self) -> bool {
        self.0 == Self::INSURANCE.0
    }
}

/// Low bits of an [`AlgoId`] that hold the symbol.
pub const ALGO_SYMBOL_BITS: u32 = 16;

impl AlgoId {
    /// The `count`th of a symbol, from 1.
    pub const fn new(symbol: SymbolId, count: u64) -> Self {
        Self((count << ALGO_SYMBOL_BITS) | symbol.0 as u64)
    }

    /// Its place among the symbol's, from 1.
    pub const fn count(self) -> u64 {
        self.0 >> ALGO_SYMBOL_BITS
    }

    pub const fn symbol(self) -> SymbolId {
        SymbolId(self.0 as u16)
    }
}

/// A shard of the cluster. 0 is the ledger, trading shards count from 1.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct ShardId(pub u8);

impl ShardId {
    pub const LEDGER: Self = Self(0);
}

impl core::fmt::Display for ShardId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.0, f)
    }
}

/// Short text in a fixed field, zero-padded at the end: a name, an asset, an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Name<const N: usize>([u8; N]);

/// A client's own order id: 1 to 36 characters of `.A-Z:/a-z0-9_-`, or empty for none.
pub type ClientId = Name<36>;

impl<const N: usize> Name<N> {
    pub const EMPTY: Self = Self([0; N]);

    /// `None` when the text is longer than `N` bytes or holds a zero byte.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() > N || bytes.contains(&0) {
            return None;
        }
        let mut field = [0; N];
        field[..bytes.len()].copy_from_slice(bytes);
        Some(Self(field))
    }

    /// What [`Self::as_bytes`] gives, a field again; `None` when there are more than `N` bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut field = [0; N];
        field.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(field))
    }

    /// The text without its padding; empty when a peer sent bytes that are not UTF-8.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..self.len()]
    }

    /// Bytes before the padding, sought from the end a word at a time.
    #[inline]
    fn len(&self) -> usize {
        let mut end = N;
        while let Some(word) = self.0[..end].last_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            if word != 0 {
                return end - word.leading_zeros() as usize / 8;
            }
            end -= 8;
        }
        self.0[..end].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }
}

impl<const N: usize> Default for Name<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> core::fmt::Debug for Name<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl<const N: usize> core::fmt::Display for Name<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
