//! The auditor's eye on what orders cost: fees by their rates, and what is held back for each
//! order, counted anew from the prices of its accept.

use std::collections::BTreeMap;

use protocol::{
    RATE_ONE,
    event::{Fill, OrderAmended, Trade},
    order::{OrderOrigin, Side},
};

use crate::auditor::{Auditor, Leg, Order};

/// Rates of symbols and of accounts: a maker's and a taker's.
#[derive(Clone, Default)]
pub struct Rates {
    pub symbols: BTreeMap<u16, (i64, i64)>,
    pub accounts: BTreeMap<(u32, u16), (i64, i64)>,
}

/// What a lot of an order is assumed to cost and to lose, and its fee, as of its accept.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeldBack {
    assumed: i64,
    loss: i64,
    rate: i64,
}

const fn ceil_share(value: i128, rate: i64) -> i128 {
    -(-value * rate as i128).div_euclid(RATE_ONE as i128)
}

impl Auditor {
    fn rates_of(&self, account: u32, symbol: u16) -> (i64, i64) {
        let own = self.rates.accounts.get(&(account, symbol)).copied();
        own.unwrap_or(self.rates.symbols[&symbol])
    }

    /// A fee is rounded up, a rebate toward nothing; a liquidation's own order pays none.
    pub fn check_fees(&self, trade: &Trade, value: i128) {
        let symbol = trade.symbol.0;
        let fee = |rate: i64| match rate {
            0.. => ceil_share(value, rate),
            _ => -(value * -i128::from(rate)).div_euclid(RATE_ONE.into()),
        };
        let forced = self.orders[&(symbol, trade.taker.order.0)].origin != OrderOrigin::Owner;
        let rates = |fill: &Fill| self.rates_of(fill.account.0, symbol);
        let taker = if forced { 0 } else { rates(&trade.taker).1 };
        assert_eq!(i128::from(trade.taker.fee), fee(taker), "{trade:?}");
        assert_eq!(i128::from(trade.maker.fee), fee(rates(&trade.maker).0), "{trade:?}");
    }

    /// By the prices of now. A sell may fill above its limit, so it is assumed at the dearest.
    pub fn held_back(&self, account: u32, symbol: u16, side: Side, price: i64) -> HeldBack {
        let mark = self.symbols[&symbol].mark;
        let bids = self.levels.range((symbol, 0, i64::MIN)..=(symbol, 0, i64::MAX));
        let best_bid = bids.into_iter().next_back().map_or(0, |((.., bid), _)| *bid);
        let rate = self.rates_of(account, symbol).1;
        match side {
            Side::Buy => HeldBack { assumed: price, loss: (price - mark).max(0), rate },
            Side::Sell => {
                let assumed = price.max(mark).max(best_bid);
                HeldBack { assumed, loss: (mark - price).max(0), rate }
            }
        }
    }

    /// What only shrinks in place is held back as before.
    pub fn amended_held_back(&self, order: &Order, amended: &OrderAmended) -> HeldBack {
        let before = order.qty - order.filled;
        let shrinks = amended.price == order.price && amended.qty - amended.cum_qty < before;
        match shrinks {
            true => order.held_back,
            false => self.held_back(order.account, amended.symbol.0, order.side, amended.price),
        }
    }

    /// What an order with so many lots left adds to the sums: bids, asks, losses and fees.
    pub fn held_back_sums(
        &self,
        symbol: u16,
        side: Side,
        order: &HeldBack,
        left: i64,
    ) -> [i128; 4] {
        let lots = i128::from(left) * i128::from(self.symbols[&symbol].mult);
        let value = i128::from(order.assumed) * lots;
        let mut sums = [0, 0, i128::from(order.loss) * lots, ceil_share(value, order.rate)];
        sums[side as usize] = value;
        sums
    }

    /// The sums that were told are those of the open orders.
    pub fn check_reserved(&self) {
        let mut sums: BTreeMap<Leg, [i128; 4]> = BTreeMap::new();
        for ((symbol, _), order) in &self.orders {
            if order.ended || order.reduce_only {
                continue;
            }
            let left = order.qty - order.filled;
            let of_order = self.held_back_sums(*symbol, order.side, &order.held_back, left);
            let sum = sums.entry((order.account, *symbol, order.leg as u8)).or_default();
            sum.iter_mut().zip(of_order).for_each(|(sum, part)| *sum += part);
        }
        for leg in self.reserved.keys().chain(sums.keys()) {
            let told = self.reserved.get(leg).copied().unwrap_or_default().map(i128::from);
            let counted = sums.get(leg).copied().unwrap_or_default();
            assert_eq!(told, counted, "what is held back of {leg:?}");
        }
    }
}
