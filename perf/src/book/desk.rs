//! The book with what a flow's commands need around it: matching with owners and self-trade
//! prevention, by the book's own steps.

use engine::book::{Book, Resting};
use protocol::{
    AccountId, Lots, OrderId, Ticks,
    order::{SelfTradePrevention, Side},
};

use crate::flow::{Command, Op, Sums};

/// What stands beside each order, as much as the engine keeps there, so that copying it counts.
type Owned = [u64; OWNED_WORDS];

const OWNED_WORDS: usize = 13;

#[derive(Debug)]
pub struct Desk {
    book: Book<Owned>,
    sums: Sums,
    self_trade: SelfTradePrevention,
}

/// An order on its way through the other side.
struct Taker {
    account: AccountId,
    side: Side,
    limit: Ticks,
    left: Lots,
    filled: Lots,
}

/// Whether an own order made the taker stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Clear,
    Barred,
}

impl Desk {
    pub fn new(self_trade: SelfTradePrevention) -> Self {
        Self { book: Book::default(), sums: Sums::default(), self_trade }
    }

    pub fn apply(&mut self, command: &Command) {
        match command.op {
            Op::Place => self.place(command),
            Op::Take => {
                let id = self.book.next_order_id();
                debug_assert_eq!(id, command.id);
                let mut taker = Taker::new(command, command.qty, 0);
                self.take(&mut taker);
            }
            Op::Cancel => {
                if let Some(slot) = self.book.find(command.id) {
                    self.book.remove(slot);
                }
            }
            Op::Move => self.shift(command),
        }
    }

    pub fn sums(&self) -> Sums {
        Sums { resting: self.book.len() as u64, ..self.sums }
    }

    fn place(&mut self, command: &Command) {
        let id = self.book.next_order_id();
        debug_assert_eq!(id, command.id);
        let mut taker = Taker::new(command, command.qty, 0);
        if self.take(&mut taker) == Way::Clear && taker.left > 0 {
            self.book.rest(taker.resting(id));
        }
    }

    fn shift(&mut self, command: &Command) {
        let Some(slot) = self.book.find(command.id) else { return };
        let lifted = self.book.lift(slot).order;
        let mut taker = Taker::new(command, lifted.remaining(), lifted.cum_qty());
        if self.take(&mut taker) == Way::Clear && taker.left > 0 {
            self.book.rest_lifted(slot, taker.limit, taker.left, taker.filled);
        } else {
            self.book.drop_lifted(slot);
        }
    }

    fn take(&mut self, taker: &mut Taker) -> Way {
        let makers = taker.side.opposite();
        while taker.left > 0
            && let Some(slot) = self.book.maker(makers, taker.limit)
        {
            let maker = self.book.order(slot);
            if maker.account() == taker.account {
                if self.self_trade != SelfTradePrevention::ExpireTaker {
                    self.book.remove(slot);
                }
                if self.self_trade != SelfTradePrevention::ExpireMaker {
                    return Way::Barred;
                }
                continue;
            }
            let (price, lots) = (maker.price(), taker.left.min(maker.remaining()));
            self.book.fill(slot, lots);
            self.book.next_trade_id();
            taker.left -= lots;
            taker.filled += lots;
            self.sums.trade(price, lots);
        }
        Way::Clear
    }
}

impl Taker {
    fn new(command: &Command, left: Lots, filled: Lots) -> Self {
        let Command { account, side, price, .. } = *command;
        Self { account, side, limit: price, left, filled }
    }

    fn resting(&self, id: OrderId) -> Resting<Owned> {
        let Self { account, side, limit, left, filled } = *self;
        let data = Owned::default();
        Resting { id, account, side, price: limit, remaining: left, cum_qty: filled, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Flow, FlowName};

    #[test]
    fn golden_sums_hold_whatever_the_self_trade_mode() {
        for name in [FlowName::A, FlowName::B] {
            let flow = Flow::make(name);
            for self_trade in SelfTradePrevention::ALL {
                let mut desk = Desk::new(*self_trade);
                flow.commands.iter().for_each(|command| desk.apply(command));
                assert_eq!(desk.sums(), flow.golden, "flow {name:?}");
                assert_eq!(desk.book.audit(), Ok(()));
            }
        }
    }
}
