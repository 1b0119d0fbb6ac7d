//! Liquidation: everybody is looked at whenever a mark has moved, and everything is counted anew.

use protocol::{
    AccountId, ClientId, Event, OrderId, SymbolId, TradeId,
    event::{DebtIssued, LiquidationFeePaid, OrderAccepted, Trade},
    limits::LINK_WINDOW_MAX,
    order::{
        CallKind, CashReason, CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide,
        PriceMatch, SelfTradePrevention, Side, SymbolState, TimeInForce, TradeKind,
    },
};

use super::{
    algos::{Job, What},
    margin::{Hold, ONE, ceil_div},
    shard::{Leg, Order, Shard},
};

const PRICE_TOP: i128 = 1 << 40;
const FUND: u32 = 0;
/// 100,000 of the asset.
const LARGE: i128 = 100_000 * ONE;

/// How far a pool's liquidation is. A pool is a leg that is isolated, or with symbol 0 all that is
/// cross.
#[derive(Clone, Copy, Default)]
pub struct Due {
    called: bool,
    fund_called: bool,
    queued: bool,
}

enum Step {
    Again,
    Rest,
    End,
}

/// What of a position is to be closed, and at which price.
#[derive(Clone, Copy)]
struct Target {
    leg: Leg,
    side: Side,
    lots: i64,
    price: i64,
    large: bool,
}

impl Shard {
    fn due(&mut self, pool: Leg) -> &mut Due {
        self.dues.entry(pool).or_default()
    }

    /// Equity and what must stay.
    fn worth(&self, pool: Leg) -> (i128, i128) {
        if pool.1 == 0 { self.cross_pool(pool.0) } else { self.pool(pool) }
    }

    pub fn is_due(&self, pool: Leg) -> bool {
        let (equity, maintenance) = self.worth(pool);
        match maintenance {
            0 => equity < 0 && pool.0 != FUND,
            _ => equity <= maintenance,
        }
    }

    /// Its last call has been made, so it opens nothing.
    pub fn is_in_liquidation(&self, account: u32) -> bool {
        let due = self.dues.get(&(account, 0, PositionSide::Both));
        due.is_some_and(|due| due.called || due.fund_called)
    }

    pub fn look_at_pools(&mut self, account: u32) {
        self.look_at_pool((account, 0, PositionSide::Both));
        for leg in self.legs_of(account) {
            if self.chosen(account, leg.1).isolated {
                self.look_at_pool(leg);
            }
        }
    }

    fn look_at_pool(&mut self, pool: Leg) {
        let waits = pool.1 == 0 && self.has_call(pool.0);
        if waits || self.due(pool).queued {
            return;
        }
        if self.is_due(pool) {
            self.queue_liquidation(pool);
        } else {
            *self.due(pool) = Due::default();
        }
    }

    fn queue_liquidation(&mut self, pool: Leg) {
        self.due(pool).queued = true;
        let (account, symbol, leg) = pool;
        self.fresh.push(Job { symbol, what: What::Liquidate { account, leg } });
    }

    /// A call has been closed that a liquidation may have waited for.
    pub fn go_on(&mut self, account: u32) {
        let pool = (account, 0, PositionSide::Both);
        if self.is_in_liquidation(account) && !self.due(pool).queued {
            self.queue_liquidation(pool);
        }
    }

    fn legs_of(&self, account: u32) -> Vec<Leg> {
        let symbols = self.markets.keys();
        symbols
            .flat_map(|symbol| PositionSide::ALL.iter().map(|side| (account, *symbol, *side)))
            .collect()
    }

    pub fn liquidate(&mut self, pool: Leg) {
        if pool.1 != 0 && !self.chosen(pool.0, pool.1).isolated {
            self.dues.remove(&pool);
            return;
        }
        self.due(pool).queued = false;
        self.book_account(pool.0);
        match self.step(pool) {
            Step::Again => self.queue_liquidation(pool),
            Step::Rest => {}
            Step::End => *self.due(pool) = Due::default(),
        }
    }

