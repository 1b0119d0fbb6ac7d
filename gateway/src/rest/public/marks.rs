//! Mark and index prices, funding and open interest.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use rules::funding;
use serde::Serialize;

use super::{Answer, Gateway, OneOrAll, limit, market_of, micros, named, span};
use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Public, error::ApiError},
    store::history::{End, Range},
    text::Text,
    views::{
        instruments::Instrument,
        market::{SymbolMarket, fundings::Funding, millis},
    },
};

/// Fundings that a call is answered with unless it says how many, and the most it may ask for.
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

/// Of one symbol or of all, oldest first: from a start on, else the newest.
async fn get_funding_rates(State(app): Gateway, call: Public) -> Answer<Vec<FundingRate>> {
    let (start, end) = span(&call.params)?;
    let limit = limit(&call.params, FUNDING_ROWS_DEFAULT, FUNDING_ROWS_MAX)?;
    let range = Range {
        from_ts: start.map_or(0, micros),
        to_ts: end.map_or(i64::MAX as u64, |end| micros(end) + 999),
        end: if start.is_some() { End::First } else { End::Last },
        ..Range::last(limit)
    };
    // the views first: what leaves them afterwards is in the store by then
    let (symbol, live) = {
        let views = app.views.read();
        let symbol = match call.params.get("symbol") {
            Some(_) => Some(named(&views, &call.params, "symbol")?.0.spec.symbol),
            None => None,
        };
        let of = |instrument: &&Instrument| symbol.is_none_or(|it| it == instrument.spec.symbol);
        let wanted = views.instruments.iter().filter(of);
        let all = wanted.flat_map(|known| market_of(&views.market, known).fundings.iter());
        let live = all.filter(|funding| range.holds(0, funding.time)).copied().collect();
        (symbol, live)
    };
    let stored = app.store.fundings(symbol, &range).await.map_err(ApiError::internal)?;
    let fundings = range.merge(live, stored, |funding| (funding.time, funding.symbol));
    let views = app.views.read();
    let shown = fundings.iter().filter_map(|funding| {
        let instrument = views.instruments.get(funding.symbol)?;
        Some(FundingRate::of(instrument, funding))
    });
    Ok(Json(shown.collect()))
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
        interest_rate: Text::e8(funding::INTEREST),
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

impl FundingRate {
    fn of(instrument: &Instrument, funding: &Funding) -> Self {
        Self {
            symbol: instrument.name().to_owned(),
            funding_rate: Text::e8(funding.rate),
            funding_time: millis(funding.time),
            mark_price: Text::fixed(instrument.price_e8(funding.mark), 8),
        }
    }
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

fn funding_info(instrument: &Instrument) -> FundingInfo {
    let cap = instrument.bracket_rows().first().map_or(0, |row| funding::cap(row.maintenance));
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
