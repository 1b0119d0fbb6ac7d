//! What each stream that somebody listens to says, and when.
//!
//! Trades, best prices and listings are told at once, from the notices of the views. Everything
//! else is gathered and told when its time has come, from the views as they are then. A stream
//! without listeners costs nothing.

use std::collections::BTreeMap;

use protocol::{Micros, SymbolId};

use super::{
    depth::{Diff, Gathered},
    name::{Levels, Speed, Topic},
    payload,
};
use crate::views::{
    Views,
    instruments::{Instrument, Instruments},
    market::{
        MarketNotice, News, SymbolMarket,
        bars::{TradeBar, Window},
        book::PriceLevel,
        forced::ForcedOrder,
        interval::Interval,
        ticker::Ticker,
    },
};

/// How often candles and day tickers are looked at.
const KLINE_MS: u64 = 250;
const TICKER_MS: u64 = 1_000;
/// Of this span of time the largest liquidation of a symbol is told.
const FORCED_MS: u64 = 1_000;
/// The finest of all times above and of [`Speed`]: all are multiples of it.
pub const TICK_MS: u64 = 50;

/// A stream's event, to be sent to all its listeners.
pub type Said = (Topic, String);

/// The streams that somebody listens to.
#[derive(Default)]
pub struct Feeds {
    feeds: BTreeMap<Topic, Feed>,
    /// A copy, so that telling a trade needs no lock.
    instruments: Instruments,
}

/// What a stream remembers between two events.
enum Feed {
    /// Told from notices, nothing to remember.
    Instant,
    Gathered(Gathered),
    /// The last update told.
    Partial(Option<u64>),
    /// The candle told last.
    Kline(Option<TradeBar>),
    /// What was told of each symbol: the last trade and the minute.
    Tickers(BTreeMap<SymbolId, (u64, i64)>),
    Mark,
    /// The largest of each symbol since the stream spoke last.
    Forced(BTreeMap<SymbolId, ForcedOrder>),
}

impl Feeds {
    /// Takes over what is listed now.
    pub fn list(&mut self, views: &Views) {
        self.instruments = views.instruments.clone();
    }

    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Somebody listens to a stream from now on.
    pub fn start(&mut self, topic: Topic, views: &Views) {
        self.feeds.entry(topic).or_insert_with(|| match topic {
            Topic::Trade(_)
            | Topic::AggTrade(_)
            | Topic::BookTicker(_)
            | Topic::AllBookTickers
            | Topic::ContractInfo => Feed::Instant,
            Topic::ForceOrder(_) | Topic::AllForceOrders => Feed::Forced(BTreeMap::new()),
            Topic::Depth(symbol, _) => {
                let update = views.market.get(symbol).map_or(0, |market| market.book.update);
                Feed::Gathered(Gathered::after(update))
            }
            Topic::Partial(..) => Feed::Partial(None),
            Topic::Kline(..) | Topic::ContinuousKline(..) => Feed::Kline(None),
            Topic::Mark(..) | Topic::AllMarks(_) => Feed::Mark,
            Topic::Ticker(_) | Topic::MiniTicker(_) | Topic::AllTickers | Topic::AllMiniTickers => {
                Feed::Tickers(BTreeMap::new())
            }
        });
    }

    /// Nobody listens any more.
    pub fn stop(&mut self, topic: &Topic) {
        self.feeds.remove(topic);
    }

    /// Whether anything waits for a time.
    pub fn is_timed(&self) -> bool {
        self.feeds.values().any(|feed| !matches!(feed, Feed::Instant))
    }