    fn step(&mut self, pool: Leg) -> Step {
        let (account, is_cross) = (pool.0, pool.1 == 0);
        if !self.is_due(pool) {
            return Step::End;
        }
        if is_cross && self.has_call(account) {
            return Step::Rest;
        }
        let legs = if is_cross { self.legs_of(account) } else { vec![pool] };
        if let Some(leg) = legs.into_iter().find(|leg| self.reserves(*leg)) {
            self.close_reserving(leg);
            return Step::Again;
        }
        let (equity, maintenance) = self.worth(pool);
        if is_cross && !self.is_in_liquidation(account) {
            if self.sent - self.acked >= LINK_WINDOW_MAX as u64 {
                return Step::Rest;
            }
            self.due(pool).called = true;
            let kind = if maintenance > 0 { CallKind::Need } else { CallKind::Debt };
            self.accounts.get_mut(&account).unwrap().warned |= maintenance > 0;
            let amount = ceil_div(3 * maintenance, 2) - equity;
            self.call(account, kind, amount.min(i64::MAX.into()) as i64);
            return Step::Rest;
        }
        if maintenance == 0 {
            return self.advance(account, -equity);
        }
        let Some(target) = self.target(pool) else { return Step::Rest };
        let has_marks = !self.markets[&target.leg.1].pricing.stale;
        if target.large && self.parted.contains(&target.leg) && has_marks {
            return Step::Rest;
        }
        if self.is_sold(pool, &target) {
            return self.after_part(&target);
        }
        self.hand_over(pool, &target)
    }

    fn after_part(&mut self, target: &Target) -> Step {
        if !target.large {
            return Step::Again;
        }
        self.parted.insert(target.leg);
        Step::Rest
    }

    /// The book has taken some of it.
    fn is_sold(&mut self, pool: Leg, target: &Target) -> bool {
        let ((equity, maintenance), symbol) = (self.worth(pool), target.leg.1);
        let order = self.forced(target);
        if 3 * equity < 2 * maintenance || self.foresee(symbol, &order).unwrap().is_none() {
            return false;
        }
        let order = self.force(order, symbol, OrderOrigin::Liquidation);
        self.take_fee(target, &order);
        true
    }

    fn reserves(&self, leg: Leg) -> bool {
        let orders = &self.markets[&leg.1].orders;
        orders.iter().any(|order| order.leg(leg.1) == leg && !order.reduce)
    }

    /// Negative cash becomes a debt to the ledger.
    fn advance(&mut self, account: u32, amount: i128) -> Step {
        if self.sent - self.acked >= LINK_WINDOW_MAX as u64 {
            return Step::Rest;
        }
        self.move_cash(AccountId(account), CashReason::Advance, amount);
        self.move_fund(-amount);
        self.sent += 1;
        let (link_seq, account) = (self.sent, AccountId(account));
        let amount = amount as i64;
        self.events.push(Event::DebtIssued(DebtIssued { link_seq, account, _pad: 0, amount }));
        Step::End
    }

    fn is_open(&self, leg: Leg) -> bool {
        let state = self.markets[&leg.1].spec.state;
        self.holding(leg).qty != 0
            && matches!(state, SymbolState::Trading | SymbolState::ReduceOnly)
    }

    /// The position that must keep most.
    fn target(&self, pool: Leg) -> Option<Target> {
        let mut legs = vec![pool];
        if pool.1 == 0 {
            legs = self.legs_of(pool.0);
            legs.retain(|leg| !self.chosen(leg.0, leg.1).isolated);
        }
        legs.retain(|leg| self.is_open(*leg));
        let most = legs.iter().map(|leg| self.maintenance(*leg)).max()?;
        let leg = legs.into_iter().find(|leg| self.maintenance(*leg) == most)?;
        self.target_of(pool, leg)
    }

    fn due_target(&self, pool: Leg, leg: Leg) -> Option<Target> {
        let stands = self.is_due(pool) && self.is_open(leg);
        if stands { self.target_of(pool, leg) } else { None }
    }

    /// `None`: its figures are too large for 128 bits.
    fn target_of(&self, pool: Leg, leg: Leg) -> Option<Target> {
        let market = &self.markets[&leg.1];
        let (mark, mult) = (i128::from(market.mark), i128::from(market.spec.mult));
        let qty = self.holding(leg).qty;
        let (equity, maintenance) = self.worth(pool);
        let share = equity.checked_mul(self.maintenance(leg))?;
        let away = share.div_euclid(maintenance.checked_mul(qty.abs() * mult)?);
        let price = (mark - qty.signum() * away).clamp(1, PRICE_TOP) as i64;
        let (lots, large) = self.portion(leg);
        let lost = 3 * equity < 2 * maintenance;
        Some(Target {
            leg,
            side: if qty > 0 { Side::Sell } else { Side::Buy },
            lots: if lost { qty.abs() as i64 } else { lots },
            price,
            large: large && !lost,
        })
    }

