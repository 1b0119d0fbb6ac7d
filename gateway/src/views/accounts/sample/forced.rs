//! The toy closes positions for their owners, whenever it is told to: against the book, the
//! insurance fund, or somebody on the other side.

use protocol::{
    AccountId, AlgoId, Cash, ClientId, CommandKind, Event, Lots, OrderId, ShardId, SymbolId, Ticks,
    TradeId, event,
    order::{
        CallKind, CashReason, CloseReason, OrderOrigin, OrderStatus, OrderType, PositionSide,
        PriceMatch, SelfTradePrevention, Side, TimeInForce, TradeKind,
    },
};

use super::{Open, Toy, shard_of};

/// A position to be closed.
#[derive(Clone, Copy)]
struct Held {
    account: AccountId,
    symbol: SymbolId,
    leg: PositionSide,
    qty: Lots,
}

impl Held {
    fn closing_side(&self) -> Side {
        if self.qty > 0 { Side::Sell } else { Side::Buy }
    }
}

impl Toy {
    /// Closes one position, on the book if somebody is there and else beside it.
    pub fn liquidate(&mut self, at: usize, how: u16) {
        let held = self.held();
        let Some(due) = (!held.is_empty()).then(|| held[at % held.len()]) else { return };
        let price = 590_000 + i64::from(how) % 20_000;
        let (side, symbol) = (due.closing_side(), due.symbol);
        let resting = self.open.iter().position(|open| {
            (open.symbol, open.side) == (symbol, side.opposite()) && open.account != due.account
        });
        let other = held.iter().find(|other| {
            (other.symbol, other.closing_side()) == (symbol, side.opposite())
                && other.account != due.account
        });
        match (how % 3, resting, other) {
            (0, Some(maker), _) => self.liquidate_on_book(due, maker),
            (1, _, Some(&other)) => self.deleverage(due, other, price),
            _ => self.take_over(due, price),
        }
        self.end(shard_of(symbol), CommandKind::IndexPrices);
    }

    /// The fund lifts what an account owes, as if it did; and the account pays back at the ledger.
    pub fn advance(&mut self, account: AccountId, shard: ShardId, amount: Cash) {
        let fund = AccountId::INSURANCE;
        let (ledger, advance) = (ShardId::LEDGER, CashReason::Advance);
        self.move_cash(shard, account, amount, advance, ledger, 0);
        self.move_cash(shard, fund, -amount, CashReason::Insurance, ledger, 0);
        let debt = event::DebtIssued { link_seq: 1, account, _pad: 0, amount };
        self.say(shard, Event::DebtIssued(debt));
        self.end(shard, CommandKind::IndexPrices);
        let part = amount / 2;
        self.move_cash(ledger, account, -part, CashReason::Repayment, ledger, 0);
        self.move_cash(ledger, fund, part, CashReason::Repayment, ledger, 0);
        self.end(ledger, CommandKind::Debt);
    }

    /// A shard asks for collateral.
    pub fn call(&mut self, account: AccountId, shard: ShardId, kind: CallKind) {
        let call =
            event::MarginCallIssued { link_seq: 1, account, kind, _pad: [0; 3], amount: 1_000 };
        self.say(shard, Event::MarginCallIssued(call));
        self.end(shard, CommandKind::IndexPrices);
    }

    fn held(&self) -> Vec<Held> {
        let all = self.positions.iter().map(|(&(account, symbol, leg), exposure)| {
            let qty = exposure.position.qty;
            Held { account, symbol, leg, qty }
        });
        all.filter(|held| held.qty != 0 && !held.account.is_insurance()).collect()
    }

    fn liquidate_on_book(&mut self, due: Held, maker: usize) {
        let (price, left) = {
            let open = &self.open[maker];
            (open.price, open.qty - open.cum_qty)
        };
        let qty = due.qty.abs().min(left);
        let (resting, side) = (self.open[maker].account, due.closing_side());
        self.accept(due, OrderOrigin::Liquidation, price, due.qty.abs());
        let taker = self.open.len() - 1;
        self.match_two(taker, maker, price, qty, TradeKind::Book);
        let order = self.open.remove(taker);
        if order.cum_qty < order.qty {
            let closed = event::OrderClosed {
                order: order.order,
                account: due.account,
                symbol: due.symbol,
                side,
                status: OrderStatus::Expired,
                reason: CloseReason::IocRemainder,
                _pad: [0; 7],
                qty: order.qty,
                cum_qty: order.cum_qty,
                cum_quote: order.cum_quote,
            };
            self.say(shard_of(due.symbol), Event::OrderClosed(closed));
        }
        if self.open[maker].cum_qty == self.open[maker].qty {
            let open = self.open.remove(maker);
            self.finish(&open);
        }
        self.level(due.symbol, side.opposite(), price);
        self.reserved(resting, due.symbol);
        self.charge(due, qty * 1_000);
    }

