//! Orders: what is checked in which order, matching by scanning, and all that follows.

use protocol::{
    AccountId, ClientId, Event, OrderId, Reject, SymbolId, TradeId,
    command::{Amend, Cancel, Place},
    event::{Fill, Level, OrderAccepted, OrderAmended, OrderClosed, Reserved, Trade},
    limits::{EVENTS_PER_COMMAND_MAX, FILLS_MAX, OPEN_ORDERS_MAX},
    order::{
        AlgoStatus, CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide, PriceMatch,
        SelfTradePrevention, Side, SymbolState, TimeInForce, TradeKind,
    },
};

use super::{
    Answer,
    margin::{Hold, ceil_div, fee_of},
    no,
    shard::{Chosen, Leg, Market, Order, Shard},
};

/// Events that must stay free for what follows a match.
const RESERVE: usize = 1_216;

/// It may only close: by its owner's word or by its leg.
pub fn reduces(place: &Place) -> bool {
    match (place.position_side, place.side) {
        (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy) => true,
        _ => place.reduce_only,
    }
}

/// Why a match ended early.
#[derive(PartialEq)]
pub enum Early {
    OwnOrder,
    TooMuch,
}

impl Market {
    pub fn prices(&self, side: Side) -> Vec<i64> {
        let mut prices: Vec<i64> = self
            .orders
            .iter()
            .filter(|order| order.side == side)
            .map(|order| order.price)
            .collect();
        prices.sort_unstable();
        prices.dedup();
        if side == Side::Buy {
            prices.reverse();
        }
        prices
    }

    pub fn level(&self, side: Side, price: i64) -> i64 {
        let there = self.orders.iter().filter(|order| order.side == side && order.price == price);
        there.map(Order::left).sum()
    }

    /// The first order that a taker of `side` meets within its limit, by its place.
    pub fn meets(&self, side: Side, limit: i64) -> Option<usize> {
        let best = *self.prices(side.opposite()).first()?;
        let within = match side {
            Side::Buy => best <= limit,
            Side::Sell => best >= limit,
        };
        let first = |order: &Order| order.side == side.opposite() && order.price == best;
        if within { self.orders.iter().position(first) } else { None }
    }

    pub fn best_bid(&self) -> i64 {
        self.prices(Side::Buy).first().copied().unwrap_or(0)
    }

    fn hold(&self, side: Side, limit: i64, rate: i64) -> Hold {
        let (limit, mark) = (i128::from(limit), i128::from(self.mark));
        let (assumed, loss) = match side {
            Side::Buy => (limit, limit - mark),
            Side::Sell => (limit.max(mark).max(self.best_bid().into()), mark - limit),
        };
        Hold { assumed, loss: loss.max(0), rate: rate.into() }
    }
}

impl Shard {
    pub fn place(&mut self, place: &Place, last_try: bool) -> Answer {
        let is_market = place.order_type == OrderType::Market;
        self.check_form(place)?;
        self.check_mode(place.account.0, place.position_side)?;
        self.check_open(place.symbol.0, reduces(place))?;
        self.check_qty(place.symbol.0, place.qty, is_market)?;
        self.place_sized(place, 0, last_try)
    }