    /// Lots that are closed at once, and whether they are a part of what is large.
    fn portion(&self, leg: Leg) -> (i64, bool) {
        let market = &self.markets[&leg.1];
        let (held, value) = (self.holding(leg).qty.abs(), self.value(leg).abs());
        let rows = &market.brackets.unwrap().rows[..];
        let rows = &rows[..usize::from(market.brackets.unwrap().count)];
        let floor = rows.iter().rev().map(|row| i128::from(row.floor)).find(|floor| value > *floor);
        let lots = match floor.unwrap() {
            0 if value > LARGE => return (ceil_div(held, 4) as i64, true),
            0 => held,
            floor => held - floor / (i128::from(market.mark) * i128::from(market.spec.mult)),
        };
        (lots as i64, false)
    }

    /// An order of the engine's own.
    fn forced(&self, target: &Target) -> Order {
        let (account, symbol, position) = target.leg;
        Order {
            id: self.markets[&symbol].order_ids + 1,
            account,
            position,
            side: target.side,
            price: target.price,
            qty: target.lots,
            filled: 0,
            quote: 0,
            tif: TimeInForce::Ioc,
            stp: SelfTradePrevention::ExpireMaker,
            reduce: true,
            good_till: 0,
            client: Vec::new(),
            hold: Hold { assumed: 0, loss: 0, rate: 0 },
            amends: 0,
            algo: 0,
            forced: true,
        }
    }

    fn tell_forced(&mut self, symbol: u16, order: &Order, origin: OrderOrigin) {
        self.markets.get_mut(&symbol).unwrap().order_ids = order.id;
        self.holding_mut(order.leg(symbol));
        self.events.push(Event::OrderAccepted(OrderAccepted {
            order: OrderId(order.id),
            account: AccountId(order.account),
            symbol: SymbolId(symbol),
            side: order.side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Ioc,
            self_trade: SelfTradePrevention::ExpireMaker,
            price_match: PriceMatch::None,
            position_side: order.position,
            reduce_only: order.reduce,
            origin,
            _pad: [0; 2],
            price: order.price,
            qty: order.qty,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad2: [0; 4],
        }));
    }

    fn force(&mut self, mut order: Order, symbol: u16, origin: OrderOrigin) -> Order {
        self.tell_forced(symbol, &order, origin);
        let early = self.fight(symbol, &mut order);
        self.finish(symbol, order.clone(), early, false, CloseReason::IocRemainder);
        self.clip(order.leg(symbol));
        self.settle(symbol);
        order
    }

    fn take_fee(&mut self, target: &Target, order: &Order) {
        let (account, symbol, side) = target.leg;
        let spec = self.markets[&symbol].spec;
        let least = i128::from(target.price) * i128::from(order.filled) * i128::from(spec.mult);
        let better = match target.side {
            Side::Sell => order.quote - least,
            Side::Buy => least - order.quote,
        };
        let fee = better.min(ceil_div(order.quote * i128::from(spec.liquidation_fee), ONE));
        if fee <= 0 || account == FUND {
            return;
        }
        let isolated_wallet = self.holding(target.leg).wallet as i64;
        let known = self.accounts.get_mut(&account).unwrap();
        known.cash -= fee;
        self.events.push(Event::LiquidationFeePaid(LiquidationFeePaid {
            account: AccountId(account),
            symbol: SymbolId(symbol),
            position_side: side,
            _pad: 0,
            amount: fee as i64,
            cash: known.cash as i64,
            isolated_wallet,
        }));
        self.move_fund(fee);
    }

