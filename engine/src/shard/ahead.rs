//! What a frame will need is asked for before it is its turn, so that it is near when it is.
//!
//! A shard of a million accounts fits no processor's caches, and what a command needs hangs
//! together like a chain: the account by its id, its holding by the account, the last order by the
//! holding. Waiting for memory at each link costs several times what the work itself does. So each
//! frame is looked at some times before it is applied, each time one link further, by reading what
//! was asked for the time before.
//!
//! Nothing is changed or decided here: where another frame breaks a chain in between, the wrong
//! line comes near and the right one is waited for as ever.

use prefetch::{prefetch, prefetch_front, prefetch_head};
use protocol::{OrderId, command::Aim, order::PositionSide};

use super::Shard;
use crate::{
    accounts::Accounts,
    book::{Book, Order},
    symbols::Terms,
};

/// How many frames before its own turn a frame is best shown.
pub const LOOK_AHEAD: usize = 6;

/// With no more accounts than these everything is near anyway.
const ACCOUNTS_NEAR: usize = 8_192;

/// Where the frames lead that were shown last.
#[derive(Default)]
pub(crate) struct Sight {
    /// Round and round, the oldest at `oldest`.
    aims: [Option<Aim>; LOOK_AHEAD],
    oldest: usize,
}

impl Sight {
    /// Puts one more in for the oldest.
    fn add(&mut self, aim: Option<Aim>) {
        self.aims[self.oldest] = aim;
        self.oldest = (self.oldest + 1) % LOOK_AHEAD;
    }

    /// From the oldest on, and how many frames it is to its turn.
    fn aims(&self) -> impl Iterator<Item = (usize, &Aim)> {
        let (newer, older) = self.aims.split_at(self.oldest);
        let all = (1..).zip(older.iter().chain(newer));
        all.filter_map(|(away, aim)| Some((away, aim.as_ref()?)))
    }
}

impl Shard {
    /// It is worth while to show frames before they are applied.
    #[inline]
    pub fn looks_ahead(&self) -> bool {
        self.accounts.are_many(ACCOUNTS_NEAR)
    }

    /// Asks for what this frame needs first, and for the next things that those before it need.
    pub fn look_ahead(&mut self, kind: u16, payload: &[u8]) {
        let aim = Aim::of(kind, payload);
        if let Some(aim) = &aim {
            self.clients.foresee(aim.account, &aim.client_id);
        }
        self.sight.add(aim);
        for (away, aim) in self.sight.aims() {
            let Ok(at) = self.symbols.find(aim.symbol) else { continue };
            let book = &self.symbols.symbol(at).book;
            match away {
                6 => self.look_up(aim, book),
                5 => self.see_account_and_orders(aim, book),
                4 => self.see_holdings(aim, at, book),
                3 => self.see_neighbours(aim, at, book),
                // what was asked for last is on its way
                _ => {}
            }
        }
    }

    /// The tables that lead to everything else.
    fn look_up(&self, aim: &Aim, book: &Book<Terms>) {
        self.accounts.prefetch_id(aim.account);
        if aim.order != OrderId::NONE {
            book.prefetch_id(aim.order);
        }
        if let Some((side, price)) = aim.place {
            book.prefetch_level(side, price);
        }
    }

    fn see_account_and_orders(&self, aim: &Aim, book: &Book<Terms>) {
        if let Some(place) = self.accounts.find(aim.account) {
            prefetch(self.accounts.account(place));
        }
        if aim.order != OrderId::NONE {
            book.prefetch_order(aim.order);
        }
        if let Some((side, price)) = aim.place {
            book.first(side.opposite()).into_iter().for_each(prefetch);
            book.last_at(side, price).into_iter().for_each(prefetch_head);
        }
    }

    fn see_holdings(&self, aim: &Aim, symbol: u16, book: &Book<Terms>) {
        if let Some(place) = self.accounts.find(aim.account) {
            self.accounts.prefetch_holdings(place, symbol);
        }
        if let Some(order) = book.find(aim.order).map(|slot| book.order(slot)) {
            let neighbours = [order.data.prev, order.data.next].into_iter();
            let links = neighbours.filter_map(|slot| slot.some());
            links.for_each(|slot| prefetch_head(book.order(slot)));
        }
        if let Some((side, _)) = aim.place
            && let Some(maker) = book.first(side.opposite())
        {
            prefetch(self.accounts.holding(maker.data.holding));
            book.behind(maker).into_iter().for_each(prefetch);
        }
    }

    fn see_neighbours(&self, aim: &Aim, symbol: u16, book: &Book<Terms>) {
        let own = self.accounts.find_holding(aim.account, symbol, PositionSide::Both);
        if let Some(holding) = own.map(|at| self.accounts.holding(at)) {
            let last = holding.orders.last.some().map(|slot| book.order(slot));
            last.into_iter().for_each(prefetch_head);
            let next = holding.next().map(|at| self.accounts.holding(at));
            next.into_iter().for_each(prefetch_front);
        }
        if let Some((side, _)) = aim.place
            && let Some(maker) = book.first(side.opposite())
        {
            see_makers(&self.accounts, book, maker);
        }
    }
}

/// Asks for what a maker's trade will need, and what the trade with the one behind it will.
#[inline]
pub(crate) fn see_makers(accounts: &Accounts, book: &Book<Terms>, maker: &Order<Terms>) {
    if !accounts.are_many(ACCOUNTS_NEAR) {
        return;
    }
    prefetch(accounts.account(accounts.holding(maker.data.holding).account));
    if let Some(next) = book.behind(maker) {
        prefetch(accounts.holding(next.data.holding));
        book.behind(next).into_iter().for_each(prefetch);
    }
}