    pub fn place_sized(&mut self, place: &Place, algo: u64, last_try: bool) -> Answer {
        let (account, symbol, side) = (place.account.0, place.symbol.0, place.side);
        let leg = (account, symbol, place.position_side);
        let reduce = reduces(place);
        let is_market = place.order_type == OrderType::Market;
        let tif = place.time_in_force;
        let rests = !is_market && tif != TimeInForce::Ioc && tif != TimeInForce::Fok;
        let shown = match is_market {
            true => self.market_limit(symbol, side)?,
            false => self.limit(symbol, side, place.price, place.price_match)?,
        };
        let market = &self.markets[&symbol];
        let basis = if is_market { market.mark } else { shown };
        let value = i128::from(basis) * i128::from(place.qty) * i128::from(market.spec.mult);
        if !reduce && value < market.spec.notional_min.into() {
            return no(Reject::NotionalTooLow);
        }
        self.check_bounds(leg, shown, place.qty, reduce, None)?;
        let mut qty = place.qty;
        if reduce {
            qty = self.closable(leg, side).min(qty.into()) as i64;
            if qty == 0 {
                return no(Reject::ReduceOnly);
            }
        }
        let own = market.orders.iter().filter(|order| order.account == account).count();
        if rests && own >= OPEN_ORDERS_MAX as usize {
            return no(Reject::TooManyOpenOrders);
        }
        let client = place.client_id.as_bytes().to_vec();
        let mut all = self.markets.values().flat_map(|market| &market.orders);
        if !client.is_empty() && all.any(|o| o.account == account && o.client == client) {
            return no(Reject::ClientIdDuplicate);
        }
        if tif == TimeInForce::Gtx && market.meets(side, shown).is_some() {
            return no(Reject::WouldTake);
        }
        let mut order = Order {
            id: market.order_ids + 1,
            account,
            position: place.position_side,
            side,
            price: shown,
            qty,
            filled: 0,
            quote: 0,
            tif,
            stp: place.self_trade,
            reduce,
            good_till: place.good_till,
            client,
            hold: Hold { assumed: 0, loss: 0, rate: 0 },
            amends: 0,
            algo,
            forced: false,
        };
        let (mut limit, mut shown) = (shown, shown);
        let worst = if rests { Some(limit) } else { self.foresee(symbol, &order)? };
        if let Some(worst) = worst {
            limit = worst;
            if self.only_closes(&order, symbol) {
                limit = self.guard(symbol, &order, worst, rests, last_try)?;
            } else {
                self.check_isolated(symbol, &order, worst)?;
            }
        }
        if rests || is_market {
            shown = limit;
        }
        let rate = self.chosen(account, symbol).fees.unwrap_or((0, market.spec.taker_fee)).1;
        order.hold = market.hold(side, limit, rate);
        if !reduce {
            self.ask_margin((leg, side), qty, &order.hold, None, last_try)?;
        }
        order.price = limit;
        Ok(self.enter(place, order, shown, rests))
    }

    fn enter(&mut self, place: &Place, mut order: Order, shown: i64, rests: bool) -> u64 {
        let (id, symbol, leg) = (order.id, place.symbol.0, order.leg(place.symbol.0));
        self.markets.get_mut(&symbol).unwrap().order_ids = id;
        self.holding_mut(leg);
        self.events.push(Event::OrderAccepted(OrderAccepted {
            order: OrderId(id),
            account: place.account,
            symbol: place.symbol,
            side: place.side,
            order_type: place.order_type,
            time_in_force: place.time_in_force,
            self_trade: place.self_trade,
            price_match: place.price_match,
            position_side: place.position_side,
            reduce_only: order.reduce,
            origin: OrderOrigin::Owner,
            _pad: [0; 2],
            price: shown,
            qty: order.qty,
            good_till: place.good_till,
            client_id: place.client_id,
            _pad2: [0; 4],
        }));
        let early = self.fight(symbol, &mut order);
        let remainder = match place.order_type {
            OrderType::Market => CloseReason::MarketRemainder,
            OrderType::Limit => CloseReason::IocRemainder,
        };
        self.finish(symbol, order, early, rests, remainder);
        self.clip(leg);
        self.settle(symbol);
        id
    }

    /// What becomes of an order after it has met all it could.
    pub fn finish(
        &mut self,
        symbol: u16,
        order: Order,
        early: Option<Early>,
        rests: bool,
        remainder: CloseReason,
    ) {
        if order.left() == 0 {
            return;
        }
        match early {
            Some(Early::OwnOrder) => {
                self.tell_closed(
                    symbol,
                    &order,
                    OrderStatus::ExpiredInMatch,
                    CloseReason::SelfTrade,
                );
            }
            Some(Early::TooMuch) => {
                let status = if rests { OrderStatus::Canceled } else { OrderStatus::Expired };
                self.tell_closed(symbol, &order, status, CloseReason::FillsMax);
            }
            None if rests => {
                self.touch(symbol, &order);
                self.markets.get_mut(&symbol).unwrap().orders.push(order);
            }
            None => self.tell_closed(symbol, &order, OrderStatus::Expired, remainder),
        }
    }