    /// What the book does not take.
    fn hand_over(&mut self, pool: Leg, target: &Target) -> Step {
        if pool.0 == FUND {
            return self.deleverage(pool, target);
        }
        let (is_taken, lacks) = self.insure(target);
        if is_taken {
            return self.after_part(target);
        }
        if self.has_call(FUND) {
            return Step::Rest;
        }
        let has_room = self.sent - self.acked < LINK_WINDOW_MAX as u64;
        if has_room
            && !self.due(pool).fund_called
            && let Some(lacks) = lacks
        {
            self.due(pool).fund_called = true;
            self.call(FUND, CallKind::Need, lacks.min(i64::MAX.into()) as i64);
            return Step::Rest;
        }
        self.deleverage(pool, target)
    }

    /// Whether the fund has taken it; if not, what it would have to ask for, unless its position
    /// would be too large for any money.
    fn insure(&mut self, target: &Target) -> (bool, Option<i128>) {
        self.book_account(FUND);
        let symbol = target.leg.1;
        let to = (FUND, symbol, PositionSide::Both);
        let mut after = self.clone();
        let counter = Target { leg: to, side: target.side.opposite(), ..*target };
        let mut order = self.forced(&counter);
        order.reduce = false;
        after.holding_mut(to);
        after.fill(symbol, &order, target.lots, target.price, true);
        let (equity, maintenance) = after.cross_pool(FUND);
        let held = after.holding(to).qty.abs();
        let market = &self.markets[&symbol];
        let unit = i128::from(market.mark.max(target.price)) * i128::from(market.spec.mult);
        let fits = held <= 1 << 44 && held * unit <= 1 << 60;
        self.holding_mut(to);
        if fits && equity >= maintenance {
            self.trade_beside(TradeKind::Takeover, target, &order, OrderOrigin::Takeover);
            return (true, None);
        }
        (false, fits.then(|| ceil_div(3 * maintenance, 2) - equity))
    }

    /// Trades what is due against somebody, for no fee.
    fn trade_beside(
        &mut self,
        kind: TradeKind,
        target: &Target,
        counter: &Order,
        origin: OrderOrigin,
    ) {
        let symbol = target.leg.1;
        let lots = counter.qty;
        let due = Order { qty: lots, ..self.forced(target) };
        self.tell_forced(symbol, &due, OrderOrigin::Liquidation);
        let counter = Order { id: due.id + 1, ..counter.clone() };
        self.tell_forced(symbol, &counter, origin);
        for leg in [target.leg, counter.leg(symbol)] {
            self.book(leg);
        }
        let market = self.markets.get_mut(&symbol).unwrap();
        market.trade_ids += 1;
        let trade = TradeId(market.trade_ids);
        let quote = i128::from(due.price) * i128::from(lots) * i128::from(market.spec.mult);
        let [taker, maker] = [due, counter.clone()].map(|order| {
            let order = Order { filled: lots, quote, ..order };
            self.fill(symbol, &order, lots, order.price, false)
        });
        assert_eq!((taker.status, maker.status), (OrderStatus::Filled, OrderStatus::Filled));
        self.events.push(Event::Trade(Trade {
            trade,
            symbol: SymbolId(symbol),
            taker_side: target.side,
            kind,
            _pad: [0; 4],
            price: target.price,
            qty: lots,
            taker,
            maker,
        }));
        self.clip(counter.leg(symbol));
        self.clip(target.leg);
        self.settle(symbol);
    }

    fn deleverage(&mut self, pool: Leg, target: &Target) -> Step {
        self.due(pool).queued = true;
        let (account, symbol, leg) = target.leg;
        let isolated = pool.1 != 0;
        let what = What::Deleverage { account, leg, isolated, from: 1, best: None };
        self.fresh.push(Job { symbol, what });
        Step::Rest
    }

