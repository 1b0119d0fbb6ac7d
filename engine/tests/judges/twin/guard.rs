//! Nobody trades away more than he has.

use protocol::{
    Reject,
    limits::FILLS_MAX,
    order::{PositionSide, Side},
};

use super::{
    margin::{ONE, ceil_div, fee_of},
    no,
    shard::{Leg, Order, Shard},
};

impl Shard {
    /// What must stay behind a position: each slice of its value at the rate of its bracket.
    pub fn maintenance(&self, leg: Leg) -> i128 {
        let Some(brackets) = self.markets[&leg.1].brackets else { return 0 };
        let value = self.value(leg).abs();
        let rows = &brackets.rows[..usize::from(brackets.count)];
        let slice = |(i, row): (usize, &protocol::instrument::Bracket)| {
            let top = if i + 1 == rows.len() { value } else { value.min(row.cap.into()) };
            (top - i128::from(row.floor)).max(0) * i128::from(row.maintenance)
        };
        ceil_div(rows.iter().enumerate().map(slice).sum(), ONE)
    }

    /// Equity and maintenance margin of what is behind a position: its own wallet or all that is
    /// cross.
    pub fn pool(&self, leg: Leg) -> (i128, i128) {
        if !self.chosen(leg.0, leg.1).isolated {
            return self.cross_pool(leg.0);
        }
        (self.holding(leg).wallet + self.profit(leg), self.maintenance(leg))
    }

    pub fn cross_pool(&self, account: u32) -> (i128, i128) {
        let (mut equity, mut maintenance) = (self.accounts[&account].cash, 0);
        for symbol in self.markets.keys() {
            for side in PositionSide::ALL {
                let leg = (account, *symbol, *side);
                if self.chosen(account, *symbol).isolated {
                    equity -= self.holding(leg).wallet;
                } else {
                    equity += self.profit(leg);
                    maintenance += self.maintenance(leg);
                }
            }
        }
        (equity, maintenance)
    }

    fn profit(&self, leg: Leg) -> i128 {
        self.value(leg) - self.holding(leg).entry
    }

    fn is_beyond_mark(&self, symbol: u16, side: Side, price: i64) -> bool {
        (price - self.markets[&symbol].mark) * side.sign() > 0
    }

    /// What is left of the equity after the fees of closing all at a price or dearer, at the
    /// worst in as many fills as there may be.
    fn left(&self, leg: Leg, price: i64) -> i128 {
        let market = &self.markets[&leg.1];
        let fees = self.chosen(leg.0, leg.1).fees;
        let rate = fees.map_or(market.spec.taker_fee, |(_, taker)| taker);
        let lots = self.holding(leg).qty.abs();
        let unit = i128::from(price.max(market.mark)) * i128::from(market.spec.mult);
        self.pool(leg).0 - fee_of(unit * lots, rate.into()) - lots.min(FILLS_MAX.into())
    }

    fn loss(&self, leg: Leg, price: i64) -> i128 {
        let market = &self.markets[&leg.1];
        self.holding(leg).qty * i128::from(market.mark - price) * i128::from(market.spec.mult)
    }

    /// The loss at a price against the mark is within the position's share of what is left.
    fn affords(&self, leg: Leg, price: i64, left: i128) -> bool {
        let loss = self.loss(leg, price);
        // figures that are too large for 128 bits are nobody's to afford
        let share = left.checked_mul(self.maintenance(leg));
        let lost = loss.checked_mul(self.pool(leg).1);
        loss <= 0 || matches!((lost, share), (Some(lost), Some(share)) if lost <= share)
    }

    /// The order and all that rest on its side do no more than close.
    pub fn only_closes(&self, order: &Order, symbol: u16) -> bool {
        let leg = order.leg(symbol);
        let resting = self.markets[&symbol].orders.iter().filter(|other| {
            (other.leg(symbol), other.side) == (leg, order.side) && other.id != order.id
        });
        let lots = resting.map(Order::left).sum::<i64>() + order.left();
        order.reduce || i128::from(lots) <= self.closable(leg, order.side)
    }