    /// Plays an order that never rests on a copy; the worst price it gets, if any.
    pub fn foresee(&self, symbol: u16, order: &Order) -> Result<Option<i64>, (Reject, i64)> {
        let (mut copy, mut played) = (self.clone(), order.clone());
        copy.fight(symbol, &mut played);
        if order.tif == TimeInForce::Fok && played.left() > 0 {
            return no(Reject::WouldNotFill);
        }
        let last = copy.events[self.events.len()..].iter().rev().find_map(|event| match event {
            Event::Trade(trade) => Some(trade.price),
            _ => None,
        });
        Ok(last)
    }

    pub fn fight(&mut self, symbol: u16, taker: &mut Order) -> Option<Early> {
        let mut met = 0;
        while taker.left() > 0 {
            let place = self.markets[&symbol].meets(taker.side, taker.price)?;
            let made = self.events.len() + self.levels_before.len() + self.sums_before.len();
            if met == FILLS_MAX || made > self.ceiling - RESERVE {
                return Some(Early::TooMuch);
            }
            met += 1;
            let maker = self.markets[&symbol].orders[place].clone();
            if maker.good_till != 0 && maker.good_till <= self.now {
                self.close(symbol, maker.id, OrderStatus::Expired, CloseReason::GoodTillDate);
                continue;
            }
            if maker.account != taker.account {
                let lots = taker.left().min(maker.left());
                if !self.bears(symbol, &maker, lots) {
                    let (status, reason) = (OrderStatus::Expired, CloseReason::Liquidation);
                    self.close(symbol, maker.id, status, reason);
                    continue;
                }
                self.trade(symbol, taker, place);
                self.clip(maker.leg(symbol));
                continue;
            }
            if taker.stp != SelfTradePrevention::ExpireTaker {
                self.close(symbol, maker.id, OrderStatus::ExpiredInMatch, CloseReason::SelfTrade);
            }
            if taker.stp != SelfTradePrevention::ExpireMaker {
                return Some(Early::OwnOrder);
            }
        }
        None
    }

    fn trade(&mut self, symbol: u16, taker: &mut Order, place: usize) {
        let maker = self.markets[&symbol].orders[place].clone();
        self.touch(symbol, &maker);
        let lots = taker.left().min(maker.left());
        let market = self.markets.get_mut(&symbol).unwrap();
        let value = i128::from(maker.price) * i128::from(lots) * i128::from(market.spec.mult);
        market.trade_ids += 1;
        let trade = TradeId(market.trade_ids);
        let mut filled = maker;
        for order in [&mut filled, taker] {
            order.filled += lots;
            order.quote += value;
        }
        if filled.left() == 0 {
            market.orders.remove(place);
        } else {
            market.orders[place] = filled.clone();
        }
        for leg in [taker.leg(symbol), filled.leg(symbol)] {
            self.book(leg);
        }
        let taken = self.fill(symbol, taker, lots, filled.price, false);
        let made = self.fill(symbol, &filled, lots, filled.price, true);
        self.events.push(Event::Trade(Trade {
            trade,
            symbol: SymbolId(symbol),
            taker_side: taker.side,
            kind: TradeKind::Book,
            _pad: [0; 4],
            price: filled.price,
            qty: lots,
            taker: taken,
            maker: made,
        }));
        let taker = taker.clone();
        for order in [&taker, &filled] {
            if order.left() == 0 {
                self.tell_finished(symbol, order);
            }
        }
        self.markets.get_mut(&symbol).unwrap().last = filled.price;
        self.look(symbol);
    }