    /// Looks at 64 accounts for whoever comes before the best so far, or until eight legs had to be
    /// ranked: those on the other side, and once the best has won no more but winners.
    pub fn seek(
        &mut self,
        leg: Leg,
        isolated: bool,
        from: u32,
        mut best: Option<(u32, PositionSide)>,
    ) {
        let (account, symbol, side) = leg;
        let pool = if isolated { leg } else { (account, 0, PositionSide::Both) };
        self.due(pool).queued = false;
        if isolated != self.chosen(account, symbol).isolated {
            return self.queue_liquidation(pool);
        }
        if !isolated && self.has_call(account) {
            return;
        }
        let Some(target) = self.due_target(pool, leg) else {
            return self.queue_liquidation(pool);
        };
        let (mut next, mut count) = (from, 0);
        while next < from + 64 && count < 8 {
            let id = next;
            for of in PositionSide::ALL {
                let ranked = |(id, of)| self.rank(&target, (id, symbol, of));
                let leg = (id, symbol, *of);
                let wins = self.value(leg) > self.holding(leg).entry;
                let wanted = best.and_then(ranked).is_none_or(|(rank, _)| rank < 0) || wins;
                if self.closable(leg, target.side.opposite()) > 0 && wanted {
                    count += 1;
                }
                if let Some((rank, _)) = ranked((id, *of))
                    && best.and_then(ranked).is_none_or(|(of_best, _)| rank > of_best)
                {
                    best = Some((id, *of));
                }
            }
            next += 1;
        }
        if next <= self.accounts.keys().last().copied().unwrap_or(0) {
            self.due(pool).queued = true;
            let what = What::Deleverage { account, leg: side, isolated, from: next, best };
            self.fresh.push(Job { symbol, what });
            return;
        }
        // all have been seen; what goes before them may be there by now
        self.book_account(account);
        let Some(target) = self.due_target(pool, leg) else {
            return self.queue_liquidation(pool);
        };
        let mut closed = self.is_sold(pool, &target) || account != FUND && self.insure(&target).0;
        if !closed {
            let Some((other, of)) = best else { return };
            self.book_account(other);
            let other = (other, symbol, of);
            if let Some((_, lots)) = self.rank(&target, other) {
                let counter = Target { leg: other, side: target.side.opposite(), lots, ..target };
                let order = self.forced(&counter);
                self.trade_beside(TradeKind::Deleverage, &target, &order, OrderOrigin::Deleverage);
                closed = true;
            }
        }
        if !closed || matches!(self.after_part(&target), Step::Again) {
            self.queue_liquidation(pool);
        }
    }

    /// Rank of a counterparty, and what it would close, if that leaves it something.
    fn rank(&self, target: &Target, leg: Leg) -> Option<(i128, i64)> {
        let holding = self.holding(leg);
        let lots = self.closable(leg, target.side.opposite()).min(target.lots.into());
        if lots == 0 || leg.0 == target.leg.0 {
            return None;
        }
        let mut paid = self.clone();
        paid.book_account(leg.0);
        let (equity, maintenance) = paid.pool(leg);
        let share = equity.checked_mul(self.maintenance(leg))?.div_euclid(maintenance);
        let market = &self.markets[&leg.1];
        let isolated = self.chosen(leg.0, leg.1).isolated;
        let closed = if isolated { holding.qty.abs() } else { lots };
        let worse = i128::from(target.price - market.mark) * i128::from(market.spec.mult) * closed;
        if share <= 0 || equity + worse * holding.qty.signum() < 0 {
            return None;
        }
        let top = 1i128 << 60;
        let factor = |a: i128, b: i128| match a.checked_mul(ONE) {
            Some(exact) => (exact / b).clamp(-top, top),
            None => top * a.signum(),
        };
        let profit = factor(self.value(leg) - holding.entry, holding.entry.abs());
        let leverage = factor(self.value(leg).abs(), share).max(1);
        let rank = if profit > 0 { profit * leverage / ONE } else { profit * ONE / leverage };
        Some((rank, lots as i64))
    }

    /// What the fund has on a market, it may sell at the new mark.
    pub fn look_for_unwinding(&mut self) {
        if self.due((FUND, 0, PositionSide::Both)).queued {
            return;
        }
        let symbols: Vec<u16> = self.markets.keys().copied().collect();
        for symbol in symbols {
            if self.holding((FUND, symbol, PositionSide::Both)).qty != 0 {
                self.fresh.push(Job { symbol, what: What::Unwind });
            }
        }
    }

    pub fn unwind(&mut self, symbol: u16) {
        let leg = (FUND, symbol, PositionSide::Both);
        self.book_account(FUND);
        if !self.is_open(leg) {
            return;
        }
        let target = Target {
            leg,
            side: if self.holding(leg).qty > 0 { Side::Sell } else { Side::Buy },
            lots: self.portion(leg).0,
            price: self.markets[&symbol].mark,
            large: false,
        };
        let order = self.forced(&target);
        if self.foresee(symbol, &order).unwrap().is_some() {
            self.force(order, symbol, OrderOrigin::Unwind);
        }
    }
}
