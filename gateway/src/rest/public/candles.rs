//! Candles of trades, marks, indexes and premiums.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde_json::Value;

use super::{Answer, Gateway, limit, named, span};
use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Public, error::ApiError, params::Params},
    store::market::{BarKind, BarSlot},
    text::Text,
    views::{
        instruments::Instrument,
        market::{
            bars::{BARS_MAX, Bar, Series, TradeBar, ValueBar, Window},
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
    trade_rows(&app, &call.params, "symbol").await
}

async fn continuous_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    let contract = call.params.need("contractType")?;
    if !contract.eq_ignore_ascii_case("PERPETUAL") {
        return Err(ApiError::invalid("contractType"));
    }
    trade_rows(&app, &call.params, "pair").await
}

async fn mark_price_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    value_rows(&app, &call.params, "symbol", BarKind::Mark).await
}

async fn index_price_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    value_rows(&app, &call.params, "pair", BarKind::Index).await
}

async fn premium_index_klines(State(app): Gateway, call: Public) -> Answer<Vec<Row>> {
    value_rows(&app, &call.params, "symbol", BarKind::Premium).await
}

async fn trade_rows(app: &App, params: &Params, by: &str) -> Answer<Vec<Row>> {
    let (interval, window) = window(params)?;
    let now = now_ms();
    let (instrument, bars, cut) = {
        let views = app.views.read();
        let (instrument, market) = named(&views, params, by)?;
        let series = &market.candles;
        (*instrument, series.read(interval, window, now), series.cut_at(interval))
    };
    let symbol = instrument.spec.symbol;
    let slot = BarSlot { symbol, kind: BarKind::Trade, interval };
    let older = match older(interval, window, cut, now) {
        Some(span) => app.store.trade_bars(slot, span).await.map_err(ApiError::internal)?,
        None => Vec::new(),
    };
    let bars = joined(interval, window, older, cut, bars);
    Ok(Json(bars.iter().map(|bar| trade_row(&instrument, interval, bar)).collect()))
}

async fn value_rows(app: &App, params: &Params, by: &str, kind: BarKind) -> Answer<Vec<Row>> {
    let (interval, window) = window(params)?;
    let now = now_ms();
    let (symbol, bars, cut) = {
        let views = app.views.read();
        let (instrument, market) = named(&views, params, by)?;
        let series = match kind {
            BarKind::Mark => &market.marks,
            BarKind::Index => &market.indexes,
            BarKind::Premium => &market.premiums,
            BarKind::Interest => &market.interests,
            BarKind::Trade => unreachable!("trades have candles of their own"),
        };
        let symbol = instrument.spec.symbol;
        (symbol, series.read(interval, window, now), series.cut_at(interval))
    };
    let slot = BarSlot { symbol, kind, interval };
    let older = match older(interval, window, cut, now) {
        Some(span) => app.store.value_bars(slot, span).await.map_err(ApiError::internal)?,
        None => Vec::new(),
    };
    let bars = joined(interval, window, older, cut, bars);
    Ok(Json(bars.iter().map(|bar| value_row(interval, bar)).collect()))
}

/// The span that only the store has, of what is asked for.
fn older(interval: Interval, window: Window, cut: Option<i64>, now_ms: i64) -> Option<(i64, i64)> {
    let (start_ms, end_ms) = window.span(interval, now_ms);
    let end_ms = end_ms.min(interval.step(cut?, -1));
    (start_ms <= end_ms).then_some((start_ms, end_ms))
}

/// Candles of the store, without gaps, and those of memory behind them.
fn joined<B: Bar>(
    interval: Interval,
    window: Window,
    older: Vec<B>,
    cut: Option<i64>,
    kept: Vec<B>,
) -> Vec<B> {
    let Some((first, cut)) = older.first().map(Bar::open_ms).zip(cut) else { return kept };
    let to_ms = window.to_ms.map_or(cut - 1, |to| to.min(cut - 1));
    let all = Window { from_ms: Some(first), to_ms: Some(to_ms), limit: window.limit };
    let mut bars = Series::of_past(interval, older).read(interval, all, to_ms);
    bars.extend(kept);
    bars.truncate(window.limit);
    bars
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
fn value_row(interval: Interval, bar: &ValueBar) -> Row {
    [
        bar.open_ms.into(),
        shown(Text::e8(bar.open)),
        shown(Text::e8(bar.high)),
        shown(Text::e8(bar.low)),
        shown(Text::e8(bar.close)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::market::interval::MINUTE_MS;

    /// Memory and store together answer as one endless series would.
    #[test]
    fn the_store_goes_on_where_memory_ends() {
        let interval = Interval::Minute1;
        let minutes = BARS_MAX as i64 + 400;
        let mut series = Series::default();
        let mut stored = Vec::new();
        for minute in (0..minutes).filter(|minute| minute % 7 != 3) {
            let sample = ValueBar::sample(minute);
            if series.push(minute * MINUTE_MS, sample) {
                stored
                    .extend(series.rolled().filter(|(each, _)| *each == interval).map(|row| row.1));
            }
        }
        let cut = series.cut_at(interval);
        let now = minutes * MINUTE_MS;
        for (from, to, limit) in [
            (Some(0), None, 1_500),
            (Some(10), Some(now), 7),
            (Some(5 * MINUTE_MS), Some(9 * MINUTE_MS), 500),
            (None, Some(100 * MINUTE_MS), 50),
            (None, cut.map(|cut| cut + 3 * MINUTE_MS), 20),
            (cut, None, 10),
            (None, None, 1_500),
        ] {
            let window = Window { from_ms: from, to_ms: to, limit };
            let kept = series.read(interval, window, now);
            let span = older(interval, window, cut, now);
            let older: Vec<ValueBar> = stored
                .iter()
                .filter(|bar| span.is_some_and(|(from, to)| (from..=to).contains(&bar.open_ms)))
                .take(BARS_MAX)
                .copied()
                .collect();
            let bars = joined(interval, window, older, cut, kept);
            let (start, end) = window.span(interval, now);
            // a candle of nothing at the very start has no close to be flat at
            let grid: Vec<i64> = (0..)
                .map(|at| start + at * MINUTE_MS)
                .take_while(|open| *open <= end)
                .take(limit)
                .collect();
            let opens: Vec<i64> = bars.iter().map(|bar| bar.open_ms).collect();
            let missing = grid.len() - opens.len();
            assert!(missing <= 1, "{window:?}: {missing} missing");
            assert!(grid.ends_with(&opens) || grid.starts_with(&opens), "{window:?}");
        }
    }
}
