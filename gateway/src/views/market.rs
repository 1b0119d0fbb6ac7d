//! Books, trades, marks, candles and open interest as the shards' events tell them.
//!
//! Memory is bounded by the symbols: each has its book's levels, its last trades and a fixed
//! number of candles an interval. What streams and the store have to know of a command is handed
//! on once, when its last event has come, except trades and levels, which go out one by one.

pub mod bars;
pub mod book;
pub mod forced;
pub mod fundings;
pub mod interval;
#[cfg(test)]
mod market_test;
pub mod tape;
pub mod ticker;

use std::collections::BTreeMap;

use protocol::{
    Cash, Event, Lots, Micros, Rate, ShardId, SymbolId, Ticks,
    event::{self, EventHeader},
    limits::SHARDS_MAX,
    order::{Side, TradeKind},
};

use self::{
    bars::{Series, TradeBar, ValueBar},
    book::{Best, Book},
    forced::ForcedOrder,
    fundings::{Funding, Fundings},
    tape::{AggTrade, PublicTrade, Tape},
};
use super::{
    Effects,
    instruments::{Instrument, Instruments},
};
use crate::store::{
    Row,
    market::{AnyBar, BarKind, BarSlot, MarketRow, MarketState},
};

/// The market of every symbol that has one.
#[derive(Default)]
pub struct Market {
    symbols: BTreeMap<SymbolId, SymbolMarket>,
    /// By shard: the symbols that the command whose events are coming has changed.
    touched: [Vec<SymbolId>; SHARDS_MAX],
}

/// What market data streams tell their subscribers.
#[derive(Clone, Copy, Debug)]
pub struct MarketNotice {
    pub symbol: SymbolId,
    pub ts: Micros,
    pub news: News,
}

/// What is new in a market.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum News {
    /// The symbol was listed, or has a new state or new brackets.
    Listed,
    Level {
        side: Side,
        price: Ticks,
        qty: Lots,
        update: u64,
    },
    Trade(PublicTrade),
    AggTrade(AggTrade),
    /// The best prices after a command that changed them.
    Best {
        update: u64,
        best: Best,
    },
    Mark,
    /// Somebody was liquidated by this order.
    Forced(ForcedOrder),
}

/// The last mark and what came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkPrice {
    pub ts: Micros,
    pub mark: Ticks,
    pub index_e8: i64,
    /// What the next funding's rate would be if it came now.
    pub funding_rate: Rate,
    pub next_funding: Micros,
}

/// One symbol's market.
#[derive(Clone, Debug, Default)]
pub struct SymbolMarket {
    pub book: Book,
    pub tape: Tape,
    pub candles: Series<TradeBar>,
    pub mark: Option<MarkPrice>,
    pub fundings: Fundings,
    /// Mark and index in quote units of 1e-8, and how far apart they are.
    pub marks: Series<ValueBar>,
    pub indexes: Series<ValueBar>,
    pub premiums: Series<ValueBar>,
    /// The sum of all long positions, and its past.
    pub interest: Lots,
    pub interests: Series<ValueBar>,
    shown: Best,
}

impl Market {
    pub fn get(&self, symbol: SymbolId) -> Option<&SymbolMarket> {
        self.symbols.get(&symbol)
    }

    /// Where a restart puts back what a store kept.
    pub fn restore(&mut self, symbol: SymbolId) -> &mut SymbolMarket {
        self.symbols.entry(symbol).or_default()
    }

