//! What a command takes of what is available, by the auditor's books: what is held back after it
//! less what is held back now.

use protocol::{
    command::{Amend, Place, SetLeverage},
    order::{OrderType, PriceMatch, Side, TimeInForce},
};
use rules::instrument::market_limit;

use crate::{
    auditor::{Auditor, Leg, Order},
    bench::spec,
};

/// What a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It only closes, or holds less back: it needs nothing, also of an account that lacks margin.
    Nothing,
    /// So much more is held back, or, below 0, less.
    Margin(i128),
    /// There is no price for it; or it is not for what is shown to decide.
    Unsaid,
}

impl Need {
    pub fn fits(self, shown: i128) -> bool {
        match self {
            Self::Nothing => true,
            Self::Margin(more) => more <= shown,
            Self::Unsaid => false,
        }
    }
}

impl Auditor {
    pub fn order_needs(&self, order: &Place) -> Need {
        let leg = (order.account.0, order.symbol.0, order.position_side as u8);
        let closes = order.reduce_only || order.position_side.closed_by(order.side);
        if closes || self.only_closes(leg, order.side, order.qty) {
            return Need::Nothing;
        }
        let Some(limit) = self.worst_price(order) else { return Need::Unsaid };
        let held_back = self.held_back(leg.0, leg.1, order.side, limit);
        let put = self.held_back_sums(leg.1, order.side, &held_back, order.qty);
        Need::Margin(self.more_held_back(leg, put))
    }

    /// Of a change of an open order. One that only closes is, beyond the mark, for the guard against
    /// milking to judge: a new order would be cut to what its account can bear, and this one is not.
    pub fn amend_needs(&self, amend: &Amend) -> Need {
        let order = &self.orders[&(amend.symbol.0, amend.order.0)];
        let leg = (order.account, amend.symbol.0, order.leg as u8);
        let limit = self.limit_of(leg, order.side, amend.price, amend.price_match);
        let Some(price) = limit else { return Need::Unsaid };
        let (before, after) = (order.qty - order.filled, amend.qty - order.filled);
        if after <= 0 || price == order.price && after < before {
            return Need::Nothing;
        }
        if order.reduce_only || self.only_closes(leg, order.side, after - before) {
            let beyond = order.side.sign() * (price - self.symbols[&leg.1].mark) > 0;
            return if beyond { Need::Unsaid } else { Need::Nothing };
        }
        let held_back = self.held_back(leg.0, leg.1, order.side, price);
        let put = self.held_back_sums(leg.1, order.side, &held_back, after);
        let take = self.held_back_sums(leg.1, order.side, &order.held_back, before);
        Need::Margin(self.more_held_back(leg, std::array::from_fn(|at| put[at] - take[at])))
    }

    /// Of another leverage: a higher one needs nothing.
    pub fn leverage_needs(&self, set: &SetLeverage) -> Need {
        let leverage = set.leverage.into();
        let legs = (0..3).map(|side| (set.account.0, set.symbol.0, side));
        let more = legs.map(|leg| {
            let sums = self.reserved_sums(leg);
            self.initial_margin(leg, sums, leverage)
                - self.initial_margin(leg, sums, self.leverage(leg))
        });
        let more: i128 = more.sum();
        if more > 0 { Need::Margin(more) } else { Need::Nothing }
    }

    fn more_held_back(&self, leg: Leg, more: [i128; 4]) -> i128 {
        let (sums, leverage) = (self.reserved_sums(leg), self.leverage(leg));
        let after = std::array::from_fn(|at| sums[at] + more[at]);
        self.initial_margin(leg, after, leverage) - self.initial_margin(leg, sums, leverage)
    }

    /// With the resting orders of its side, so many lots more are not beyond the position.
    fn only_closes(&self, leg: Leg, side: Side, lots: i64) -> bool {
        let closable = (-side.sign() * self.position(leg).qty).max(0);
        self.resting(leg, side) + lots <= closable
    }

    /// The limit of an order that may rest; else the worst price that it would trade at now, if
    /// there is anybody it meets. Whoever would lose against the mark may be passed over, so beyond
    /// him it is the limit.
    fn worst_price(&self, order: &Place) -> Option<i64> {
        let leg = (order.account.0, order.symbol.0, order.position_side as u8);
        let (limit, rests) = match order.order_type {
            OrderType::Limit => {
                let rests = !matches!(order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
                (self.limit_of(leg, order.side, order.price, order.price_match)?, rests)
            }
            OrderType::Market => {
                (market_limit(&spec(leg.1), order.side, self.symbols[&leg.1].mark), false)
            }
        };
        let mut left = if rests { 0 } else { order.qty };
        let mut worst = limit;
        for (price, lots) in self.others(leg, order.side.opposite()) {
            if left <= 0 || order.side.sign() * (price - limit) > 0 {
                break;
            }
            if order.side.sign() * (price - self.symbols[&leg.1].mark) < 0 {
                return Some(limit);
            }
            (worst, left) = (price, left - lots);
        }
        Some(worst)
    }

    /// By id, of everybody.
    pub fn open_orders(&self, symbol: u16) -> impl Iterator<Item = (u64, &Order)> {
        let orders = self.orders.range((symbol, 0)..=(symbol, u64::MAX));
        orders.filter(|(_, order)| !order.ended).map(|((_, id), order)| (*id, order))
    }

    /// What others offer on a side, the best first.
    fn others(&self, leg: Leg, side: Side) -> Vec<(i64, i64)> {
        let of_others = |order: &&Order| order.side == side && order.account != leg.0;
        let open = self.open_orders(leg.1).map(|(_, order)| order).filter(of_others);
        let mut offers: Vec<_> =
            open.map(|order| (order.price, order.qty - order.filled)).collect();
        offers.sort_by_key(|(price, _)| -side.sign() * price);
        offers
    }

    fn limit_of(&self, leg: Leg, side: Side, price: i64, by: PriceMatch) -> Option<i64> {
        let (of, nth) = match by {
            PriceMatch::None => return Some(price),
            PriceMatch::Opponent => (side.opposite(), 0),
            PriceMatch::Queue => (side, 0),
            PriceMatch::Opponent5 => (side.opposite(), 4),
            PriceMatch::Queue5 => (side, 4),
            other => panic!("no flow has {other:?}"),
        };
        let on_side = (leg.1, of as u8, i64::MIN)..=(leg.1, of as u8, i64::MAX);
        let mut prices: Vec<_> = self.levels.range(on_side).map(|((.., at), _)| *at).collect();
        prices.sort_by_key(|price| -of.sign() * price);
        prices.get(nth).copied()
    }
}
