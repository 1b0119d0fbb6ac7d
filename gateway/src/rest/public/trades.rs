//! Trades, one by one and as takers' orders made them.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use protocol::TradeId;
use serde::Serialize;

use super::{Answer, Gateway, LOOKUP_MS_MAX, limit, micros, named, span};
use crate::{
    app::App,
    rest::{
        auth::{Keyed, Public},
        error::ApiError,
        params::Params,
    },
    text::Text,
    views::{
        instruments::Instrument,
        market::{
            SymbolMarket, millis,
            tape::{AggTrade, PublicTrade, TRADES_MAX, aggregate},
        },
    },
};

const TRADES_DEFAULT: usize = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/trades", get(get_trades))
        .route("/fapi/v1/historicalTrades", get(get_historical_trades))
        .route("/fapi/v1/aggTrades", get(get_agg_trades))
}

async fn get_trades(State(app): Gateway, call: Public) -> Answer<Vec<Trade>> {
    let views = app.views.read();
    let (instrument, market) = named(&views, &call.params, "symbol")?;
    let limit = limit(&call.params, TRADES_DEFAULT, TRADES_MAX)?;
    Ok(Json(newest(market, limit).map(|trade| Trade::of(instrument, trade)).collect()))
}

async fn get_historical_trades(State(app): Gateway, call: Keyed) -> Answer<Vec<Trade>> {
    let limit = limit(&call.params, TRADES_DEFAULT, TRADES_MAX)?;
    let from = trade_id(&call.params)?;
    let instrument = {
        let views = app.views.read();
        let (instrument, market) = named(&views, &call.params, "symbol")?;
        let Some(from) = from else {
            let newest = newest(market, limit).map(|trade| Trade::of(instrument, trade));
            return Ok(Json(newest.collect()));
        };
        if let Some(kept) = kept_from(market, from, limit) {
            return Ok(Json(kept.map(|trade| Trade::of(instrument, trade)).collect()));
        }
        *instrument
    };
    let symbol = instrument.spec.symbol;
    let stored = app.store.trades_from(symbol, from.unwrap_or_default(), limit).await;
    let trades = stored.map_err(ApiError::internal)?;
    Ok(Json(trades.iter().map(|trade| Trade::of(&instrument, trade)).collect()))
}

/// By id from `fromId` on, by time within an hour, or the newest.
async fn get_agg_trades(State(app): Gateway, call: Public) -> Answer<Vec<Aggregate>> {
    let wanted = Wanted::of(&call.params)?;
    let limit = limit(&call.params, TRADES_DEFAULT, TRADES_MAX)?;
    let instrument = {
        let views = app.views.read();
        let (instrument, market) = named(&views, &call.params, "symbol")?;
        if let Some(kept) = wanted.among(market, limit) {
            return Ok(Json(kept.iter().map(|each| Aggregate::of(instrument, each)).collect()));
        }
        *instrument
    };
    let symbol = instrument.spec.symbol;
    let trades = match wanted {
        Wanted::Newest => Ok(Vec::new()),
        Wanted::FromId(from) => app.store.trades_from(symbol, from, STORED_TRADES_MAX).await,
        Wanted::Between(from, to) => {
            let (from, to) = (micros(from), micros(to) + 999);
            app.store.trades_between(symbol, from, to, STORED_TRADES_MAX).await
        }
    };
    let trades = trades.map_err(ApiError::internal)?;
    // the last one read may be the middle of an aggregate
    let cut = trades.len() == STORED_TRADES_MAX;
    let mut aggregates = aggregate(trades);
    if cut && aggregates.len() > 1 {
        aggregates.pop();
    }
    aggregates.truncate(limit);
    Ok(Json(aggregates.iter().map(|each| Aggregate::of(&instrument, each)).collect()))
}

/// Trades read from the store to make aggregates of.
const STORED_TRADES_MAX: usize = 4_000;

/// Which aggregates a caller wants; times are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Newest,
    FromId(TradeId),
    Between(i64, i64),
}

