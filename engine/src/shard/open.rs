//! What is open on a shard, told and read back: resting orders in their books, conditional orders
//! in their queues, and the lists that lead from a holding to its own.
//!
//! The lists and the tables of clients' ids are not told: they follow from the orders.

use alloc::vec::Vec;

use protocol::{
    AccountId, AlgoId, OrderId,
    limits::{ORDERS_MAX, PRICE_MAX, QTY_MAX},
    order::{PositionSide, SelfTradePrevention, Side, TimeInForce},
};
use rules::OrderTerms;

use super::Shard;
use crate::{
    accounts::HoldingAt,
    book::{Order, Resting, Slot},
    client_ids::{ClientKey, Place},
    dated::Dated,
    hash::Digest,
    saved::{LoadError, Saved, sound},
    symbols::{Symbol, Terms},
    triggers::{Algo, Triggers},
};

impl Shard {
    /// By symbol in the order of their listing: resting orders in price-time order, bids first.
    pub(super) fn digest_orders(&self, into: &mut Digest) {
        for symbol in self.symbols.iter() {
            into.add_len(symbol.book.len());
            for side in [Side::Buy, Side::Sell] {
                for (_, order) in symbol.book.makers(side) {
                    let leg = self.accounts.holding(order.data.holding).side;
                    digest_order(order, leg, into);
                }
            }
        }
    }

    pub(super) fn load_orders(&mut self, saved: &mut Saved<'_>) -> Result<(), LoadError> {
        for at in 0..self.symbols.len() {
            let mut slots = Vec::new();
            for _ in 0..saved.len()? {
                slots.push(self.load_order(at, saved)?);
            }
            // An order joined its holding's list when it came to rest: in the order of the ids.
            slots.sort_unstable();
            for (_, slot) in slots {
                self.link_order(at, slot);
            }
        }
        Ok(())
    }

    /// By account and holding, the oldest first; then what of them follows a price.
    pub(super) fn digest_algos(&self, into: &mut Digest) {
        for place in self.accounts.places() {
            for at in self.accounts.by_symbol(place) {
                let holding = self.accounts.holding(at);
                let triggers = self.symbols.symbol(holding.symbol).triggers.as_deref();
                let first = triggers.and(holding.algos.first);
                let next = |at: &_| triggers.and_then(|triggers| triggers.get(*at).next);
                let list = core::iter::successors(first, next);
                into.add_len(list.clone().count());
                list.zip(core::iter::repeat(triggers))
                    .filter_map(|(at, triggers)| Some((at, triggers?)))
                    .for_each(|(at, triggers)| triggers.digest_algo(at, into));
            }
        }
        for symbol in self.symbols.iter() {
            into.add_flag(symbol.triggers.is_some());
            if let Some(triggers) = &symbol.triggers {
                triggers.digest(into);
            }
        }
    }

    pub(super) fn load_algos(&mut self, saved: &mut Saved<'_>) -> Result<(), LoadError> {
        let places: Vec<u32> = self.accounts.places().collect();
        for place in places {
            for holding in self.accounts.by_symbol(place) {
                for _ in 0..saved.len()? {
                    self.load_algo(holding, saved)?;
                }
            }
        }
        for at in 0..self.symbols.len() {
            let triggers = &mut self.symbols.split(at).0.triggers;
            let some = saved.flag()?;
            if some {
                triggers.get_or_insert_default().load(saved)?;
            }
            sound(some == triggers.is_some())?;
        }
        Ok(())
    }

    fn load_order(&mut self, at: u16, saved: &mut Saved<'_>) -> Result<(OrderId, Slot), LoadError> {
        let (id, account) = (OrderId(saved.take()?), AccountId(saved.take()?));
        let leg = saved.word(PositionSide::from_u8)?;
        let holding = self.accounts.find_holding(account, at, leg).ok_or(LoadError::Damaged)?;
        let order = load_order(id, account, holding, saved)?;
        let Symbol { spec, book, .. } = self.symbols.split(at).0;
        let symbol = spec.symbol;
        let priced = (0..=PRICE_MAX).contains(&order.price);
        let sized = (1..=QTY_MAX).contains(&order.remaining);
        let fresh = !id.is_none() && id <= book.counters().order && book.find(id).is_none();
        sound(priced && sized && fresh && book.len() < ORDERS_MAX)?;
        let client = order.data.client;
        sound(self.clients.find(client).is_none())?;
        let good_till = order.data.good_till;
        let slot = book.rest(order).0;
        if good_till != 0 {
            self.dated.set(Dated { at: good_till, symbol, order: id, place: at, slot });
        }
        self.clients.insert(client, Place { symbol: at, order: id });
        Ok((id, slot))
    }