    /// Takes one notice; the views have it already.
    pub fn notice(&mut self, notice: &MarketNotice, said: &mut Vec<Said>) {
        let symbol = notice.symbol;
        let Some(instrument) = self.instruments.get(symbol) else { return };
        let mut tell = |topic: Topic, text: &dyn Fn() -> String| {
            if self.feeds.contains_key(&topic) {
                said.push((topic, text()));
            }
        };
        match &notice.news {
            News::Trade(trade) => {
                tell(Topic::Trade(symbol), &|| payload::trade(instrument, trade));
            }
            News::AggTrade(trade) => {
                tell(Topic::AggTrade(symbol), &|| payload::agg_trade(instrument, trade));
            }
            News::Best { update, best } => {
                let changed_ms = crate::views::market::millis(notice.ts);
                let text = || payload::book_ticker(instrument, *update, best, changed_ms);
                tell(Topic::BookTicker(symbol), &text);
                tell(Topic::AllBookTickers, &text);
            }
            News::Listed => {
                let now_ms = crate::views::market::millis(notice.ts);
                tell(Topic::ContractInfo, &|| payload::contract(instrument, now_ms));
            }
            News::Level { side, price, qty, update } => {
                for speed in Speed::DEPTH {
                    if let Some(Feed::Gathered(gathered)) =
                        self.feeds.get_mut(&Topic::Depth(symbol, speed))
                    {
                        gathered.take(*side, *price, *qty, *update, notice.ts);
                    }
                }
            }
            News::Forced(order) => {
                for topic in [Topic::ForceOrder(symbol), Topic::AllForceOrders] {
                    if let Some(Feed::Forced(largest)) = self.feeds.get_mut(&topic) {
                        let known = largest.entry(symbol).or_insert(*order);
                        if order.outweighs(known) {
                            *known = *order;
                        }
                    }
                }
            }
            // marks are told by the clock
            News::Mark => {}
        }
    }

    /// Tells what is due at the `tick`-th multiple of [`TICK_MS`].
    pub fn tick(&mut self, tick: u64, views: &Views, now_ms: i64, said: &mut Vec<Said>) {
        for (topic, feed) in &mut self.feeds {
            if is_due(topic, tick) {
                let text = speak(topic, feed, views, now_ms, said);
                said.extend(text.map(|text| (*topic, text)));
            }
        }
    }
}

fn is_due(topic: &Topic, tick: u64) -> bool {
    let every_ms = match topic {
        Topic::Depth(_, speed)
        | Topic::Partial(_, _, speed)
        | Topic::Mark(_, speed)
        | Topic::AllMarks(speed) => speed.millis(),
        Topic::Kline(..) | Topic::ContinuousKline(..) => KLINE_MS,
        Topic::Ticker(_) | Topic::MiniTicker(_) | Topic::AllTickers | Topic::AllMiniTickers => {
            TICKER_MS
        }
        Topic::ForceOrder(_) | Topic::AllForceOrders => FORCED_MS,
        Topic::Trade(_)
        | Topic::AggTrade(_)
        | Topic::BookTicker(_)
        | Topic::AllBookTickers
        | Topic::ContractInfo => return false,
    };
    tick.is_multiple_of(every_ms / TICK_MS)
}

