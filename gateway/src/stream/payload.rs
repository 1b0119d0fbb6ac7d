//! Market data events as JSON.

use protocol::decimal;
use serde::Serialize;

use super::depth::Diff;
use crate::{
    text::Text,
    views::{
        instruments::Instrument,
        market::{
            SymbolMarket,
            bars::TradeBar,
            book::{Best, PriceLevel},
            forced::ForcedOrder,
            interval::Interval,
            millis,
            tape::{AggTrade, PublicTrade},
            ticker::Ticker,
        },
    },
    words::Word,
};

/// JSON of a value that has nothing a text could not hold.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("events are made of numbers, texts and lists")
}

#[derive(Serialize)]
struct TradeEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "T")]
    trade_ms: i64,
    s: &'a str,
    t: u64,
    p: Text,
    q: Text,
    #[serde(rename = "X")]
    kind: &'static str,
    m: bool,
}

pub fn trade(instrument: &Instrument, trade: &PublicTrade) -> String {
    json(&TradeEvent {
        e: "trade",
        event_ms: millis(trade.ts),
        trade_ms: millis(trade.ts),
        s: instrument.name(),
        t: trade.id.0,
        p: instrument.price(trade.price),
        q: instrument.qty(trade.qty),
        kind: "MARKET",
        m: trade.is_buyer_maker(),
    })
}

#[derive(Serialize)]
struct AggTradeEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    a: u64,
    p: Text,
    q: Text,
    nq: Text,
    f: u64,
    l: u64,
    #[serde(rename = "T")]
    trade_ms: i64,
    m: bool,
}

pub fn agg_trade(instrument: &Instrument, trade: &AggTrade) -> String {
    let qty = instrument.qty(trade.qty);
    json(&AggTradeEvent {
        e: "aggTrade",
        event_ms: millis(trade.ts),
        s: instrument.name(),
        a: trade.first.0,
        p: instrument.price(trade.price),
        q: qty,
        nq: qty,
        f: trade.first.0,
        l: trade.last.0,
        trade_ms: millis(trade.ts),
        m: trade.is_buyer_maker(),
    })
}

#[derive(Serialize)]
struct DepthEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "T")]
    changed_ms: i64,
    s: &'a str,
    #[serde(rename = "U")]
    first: u64,
    u: u64,
    pu: u64,
    b: Vec<[Text; 2]>,
    a: Vec<[Text; 2]>,
}

/// Changed levels, or the best ones as they are.
pub fn depth(instrument: &Instrument, diff: &Diff, now_ms: i64) -> String {
    let row = |&(price, qty): &(i64, i64)| [instrument.price(price), instrument.qty(qty)];
    json(&DepthEvent {
        e: "depthUpdate",
        event_ms: now_ms,
        changed_ms: millis(diff.ts),
        s: instrument.name(),
        first: diff.first,
        u: diff.last,
        pu: diff.previous,
        b: diff.bids.iter().map(row).collect(),
        a: diff.asks.iter().map(row).collect(),
    })
}

#[derive(Serialize)]
struct BookTickerEvent<'a> {
    e: &'static str,
    u: u64,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "T")]
    changed_ms: i64,
    s: &'a str,
    b: Text,
    #[serde(rename = "B")]
    bid_qty: Text,
    a: Text,
    #[serde(rename = "A")]
    ask_qty: Text,
}

/// A side without orders is zero.
pub fn book_ticker(instrument: &Instrument, update: u64, best: &Best, changed_ms: i64) -> String {
    const NOTHING: PriceLevel = PriceLevel { price: 0, qty: 0 };
    let (bid, ask) = (best.bid.unwrap_or(NOTHING), best.ask.unwrap_or(NOTHING));
    json(&BookTickerEvent {
        e: "bookTicker",
        u: update,
        event_ms: changed_ms,
        changed_ms,
        s: instrument.name(),
        b: instrument.price(bid.price),
        bid_qty: instrument.qty(bid.qty),
        a: instrument.price(ask.price),
        ask_qty: instrument.qty(ask.qty),
    })
}

