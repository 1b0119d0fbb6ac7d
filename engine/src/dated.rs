//! Orders that are good till a date: which ends next.
//!
//! Wherever such an order is met after its date it ends there and then, so this only tidies up
//! what nobody meets: as the last of the pending work, one order a unit.

use protocol::{
    Micros, OrderId, SymbolId,
    order::{CloseReason, OrderStatus},
};

use crate::{
    book::Slot,
    deadlines::{Deadline, Deadlines},
    desk::Desk,
    output::{Output, Sink},
};

/// A resting order's date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dated {
    pub at: Micros,
    pub symbol: SymbolId,
    pub order: OrderId,
    /// The symbol's place in the shard, and the order's in its book.
    pub place: u16,
    pub slot: Slot,
}

impl Deadline for Dated {
    fn at(&self) -> Micros {
        self.at
    }

    fn owner(&self) -> (usize, usize) {
        Self::owner_of(self.place, self.slot)
    }
}

impl Dated {
    pub const fn owner_of(place: u16, slot: Slot) -> (usize, usize) {
        (place as usize, slot.index())
    }
}

/// They follow from the orders, so the state's digest says nothing more of them.
pub(crate) type DatedOrders = Deadlines<Dated>;

impl Desk<'_> {
    /// Ends an order whose date has come, whatever state its symbol is in.
    pub fn end_dated<S: Sink>(&mut self, slot: Slot, out: &mut Output<'_, S>) {
        self.close(slot, OrderStatus::Expired, CloseReason::GoodTillDate, out);
        self.settle(out);
    }
}
