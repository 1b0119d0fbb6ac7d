//! Matching: the loop that meets makers.

use protocol::{
    AccountId, Lots, OrderId, Rate, Ticks,
    event::{Fill, Trade},
    limits::FILLS_MAX,
    order::{
        CloseReason, MarginMode, OrderStatus, PositionSide, SelfTradePrevention, Side, TradeKind,
    },
};
use rules::{
    Exposure, fees,
    money::{cash, value},
};

use crate::{
    accounts::HoldingAt,
    book::Slot,
    desk::{Desk, Ended},
    foresight::Foresight,
    limits::EVENTS_RESERVE,
    output::{Output, Sink},
    shard::ahead::see_makers,
    symbols::Terms,
    work::Unit,
};

/// An order on its way through the book.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker {
    pub order: OrderId,
    pub account: AccountId,
    pub side: Side,
    /// The worst price it trades at.
    pub limit: Ticks,
    pub remaining: Lots,
    pub cum_qty: Lots,
    /// The engine's own order, which pays no fee as a taker.
    pub is_forced: bool,
    pub terms: Terms,
}

/// Why a match ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// All is filled, or no maker within the limit is left.
    Done,
    /// It met its owner's order and has to go.
    SelfTrade,
    /// One command may not cause more.
    FillsMax,
}

