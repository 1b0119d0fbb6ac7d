//! The filters an order passes before margin is asked for.

use protocol::{
    AccountId, Cash, Lots, Micros, Reject, Ticks,
    command::Place,
    limits::{NOTIONAL_MAX, POSITION_MAX},
    order::{OrderType, PositionMode, PositionSide, PriceMatch, Side, SymbolState, TimeInForce},
};
use rules::{instrument, money::value};

use crate::{
    accounts::Holding,
    client_ids::ClientIds,
    desk::Desk,
    limits::{GOOD_TILL_MAX_US, GOOD_TILL_MIN_US},
    verdict::require,
};

/// What can be said of an order by itself.
pub(crate) fn check_form(order: &Place, now: Micros) -> Result<(), Reject> {
    let opens = order.position_side != PositionSide::Both && order.reduce_only;
    let opens = opens && !order.position_side.closed_by(order.side);
    require(!opens, Reject::InvalidCombination)?;
    let sensible = match order.order_type {
        OrderType::Market => {
            order.price == 0
                && order.price_match == PriceMatch::None
                && matches!(order.time_in_force, TimeInForce::Gtc | TimeInForce::Ioc)
        }
        OrderType::Limit => order.price_match == PriceMatch::None || order.price == 0,
    };
    let dated = order.time_in_force == TimeInForce::Gtd;
    require(sensible && (dated || order.good_till == 0), Reject::InvalidCombination)?;
    if dated {
        let latest_start = order.good_till.checked_sub(GOOD_TILL_MIN_US);
        let in_time = latest_start.is_some_and(|latest| now < latest);
        require(in_time && order.good_till < GOOD_TILL_MAX_US, Reject::GoodTillInvalid)?;
    }
    require(ClientIds::is_valid(&order.client_id), Reject::ClientIdInvalid)
}

impl Desk<'_> {
    /// The account takes orders, and of this leg.
    pub fn check_mode(&self, account: AccountId, side: PositionSide) -> Result<(), Reject> {
        let known = self.accounts.find(account).map(|at| self.accounts.account(at));
        let (mode, held) =
            known.map_or((PositionMode::OneWay, false), |known| (known.mode, known.held));
        require(!held, Reject::AccountHeld)?;
        let one_way = side == PositionSide::Both;
        require(one_way == (mode == PositionMode::OneWay), Reject::PositionSideMismatch)
    }

    /// Not even cancels are taken.
    pub const fn is_halted(&self) -> bool {
        matches!(self.symbol.spec.state, SymbolState::Halted)
    }

    /// The symbol takes orders, and there is a price to judge them by.
    pub fn check_open(&self, reduce_only: bool) -> Result<(), Reject> {
        let takes = match self.symbol.state() {
            SymbolState::Trading => true,
            SymbolState::ReduceOnly => reduce_only,
            SymbolState::CancelOnly | SymbolState::Halted | SymbolState::Settling => false,
        };
        require(takes && self.quote().brackets.is_some(), Reject::SymbolNotTrading)?;
        require(self.quote().mark != 0, Reject::NoMarkPrice)
    }

    pub fn check_qty(&self, qty: Lots, order_type: OrderType) -> Result<(), Reject> {
        let spec = &self.symbol.spec;
        let most = match order_type {
            OrderType::Limit => spec.qty_max,
            OrderType::Market => spec.market_qty_max,
        };
        require(qty > 0, Reject::QtyNotPositive)?;
        require(qty >= spec.qty_min, Reject::QtyTooLow)?;
        require(qty <= most, Reject::QtyTooHigh)
    }

    /// The limit: the client's, or the one its price match finds in the book.
    pub fn limit_of(&self, side: Side, price: Ticks, by: PriceMatch) -> Result<Ticks, Reject> {
        let (of, nth) = match by {
            PriceMatch::None => {
                require(price > 0, Reject::PriceNotPositive)?;
                return Ok(price);
            }
            PriceMatch::Opponent => (side.opposite(), 1),
            PriceMatch::Opponent5 => (side.opposite(), 5),
            PriceMatch::Opponent10 => (side.opposite(), 10),
            PriceMatch::Opponent20 => (side.opposite(), 20),
            PriceMatch::Queue => (side, 1),
            PriceMatch::Queue5 => (side, 5),
            PriceMatch::Queue10 => (side, 10),
            PriceMatch::Queue20 => (side, 20),
        };
        let level = self.symbol.book.levels(of).nth(nth - 1);
        level.map(|level| level.price).ok_or(Reject::NoDepth)
    }

    pub fn check_price(&self, side: Side, price: Ticks) -> Result<(), Reject> {
        let (spec, mark) = (&self.symbol.spec, self.quote().mark);
        require(price >= spec.price_min, Reject::PriceTooLow)?;
        require(price <= spec.price_max, Reject::PriceTooHigh)?;
        match side {
            Side::Buy => {
                require(!instrument::is_above_band(spec, price, mark), Reject::PriceAboveBand)
            }
            Side::Sell => {
                require(!instrument::is_below_band(spec, price, mark), Reject::PriceBelowBand)
            }
        }
    }

    /// The least a client may ask for, at its limit or, without one, at the mark.
    pub fn check_value(&self, price: Ticks, qty: Lots) -> Result<(), Reject> {
        let least = i128::from(self.symbol.spec.notional_min);
        require(value(price, qty, self.quote().mult) >= least, Reject::NotionalTooLow)
    }

    /// Bounds that keep every sum of this order's life inside its integer. `others` is what the
    /// holding's other orders on the symbol hold back, `lots` what the order adds to the book.
    pub fn check_arithmetic(
        &self,
        holding: &Holding,
        order: &Sizes,
        others: Cash,
    ) -> Result<(), Reject> {
        let best_bid = self.symbol.book.best(Side::Buy).unwrap_or(0);
        let dearest = order.limit.max(self.quote().mark).max(best_bid);
        let most = value(dearest, order.remaining, self.quote().mult);
        let whole = most + i128::from(order.cum_quote);
        require(whole <= i128::from(NOTIONAL_MAX), Reject::NotionalTooHigh)?;
        if order.reduce_only {
            return Ok(());
        }
        let entry = holding.exposure.position.entry.abs();
        require(
            i128::from(entry) + i128::from(others) + most <= i128::from(NOTIONAL_MAX),
            Reject::NotionalTooHigh,
        )?;
        let lots = self.symbol.open_interest + self.symbol.resting;
        require(lots + order.remaining <= POSITION_MAX, Reject::NotionalTooHigh)
    }
}

/// How large an order is.
pub(crate) struct Sizes {
    pub limit: Ticks,
    pub remaining: Lots,
    pub cum_quote: i64,
    pub reduce_only: bool,
}