/// What a stream has to say now; a candle that has ended goes to `said` before the next one.
fn speak(
    topic: &Topic,
    feed: &mut Feed,
    views: &Views,
    now_ms: i64,
    said: &mut Vec<Said>,
) -> Option<String> {
    match (topic, feed) {
        (Topic::Depth(symbol, _), Feed::Gathered(gathered)) => {
            let instrument = views.instruments.get(*symbol)?;
            let diff = gathered.flush()?;
            Some(payload::depth(instrument, &diff, now_ms))
        }
        (Topic::Partial(symbol, levels, _), Feed::Partial(told)) => {
            let (instrument, market) = of(views, *symbol)?;
            let diff = partial(market, *levels, told)?;
            Some(payload::depth(instrument, &diff, now_ms))
        }
        (Topic::Kline(symbol, interval), Feed::Kline(told)) => {
            let (instrument, market) = of(views, *symbol)?;
            let text = |bar: &TradeBar| payload::kline(instrument, *interval, bar, now_ms);
            candles(market, *interval, told, now_ms, |bar| said.push((*topic, text(bar))));
            None
        }
        (Topic::ContinuousKline(symbol, interval), Feed::Kline(told)) => {
            let (instrument, market) = of(views, *symbol)?;
            let text =
                |bar: &TradeBar| payload::continuous_kline(instrument, *interval, bar, now_ms);
            candles(market, *interval, told, now_ms, |bar| said.push((*topic, text(bar))));
            None
        }
        (Topic::Mark(symbol, _), Feed::Mark) => {
            let (instrument, market) = of(views, *symbol)?;
            payload::mark(instrument, market).map(|event| payload::json(&event))
        }
        (Topic::AllMarks(_), Feed::Mark) => {
            let event = |(instrument, market)| payload::mark(instrument, market);
            let events: Vec<_> = all(views).filter_map(event).collect();
            (!events.is_empty()).then(|| payload::json(&events))
        }
        (Topic::Ticker(symbol), Feed::Tickers(told)) => {
            let (instrument, day) = changed(of(views, *symbol)?, told, now_ms)?;
            Some(payload::json(&payload::ticker(instrument, &day)))
        }
        (Topic::MiniTicker(symbol), Feed::Tickers(told)) => {
            let (instrument, day) = changed(of(views, *symbol)?, told, now_ms)?;
            Some(payload::json(&payload::mini_ticker(instrument, &day)))
        }
        (Topic::AllTickers, Feed::Tickers(told)) => {
            let days: Vec<_> = all(views).filter_map(|each| changed(each, told, now_ms)).collect();
            let events: Vec<_> =
                days.iter().map(|(each, day)| payload::ticker(each, day)).collect();
            (!events.is_empty()).then(|| payload::json(&events))
        }
        (Topic::AllMiniTickers, Feed::Tickers(told)) => {
            let days: Vec<_> = all(views).filter_map(|each| changed(each, told, now_ms)).collect();
            let events: Vec<_> =
                days.iter().map(|(each, day)| payload::mini_ticker(each, day)).collect();
            (!events.is_empty()).then(|| payload::json(&events))
        }
        (Topic::ForceOrder(_) | Topic::AllForceOrders, Feed::Forced(largest)) => {
            // one event an order, also where the stream is of all symbols
            let orders = std::mem::take(largest).into_iter();
            said.extend(orders.filter_map(|(symbol, order)| {
                let instrument = views.instruments.get(symbol)?;
                Some((*topic, payload::force_order(instrument, &order, now_ms)))
            }));
            None
        }
        (topic, _) => unreachable!("{topic:?} was started with another stream's memory"),
    }
}

fn of(views: &Views, symbol: SymbolId) -> Option<(&Instrument, &SymbolMarket)> {
    Some((views.instruments.get(symbol)?, views.market.get(symbol)?))
}

fn all(views: &Views) -> impl Iterator<Item = (&Instrument, &SymbolMarket)> {
    views.instruments.iter().filter_map(|each| Some((each, views.market.get(each.spec.symbol)?)))
}

/// The best levels when they may have changed since they were told last.
fn partial(market: &SymbolMarket, levels: Levels, told: &mut Option<u64>) -> Option<Diff> {
    let book = &market.book;
    let previous = told.unwrap_or(book.update);
    if *told == Some(book.update) {
        return None;
    }
    *told = Some(book.update);
    let row = |level: PriceLevel| (level.price, level.qty);
    Some(Diff {
        first: (previous + 1).min(book.update),
        last: book.update,
        previous,
        ts: book.ts as Micros,
        bids: book.bids(levels.count()).map(row).collect(),
        asks: book.asks(levels.count()).map(row).collect(),
    })
}

/// The candle told last if it has changed or ended since, and the one that is filling now.
fn candles(
    market: &SymbolMarket,
    interval: Interval,
    told: &mut Option<TradeBar>,
    now_ms: i64,
    mut tell: impl FnMut(&TradeBar),
) {
    let from_ms = told.map_or(interval.open_of(now_ms), |bar| bar.open_ms);
    // the one told last and its successor; whoever looks each 250 ms meets no third
    let window = Window { from_ms: Some(from_ms), to_ms: None, limit: 2 };
    for bar in market.candles.read(interval, window, now_ms) {
        if *told != Some(bar) || interval.close_of(bar.open_ms) < now_ms {
            tell(&bar);
            *told = Some(bar);
        }
    }
}

/// A symbol's day when it has changed since it was told last.
fn changed<'a>(
    (instrument, market): (&'a Instrument, &SymbolMarket),
    told: &mut BTreeMap<SymbolId, (u64, i64)>,
    now_ms: i64,
) -> Option<(&'a Instrument, Ticker)> {
    let last = market.tape.last().map_or(0, |trade| trade.id.0);
    let now = (last, Interval::Minute1.open_of(now_ms));
    if told.insert(instrument.spec.symbol, now) == Some(now) {
        return None;
    }
    Some((instrument, Ticker::of(market, now_ms)))
}