/// The mark and what belongs to it.
#[derive(Serialize)]
pub struct MarkEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    p: Text,
    ap: Text,
    #[serde(rename = "P")]
    settle: Text,
    i: Text,
    r: Text,
    #[serde(rename = "T")]
    next_funding_ms: i64,
}

/// Nothing before the first index price.
pub fn mark<'a>(instrument: &'a Instrument, market: &SymbolMarket) -> Option<MarkEvent<'a>> {
    let mark = market.mark?;
    let shown = Text::e8(instrument.price_e8(mark.mark));
    let index = Text::e8(mark.index_e8);
    Some(MarkEvent {
        e: "markPriceUpdate",
        event_ms: millis(mark.ts),
        s: instrument.name(),
        p: shown,
        ap: shown,
        settle: index,
        i: index,
        r: Text::e8(mark.funding_rate),
        next_funding_ms: millis(mark.next_funding),
    })
}

#[derive(Serialize)]
struct Candle<'a> {
    t: i64,
    #[serde(rename = "T")]
    close_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'a str>,
    i: &'static str,
    f: i64,
    #[serde(rename = "L")]
    last_id: i64,
    o: Text,
    c: Text,
    h: Text,
    l: Text,
    v: Text,
    n: i64,
    x: bool,
    q: Text,
    #[serde(rename = "V")]
    taker_volume: Text,
    #[serde(rename = "Q")]
    taker_quote: Text,
    #[serde(rename = "B")]
    ignored: &'static str,
}

#[derive(Serialize)]
struct KlineEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    k: Candle<'a>,
}

#[derive(Serialize)]
struct ContinuousKlineEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    ps: &'a str,
    ct: &'static str,
    k: Candle<'a>,
}

pub fn kline(instrument: &Instrument, interval: Interval, bar: &TradeBar, now_ms: i64) -> String {
    json(&KlineEvent {
        e: "kline",
        event_ms: now_ms,
        s: instrument.name(),
        k: Candle { s: Some(instrument.name()), ..candle(instrument, interval, bar, now_ms) },
    })
}

pub fn continuous_kline(
    instrument: &Instrument,
    interval: Interval,
    bar: &TradeBar,
    now_ms: i64,
) -> String {
    json(&ContinuousKlineEvent {
        e: "continuous_kline",
        event_ms: now_ms,
        ps: instrument.name(),
        ct: "PERPETUAL",
        k: candle(instrument, interval, bar, now_ms),
    })
}

fn candle<'a>(
    instrument: &Instrument,
    interval: Interval,
    bar: &TradeBar,
    now_ms: i64,
) -> Candle<'a> {
    // an interval without trades has no ids
    let id = |id: u64| if bar.count == 0 { -1 } else { i64::try_from(id).unwrap_or(i64::MAX) };
    Candle {
        t: bar.open_ms,
        close_ms: interval.close_of(bar.open_ms),
        s: None,
        i: interval.name(),
        f: id(bar.first_id),
        last_id: id(bar.last_id),
        o: instrument.price(bar.open),
        c: instrument.price(bar.close),
        h: instrument.price(bar.high),
        l: instrument.price(bar.low),
        v: instrument.qty(bar.volume),
        n: bar.count,
        x: now_ms > interval.close_of(bar.open_ms),
        q: Text::e8(bar.quote),
        taker_volume: instrument.qty(bar.taker_volume),
        taker_quote: Text::e8(bar.taker_quote),
        ignored: "0",
    }
}

/// The last 24 hours in a row.
#[derive(Serialize)]
pub struct TickerEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    p: Text,
    #[serde(rename = "P")]
    percent: Text,
    w: Text,
    c: Text,
    #[serde(rename = "Q")]
    last_qty: Text,
    o: Text,
    h: Text,
    l: Text,
    v: Text,
    q: Text,
    #[serde(rename = "O")]
    open_ms: i64,
    #[serde(rename = "C")]
    close_ms: i64,
    #[serde(rename = "F")]
    first_id: u64,
    #[serde(rename = "L")]
    last_id: u64,
    n: i64,
}

