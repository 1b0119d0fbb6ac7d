//! Order books.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use super::{Answer, Gateway, named};
use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Public, error::ApiError, params::Params},
    text::Text,
    views::{
        Views,
        instruments::Instrument,
        market::{SymbolMarket, book::PriceLevel, millis},
    },
};

/// How many levels a side clients may ask for.
const DEPTH_LIMITS: [i64; 7] = [5, 10, 20, 50, 100, 500, 1_000];
const DEPTH_DEFAULT: i64 = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/depth", get(get_depth))
        // no order is kept out of the public book, so both books are the same
        .route("/fapi/v1/rpiDepth", get(get_depth))
}

/// The best levels of both sides and the last change they hold.
#[derive(Serialize)]
pub struct Depth {
    #[serde(rename = "lastUpdateId")]
    last_update_id: u64,
    #[serde(rename = "E")]
    event_ms: i64,
    #[serde(rename = "T")]
    changed_ms: i64,
    bids: Vec<[Text; 2]>,
    asks: Vec<[Text; 2]>,
}

/// Reads the parameters `symbol` and `limit`.
pub fn depth(views: &Views, params: &Params) -> Result<Depth, ApiError> {
    let (instrument, market) = named(views, params, "symbol")?;
    let limit = params.integer("limit")?.unwrap_or(DEPTH_DEFAULT);
    if !DEPTH_LIMITS.contains(&limit) {
        return Err(ApiError::new(-4021, format!("{limit} is not valid depth limit")));
    }
    let limit = usize::try_from(limit).expect("one of the limits above");
    Ok(depth_of(instrument, market, limit))
}

async fn get_depth(State(app): Gateway, call: Public) -> Answer<Depth> {
    depth(&app.views.read(), &call.params).map(Json)
}

fn depth_of(instrument: &Instrument, market: &SymbolMarket, limit: usize) -> Depth {
    let row = |level: PriceLevel| [instrument.price(level.price), instrument.qty(level.qty)];
    Depth {
        last_update_id: market.book.update,
        event_ms: now_ms(),
        changed_ms: millis(market.book.ts),
        bids: market.book.bids(limit).map(row).collect(),
        asks: market.book.asks(limit).map(row).collect(),
    }
}