impl Desk<'_> {
    /// Trades with what rests within the taker's limit.
    pub fn run<S: Sink>(&mut self, taker: &mut Taker, out: &mut Output<'_, S>) -> Stop {
        let mut met = 0;
        while taker.remaining > 0 {
            let Some(slot) = self.symbol.book.maker(taker.side.opposite(), taker.limit) else {
                break;
            };
            let made = out.events() + self.changes.len();
            if met == FILLS_MAX || made > self.ceiling - EVENTS_RESERVE {
                return Stop::FillsMax;
            }
            met += 1;
            let maker = self.symbol.book.order(slot);
            see_makers(self.accounts, &self.symbol.book, maker);
            if maker.data.is_over(self.now) {
                self.close(slot, OrderStatus::Expired, CloseReason::GoodTillDate, out);
            } else if maker.account() != taker.account {
                let lots = taker.remaining.min(maker.remaining());
                if self.is_bearable(maker, lots, &Foresight::EMPTY) {
                    self.trade(taker, slot, out);
                } else {
                    self.close(slot, OrderStatus::Expired, CloseReason::Liquidation, out);
                }
            } else {
                let mode = taker.terms.self_trade;
                if mode != SelfTradePrevention::ExpireTaker {
                    self.close(slot, OrderStatus::ExpiredInMatch, CloseReason::SelfTrade, out);
                }
                if mode != SelfTradePrevention::ExpireMaker {
                    return Stop::SelfTrade;
                }
            }
        }
        Stop::Done
    }

    fn trade<S: Sink>(&mut self, taker: &mut Taker, slot: Slot, out: &mut Output<'_, S>) {
        let (mult, quote_fees) = (self.quote().mult, self.quote().fees);
        let lots = taker.remaining.min(self.symbol.book.order(slot).remaining());
        let trade = self.symbol.book.next_trade_id();
        let filled = self.symbol.book.fill(slot, lots);
        let price = filled.order.price();
        let quoted = cash(value(price, lots, mult));
        filled.order.data.cum_quote += quoted;
        let (maker, level_qty) = (*filled.order, filled.level_qty);
        self.level_changed(maker.side(), price, level_qty, -lots);
        self.remaining_changed(&maker.data, maker.side(), maker.remaining(), -lots);
        if maker.remaining() == 0 {
            self.unlink(slot, &maker.data);
        }
        taker.remaining -= lots;
        taker.cum_qty += lots;
        taker.terms.cum_quote += quoted;

        for at in [taker.terms.holding, maker.data.holding] {
            self.pools.book(self.accounts, at, self.quotes, out);
        }
        let rates = |at: HoldingAt| self.accounts.holding(at).fees.unwrap_or(quote_fees);
        let taker_rate = if taker.is_forced { 0 } else { rates(taker.terms.holding).taker };
        let maker_rate = rates(maker.data.holding).maker;
        let mut taken = self.book_fill(&taker.terms, taker.side, lots, price, taker_rate);
        let mut made = self.book_fill(&maker.data, maker.side(), lots, price, maker_rate);
        (taken.order, made.order) = (taker.order, maker.id());
        (taken.cum_qty, made.cum_qty) = (taker.cum_qty, maker.cum_qty());
        (taken.status, made.status) = (status(taker.remaining), status(maker.remaining()));
        out.emit(&Trade {
            trade,
            symbol: self.symbol.spec.symbol,
            taker_side: taker.side,
            kind: TradeKind::Book,
            _pad: [0; 4],
            price,
            qty: lots,
            taker: taken,
            maker: made,
        });
        if taker.remaining == 0 {
            self.tell_finished(&Ended::of_taker(taker), out);
        }
        if maker.remaining() == 0 {
            self.tell_finished(&Ended::of(&maker), out);
        }
        self.symbol.last = price;
        if self.symbol.triggers.is_some() {
            self.look();
        }
        self.clip(maker.data.holding, out);
    }

    #[cold]
    fn look(&mut self) {
        self.symbol.look(self.quotes[usize::from(self.at)].mark, self.work);
    }

    /// What was to close an account's position has lost its purpose.
    #[cold]
    fn note_gone(&mut self, account: AccountId, leg: PositionSide) {
        let unit = Unit::Gone { account, leg, through: self.triggers().count() };
        self.work.add(self.symbol.spec.symbol, unit);
    }

    /// Books one side of a trade: position, profit and fee.
    pub fn book_fill(
        &mut self,
        terms: &Terms,
        side: Side,
        lots: Lots,
        price: Ticks,
        rate: Rate,
    ) -> Fill {
        let quote = &self.quotes[usize::from(self.at)];
        let mult = quote.mult;
        let holding = self.accounts.holding_mut(terms.holding);
        let leverage = holding.leverage(quote);
        let (before, set_aside) = (holding.exposure.position.qty, holding.exposure.wallet);
        let pnl = holding.exposure.trade(side.sign() * lots, price, mult, leverage);
        let Exposure { position, wallet, mode, .. } = holding.exposure;
        let position_side = holding.side;
        self.symbol.open_interest += position.qty.max(0) - before.max(0);
        let closing = holding.algos.closing > 0;
        let fee = fees::fee(value(price, lots, mult), rate);
        *self.fees += fee;
        let account = holding.account;
        let lost = match mode {
            MarginMode::Cross => value(price - quote.mark, side.sign() * lots, mult) + fee,
            MarginMode::Isolated => i128::from(wallet) - i128::from(set_aside) - pnl + fee,
        };
        if !self.accounts.bears_fill(terms.holding, quote, before, lost, self.bands) {
            self.accounts.touch(account);
        }
        self.accounts.note_use(account, self.now);
        let account = self.accounts.account_mut(account);
        account.cash = cash(i128::from(account.cash) + pnl - fee);
        let (account, cash_now) = (account.id, account.cash);
        if closing && before != 0 && before.signum() != position.qty.signum() {
            self.note_gone(account, position_side);
        }
        Fill {
            order: OrderId::NONE,
            account,
            status: OrderStatus::New,
            position_side,
            reduce_only: terms.reduce_only,
            _pad: 0,
            cum_qty: 0,
            cum_quote: terms.cum_quote,
            fee: cash(fee),
            pnl: cash(pnl),
            position: position.qty,
            entry: position.entry,
            cash: cash_now,
            isolated_wallet: wallet,
        }
    }
}

const fn status(remaining: Lots) -> OrderStatus {
    if remaining == 0 { OrderStatus::Filled } else { OrderStatus::PartiallyFilled }
}