    pub fn fill(&mut self, symbol: u16, order: &Order, lots: i64, price: i64, made: bool) -> Fill {
        let spec = self.markets[&symbol].spec;
        let leg = order.leg(symbol);
        let Chosen { fees, isolated, .. } = self.chosen(order.account, symbol);
        let (maker, taker) = fees.unwrap_or((spec.maker_fee, spec.taker_fee));
        let (unit, lots) = (i128::from(price) * i128::from(spec.mult), i128::from(lots));
        let rate = if made { maker } else { taker };
        let fee = fee_of(unit * lots, if order.forced { 0 } else { rate.into() });
        let before = self.holding(leg).qty.signum();
        let leverage = i128::from(self.leverage(order.account, symbol));
        let holding = self.holding_mut(leg);
        let sign = i128::from(order.side.sign());
        let mut pnl = 0;
        let mut opens = lots;
        if holding.qty * sign < 0 {
            let closes = lots.min(holding.qty.abs());
            let part = ceil_div(holding.entry * closes, holding.qty.abs());
            pnl = -sign * closes * unit - part;
            holding.wallet -= (holding.wallet * closes).div_euclid(holding.qty.abs());
            holding.entry -= part;
            holding.qty += sign * closes;
            opens -= closes;
        }
        holding.qty += sign * opens;
        holding.entry += sign * opens * unit;
        if isolated {
            holding.wallet += ceil_div(opens * unit, leverage);
        }
        let holding = *holding;
        if before != 0 && before != holding.qty.signum() {
            self.gone(leg);
        }
        let account = self.accounts.get_mut(&order.account).unwrap();
        account.cash += pnl - fee;
        Fill {
            order: OrderId(order.id),
            account: AccountId(order.account),
            status: match order.left() {
                0 => OrderStatus::Filled,
                _ => OrderStatus::PartiallyFilled,
            },
            position_side: order.position,
            reduce_only: order.reduce,
            _pad: 0,
            cum_qty: order.filled,
            cum_quote: order.quote as i64,
            fee: fee as i64,
            pnl: pnl as i64,
            position: holding.qty as i64,
            entry: holding.entry as i64,
            cash: account.cash as i64,
            isolated_wallet: holding.wallet as i64,
        }
    }

    /// Cuts reduce-only orders to what is left to close: farthest price first, last come first.
    pub fn clip(&mut self, leg: Leg) {
        let symbol = leg.1;
        loop {
            let market = &self.markets[&symbol];
            let own = |order: &&Order| order.leg(symbol) == leg && order.reduce;
            let all: i64 = market.orders.iter().filter(own).map(Order::left).sum();
            let far = |order: &Order| -(order.price * order.side.sign());
            let places = market.orders.iter().enumerate().filter(|(_, order)| own(order));
            let Some((place, order)) = places.max_by_key(|(place, order)| (far(order), *place))
            else {
                return;
            };
            let excess = i128::from(all) - self.closable(leg, order.side);
            if excess <= 0 {
                return;
            }
            let order = order.clone();
            if i128::from(order.left()) <= excess {
                self.close(symbol, order.id, OrderStatus::Expired, CloseReason::ReduceOnly);
                continue;
            }
            self.touch(symbol, &order);
            let cut = &mut self.markets.get_mut(&symbol).unwrap().orders[place];
            cut.qty -= excess as i64;
            let cut = cut.clone();
            self.tell_amended(symbol, &cut, 1);
        }
    }

    pub fn cancel(&mut self, cancel: &Cancel) -> Answer {
        let symbol = cancel.symbol.0;
        if self.markets[&symbol].spec.state == SymbolState::Halted {
            return no(Reject::SymbolNotTrading);
        }
        let order = self.find(cancel.account.0, symbol, cancel.order.0, &cancel.client_id)?;
        self.close(symbol, order.id, OrderStatus::Canceled, CloseReason::Canceled);
        self.settle(symbol);
        Ok(order.id)
    }

    pub fn cancel_all(&mut self, account: u32, symbol: u16) -> Answer {
        let market = &self.markets[&symbol];
        if market.spec.state == SymbolState::Halted {
            return no(Reject::SymbolNotTrading);
        }
        self.close_all(account, symbol, (OrderStatus::Canceled, CloseReason::Canceled));
        Ok(0)
    }

    pub fn close_all(
        &mut self,
        account: u32,
        symbol: u16,
        (status, reason): (OrderStatus, CloseReason),
    ) {
        let market = &self.markets[&symbol];
        let own = market.orders.iter().filter(|order| order.account == account);
        let mut ids: Vec<_> = own.map(|order| (order.position, order.id)).collect();
        ids.sort_unstable();
        for (_, id) in ids {
            self.close(symbol, id, status, reason);
        }
        self.settle(symbol);
    }

