//! The end of a symbol, account by account: first what is open, then what is held.

use protocol::{
    AccountId, ClientId, Event, OrderId, Reject, SymbolId, TradeId,
    event::{Fill, OrderAccepted, PositionSettled},
    order::{
        AlgoStatus, CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide, PriceMatch,
        SelfTradePrevention, Side, SymbolState, TimeInForce,
    },
};

use super::{
    Answer,
    algos::{Job, What},
    margin::ONE,
    no,
    shard::{Holding, Leg, Shard},
};

/// Events of an account whose orders and conditional orders all end, and of a unit of work.
const CLEARED: usize = 802;
const UNIT: usize = 3_072;

impl Shard {
    pub fn begin_settling(&mut self, symbol: u16, wanted: i64) -> Answer {
        let Some(market) = self.markets.get(&symbol) else { return no(Reject::UnknownSymbol) };
        let (spec, mark) = (&market.spec, market.mark);
        let price = if wanted == 0 { mark } else { wanted };
        let (scaled, mark_wide) = (i128::from(price) * ONE, i128::from(mark));
        let lots: i128 = self
            .accounts
            .values()
            .flat_map(|known| &known.holdings)
            .filter(|((of, _), _)| *of == symbol)
            .map(|(_, holding)| holding.qty.max(0))
            .sum();
        let problems = [
            (spec.state == SymbolState::Settling, Reject::StateInvalid),
            (mark == 0, Reject::NoMarkPrice),
            (wanted == 0 && market.pricing.stale, Reject::NoMarkPrice),
            (price < 0, Reject::PriceNotPositive),
            (wanted != 0 && price < spec.price_min, Reject::PriceTooLow),
            (wanted != 0 && price > spec.price_max, Reject::PriceTooHigh),
            (scaled > mark_wide * i128::from(spec.band_up), Reject::PriceAboveBand),
            (scaled < mark_wide * i128::from(spec.band_down), Reject::PriceBelowBand),
            (lots * i128::from(price) * i128::from(spec.mult) > 1 << 62, Reject::NotionalTooHigh),
        ];
        if let Some((_, reject)) = problems.into_iter().find(|(holds, _)| *holds) {
            return no(reject);
        }
        let market = self.markets.get_mut(&symbol).unwrap();
        (market.spec.state, market.settlement) = (SymbolState::Settling, Some(price));
        self.tell_state(symbol);
        self.fresh.push(Job { symbol, what: What::Clear(0) });
        Ok(0)
    }

    fn highest(&self) -> u32 {
        self.accounts.keys().last().copied().unwrap_or(0)
    }

    pub fn clear_slice(&mut self, symbol: u16, from: u32) {
        let full = self.events.len() + UNIT;
        for account in from..from + 64 {
            if account > self.highest() {
                break;
            }
            if self.events.len() + CLEARED > full {
                self.fresh.push(Job { symbol, what: What::Clear(account) });
                return;
            }
            self.close_all(account, symbol, (OrderStatus::Expired, CloseReason::Delisted));
            self.end_algos(symbol, AlgoStatus::Expired, |algo| algo.terms.account.0 == account);
        }
        let what = match from + 64 > self.highest() {
            true => What::Settle(0),
            false => What::Clear(from + 64),
        };
        self.fresh.push(Job { symbol, what });
    }

    pub fn settle_slice(&mut self, symbol: u16, from: u32) {
        for account in from..from + 64 {
            for side in [PositionSide::Both, PositionSide::Long, PositionSide::Short] {
                self.settle_position((account, symbol, side));
            }
        }
        let held = |((of, _), holding): (&(u16, PositionSide), &Holding)| {
            *of == symbol && holding.qty != 0
        };
        if from + 64 <= self.highest() {
            self.fresh.push(Job { symbol, what: What::Settle(from + 64) });
        } else if self.accounts.values().flat_map(|known| &known.holdings).any(held) {
            self.fresh.push(Job { symbol, what: What::Settle(0) });
        } else {
            let market = self.markets.get_mut(&symbol).unwrap();
            (market.spec.state, market.settlement) = (SymbolState::Halted, None);
            self.tell_state(symbol);
        }
    }

    fn settle_position(&mut self, leg: Leg) {
        let (account, symbol, position_side) = leg;
        if self.holding(leg).qty == 0 {
            return;
        }
        self.book(leg);
        let Holding { qty, entry, .. } = self.holding(leg);
        let market = self.markets.get_mut(&symbol).unwrap();
        market.order_ids += 1;
        market.trade_ids += 1;
        let (order, trade) = (OrderId(market.order_ids), TradeId(market.trade_ids));
        let price = market.settlement.unwrap();
        let value = qty * i128::from(price) * i128::from(market.spec.mult);
        let (side, lots) = match qty > 0 {
            true => (Side::Sell, qty as i64),
            false => (Side::Buy, -qty as i64),
        };
        let known = self.accounts.get_mut(&account).unwrap();
        known.cash += value - entry;
        let cash = known.cash as i64;
        *self.holding_mut(leg) = Holding::default();
        let (account, symbol) = (AccountId(account), SymbolId(symbol));
        self.events.push(Event::OrderAccepted(OrderAccepted {
            order,
            account,
            symbol,
            side,
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Gtc,
            self_trade: SelfTradePrevention::ExpireMaker,
            price_match: PriceMatch::None,
            position_side,
            reduce_only: true,
            origin: OrderOrigin::Settlement,
            _pad: [0; 2],
            price,
            qty: lots,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad2: [0; 4],
        }));
        let fill = Fill {
            order,
            account,
            status: OrderStatus::Filled,
            position_side,
            reduce_only: true,
            _pad: 0,
            cum_qty: lots,
            cum_quote: value.abs() as i64,
            fee: 0,
            pnl: (value - entry) as i64,
            position: 0,
            entry: 0,
            cash,
            isolated_wallet: 0,
        };
        let (_pad, qty) = ([0; 5], lots);
        let event = PositionSettled { trade, symbol, side, _pad, price, qty, fill };
        self.events.push(Event::PositionSettled(event));
    }
}