    /// Takes one event; `instruments` has taken it before.
    pub fn apply(
        &mut self,
        shard: ShardId,
        header: &EventHeader,
        event: &Event,
        instruments: &Instruments,
        effects: &mut Effects,
    ) {
        match event {
            Event::SymbolListed(spec) => list(spec.symbol, header, instruments, effects),
            Event::SymbolStateChanged(change) => {
                list(change.symbol, header, instruments, effects);
            }
            Event::BracketsSet(brackets) => {
                effects.rows.push(Row::Market(MarketRow::Brackets(Box::new(*brackets))));
                effects.market.push(MarketNotice {
                    symbol: brackets.symbol,
                    ts: header.ts,
                    news: News::Listed,
                });
            }
            Event::Level(level) => {
                let news = News::Level {
                    side: level.side,
                    price: level.price,
                    qty: level.qty,
                    update: level.update,
                };
                self.touch(shard, level.symbol).book.apply(level, header.ts);
                effects.market.push(MarketNotice { symbol: level.symbol, ts: header.ts, news });
            }
            Event::Trade(trade) => {
                if let Some(instrument) = instruments.get(trade.symbol) {
                    self.touch(shard, trade.symbol).trade(header, trade, instrument, effects);
                }
            }
            Event::PositionSettled(settled) => {
                self.touch(shard, settled.symbol).settled(header, settled, effects);
            }
            Event::Mark(mark) => {
                if let Some(instrument) = instruments.get(mark.symbol) {
                    self.touch(shard, mark.symbol).take_mark(header, mark, instrument, effects);
                }
            }
            Event::Funding(funding) => {
                let funding = Funding::from(funding);
                self.symbols.entry(funding.symbol).or_default().fundings.push(funding);
                effects.rows.push(Row::Market(MarketRow::Funding(funding)));
            }
            Event::Outcome(_) => self.end_command(shard, header, effects),
            Event::SessionOpened(_)
            | Event::OrderAccepted(_)
            | Event::OrderAmended(_)
            | Event::OrderClosed(_)
            | Event::AlgoAccepted(_)
            | Event::AlgoChanged(_)
            | Event::CountdownSet(_)
            | Event::Reserved(_)
            | Event::SettingsChanged(_)
            | Event::FeesChanged(_)
            | Event::MarginMoved(_)
            | Event::PositionModeChanged(_)
            | Event::PositionModeSettled(_)
            | Event::HoldIssued(_)
            | Event::ReleaseIssued(_)
            | Event::HeldIssued(_)
            | Event::FundingPaid(_)
            | Event::FundingEnded(_)
            | Event::LiquidationFeePaid(_)
            | Event::MarginCallIssued(_)
            | Event::DebtIssued(_)
            | Event::CashChanged(_)
            | Event::LendSettled(_)
            | Event::WithdrawalSettled(_)
            | Event::GrantIssued(_)
            | Event::RecallIssued(_)
            | Event::ReturnIssued(_)
            | Event::LinkApplied(_)
            | Event::LinkAcked(_) => {}
        }
    }

    fn touch(&mut self, shard: ShardId, symbol: SymbolId) -> &mut SymbolMarket {
        let touched = &mut self.touched[usize::from(shard.0)];
        if !touched.contains(&symbol) {
            touched.push(symbol);
        }
        self.symbols.entry(symbol).or_default()
    }

    fn end_command(&mut self, shard: ShardId, header: &EventHeader, effects: &mut Effects) {
        let mut touched = std::mem::take(&mut self.touched[usize::from(shard.0)]);
        for symbol in touched.drain(..) {
            let market = self.symbols.entry(symbol).or_default();
            market.end_command(symbol, header.ts, effects);
        }
        self.touched[usize::from(shard.0)] = touched;
    }
}

impl SymbolMarket {
    /// The price of the last trade; none before the first.
    pub fn last_price(&self) -> Option<Ticks> {
        self.tape.last().map(|trade| trade.price)
    }

    /// The best prices count as told; called once the levels are back.
    pub fn restore_shown(&mut self) {
        self.shown = self.book.best();
    }

    fn trade(
        &mut self,
        header: &EventHeader,
        trade: &event::Trade,
        instrument: &Instrument,
        effects: &mut Effects,
    ) {
        let symbol = trade.symbol;
        match trade.kind {
            TradeKind::Book => self.public_trade(header, trade, instrument, effects),
            // beside the book: no price of the market
            TradeKind::Takeover | TradeKind::Deleverage => {}
        }
        self.interest += long_change(&trade.taker, trade.taker_side, trade.qty)
            + long_change(&trade.maker, trade.taker_side.opposite(), trade.qty);
        self.sample_interest(symbol, millis(header.ts), effects);
    }

    fn public_trade(
        &mut self,
        header: &EventHeader,
        trade: &event::Trade,
        instrument: &Instrument,
        effects: &mut Effects,
    ) {
        let symbol = trade.symbol;
        let public = PublicTrade {
            id: trade.trade,
            ts: header.ts,
            price: trade.price,
            qty: trade.qty,
            quote: instrument.notional(trade.price, trade.qty),
            taker_side: trade.taker_side,
            taker: trade.taker.order,
        };
        let ended = self.tape.push(public);
        let notice = |news| MarketNotice { symbol, ts: header.ts, news };
        effects.market.extend(ended.map(News::AggTrade).map(notice));
        effects.market.push(notice(News::Trade(public)));
        effects.rows.push(Row::Market(MarketRow::Trade { symbol, trade: public }));

        if self.candles.push(millis(header.ts), candle(&public)) {
            push_rolled(symbol, BarKind::Trade, &self.candles, AnyBar::Trade, effects);
        }
    }

    /// A position that is settled is no trade, but there is less open after it.
    fn settled(
        &mut self,
        header: &EventHeader,
        settled: &event::PositionSettled,
        effects: &mut Effects,
    ) {
        self.interest += long_change(&settled.fill, settled.side, settled.qty);
        self.sample_interest(settled.symbol, millis(header.ts), effects);
    }

    fn sample_interest(&mut self, symbol: SymbolId, time_ms: i64, effects: &mut Effects) {
        if self.interests.push(time_ms, ValueBar::sample(self.interest)) {
            push_rolled(symbol, BarKind::Interest, &self.interests, AnyBar::Value, effects);
        }
    }

