//! Checks that a book is whole: what must hold between any two commands.
//!
//! Tests and simulations call it after every step; it walks everything and changes nothing.

use protocol::{Lots, Ticks, order::Side};

use super::{Book, order::State};

/// What is wrong with a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The best bid is not below the best ask.
    Crossed { bid: Ticks, ask: Ticks },
    /// A level that holds nothing.
    EmptyLevel { side: Side, price: Ticks },
    /// A level's quantity is not the sum of its orders'.
    LevelQty { side: Side, price: Ticks, level: Lots, orders: Lots },
    /// A queue's links don't meet, or an order stands in the wrong one.
    Queue { side: Side, price: Ticks },
    /// Levels don't come in the order of their prices.
    LevelOrder { side: Side, price: Ticks },
    /// An order can't be found by its id.
    Index { side: Side, price: Ticks },
    /// Orders are stored that stand in no queue.
    Orphans { stored: usize, queued: usize },
    /// An index entry without an order.
    IndexSize { entries: usize, stored: usize },
}

impl<P: Copy + Default> Book<P> {
    /// The first fault found. Only between commands: a lifted order is an orphan.
    pub fn audit(&self) -> Result<(), Fault> {
        if let (Some(bid), Some(ask)) = (self.best(Side::Buy), self.best(Side::Sell))
            && bid >= ask
        {
            return Err(Fault::Crossed { bid, ask });
        }
        let queued = self.audit_side(Side::Buy)? + self.audit_side(Side::Sell)?;
        let stored = self.len();
        if queued != stored {
            return Err(Fault::Orphans { stored, queued });
        }
        let entries = self.ids.len();
        if entries != stored { Err(Fault::IndexSize { entries, stored }) } else { Ok(()) }
    }

    /// Returns the number of queued orders.
    fn audit_side(&self, side: Side) -> Result<usize, Fault> {
        let mut queued = 0;
        let mut last = None;
        for level in self.levels(side) {
            let price = level.price;
            if last.is_some_and(|last: Ticks| (price - last) * side.sign() >= 0) {
                return Err(Fault::LevelOrder { side, price });
            }
            last = Some(price);
            if level.qty <= 0 {
                return Err(Fault::EmptyLevel { side, price });
            }
            queued += self.audit_queue(side, price)?;
        }
        Ok(queued)
    }

    fn audit_queue(&self, side: Side, price: Ticks) -> Result<usize, Fault> {
        let level = self.level(side, price);
        let (mut orders, mut qty, mut last) = (0, 0, None);
        for (slot, order) in self.queue(side, price) {
            let linked = order.prev == last.unwrap_or_default();
            let at_home = (order.side, order.price, order.state) == (side, price, State::Queued);
            if !linked || !at_home || order.remaining <= 0 {
                return Err(Fault::Queue { side, price });
            }
            if self.find(order.id) != Some(slot) {
                return Err(Fault::Index { side, price });
            }
            orders += 1;
            qty += order.remaining;
            last = Some(slot);
        }
        if self.tail(side, price) != last {
            return Err(Fault::Queue { side, price });
        }
        if level.qty != qty {
            return Err(Fault::LevelQty { side, price, level: level.qty, orders: qty });
        }
        Ok(orders)
    }
}