    fn find(
        &self,
        account: u32,
        symbol: u16,
        id: u64,
        client: &ClientId,
    ) -> Result<Order, (Reject, i64)> {
        let own = self.markets[&symbol].orders.iter().filter(|order| order.account == account);
        let found = own.clone().find(|order| match id {
            0 => !client.is_empty() && order.client == client.as_bytes(),
            _ => order.id == id,
        });
        found.cloned().ok_or((Reject::UnknownOrder, 0))
    }

    pub fn amend(&mut self, amend: &Amend, last_try: bool) -> Answer {
        let (account, symbol, side) = (amend.account.0, amend.symbol.0, amend.side);
        let old = self.find(account, symbol, amend.order.0, &amend.client_id)?;
        if old.good_till != 0 && self.now >= old.good_till {
            self.close(symbol, old.id, OrderStatus::Expired, CloseReason::GoodTillDate);
            self.settle(symbol);
            return Ok(old.id);
        }
        if side != old.side {
            return no(Reject::WrongSide);
        }
        if amend.reduce_only && !old.reduce {
            return no(Reject::NotReduceOnly);
        }
        self.check_open(symbol, old.reduce)?;
        if amend.price_match != PriceMatch::None && amend.price != 0 {
            return no(Reject::InvalidCombination);
        }
        self.check_qty(symbol, amend.qty, false)?;
        let price = self.limit(symbol, side, amend.price, amend.price_match)?;
        let leg = old.leg(symbol);
        let market = &self.markets[&symbol];
        let mut qty = amend.qty;
        if old.reduce {
            qty = qty.min(old.filled + self.closable(leg, side) as i64);
        } else if i128::from(price) * i128::from(qty) * i128::from(market.spec.mult)
            < market.spec.notional_min.into()
        {
            return no(Reject::NotionalTooLow);
        }
        if (price, qty) == (old.price, old.qty) {
            return no(Reject::Unchanged);
        }
        if old.amends == 10_000 {
            return no(Reject::TooManyAmends);
        }
        let takes = old.tif == TimeInForce::Gtx && market.meets(side, price).is_some();
        if qty <= old.filled || takes {
            self.close(symbol, old.id, OrderStatus::Canceled, CloseReason::Amended);
            self.settle(symbol);
            return Ok(old.id);
        }
        let mut new = old.clone();
        (new.price, new.qty, new.amends) = (price, qty, old.amends + 1);
        let place = market.orders.iter().position(|order| order.id == old.id).unwrap();
        if price == old.price && qty < old.qty {
            self.touch(symbol, &old);
            self.markets.get_mut(&symbol).unwrap().orders[place] = new.clone();
            self.tell_amended(symbol, &new, 0);
            self.settle(symbol);
            return Ok(old.id);
        }
        self.check_bounds(leg, price, new.left(), old.reduce, Some(&old))?;
        let rate = self.chosen(account, symbol).fees.unwrap_or((0, market.spec.taker_fee)).1;
        new.hold = market.hold(side, price, rate);
        self.guard_amended(symbol, &new, last_try)?;
        if !old.reduce {
            self.ask_margin((leg, side), new.left(), &new.hold, Some(&old), last_try)?;
        }
        self.touch(symbol, &old);
        self.markets.get_mut(&symbol).unwrap().orders.remove(place);
        self.tell_amended(symbol, &new, 0);
        let early = self.fight(symbol, &mut new);
        self.finish(symbol, new, early, true, CloseReason::IocRemainder);
        self.clip(leg);
        self.settle(symbol);
        Ok(old.id)
    }

    /// Notes a level and an account's sums before an order there changes.
    fn touch(&mut self, symbol: u16, order: &Order) {
        let (side, price) = (order.side, order.price);
        if !self.levels_before.iter().any(|(s, p, _)| (*s, *p) == (side, price)) {
            let before = self.markets[&symbol].level(side, price);
            self.levels_before.push((side, price, before));
        }
        let leg = order.leg(symbol);
        if !order.reduce && !self.sums_before.iter().any(|(known, _)| *known == leg) {
            let sums = self.sums(leg);
            self.sums_before.push((leg, sums));
        }
    }