    /// Puts an order at the end of its holding's list, whose sums count it already.
    fn link_order(&mut self, at: u16, slot: Slot) {
        let book = &mut self.symbols.split(at).0.book;
        let orders = &mut self.accounts.holding_mut(book.order(slot).data.holding).orders;
        let last = core::mem::replace(&mut orders.last, slot);
        match last.some() {
            Some(last) => book.order_mut(last).data.next = slot,
            None => orders.first = slot,
        }
        book.order_mut(slot).data.prev = last;
        self.accounts.resting += 1;
    }

    fn load_algo(&mut self, at: HoldingAt, saved: &mut Saved<'_>) -> Result<(), LoadError> {
        let holding = *self.accounts.holding(at);
        sound(holding.symbol < self.symbols.len())?;
        let account = self.accounts.account(holding.account).id;
        let (count, mut algo, is_due) = Triggers::load_algo(saved)?;
        let symbol = self.symbols.split(holding.symbol).0;
        let own = algo.terms.account == account
            && algo.terms.symbol == symbol.spec.symbol
            && algo.terms.position_side == holding.side;
        let client = self.algo_clients.key(account, &algo.terms.client_id);
        sound(own && self.algo_clients.find(client).is_none())?;
        let last = holding.algos.last;
        algo = Algo { holding: at, client, prev: last, ..algo };
        let triggers = symbol.triggers.get_or_insert_default();
        let loaded = triggers.restore(count, &algo, is_due)?;
        if let Some(last) = last {
            triggers.get_mut(last).next = Some(loaded);
        }
        let algos = &mut self.accounts.holding_mut(at).algos;
        algos.first = algos.first.or(Some(loaded));
        algos.last = Some(loaded);
        algos.closing += u32::from(algo.terms.close_position);
        self.accounts.account_mut(holding.account).algos += 1;
        self.accounts.waiting += 1;
        let place = Place { symbol: holding.symbol, order: OrderId(count) };
        self.algo_clients.insert(client, place);
        Ok(())
    }
}

fn digest_order(order: &Order<Terms>, leg: PositionSide, into: &mut Digest) {
    let terms = &order.data;
    into.add(order.id().0).add(order.account().0).add(leg as u8);
    into.add(order.side() as u8);
    into.add(order.price()).add(order.remaining()).add(order.cum_qty());
    into.add(terms.client.0).add(terms.cum_quote).add(terms.good_till).add(terms.amends);
    into.add(terms.reserve.assumed).add(terms.reserve.loss).add(terms.reserve.taker_fee);
    into.add(terms.queued).add(terms.algo.0);
    into.add(terms.time_in_force as u8).add(terms.self_trade as u8);
    into.add_flag(terms.reduce_only);
}

fn load_order(
    id: OrderId,
    account: AccountId,
    holding: HoldingAt,
    saved: &mut Saved<'_>,
) -> Result<Resting<Terms>, LoadError> {
    let side = saved.word(Side::from_u8)?;
    let (price, remaining, cum_qty) = (saved.take()?, saved.take()?, saved.take()?);
    let data = Terms {
        holding,
        client: ClientKey(saved.take()?),
        cum_quote: saved.take()?,
        good_till: saved.take()?,
        amends: saved.take()?,
        reserve: OrderTerms {
            assumed: saved.take()?,
            loss: saved.take()?,
            taker_fee: saved.take()?,
        },
        queued: saved.take()?,
        algo: AlgoId(saved.take()?),
        time_in_force: saved.word(TimeInForce::from_u8)?,
        self_trade: saved.word(SelfTradePrevention::from_u8)?,
        reduce_only: saved.flag()?,
        prev: Slot::NONE,
        next: Slot::NONE,
    };
    Ok(Resting { id, account, side, price, remaining, cum_qty, data })
}
