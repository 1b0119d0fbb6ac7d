//! Candles of trades, marks, indexes and premiums.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde_json::Value;

use super::{Answer, Gateway, limit, named, span};
use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Public, error::ApiError, params::Params},
    text::Text,
    views::{
        instruments::Instrument,
        market::{
            SymbolMarket,
            bars::{BARS_MAX, Series, TradeBar, ValueBar, Window},
            interval::Interval,
        },
    },
};

const BARS_DEFAULT: usize = 500;

/// A candle as clients read it: times and the number of trades are numbers, the rest is text.
type Row = [Value; 12];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/klines", get(klines))
        .route("/fapi/v1/continuousKlines", get(continuous_klines))
        .route("/fapi/v1/markPriceKlines", get(mark_price_klines))
        .route("/fapi/v1/indexPriceKlines", get(index_price_klines))
        .route("/fapi/v1/premiumIndexKlines", get(premium_index_klines))
}

async fn klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    trade_rows(&app, &call.params, "symbol")
}

async fn continuous_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    let contract = call.params.need("contractType")?;
    if !contract.eq_ignore_ascii_case("PERPETUAL") {
        return Err(ApiError::invalid("contractType"));
    }
    trade_rows(&app, &call.params, "pair")
}

async fn mark_price_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    value_rows(&app, &call.params, "symbol", |market| &market.marks, price_text)
}

async fn index_price_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    value_rows(&app, &call.params, "pair", |market| &market.indexes, price_text)
}

async fn premium_index_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    value_rows(&app, &call.params, "symbol", |market| &market.premiums, |_, value| Text::e8(value))
}

fn price_text(_instrument: &Instrument, value_e8: i64) -> Text {
    Text::e8(value_e8)
}

fn trade_rows(app: &App, params: &Params, by: &str) -> Answer<Vec<Row>> {
    let views = app.views.read();
    let (instrument, market) = named(&views, params, by)?;
    let (interval, window) = window(params)?;
    let bars = market.candles.read(interval, window, now_ms());
    Ok(Json(bars.iter().map(|bar| trade_row(instrument, interval, bar)).collect()))
}

fn value_rows(
    app: &App,
    params: &Params,
    by: &str,
    series: impl Fn(&SymbolMarket) -> &Series<ValueBar>,
    text: impl Fn(&Instrument, i64) -> Text,
) -> Answer<Vec<Row>> {
    let views = app.views.read();
    let (instrument, market) = named(&views, params, by)?;
    let (interval, window) = window(params)?;
    let bars = series(market).read(interval, window, now_ms());
    let row = |bar: &ValueBar| value_row(interval, bar, |value| text(instrument, value));
    Ok(Json(bars.iter().map(row).collect()))
}

fn window(params: &Params) -> Result<(Interval, Window), ApiError> {
    let interval = Interval::parse(params.need("interval")?)
        .ok_or_else(|| ApiError::new(-1120, "Invalid interval."))?;
    let (from_ms, to_ms) = span(params)?;
    let limit = limit(params, BARS_DEFAULT, BARS_MAX)?;
    Ok((interval, Window { from_ms, to_ms, limit }))
}

fn trade_row(instrument: &Instrument, interval: Interval, bar: &TradeBar) -> Row {
    [
        bar.open_ms.into(),
        shown(instrument.price(bar.open)),
        shown(instrument.price(bar.high)),
        shown(instrument.price(bar.low)),
        shown(instrument.price(bar.close)),
        shown(instrument.qty(bar.volume)),
        interval.close_of(bar.open_ms).into(),
        shown(Text::e8(bar.quote)),
        bar.count.into(),
        shown(instrument.qty(bar.taker_volume)),
        shown(Text::e8(bar.taker_quote)),
        "0".into(),
    ]
}

/// A value has no volume; its count says how often it was observed.
fn value_row(interval: Interval, bar: &ValueBar, text: impl Fn(i64) -> Text) -> Row {
    [
        bar.open_ms.into(),
        shown(text(bar.open)),
        shown(text(bar.high)),
        shown(text(bar.low)),
        shown(text(bar.close)),
        "0".into(),
        interval.close_of(bar.open_ms).into(),
        "0".into(),
        bar.count.into(),
        "0".into(),
        "0".into(),
        "0".into(),
    ]
}

fn shown(text: Text) -> Value {
    Value::String(text.to_string())
}
