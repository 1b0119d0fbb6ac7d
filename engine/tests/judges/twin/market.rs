//! Symbols as operators and feeds change them.

use protocol::{
    Event, Reject, SymbolId,
    event::SymbolStateChanged,
    instrument::{Brackets, SymbolSpec},
    order::SymbolState,
};

use super::{
    Answer,
    funding::Pricing,
    margin::{ONE, brackets_are_sound},
    no,
    shard::{Market, Shard},
};

const SYMBOLS: usize = 256;
pub const PRICE_TOP: i64 = 1 << 40;

fn is_sound(spec: &SymbolSpec) -> bool {
    let value_top = 1i128 << 60;
    let problems = [
        spec.symbol.0 == 0,
        spec.shard.0 == 0,
        spec.name.is_empty() || spec.base.is_empty() || spec.quote.is_empty(),
        spec.tick_e8 <= 0 || spec.lot_e8 <= 0 || spec.mult <= 0,
        i128::from(spec.tick_e8) * i128::from(spec.lot_e8) != i128::from(spec.mult) * ONE,
        spec.price_decimals > 8 || spec.qty_decimals > 8,
        spec.price_min <= 0 || spec.price_max < spec.price_min || spec.price_max > PRICE_TOP,
        i128::from(spec.price_max) * i128::from(spec.mult) > value_top,
        spec.qty_min <= 0 || spec.qty_max < spec.qty_min || spec.qty_max > 1 << 40,
        spec.market_qty_max < spec.qty_min || spec.market_qty_max > 1 << 40,
        spec.notional_min < 0 || i128::from(spec.notional_min) > value_top,
        i128::from(spec.band_up) < ONE || i128::from(spec.band_up) > 100 * ONE,
        spec.band_down < 0 || i128::from(spec.band_down) > ONE,
        spec.market_bound < 0 || i128::from(spec.market_bound) > 100 * ONE,
        spec.trigger_protect < 0 || i128::from(spec.trigger_protect) > ONE,
        spec.liquidation_fee < 0 || i128::from(spec.liquidation_fee) > ONE,
        spec.default_leverage == 0 || spec.default_leverage > 125,
        spec.funding_interval_hours == 0,
        spec.taker_fee < 0 || i128::from(spec.taker_fee) >= ONE,
        i128::from(spec.maker_fee) >= ONE || spec.maker_fee < -spec.taker_fee.max(0),
    ];
    !problems.contains(&true)
}

impl Shard {
    pub fn list(&mut self, spec: &SymbolSpec, me: u8) -> Answer {
        if !is_sound(spec) {
            return no(Reject::InvalidInstrument);
        }
        if spec.shard.0 != me {
            return no(Reject::WrongShard);
        }
        if let Some(market) = self.markets.get_mut(&spec.symbol.0) {
            let old = &market.spec;
            let units = |spec: &SymbolSpec| (spec.tick_e8, spec.lot_e8, spec.mult);
            if units(old) != units(spec) || old.name != spec.name || old.quote != spec.quote {
                return no(Reject::InvalidInstrument);
            }
            if old.state == SymbolState::Settling {
                return no(Reject::StateInvalid);
            }
            let (hours, state) = (old.funding_interval_hours, old.state);
            market.spec = SymbolSpec { state, ..*spec };
            if hours != spec.funding_interval_hours {
                market.plan_funding(self.now);
            }
            self.events.push(Event::SymbolListed(market.spec));
        } else {
            if spec.state == SymbolState::Settling {
                return no(Reject::InvalidInstrument);
            }
            if self.markets.values().any(|market| market.spec.name == spec.name) {
                return no(Reject::InvalidInstrument);
            }
            if self.markets.len() == SYMBOLS {
                return no(Reject::ShardFull);
            }
            let market = Market {
                spec: *spec,
                brackets: None,
                mark: 0,
                settlement: None,
                orders: Vec::new(),
                order_ids: 0,
                algos: Vec::new(),
                algo_ids: 0,
                last: 0,
                trade_ids: 0,
                updates: 0,
                pricing: Pricing::default(),
                round: None,
            };
            self.markets.insert(spec.symbol.0, market);
            self.events.push(Event::SymbolListed(*spec));
        }
        Ok(0)
    }

    pub fn set_brackets(&mut self, brackets: &Brackets) -> Answer {
        let Some(market) = self.markets.get_mut(&brackets.symbol.0) else {
            return no(Reject::UnknownSymbol);
        };
        if !brackets_are_sound(brackets) {
            return no(Reject::InvalidInstrument);
        }
        market.brackets = Some(*brackets);
        self.events.push(Event::BracketsSet(*brackets));
        Ok(0)
    }

    pub fn set_state(&mut self, symbol: u16, state: SymbolState) -> Answer {
        let Some(market) = self.markets.get_mut(&symbol) else {
            return no(Reject::UnknownSymbol);
        };
        if market.spec.state == SymbolState::Settling || state == SymbolState::Settling {
            return no(Reject::StateInvalid);
        }
        market.spec.state = state;
        self.tell_state(symbol);
        Ok(0)
    }

    pub fn tell_state(&mut self, symbol: u16) {
        let market = &self.markets[&symbol];
        let (state, index_stale) = (market.spec.state, market.pricing.stale);
        let settlement = market.settlement.unwrap_or(0);
        let symbol = SymbolId(symbol);
        let event = SymbolStateChanged { symbol, state, index_stale, _pad: [0; 4], settlement };
        self.events.push(Event::SymbolStateChanged(event));
    }
}
