//! Who has what open, as the events tell it: so that cancels and moves name orders that rest.

use protocol::{
    AccountId, AlgoId, Event, Lots, OrderId, SymbolId, Ticks,
    event::Fill,
    order::{AlgoStatus, OrderStatus, Side},
};

use super::setup::SYMBOLS;
use crate::flow::random::SplitMix;

/// An order that was accepted, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub account: AccountId,
    pub side: Side,
    pub price: Ticks,
    /// Its whole quantity.
    pub qty: Lots,
    /// Its place among the symbol's that rest; none: it has ended.
    live_at: Option<u32>,
}

#[derive(Debug, Default)]
struct Orders {
    /// By id from 1.
    known: Vec<Known>,
    /// In no order.
    live: Vec<u64>,
    sides: [usize; 2],
}

#[derive(Debug)]
pub struct Market {
    symbols: [Orders; SYMBOLS as usize],
    /// Open orders by account and symbol, the oldest first.
    own: Vec<Vec<u64>>,
    /// Conditional orders that wait, by account.
    algos: Vec<Vec<AlgoId>>,
}

impl Market {
    pub fn new(accounts: u32) -> Self {
        let places = accounts as usize + 1;
        Self {
            symbols: Default::default(),
            own: vec![Vec::new(); places * usize::from(SYMBOLS)],
            algos: vec![Vec::new(); places],
        }
    }

    pub fn resting(&self, symbol: SymbolId, side: Side) -> usize {
        self.orders(symbol).sides[side as usize]
    }

    pub fn known(&self, symbol: SymbolId, order: OrderId) -> &Known {
        &self.orders(symbol).known[order.0 as usize - 1]
    }

    /// An account's open orders on a symbol, the oldest first.
    pub fn own(&self, account: AccountId, symbol: SymbolId) -> &[u64] {
        &self.own[place_of(account, symbol)]
    }

    /// One of the account's orders, half of the time the newest; of anybody's when it has none.
    pub fn victim(
        &self,
        account: AccountId,
        symbol: SymbolId,
        random: &mut SplitMix,
    ) -> Option<OrderId> {
        let own = self.own(account, symbol);
        let from = if own.is_empty() { &self.orders(symbol).live } else { own };
        let newest = random.below(2) == 0;
        let at = random.below(from.len() as u64) as usize;
        let picked = if newest && !own.is_empty() { from.last() } else { from.get(at) };
        picked.copied().map(OrderId)
    }

    pub fn algo(&self, account: AccountId, random: &mut SplitMix) -> Option<AlgoId> {
        let waiting = &self.algos[account.0 as usize];
        waiting.get(random.below(waiting.len() as u64) as usize).copied()
    }

    pub fn take(&mut self, event: &Event) {
        match event {
            Event::OrderAccepted(order) => {
                let orders = &mut self.symbols[usize::from(order.symbol.0) - 1];
                let live_at = Some(orders.live.len() as u32);
                let (account, side, price, qty) =
                    (order.account, order.side, order.price, order.qty);
                orders.known.push(Known { account, side, price, qty, live_at });
                orders.live.push(order.order.0);
                orders.sides[order.side as usize] += 1;
                self.own[place_of(order.account, order.symbol)].push(order.order.0);
            }
            Event::OrderAmended(order) => {
                let known = &mut self.symbols[usize::from(order.symbol.0) - 1].known;
                let known = &mut known[order.order.0 as usize - 1];
                (known.price, known.qty) = (order.price, order.qty);
            }
            Event::OrderClosed(order) => self.ended(order.symbol, order.order),
            Event::Trade(trade) => {
                self.filled(trade.symbol, &trade.taker);
                self.filled(trade.symbol, &trade.maker);
            }
            Event::AlgoAccepted(algo) => {
                self.algos[algo.terms.account.0 as usize].push(algo.algo);
            }
            Event::AlgoChanged(algo) if algo.status != AlgoStatus::New => {
                self.algos[algo.account.0 as usize].retain(|waiting| *waiting != algo.algo);
            }
            _ => {}
        }
    }

    fn orders(&self, symbol: SymbolId) -> &Orders {
        &self.symbols[usize::from(symbol.0) - 1]
    }

    fn filled(&mut self, symbol: SymbolId, fill: &Fill) {
        if fill.status == OrderStatus::Filled {
            self.ended(symbol, fill.order);
        }
    }

    fn ended(&mut self, symbol: SymbolId, order: OrderId) {
        let orders = &mut self.symbols[usize::from(symbol.0) - 1];
        let Known { account, side, live_at, .. } = orders.known[order.0 as usize - 1];
        let at = live_at.expect("an order ends once") as usize;
        orders.known[order.0 as usize - 1].live_at = None;
        orders.live.swap_remove(at);
        if let Some(moved) = orders.live.get(at) {
            orders.known[*moved as usize - 1].live_at = Some(at as u32);
        }
        orders.sides[side as usize] -= 1;
        self.own[place_of(account, symbol)].retain(|own| *own != order.0);
    }
}

fn place_of(account: AccountId, symbol: SymbolId) -> usize {
    account.0 as usize * usize::from(SYMBOLS) + usize::from(symbol.0) - 1
}
