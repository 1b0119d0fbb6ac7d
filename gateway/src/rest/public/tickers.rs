//! The best, the last and the last day's prices.

use std::sync::Arc;

use axum::{Router, extract::State, routing::get};
use serde::Serialize;

use super::{Answer, Gateway, OneOrAll};
use crate::{
    app::App,
    clock::now_ms,
    rest::auth::Public,
    text::Text,
    views::{
        instruments::Instrument,
        market::{SymbolMarket, book::PriceLevel, millis, ticker::Ticker},
    },
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/ticker/24hr", get(get_day))
        .route("/fapi/v1/ticker/bookTicker", get(get_book_ticker))
        .route("/fapi/v1/ticker/price", get(get_price))
        .route("/fapi/v2/ticker/price", get(get_price))
}

async fn get_day(State(app): Gateway, call: Public) -> Answer<OneOrAll<Day>> {
    let now = now_ms();
    OneOrAll::read(&app, &call.params, |instrument, market| day(instrument, market, now))
}

async fn get_book_ticker(State(app): Gateway, call: Public) -> Answer<OneOrAll<BookTicker>> {
    OneOrAll::read(&app, &call.params, book_ticker)
}

async fn get_price(State(app): Gateway, call: Public) -> Answer<OneOrAll<Price>> {
    OneOrAll::read(&app, &call.params, price)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Day {
    symbol: String,
    price_change: Text,
    price_change_percent: Text,
    weighted_avg_price: Text,
    last_price: Text,
    last_qty: Text,
    open_price: Text,
    high_price: Text,
    low_price: Text,
    volume: Text,
    quote_volume: Text,
    open_time: i64,
    close_time: i64,
    first_id: u64,
    last_id: u64,
    count: i64,
}

fn day(instrument: &Instrument, market: &SymbolMarket, now_ms: i64) -> Day {
    let ticker = Ticker::of(market, now_ms);
    Day {
        symbol: instrument.name().to_owned(),
        price_change: instrument.price(ticker.change()),
        price_change_percent: Text(protocol::decimal::show(ticker.change_percent_e2(), 2)),
        weighted_avg_price: instrument.average_price(ticker.quote, ticker.volume),
        last_price: instrument.price(ticker.last),
        last_qty: instrument.qty(ticker.last_qty),
        open_price: instrument.price(ticker.open),
        high_price: instrument.price(ticker.high),
        low_price: instrument.price(ticker.low),
        volume: instrument.qty(ticker.volume),
        quote_volume: Text::fixed(ticker.quote, 2),
        open_time: ticker.open_ms,
        close_time: ticker.close_ms,
        first_id: ticker.first_id,
        last_id: ticker.last_id,
        count: ticker.count,
    }
}

/// The best price of each side; a side without orders is zero.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BookTicker {
    symbol: String,
    bid_price: Text,
    bid_qty: Text,
    ask_price: Text,
    ask_qty: Text,
    time: i64,
    last_update_id: u64,
}

pub fn book_ticker(instrument: &Instrument, market: &SymbolMarket) -> BookTicker {
    const NOTHING: PriceLevel = PriceLevel { price: 0, qty: 0 };
    let best = market.book.best();
    let (bid, ask) = (best.bid.unwrap_or(NOTHING), best.ask.unwrap_or(NOTHING));
    BookTicker {
        symbol: instrument.name().to_owned(),
        bid_price: instrument.price(bid.price),
        bid_qty: instrument.qty(bid.qty),
        ask_price: instrument.price(ask.price),
        ask_qty: instrument.qty(ask.qty),
        time: millis(market.book.ts),
        last_update_id: market.book.update,
    }
}

/// The last trade's price and time; the mark's before the first trade, and 0 before the first mark.
#[derive(Serialize)]
pub struct Price {
    symbol: String,
    price: Text,
    time: i64,
}

pub fn price(instrument: &Instrument, market: &SymbolMarket) -> Price {
    let last = market.tape.last().map(|trade| (trade.price, trade.ts));
    let (price, ts) =
        last.or_else(|| market.mark.as_ref().map(|mark| (mark.mark, mark.ts))).unwrap_or_default();
    Price { symbol: instrument.name().to_owned(), price: instrument.price(price), time: millis(ts) }
}
