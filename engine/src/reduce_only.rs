//! Reduce-only orders never hold more than their position: what is too much is clipped.
//!
//! The farthest from the market goes first, then the one furthest back in its queue. So what
//! stays is what a taker would meet first, and a walk over the book can tell what an order will
//! be clipped to without clipping it: the lots left to close when it is met.

use protocol::{
    Lots,
    event::OrderAmended,
    order::{CloseReason, OrderStatus, Side},
};

use crate::{
    accounts::HoldingAt,
    book::Slot,
    desk::Desk,
    output::{Output, Sink},
};

impl Desk<'_> {
    /// Clips the holding's reduce-only orders to what its position leaves to close.
    pub fn clip<S: Sink>(&mut self, at: HoldingAt, out: &mut Output<'_, S>) {
        while let Some((slot, excess)) = self.clippable(at) {
            let order = self.symbol.book.order(slot);
            if order.remaining() <= excess {
                self.close(slot, OrderStatus::Expired, CloseReason::ReduceOnly, out);
                continue;
            }
            let reduced = self.symbol.book.reduce(slot, excess);
            let (order, level_qty) = (*reduced.order, reduced.level_qty);
            self.level_changed(order.side(), order.price(), level_qty, -excess);
            self.remaining_changed(&order.data, order.side(), order.remaining(), -excess);
            out.emit(&OrderAmended {
                order: order.id(),
                account: order.account(),
                symbol: self.symbol.spec.symbol,
                side: order.side(),
                clipped: 1,
                price: order.price(),
                qty: order.qty(),
                cum_qty: order.cum_qty(),
                cum_quote: order.data.cum_quote,
            });
        }
    }

    /// The order to clip next and the lots that are too much.
    fn clippable(&self, at: HoldingAt) -> Option<(Slot, Lots)> {
        let holding = self.accounts.holding(at);
        if holding.orders.reducing_lots == 0 {
            return None;
        }
        let slot = self.farthest_reducing(holding.orders.first)?;
        let side = self.symbol.book.order(slot).side();
        let left = holding.exposure.position.closable(side.sign());
        let excess = holding.orders.reducing_lots - left;
        (excess > 0).then_some((slot, excess))
    }

    fn farthest_reducing(&self, first: Slot) -> Option<Slot> {
        let book = &self.symbol.book;
        core::iter::successors(first.some(), |slot| book.order(*slot).data.next.some())
            .filter(|slot| book.order(*slot).data.reduce_only)
            .max_by_key(|slot| {
                let order = book.order(*slot);
                let distance = match order.side() {
                    Side::Buy => -order.price(),
                    Side::Sell => order.price(),
                };
                (distance, order.data.queued)
            })
    }
}
