//! Where one command on one symbol is worked on: the symbol, everybody's accounts, and a note of
//! what has changed, so that each level and each account's reservations are told once at the end.

use alloc::vec::Vec;

use protocol::{
    AlgoId, Lots, Micros, OrderId, Reject, Ticks,
    event::{AlgoChanged, Level, OrderClosed, Reserved as ReservedEvent},
    order::{AlgoStatus, CloseReason, OrderStatus, Side},
};
use rules::{Reservation, Reserved};

use crate::{
    accounts::{Accounts, HoldingAt},
    bands::Bands,
    book::{Order, Slot},
    client_ids::ClientIds,
    countdowns::Countdowns,
    dated::{Dated, DatedOrders},
    funding::Pools,
    output::{Output, Sink},
    symbols::{Quote, Symbol, Terms},
    work::Work,
};

/// What a command has changed so far.
#[derive(Default)]
pub(crate) struct Changes {
    levels: Vec<LevelNote>,
    /// Prices noted, by side: the first and the last, in ticks.
    spans: [Option<(Ticks, Ticks)>; 2],
    holdings: Vec<HoldingNote>,
}

/// What a holding held back before. What is copied comes first, so that it is copied as it lies.
#[repr(C)]
struct HoldingNote {
    before: Reserved,
    at: HoldingAt,
}

struct LevelNote {
    side: Side,
    price: Ticks,
    before: Lots,
    now: Lots,
}

impl Changes {
    pub fn with_capacity(notes: usize) -> Self {
        Self {
            levels: Vec::with_capacity(notes),
            spans: [None; 2],
            holdings: Vec::with_capacity(notes),
        }
    }

    /// Events that the notes will become, at the most.
    pub fn len(&self) -> usize {
        self.levels.len() + self.holdings.len()
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.spans = [None; 2];
        self.holdings.clear();
    }

    fn note_level(&mut self, side: Side, price: Ticks, before: Lots, now: Lots) {
        let noted = match &mut self.spans[side as usize] {
            // a sweep goes on to new prices, so most need no search
            Some((low, high)) if (*low..=*high).contains(&price) => {
                let same = |note: &&mut LevelNote| note.side == side && note.price == price;
                self.levels.iter_mut().rev().find(same)
            }
            Some((low, high)) => {
                (*low, *high) = ((*low).min(price), (*high).max(price));
                None
            }
            span => {
                *span = Some((price, price));
                None
            }
        };
        match noted {
            Some(note) => note.now = now,
            None => self.levels.push(LevelNote { side, price, before, now }),
        }
    }
}

pub(crate) struct Desk<'a> {
    /// Counts what is done on a shard: one more for each command and each unit of pending work.
    pub turn: u64,
    pub now: Micros,
    /// The frame's events may not become more than these.
    pub ceiling: usize,
    /// The events among them that are left for this turn.
    pub room: usize,
    /// The symbol's place in the shard.
    pub at: u16,
    pub symbol: &'a mut Symbol,
    pub quotes: &'a [Quote],
    pub accounts: &'a mut Accounts,
    pub clients: &'a mut ClientIds,
    /// Client ids of the conditional orders that wait.
    pub algo_clients: &'a mut ClientIds,
    pub work: &'a mut Work,
    pub countdowns: &'a mut Countdowns,
    pub dated: &'a mut DatedOrders,
    pub bands: &'a mut Bands,
    pub changes: &'a mut Changes,
    /// Fees the shard has taken, less rebates.
    pub fees: &'a mut i128,
    pub pools: &'a mut Pools,
}

/// What is left of an order when it ends.
pub(crate) struct Ended {
    pub order: OrderId,
    pub account: protocol::AccountId,
    pub side: Side,
    pub qty: Lots,
    pub cum_qty: Lots,
    pub cum_quote: i64,
    /// The conditional order it stems from, or none.
    pub algo: AlgoId,
}

