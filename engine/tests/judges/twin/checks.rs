//! The filters, one by one.

use protocol::{
    Reject,
    command::Place,
    limits::{NOTIONAL_MAX, POSITION_MAX},
    order::{OrderType, PositionSide, PriceMatch, Side, SymbolState, TimeInForce},
};

use super::{
    margin::{ONE, ceil_div},
    no,
    shard::{Leg, Order, Shard},
};

const TEN_MINUTES_US: u64 = 600_000_000;
const LAST_DATE_US: u64 = 253_402_300_799_000_000;

impl Shard {
    pub fn check_form(&self, place: &Place) -> Result<(), (Reject, i64)> {
        let closes = match place.position_side {
            PositionSide::Both => true,
            PositionSide::Long => place.side == Side::Sell,
            PositionSide::Short => place.side == Side::Buy,
        };
        if place.reduce_only && !closes {
            return no(Reject::InvalidCombination);
        }
        let matched = place.price_match != PriceMatch::None;
        let tif = place.time_in_force;
        let nonsense = match place.order_type {
            OrderType::Limit => matched && place.price != 0,
            OrderType::Market => {
                matched || place.price != 0 || (tif != TimeInForce::Gtc && tif != TimeInForce::Ioc)
            }
        };
        if nonsense || (tif != TimeInForce::Gtd && place.good_till != 0) {
            return no(Reject::InvalidCombination);
        }
        let dates = self.now + TEN_MINUTES_US + 1..LAST_DATE_US;
        if tif == TimeInForce::Gtd && !dates.contains(&place.good_till) {
            return no(Reject::GoodTillInvalid);
        }
        let alphabet = |b: &u8| b.is_ascii_alphanumeric() || b".:/_-".contains(b);
        if !place.client_id.as_bytes().iter().all(alphabet) {
            return no(Reject::ClientIdInvalid);
        }
        Ok(())
    }

    pub fn check_open(&self, symbol: u16, reduce_only: bool) -> Result<(), (Reject, i64)> {
        let market = &self.markets[&symbol];
        let open = match market.state() {
            SymbolState::Trading => true,
            SymbolState::ReduceOnly => reduce_only,
            _ => false,
        };
        match (open && market.brackets.is_some(), market.mark) {
            (false, _) => no(Reject::SymbolNotTrading),
            (true, 0) => no(Reject::NoMarkPrice),
            (true, _) => Ok(()),
        }
    }

    pub fn check_qty(&self, symbol: u16, qty: i64, is_market: bool) -> Result<(), (Reject, i64)> {
        let spec = &self.markets[&symbol].spec;
        let most = if is_market { spec.market_qty_max } else { spec.qty_max };
        match qty {
            i64::MIN..=0 => no(Reject::QtyNotPositive),
            _ if qty < spec.qty_min => no(Reject::QtyTooLow),
            _ if qty > most => no(Reject::QtyTooHigh),
            _ => Ok(()),
        }
    }

    pub fn market_limit(&self, symbol: u16, side: Side) -> Result<i64, (Reject, i64)> {
        let market = &self.markets[&symbol];
        let (mark, bound) = (i128::from(market.mark), i128::from(market.spec.market_bound));
        let limit = match side {
            Side::Buy => mark * (ONE + bound) / ONE,
            Side::Sell => ceil_div(mark * (ONE - bound), ONE),
        };
        let (low, high) = (market.spec.price_min, market.spec.price_max);
        let limit = limit.clamp(low.into(), high.into()) as i64;
        let somebody = !market.prices(side.opposite()).is_empty();
        if somebody && market.meets(side, limit).is_none() {
            return no(Reject::BeyondMarketBound);
        }
        Ok(limit)
    }

    pub fn limit(
        &self,
        symbol: u16,
        side: Side,
        price: i64,
        by: PriceMatch,
    ) -> Result<i64, (Reject, i64)> {
        let market = &self.markets[&symbol];
        let (theirs, own) = (market.prices(side.opposite()), market.prices(side));
        let price = match by {
            PriceMatch::None if price <= 0 => return no(Reject::PriceNotPositive),
            PriceMatch::None => Some(price),
            PriceMatch::Opponent => theirs.first().copied(),
            PriceMatch::Opponent5 => theirs.get(4).copied(),
            PriceMatch::Opponent10 => theirs.get(9).copied(),
            PriceMatch::Opponent20 => theirs.get(19).copied(),
            PriceMatch::Queue => own.first().copied(),
            PriceMatch::Queue5 => own.get(4).copied(),
            PriceMatch::Queue10 => own.get(9).copied(),
            PriceMatch::Queue20 => own.get(19).copied(),
        };
        let Some(price) = price else { return no(Reject::NoDepth) };
        let (spec, scaled, mark) = (&market.spec, i128::from(price) * ONE, i128::from(market.mark));
        if price < spec.price_min {
            return no(Reject::PriceTooLow);
        }
        if price > spec.price_max {
            return no(Reject::PriceTooHigh);
        }
        if side == Side::Buy && scaled > mark * i128::from(spec.band_up) {
            return no(Reject::PriceAboveBand);
        }
        if side == Side::Sell && scaled < mark * i128::from(spec.band_down) {
            return no(Reject::PriceBelowBand);
        }
        Ok(price)
    }

    pub fn check_bounds(
        &self,
        leg: Leg,
        limit: i64,
        lots: i64,
        reduce_only: bool,
        amended: Option<&Order>,
    ) -> Result<(), (Reject, i64)> {
        let symbol = leg.1;
        let market = &self.markets[&symbol];
        let mult = market.spec.mult;
        let top = i128::from(NOTIONAL_MAX);
        let dearest = i128::from(limit.max(market.mark).max(market.best_bid()));
        let value = dearest * i128::from(lots) * i128::from(mult);
        let sums = self.sums(leg);
        let gone = amended.filter(|order| !order.reduce);
        let gone = gone.map_or([0; 4], |order| order.hold.sums(order.side, order.left(), mult));
        let others = sums[0] + sums[1] - gone[0] - gone[1];
        let held = self.accounts.values().flat_map(|known| &known.holdings);
        let held = held.filter(|((of, _), _)| *of == symbol);
        let longs: i128 = held.map(|(_, holding)| holding.qty.max(0)).sum();
        let resting: i64 = market.orders.iter().map(Order::left).sum();
        let whole = value + amended.map_or(0, |order| order.quote);
        let entry = self.holding(leg).entry.abs();
        let fits = whole <= top
            && (reduce_only
                || entry + others + value <= top
                    && longs + i128::from(resting + lots) <= POSITION_MAX.into());
        if fits { Ok(()) } else { no(Reject::NotionalTooHigh) }
    }
}
