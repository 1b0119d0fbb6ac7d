//! Market data endpoints: what anybody may know.

mod books;
mod candles;
mod instruments;
mod insurance;
mod marks;
#[cfg(test)]
mod public_test;
mod statistics;
mod tickers;
mod trades;

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use serde_json::{Value, json};

use super::{auth::Public, error::ApiError, params::Params};
use crate::{
    app::App,
    clock::now_ms,
    views::{
        Views,
        instruments::Instrument,
        market::{Market, SymbolMarket},
    },
};

pub use books::{Depth, depth};
pub use instruments::{NEVER_MS, status};
pub use tickers::{BookTicker, Price, book_ticker, price};

/// The longest span that a query by time may ask for at once.
const LOOKUP_MS_MAX: i64 = 60 * 60 * 1_000;

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/ping", get(ping))
        .route("/fapi/v1/time", get(time))
        .route("/api/v3/ping", get(ping))
        .route("/api/v3/time", get(time))
        .route("/sapi/v1/system/status", get(system_status))
        .route("/sapi/v1/capital/config/getall", get(coins))
        .merge(instruments::routes())
        .merge(books::routes())
        .merge(trades::routes())
        .merge(candles::routes())
        .merge(insurance::routes())
        .merge(marks::routes())
        .merge(tickers::routes())
        .merge(statistics::routes())
}

async fn ping(_call: Public) -> Json<Value> {
    Json(json!({}))
}

async fn time(_call: Public) -> Json<Value> {
    Json(json!({ "serverTime": now_ms() }))
}

async fn system_status(_call: Public) -> Json<Value> {
    Json(json!({ "status": 0, "msg": "normal" }))
}

/// There are no wallets apart from margin accounts, so there is no coin to list.
async fn coins(_call: Public) -> Json<Value> {
    Json(json!([]))
}

/// One row for a named symbol, a list of all otherwise: several endpoints answer in both forms.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrAll<T> {
    One(T),
    All(Vec<T>),
}

impl<T> OneOrAll<T> {
    fn read(
        app: &App,
        params: &Params,
        row: impl Fn(&Instrument, &SymbolMarket) -> T,
    ) -> Result<Json<Self>, ApiError> {
        let views = app.views.read();
        if params.get("symbol").is_some() {
            let (instrument, market) = named(&views, params, "symbol")?;
            return Ok(Json(Self::One(row(instrument, market))));
        }
        let rows = views.instruments.iter().map(|each| row(each, market_of(&views.market, each)));
        Ok(Json(Self::All(rows.collect())))
    }
}

/// The symbol that a parameter names, and its market.
fn named<'a>(
    views: &'a Views,
    params: &Params,
    parameter: &str,
) -> Result<(&'a Instrument, &'a SymbolMarket), ApiError> {
    let name = params.need(parameter)?.to_ascii_uppercase();
    let instrument = views.instruments.by_name(&name).ok_or_else(ApiError::invalid_symbol)?;
    Ok((instrument, market_of(&views.market, instrument)))
}

/// A symbol's market; an empty one when nothing has happened in it yet.
fn market_of<'a>(market: &'a Market, instrument: &Instrument) -> &'a SymbolMarket {
    static EMPTY: std::sync::LazyLock<SymbolMarket> = std::sync::LazyLock::new(Default::default);
    market.get(instrument.spec.symbol).unwrap_or(&EMPTY)
}

/// How many rows are wanted: from 1 to `max`.
fn limit(params: &Params, default: usize, max: usize) -> Result<usize, ApiError> {
    let Some(limit) = params.integer("limit")? else { return Ok(default) };
    usize::try_from(limit)
        .ok()
        .filter(|limit| (1..=max).contains(limit))
        .ok_or_else(|| ApiError::invalid("limit"))
}

/// A span of time, both ends included.
fn span(params: &Params) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let start = time_of(params, "startTime")?;
    let end = time_of(params, "endTime")?;
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(ApiError::new(-1023, "Start time is greater than end time."));
    }
    Ok((start, end))
}

/// A time of a call as the log's; it has been checked to have no sign.
fn micros(time_ms: i64) -> u64 {
    u64::try_from(time_ms).unwrap_or_default() * 1_000
}

fn time_of(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    /// Later than any calendar this is used with, and far from the end of the integers.
    const TIME_MS_MAX: i64 = 253_402_300_800_000;
    match params.integer(name)? {
        Some(time) if (0..=TIME_MS_MAX).contains(&time) => Ok(Some(time)),
        Some(_) => Err(ApiError::invalid(name)),
        None => Ok(None),
    }
}

type Answer<T> = Result<Json<T>, ApiError>;
type Gateway = State<Arc<App>>;