    fn take_over(&mut self, due: Held, price: Ticks) {
        let qty = due.qty.abs();
        let (account, leg) = (AccountId::INSURANCE, PositionSide::Both);
        // it takes what the other gives
        let fund = Held { account, leg, qty: -due.qty, ..due };
        self.accept(due, OrderOrigin::Liquidation, price, qty);
        self.accept(fund, OrderOrigin::Takeover, price, qty);
        self.match_last(price, qty, TradeKind::Takeover);
    }

    fn deleverage(&mut self, due: Held, other: Held, price: Ticks) {
        let qty = due.qty.abs().min(other.qty.abs());
        self.accept(due, OrderOrigin::Liquidation, price, qty);
        self.accept(other, OrderOrigin::Deleverage, price, qty);
        self.match_last(price, qty, TradeKind::Deleverage);
    }

    /// The two orders accepted last trade beside the book and are gone.
    fn match_last(&mut self, price: Ticks, qty: Lots, kind: TradeKind) {
        let maker = self.open.len() - 1;
        self.match_two(maker - 1, maker, price, qty, kind);
        self.open.truncate(maker - 1);
    }

    fn match_two(&mut self, taker: usize, maker: usize, price: Ticks, qty: Lots, kind: TradeKind) {
        self.next_id += 1;
        let (symbol, taker_side) = (self.open[taker].symbol, self.open[taker].side);
        let [taker, maker] = [taker, maker].map(|at| self.fill(at, price, qty, 0));
        let trade = TradeId(self.next_id);
        let _pad = [0; 4];
        let trade =
            event::Trade { trade, symbol, taker_side, kind, _pad, price, qty, taker, maker };
        self.say(shard_of(symbol), Event::Trade(trade));
    }

    /// What the close was better than the bankruptcy price goes to the fund.
    fn charge(&mut self, due: Held, amount: Cash) {
        let shard = shard_of(due.symbol);
        let exposure = self.positions.get_mut(&(due.account, due.symbol, due.leg)).unwrap();
        if exposure.wallet != 0 {
            exposure.wallet -= amount;
        }
        let isolated_wallet = exposure.wallet;
        let cash = self.cash.entry((shard, due.account)).or_default();
        *cash -= amount;
        let paid = event::LiquidationFeePaid {
            account: due.account,
            symbol: due.symbol,
            position_side: due.leg,
            _pad: 0,
            amount,
            cash: *cash,
            isolated_wallet,
        };
        self.say(shard, Event::LiquidationFeePaid(paid));
        let (fund, ledger) = (AccountId::INSURANCE, ShardId::LEDGER);
        self.move_cash(shard, fund, amount, CashReason::Insurance, ledger, 0);
    }

    fn accept(&mut self, held: Held, origin: OrderOrigin, price: Ticks, qty: Lots) {
        self.next_id += 1;
        let order = OrderId(self.next_id);
        let Held { account, symbol, leg, .. } = held;
        let side = held.closing_side();
        let accepted = event::OrderAccepted {
            order,
            account,
            symbol,
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Ioc,
            self_trade: SelfTradePrevention::ExpireMaker,
            price_match: PriceMatch::None,
            position_side: leg,
            reduce_only: origin != OrderOrigin::Takeover,
            origin,
            _pad: [0; 2],
            price,
            qty,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad2: [0; 4],
        };
        self.say(shard_of(symbol), Event::OrderAccepted(accepted));
        let (cum_qty, cum_quote, algo) = (0, 0, AlgoId::NONE);
        self.open.push(Open {
            order,
            account,
            symbol,
            side,
            leg,
            price,
            qty,
            cum_qty,
            cum_quote,
            algo,
        });
    }
}