impl Wanted {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let (start, end) = span(params)?;
        match (trade_id(params)?, start, end) {
            (Some(from), None, None) => Ok(Self::FromId(from)),
            (Some(_), _, _) => {
                Err(ApiError::new(-1128, "Combination of optional parameters invalid."))
            }
            (None, Some(start), Some(end)) if end - start > LOOKUP_MS_MAX => Err(ApiError::new(
                -1127,
                "Lookup interval is too big. More than 1 hours between startTime and endTime.",
            )),
            (None, Some(start), Some(end)) => Ok(Self::Between(start, end)),
            (None, Some(start), None) => Ok(Self::Between(start, start + LOOKUP_MS_MAX)),
            (None, None, Some(end)) => Ok(Self::Between((end - LOOKUP_MS_MAX).max(0), end)),
            (None, None, None) => Ok(Self::Newest),
        }
    }

    /// What memory has of it; nothing when some of it may be older than that.
    fn among(self, market: &SymbolMarket, limit: usize) -> Option<Vec<AggTrade>> {
        let kept = market.tape.aggregates();
        let skipped = kept.len().saturating_sub(limit);
        // fewer than fit: memory holds all there are
        let complete = kept.len() < TRADES_MAX;
        let oldest = market.tape.aggregates().next();
        match self {
            Self::Newest => Some(kept.skip(skipped).copied().collect()),
            Self::FromId(from) => (complete || oldest.is_some_and(|first| first.first <= from))
                .then(|| kept.filter(|each| each.first >= from).take(limit).copied().collect()),
            Self::Between(from, to) => {
                (complete || oldest.is_some_and(|first| millis(first.ts) < from)).then(|| {
                    kept.filter(|each| (from..=to).contains(&millis(each.ts)))
                        .take(limit)
                        .copied()
                        .collect()
                })
            }
        }
    }
}

fn trade_id(params: &Params) -> Result<Option<TradeId>, ApiError> {
    let id = params.integer("fromId")?;
    id.map(|id| u64::try_from(id).map(TradeId).map_err(|_| ApiError::invalid("fromId"))).transpose()
}

fn newest(market: &SymbolMarket, limit: usize) -> impl Iterator<Item = &PublicTrade> {
    let trades = market.tape.trades();
    let skipped = trades.len().saturating_sub(limit);
    trades.skip(skipped)
}

/// The kept trades from an id on; nothing when that id is older than what is kept.
fn kept_from(
    market: &SymbolMarket,
    from: TradeId,
    limit: usize,
) -> Option<impl Iterator<Item = &PublicTrade>> {
    let oldest = market.tape.trades().next()?;
    let kept = oldest.id <= from || market.tape.trades().len() < TRADES_MAX;
    kept.then(|| market.tape.trades().filter(move |trade| trade.id >= from).take(limit))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trade {
    id: u64,
    price: Text,
    qty: Text,
    quote_qty: Text,
    time: i64,
    is_buyer_maker: bool,
    #[serde(rename = "isRPITrade")]
    is_rpi_trade: bool,
}

impl Trade {
    fn of(instrument: &Instrument, trade: &PublicTrade) -> Self {
        Self {
            id: trade.id.0,
            price: instrument.price(trade.price),
            qty: instrument.qty(trade.qty),
            quote_qty: Text::fixed(trade.quote, 2),
            time: millis(trade.ts),
            is_buyer_maker: trade.is_buyer_maker(),
            is_rpi_trade: false,
        }
    }
}

#[derive(Serialize)]
struct Aggregate {
    a: u64,
    p: Text,
    q: Text,
    nq: Text,
    f: u64,
    l: u64,
    #[serde(rename = "T")]
    time: i64,
    m: bool,
}

impl Aggregate {
    fn of(instrument: &Instrument, aggregate: &AggTrade) -> Self {
        let qty = instrument.qty(aggregate.qty);
        Self {
            a: aggregate.first.0,
            p: instrument.price(aggregate.price),
            q: qty,
            nq: qty,
            f: aggregate.first.0,
            l: aggregate.last.0,
            time: millis(aggregate.ts),
            m: aggregate.is_buyer_maker(),
        }
    }
}
