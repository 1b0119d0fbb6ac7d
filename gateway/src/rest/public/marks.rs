//! Mark and index prices, funding and open interest.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use super::{Answer, Gateway, OneOrAll, limit, market_of, named, span};
use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Public, error::ApiError},
    text::Text,
    views::{
        instruments::Instrument,
        market::{SymbolMarket, millis},
    },
};

/// Highest and lowest number of funding payments that one call may ask for.
const FUNDING_ROWS_DEFAULT: usize = 100;
const FUNDING_ROWS_MAX: usize = 1_000;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/premiumIndex", get(get_premium_index))
        .route("/fapi/v1/fundingRate", get(get_funding_rates))
        .route("/fapi/v1/fundingInfo", get(get_funding_info))
        .route("/fapi/v1/openInterest", get(get_open_interest))
        .route("/fapi/v1/constituents", get(get_constituents))
}

async fn get_premium_index(State(app): Gateway, call: Public) -> Answer<OneOrAll<PremiumIndex>> {
    OneOrAll::read(&app, &call.params, premium_index)
}

/// No symbol has paid funding yet, so the list is empty, as it is for a symbol just listed.
async fn get_funding_rates(State(app): Gateway, call: Public) -> Answer<Vec<FundingRate>> {
    span(&call.params)?;
    limit(&call.params, FUNDING_ROWS_DEFAULT, FUNDING_ROWS_MAX)?;
    if call.params.get("symbol").is_some() {
        named(&app.views.read(), &call.params, "symbol")?;
    }
    Ok(Json(Vec::new()))
}

async fn get_funding_info(State(app): Gateway, _call: Public) -> Answer<Vec<FundingInfo>> {
    Ok(Json(app.views.read().instruments.iter().map(funding_info).collect()))
}

async fn get_open_interest(State(app): Gateway, call: Public) -> Answer<OpenInterest> {
    let views = app.views.read();
    let (instrument, market) = named(&views, &call.params, "symbol")?;
    Ok(Json(OpenInterest {
        open_interest: instrument.qty(market.interest),
        symbol: instrument.name().to_owned(),
        time: now_ms(),
    }))
}

async fn get_constituents(State(app): Gateway, call: Public) -> Answer<Constituents> {
    let views = app.views.read();
    let (instrument, _) = named(&views, &call.params, "symbol")?;
    let mark = market_of(&views.market, instrument)
        .mark
        .ok_or_else(|| ApiError::new(-1000, "No index price has come yet."))?;
    Ok(Json(Constituents {
        symbol: instrument.name().to_owned(),
        time: millis(mark.ts),
        // the feed combines its sources before it sends one price
        constituents: [Constituent {
            exchange: "feed",
            symbol: instrument.name().to_owned(),
            price: Text::e8(mark.index_e8),
            weight: Text::e8(protocol::RATE_ONE),
        }],
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PremiumIndex {
    symbol: String,
    mark_price: Text,
    index_price: Text,
    estimated_settle_price: Text,
    last_funding_rate: Text,
    interest_rate: Text,
    next_funding_time: i64,
    time: i64,
}

/// All zero before the first index price.
fn premium_index(instrument: &Instrument, market: &SymbolMarket) -> PremiumIndex {
    let mark = market.mark;
    let index = Text::e8(mark.map_or(0, |mark| mark.index_e8));
    PremiumIndex {
        symbol: instrument.name().to_owned(),
        mark_price: Text::fixed(mark.map_or(0, |mark| instrument.price_e8(mark.mark)), 8),
        index_price: index,
        estimated_settle_price: index,
        last_funding_rate: Text::e8(mark.map_or(0, |mark| mark.funding_rate)),
        // a part of funding, so there is none before there is funding
        interest_rate: Text::e8(0),
        next_funding_time: mark.map_or(0, |mark| millis(mark.next_funding)),
        time: mark.map_or(0, |mark| millis(mark.ts)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FundingRate {
    symbol: String,
    funding_rate: Text,
    funding_time: i64,
    mark_price: Text,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FundingInfo {
    symbol: String,
    adjusted_funding_rate_cap: Text,
    adjusted_funding_rate_floor: Text,
    funding_interval_hours: u8,
    disclaimer: bool,
}

/// The rate is capped at three quarters of the first bracket's maintenance rate.
fn funding_info(instrument: &Instrument) -> FundingInfo {
    let maintenance = instrument.bracket_rows().first().map_or(0, |row| row.maintenance);
    let cap = i64::from(maintenance) * 3 / 4;
    FundingInfo {
        symbol: instrument.name().to_owned(),
        adjusted_funding_rate_cap: Text::e8(cap),
        adjusted_funding_rate_floor: Text::e8(-cap),
        funding_interval_hours: instrument.spec.funding_interval_hours,
        disclaimer: false,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenInterest {
    open_interest: Text,
    symbol: String,
    time: i64,
}

#[derive(Serialize)]
struct Constituents {
    symbol: String,
    time: i64,
    constituents: [Constituent; 1],
}

#[derive(Serialize)]
struct Constituent {
    exchange: &'static str,
    symbol: String,
    price: Text,
    weight: Text,
}