    /// Ends the first order whose date has come.
    pub fn end_dated(&mut self) -> bool {
        let mut over = Vec::new();
        for (symbol, market) in &self.markets {
            let dated = market.orders.iter().filter(|order| order.good_till != 0);
            over.extend(dated.map(|order| (order.good_till, *symbol, order.id)));
        }
        let first = over.into_iter().filter(|(date, ..)| *date <= self.now).min();
        let Some((_, symbol, id)) = first else { return false };
        self.close(symbol, id, OrderStatus::Expired, CloseReason::GoodTillDate);
        self.settle(symbol);
        true
    }

    /// Closes all orders of an account that hold margin back, leg by leg.
    pub fn free_margin(&mut self, account: u32) {
        let mut reserving = Vec::new();
        for (symbol, market) in &self.markets {
            let own = market.orders.iter().filter(|order| order.account == account);
            reserving.extend(
                own.filter(|order| !order.reduce).map(|order| (*symbol, order.position, order.id)),
            );
        }
        reserving.sort_unstable();
        for leg in reserving.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if self.events.len() > EVENTS_PER_COMMAND_MAX - 3_072 {
                return;
            }
            self.close_reserving((account, leg[0].0, leg[0].1));
        }
    }

    /// Closes the orders of a leg that hold margin back, oldest first.
    pub fn close_reserving(&mut self, leg: Leg) {
        let own = self.markets[&leg.1].orders.iter();
        let own = own.filter(|order| order.leg(leg.1) == leg && !order.reduce);
        let mut ids: Vec<u64> = own.map(|order| order.id).collect();
        ids.sort_unstable();
        for id in ids {
            self.close(leg.1, id, OrderStatus::Expired, CloseReason::Liquidation);
        }
        self.settle(leg.1);
    }

    fn close(&mut self, symbol: u16, id: u64, status: OrderStatus, reason: CloseReason) {
        let orders = &self.markets[&symbol].orders;
        let place = orders.iter().position(|order| order.id == id).unwrap();
        let order = orders[place].clone();
        self.touch(symbol, &order);
        self.markets.get_mut(&symbol).unwrap().orders.remove(place);
        self.tell_closed(symbol, &order, status, reason);
    }

    fn tell_closed(
        &mut self,
        symbol: u16,
        order: &Order,
        status: OrderStatus,
        reason: CloseReason,
    ) {
        self.events.push(Event::OrderClosed(OrderClosed {
            order: OrderId(order.id),
            account: AccountId(order.account),
            symbol: SymbolId(symbol),
            side: order.side,
            status,
            reason,
            _pad: [0; 7],
            qty: order.qty,
            cum_qty: order.filled,
            cum_quote: order.quote as i64,
        }));
        self.tell_finished(symbol, order);
    }

    fn tell_finished(&mut self, symbol: u16, order: &Order) {
        if order.algo != 0 {
            let whose = (order.account, symbol, order.side);
            self.tell_algo(whose, order.algo, AlgoStatus::Finished, order.id, Reject::None);
        }
    }

    fn tell_amended(&mut self, symbol: u16, order: &Order, clipped: u8) {
        self.events.push(Event::OrderAmended(OrderAmended {
            order: OrderId(order.id),
            account: AccountId(order.account),
            symbol: SymbolId(symbol),
            side: order.side,
            clipped,
            price: order.price,
            qty: order.qty,
            cum_qty: order.filled,
            cum_quote: order.quote as i64,
        }));
    }

    /// Tells the levels and sums that are not what they were.
    pub fn settle(&mut self, symbol: u16) {
        let market = self.markets.get_mut(&symbol).unwrap();
        for (side, price, before) in std::mem::take(&mut self.levels_before) {
            let qty = market.level(side, price);
            if qty != before {
                market.updates += 1;
                self.events.push(Event::Level(Level {
                    symbol: SymbolId(symbol),
                    side,
                    _pad: [0; 5],
                    price,
                    qty,
                    update: market.updates,
                }));
            }
        }
        for (leg, before) in std::mem::take(&mut self.sums_before) {
            let sums = self.sums(leg);
            if sums != before {
                let [buy, sell, loss, fee] = sums.map(|sum| sum as i64);
                self.events.push(Event::Reserved(Reserved {
                    account: AccountId(leg.0),
                    symbol: SymbolId(symbol),
                    position_side: leg.2,
                    _pad: 0,
                    buy,
                    sell,
                    loss,
                    fee,
                }));
            }
        }
    }
}