pub fn ticker<'a>(instrument: &'a Instrument, day: &Ticker) -> TickerEvent<'a> {
    TickerEvent {
        e: "24hrTicker",
        event_ms: day.close_ms,
        s: instrument.name(),
        p: instrument.price(day.change()),
        percent: Text(decimal::show(day.change_percent_e2(), 2)),
        w: instrument.average_price(day.quote, day.volume),
        c: instrument.price(day.last),
        last_qty: instrument.qty(day.last_qty),
        o: instrument.price(day.open),
        h: instrument.price(day.high),
        l: instrument.price(day.low),
        v: instrument.qty(day.volume),
        q: Text::fixed(day.quote, 2),
        open_ms: day.open_ms,
        close_ms: day.close_ms,
        first_id: day.first_id,
        last_id: day.last_id,
        n: day.count,
    }
}

/// The last 24 hours in short.
#[derive(Serialize)]
pub struct MiniTickerEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    c: Text,
    o: Text,
    h: Text,
    l: Text,
    v: Text,
    q: Text,
}

pub fn mini_ticker<'a>(instrument: &'a Instrument, day: &Ticker) -> MiniTickerEvent<'a> {
    MiniTickerEvent {
        e: "24hrMiniTicker",
        event_ms: day.close_ms,
        s: instrument.name(),
        c: instrument.price(day.last),
        o: instrument.price(day.open),
        h: instrument.price(day.high),
        l: instrument.price(day.low),
        v: instrument.qty(day.volume),
        q: Text::fixed(day.quote, 2),
    }
}

#[derive(Serialize)]
struct ForceOrderEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    o: ForceOrderRow<'a>,
}

#[derive(Serialize)]
struct ForceOrderRow<'a> {
    s: &'a str,
    #[serde(rename = "S")]
    side: &'static str,
    o: &'static str,
    f: &'static str,
    q: Text,
    p: Text,
    ap: Text,
    #[serde(rename = "X")]
    status: &'static str,
    l: Text,
    z: Text,
    #[serde(rename = "T")]
    time_ms: i64,
}

/// A liquidation, without its owner.
pub fn force_order(instrument: &Instrument, order: &ForcedOrder, now_ms: i64) -> String {
    json(&ForceOrderEvent {
        e: "forceOrder",
        event_ms: now_ms,
        o: ForceOrderRow {
            s: instrument.name(),
            side: order.side.word(),
            o: order.order_type.word(),
            f: order.time_in_force.word(),
            q: instrument.qty(order.qty),
            p: instrument.price(order.price),
            ap: instrument.average_price(order.cum_quote.into(), order.cum_qty),
            status: order.status.word(),
            l: instrument.qty(order.last_qty),
            z: instrument.qty(order.cum_qty),
            time_ms: millis(order.ts),
        },
    })
}

#[derive(Serialize)]
struct ContractEvent<'a> {
    e: &'static str,
    #[serde(rename = "E")]
    event_ms: i64,
    s: &'a str,
    ps: &'a str,
    ct: &'static str,
    dt: i64,
    ot: i64,
    cs: &'static str,
    bks: Vec<BracketRow>,
}

#[derive(Serialize)]
struct BracketRow {
    bs: usize,
    bnf: Text,
    bnc: Text,
    mmr: Text,
    cf: u8,
    mi: u32,
    ma: u32,
}

/// A symbol as listed now.
pub fn contract(instrument: &Instrument, now_ms: i64) -> String {
    let rows = instrument.bracket_rows();
    let row = |(at, row): (usize, &protocol::instrument::Bracket)| BracketRow {
        bs: at + 1,
        bnf: Text::fixed(row.floor.into(), 0),
        bnc: Text::fixed(row.cap.into(), 0),
        mmr: Text::e8(row.maintenance),
        cf: 0,
        // a bracket begins where the next one's leverage ends
        mi: rows.get(at + 1).map_or(1, |next| next.max_leverage + 1),
        ma: row.max_leverage,
    };
    json(&ContractEvent {
        e: "contractInfo",
        event_ms: now_ms,
        s: instrument.name(),
        ps: instrument.name(),
        ct: "PERPETUAL",
        dt: crate::rest::public::NEVER_MS,
        ot: millis(instrument.spec.listed_at),
        cs: crate::rest::public::status(instrument.state()),
        bks: rows.iter().enumerate().map(row).collect(),
    })
}