impl Desk<'_> {
    pub fn quote(&self) -> &Quote {
        &self.quotes[usize::from(self.at)]
    }

    /// Tells what has changed: levels in the order of their first change, then reservations.
    pub fn settle<S: Sink>(&mut self, out: &mut Output<'_, S>) {
        let symbol = self.symbol.spec.symbol;
        for note in self.changes.levels.iter().filter(|note| note.before != note.now) {
            let update = self.symbol.book.next_update();
            let (side, price, qty) = (note.side, note.price, note.now);
            out.emit(&Level { symbol, side, _pad: [0; 5], price, qty, update });
        }
        for note in &self.changes.holdings {
            let holding = self.accounts.holding(note.at);
            let sums = holding.exposure.reserved;
            if sums == note.before {
                continue;
            }
            out.emit(&ReservedEvent {
                account: self.accounts.account(holding.account).id,
                symbol,
                position_side: holding.side,
                _pad: 0,
                buy: sums.buy,
                sell: sums.sell,
                loss: sums.loss,
                fee: sums.fee,
            });
        }
        self.changes.clear();
    }

    pub fn level_changed(&mut self, side: Side, price: Ticks, now: Lots, by: Lots) {
        self.symbol.resting += by;
        self.changes.note_level(side, price, now - by, now);
    }

    /// What an order of these terms holds back with `remaining` lots.
    pub fn reservation(&self, terms: &Terms, side: Side, remaining: Lots) -> Reservation {
        match terms.reduce_only {
            true => Reservation::default(),
            false => terms.reserve.reserve(side, remaining, self.quote().mult),
        }
    }

    /// Books that an order of a holding has `by` lots more (or less) in the book, of `now` lots.
    pub fn remaining_changed(&mut self, terms: &Terms, side: Side, now: Lots, by: Lots) {
        let mult = self.quote().mult;
        let holding = self.accounts.holding_mut(terms.holding);
        holding.orders.lots[side as usize] += by;
        if terms.reduce_only {
            holding.orders.reducing_lots += by;
            return;
        }
        if holding.touched != self.turn {
            holding.touched = self.turn;
            let before = holding.exposure.reserved;
            self.changes.holdings.push(HoldingNote { before, at: terms.holding });
        }
        let change = terms.reserve.change(side, now, by, mult);
        holding.exposure.reserved = holding.exposure.reserved.plus(&change);
    }

    /// Adds a resting order to its holding's list.
    pub fn link(&mut self, slot: Slot) {
        let terms = self.symbol.book.order(slot).data;
        let orders = &mut self.accounts.holding_mut(terms.holding).orders;
        let last = core::mem::replace(&mut orders.last, slot);
        match last.some() {
            Some(last) => self.symbol.book.order_mut(last).data.next = slot,
            None => orders.first = slot,
        }
        orders.count += 1;
        orders.reducing += u32::from(terms.reduce_only);
        let added = &mut self.symbol.book.order_mut(slot).data;
        (added.prev, added.next) = (last, Slot::NONE);
        self.accounts.resting += 1;
        if terms.good_till != 0 {
            self.note_date(slot, terms.good_till);
        }
    }

    #[cold]
    fn note_date(&mut self, slot: Slot, at: Micros) {
        let (symbol, order) = (self.symbol.spec.symbol, self.symbol.book.order(slot).id());
        self.dated.set(Dated { at, symbol, order, place: self.at, slot });
    }

    /// Takes an order that has left the book out of its holding's list and frees its client id.
    pub fn unlink(&mut self, slot: Slot, terms: &Terms) {
        if terms.good_till != 0 {
            self.dated.clear(Dated::owner_of(self.at, slot));
        }
        let orders = &mut self.accounts.holding_mut(terms.holding).orders;
        match terms.prev.some() {
            Some(prev) => self.symbol.book.order_mut(prev).data.next = terms.next,
            None => orders.first = terms.next,
        }
        match terms.next.some() {
            Some(next) => self.symbol.book.order_mut(next).data.prev = terms.prev,
            None => orders.last = terms.prev,
        }
        orders.count -= 1;
        orders.reducing -= u32::from(terms.reduce_only);
        self.accounts.resting -= 1;
        self.clients.remove(terms.client);
    }

    /// Takes a resting order out of the book and tells why.
    pub fn close<S: Sink>(
        &mut self,
        slot: Slot,
        status: OrderStatus,
        reason: CloseReason,
        out: &mut Output<'_, S>,
    ) {
        let removed = self.symbol.book.remove(slot);
        let (order, level_qty): (Order<Terms>, Lots) = (*removed.order, removed.level_qty);
        let lots = order.remaining();
        self.level_changed(order.side(), order.price(), level_qty, -lots);
        self.remaining_changed(&order.data, order.side(), 0, -lots);
        self.unlink(slot, &order.data);
        self.tell_closed(&Ended::of(&order), status, reason, out);
    }

    pub fn tell_closed<S: Sink>(
        &mut self,
        ended: &Ended,
        status: OrderStatus,
        reason: CloseReason,
        out: &mut Output<'_, S>,
    ) {
        if let Some(owner) = self.accounts.find(ended.account) {
            self.accounts.note_use(owner, self.now);
        }
        out.emit(&OrderClosed {
            order: ended.order,
            account: ended.account,
            symbol: self.symbol.spec.symbol,
            side: ended.side,
            status,
            reason,
            _pad: [0; 7],
            qty: ended.qty,
            cum_qty: ended.cum_qty,
            cum_quote: ended.cum_quote,
        });
        self.tell_finished(ended, out);
    }

    /// With an order's end, the conditional order that it stems from is finished.
    pub fn tell_finished<S: Sink>(&self, ended: &Ended, out: &mut Output<'_, S>) {
        if ended.algo.is_none() {
            return;
        }
        out.emit(&AlgoChanged {
            algo: ended.algo,
            account: ended.account,
            symbol: self.symbol.spec.symbol,
            side: ended.side,
            status: AlgoStatus::Finished,
            order: ended.order,
            reject: Reject::None,
            activated: false,
            _pad: [0; 5],
        });
    }
}

impl Ended {
    pub fn of(order: &Order<Terms>) -> Self {
        Self {
            order: order.id(),
            account: order.account(),
            side: order.side(),
            qty: order.qty(),
            cum_qty: order.cum_qty(),
            cum_quote: order.data.cum_quote,
            algo: order.data.algo,
        }
    }
}