    fn take_mark(
        &mut self,
        header: &EventHeader,
        mark: &event::Mark,
        instrument: &Instrument,
        effects: &mut Effects,
    ) {
        let symbol = mark.symbol;
        self.mark = Some(MarkPrice {
            ts: header.ts,
            mark: mark.mark,
            index_e8: mark.index_e8,
            funding_rate: mark.funding_rate,
            next_funding: mark.next_funding,
        });
        let mark_e8 = narrow(instrument.price_e8(mark.mark));
        let values = [
            (BarKind::Mark, &mut self.marks, mark_e8),
            (BarKind::Index, &mut self.indexes, mark.index_e8),
            (BarKind::Premium, &mut self.premiums, premium(mark_e8, mark.index_e8)),
        ];
        for (kind, series, value) in values {
            if series.push(millis(header.ts), ValueBar::sample(value)) {
                push_rolled(symbol, kind, series, AnyBar::Value, effects);
            }
        }
        effects.market.push(MarketNotice { symbol, ts: header.ts, news: News::Mark });
    }

    fn end_command(&mut self, symbol: SymbolId, ts: Micros, effects: &mut Effects) {
        let notice = |news| MarketNotice { symbol, ts, news };
        effects.market.extend(self.tape.end_command().map(News::AggTrade).map(notice));
        let best = self.book.best();
        if best != self.shown {
            self.shown = best;
            effects.market.push(notice(News::Best { update: self.book.update, best }));
        }
        let state = MarketState {
            symbol,
            update: self.book.update,
            book_ts: self.book.ts,
            interest: self.interest,
            mark: self.mark,
            filling: Filling::of(self),
        };
        effects.rows.push(Row::Market(MarketRow::State(Box::new(state))));
    }
}

/// The minute that is filling, of each series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    pub candle: Option<TradeBar>,
    pub mark: Option<ValueBar>,
    pub index: Option<ValueBar>,
    pub premium: Option<ValueBar>,
    pub interest: Option<ValueBar>,
}

impl Filling {
    fn of(market: &SymbolMarket) -> Self {
        Self {
            candle: market.candles.filling(),
            mark: market.marks.filling(),
            index: market.indexes.filling(),
            premium: market.premiums.filling(),
            interest: market.interests.filling(),
        }
    }
}

/// A log time in the milliseconds that clients speak.
pub fn millis(ts: Micros) -> i64 {
    i64::try_from(ts / 1_000).expect("a microsecond count's thousandth fits")
}

/// How far the mark is from the index, as a part of the index in units of 1e-8.
fn premium(mark_e8: i64, index_e8: i64) -> Rate {
    if index_e8 == 0 {
        return 0;
    }
    let apart = i128::from(mark_e8) - i128::from(index_e8);
    narrow(apart * i128::from(protocol::RATE_ONE) / i128::from(index_e8))
}

fn narrow(value: i128) -> Cash {
    Cash::try_from(value).unwrap_or(if value < 0 { Cash::MIN } else { Cash::MAX })
}

/// How much longer a fill made its account's long position.
fn long_change(fill: &event::Fill, side: Side, qty: Lots) -> Lots {
    let before = fill.position - side.sign() * qty;
    fill.position.max(0) - before.max(0)
}

fn candle(trade: &PublicTrade) -> TradeBar {
    let taker_bought = trade.taker_side == Side::Buy;
    TradeBar {
        open_ms: 0,
        open: trade.price,
        high: trade.price,
        low: trade.price,
        close: trade.price,
        volume: trade.qty,
        quote: trade.quote,
        taker_volume: if taker_bought { trade.qty } else { 0 },
        taker_quote: if taker_bought { trade.quote } else { 0 },
        count: 1,
        first_id: trade.id.0,
        last_id: trade.id.0,
    }
}

fn list(symbol: SymbolId, header: &EventHeader, instruments: &Instruments, effects: &mut Effects) {
    if let Some(instrument) = instruments.get(symbol) {
        let (spec, index_stale) = (Box::new(instrument.spec), instrument.index_stale);
        effects.rows.push(Row::Market(MarketRow::Symbol { spec, index_stale }));
        effects.market.push(MarketNotice { symbol, ts: header.ts, news: News::Listed });
    }
}

/// Writes the candles that the minute which has just ended went into.
fn push_rolled<B: bars::Bar>(
    symbol: SymbolId,
    kind: BarKind,
    series: &Series<B>,
    any: impl Fn(B) -> AnyBar,
    effects: &mut Effects,
) {
    effects.rows.extend(series.rolled().map(|(interval, bar)| {
        let slot = BarSlot { symbol, kind, interval };
        Row::Market(MarketRow::Bar { slot, bar: Box::new(any(bar)) })
    }));
}
