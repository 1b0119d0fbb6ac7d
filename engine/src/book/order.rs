//! A resting order as the book stores it: the fields that matching reads, then its owner's data.
//!
//! The book's own fields come first and fit one cache line together with the first bytes of
//! `data`, so that a maker that is met costs one miss. What the caller needs beyond them
//! (reservation, flags, client id) is a type of its own choice, and the book never looks at it.

use core::fmt;

use protocol::{AccountId, Lots, OrderId, Ticks, order::Side};

/// Where an order is stored. It names that order until the order leaves the book; after that the
/// place is used again, so only ids may be kept for longer.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(super) u32);

impl Slot {
    /// No order. Zero, so that tables of slots are born empty.
    pub const NONE: Self = Self(0);

    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The same, as what may be there or not.
    #[inline]
    pub const fn some(self) -> Option<Self> {
        if self.is_none() { None } else { Some(self) }
    }

    /// The place as a number, dense from 1, for tables that go along with the book.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.0)
    }
}

/// An order that is to rest: what the book must know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting<P> {
    pub id: OrderId,
    pub account: AccountId,
    pub side: Side,
    pub price: Ticks,
    /// Still to be filled; at least 1.
    pub remaining: Lots,
    /// Filled before it came to rest.
    pub cum_qty: Lots,
    pub data: P,
}

/// An order in the book. Everything but `data` changes through the book only.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Order<P> {
    /// The order behind it in its queue; on the list of free slots, the next free one.
    pub(super) next: Slot,
    pub(super) prev: Slot,
    pub(super) id: OrderId,
    pub(super) price: Ticks,
    pub(super) remaining: Lots,
    pub(super) cum_qty: Lots,
    pub(super) account: AccountId,
    pub(super) side: Side,
    pub(super) state: State,
    pub data: P,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// In the queue of its level.
    Queued,
    /// Taken out of its queue to be matched anew; it keeps slot and id.
    Lifted,
}

impl<P> Order<P> {
    #[inline]
    pub const fn id(&self) -> OrderId {
        self.id
    }

    #[inline]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    #[inline]
    pub const fn side(&self) -> Side {
        self.side
    }

    #[inline]
    pub const fn price(&self) -> Ticks {
        self.price
    }

    #[inline]
    pub const fn remaining(&self) -> Lots {
        self.remaining
    }

    /// Filled so far.
    #[inline]
    pub const fn cum_qty(&self) -> Lots {
        self.cum_qty
    }

    /// Its whole quantity: what is filled and what remains.
    #[inline]
    pub const fn qty(&self) -> Lots {
        self.cum_qty + self.remaining
    }
}