    /// The limit of an order that only closes and would trade at `worst`.
    pub fn guard(
        &self,
        symbol: u16,
        order: &Order,
        worst: i64,
        rests: bool,
        last_try: bool,
    ) -> Result<i64, (Reject, i64)> {
        let leg = order.leg(symbol);
        let lacking = self.lacking(leg, order.side, worst);
        if lacking == 0 {
            return Ok(worst);
        }
        if !last_try {
            return Err((Reject::NeedMargin, lacking));
        }
        let (left, mark) = (self.left(leg, worst), self.markets[&symbol].mark);
        let (from, to) = (worst.min(mark), worst.max(mark));
        let mut prices = (from..=to).filter(|price| self.affords(leg, *price, left));
        let bound = match order.side {
            Side::Buy => prices.next_back().unwrap(),
            Side::Sell => prices.next().unwrap(),
        };
        if rests {
            return Ok(bound);
        }
        let cut = Order { price: bound, ..order.clone() };
        self.foresee(symbol, &cut)?.ok_or((Reject::BeyondMarketBound, 0))
    }

    pub fn guard_amended(
        &self,
        symbol: u16,
        new: &Order,
        last_try: bool,
    ) -> Result<(), (Reject, i64)> {
        if !self.only_closes(new, symbol) {
            return self.check_isolated(symbol, new, new.price);
        }
        let lacking = self.lacking(new.leg(symbol), new.side, new.price);
        match (lacking, last_try) {
            (0, _) => Ok(()),
            (_, true) => no(Reject::InsufficientMargin),
            (_, false) => Err((Reject::NeedMargin, lacking)),
        }
    }

    /// An isolated position that opens beyond the mark is above its maintenance margin.
    pub fn check_isolated(
        &self,
        symbol: u16,
        order: &Order,
        price: i64,
    ) -> Result<(), (Reject, i64)> {
        let isolated = self.chosen(order.account, symbol).isolated;
        if !isolated || !self.is_beyond_mark(symbol, order.side, price) {
            return Ok(());
        }
        let mut after = self.clone();
        after.fill(symbol, order, order.left(), price, false);
        let (equity, maintenance) = after.pool(order.leg(symbol));
        if equity > maintenance { Ok(()) } else { no(Reject::BeyondMarketBound) }
    }

    /// What the account lacks to close at a price.
    fn lacking(&self, leg: Leg, side: Side, price: i64) -> i64 {
        let left = self.left(leg, price);
        if !self.is_beyond_mark(leg.1, side, price) || self.affords(leg, price, left) {
            return 0;
        }
        let needed = self.loss(leg, price).checked_mul(self.pool(leg).1);
        let lacking = needed.map(|needed| ceil_div(needed, self.maintenance(leg)) - left);
        lacking.and_then(|lacking| lacking.try_into().ok()).unwrap_or(i64::MAX)
    }

    /// A maker may fill so many lots.
    pub fn bears(&self, symbol: u16, maker: &Order, lots: i64) -> bool {
        let leg = maker.leg(symbol);
        let beyond = self.is_beyond_mark(symbol, maker.side, maker.price);
        let reduces = i128::from(lots) <= self.closable(leg, maker.side);
        if !beyond && (reduces || !self.chosen(leg.0, symbol).isolated) {
            return true;
        }
        let mut settled = self.clone();
        settled.book_account(maker.account);
        let mut after = settled.clone();
        after.fill(symbol, maker, lots, maker.price, true);
        let (equity, maintenance) = after.pool(leg);
        let (beside, least) = after.cross_pool(leg.0);
        let fine = beside >= least || !self.chosen(leg.0, symbol).isolated;
        if !beyond {
            return fine;
        }
        let left = settled.left(leg, maker.price);
        equity > maintenance && fine || reduces && settled.affords(leg, maker.price, left)
    }
}
