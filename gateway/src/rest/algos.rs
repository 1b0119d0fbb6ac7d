//! Conditional orders: place, cancel and query what waits for a price, and the countdown that
//! cancels orders whose owner has fallen silent.
//!
//! They have ids and client ids of their own. Such an id holds on all symbols, and it says itself
//! which symbol, and so which shard, it belongs to.

pub mod ask;
#[cfg(test)]
mod http_test;
mod query;
mod show;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, get, post},
};
use protocol::{
    AccountId, AlgoId, Command, Micros, SymbolId,
    command::{CancelAlgo, CancelAll, Countdown, PlaceAlgo},
};
use serde::Serialize;

use self::{
    ask::Which,
    show::{AlgoShown, Detail},
};
use super::{
    auth::Signed,
    error::ApiError,
    orders::{Counted, Done, counted, instrument, response_type, submit},
    params::Params,
    reject::{self, Asked},
};
use crate::{
    app::App,
    clock::now_ms,
    limits::ALGOS_PER_ACCOUNT_MAX,
    link::Reply,
    views::{algo::Algo, instruments::Instrument},
};

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/algoOrder", post(post_algo).delete(delete_algo).get(query::get_algo))
        .route("/fapi/v1/algoOpenOrders", delete(delete_all))
        .route("/fapi/v1/openAlgoOrders", get(query::get_open))
        .route("/fapi/v1/allAlgoOrders", get(query::get_all))
        .route("/fapi/v1/countdownCancelAll", post(post_countdown))
}

/// That a conditional order has been cancelled; its code is a text.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    algo_id: u64,
    client_algo_id: String,
    code: &'static str,
    msg: &'static str,
}

/// A countdown as it was set, in milliseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CountdownShown {
    symbol: String,
    countdown_time: String,
}

async fn post_algo(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Counted<AlgoShown>, ApiError> {
    let counts = app.limits.count_orders(call.account, 1, now_ms())?;
    let instrument = instrument(&app, &call.params)?;
    response_type(&call.params)?;
    let terms = ask::place(&call.params, call.account, &instrument)?;
    check_count(&app, call.account)?;
    let command = Command::PlaceAlgo(terms);
    let reply = submit(&app, instrument.spec.shard, command, call.expires_at, &Asked::Algo).await?;
    let algo = placed(&app, &terms, &reply);
    Ok(counted(counts, AlgoShown::new(&algo, &instrument, Detail::Terms)))
}

async fn delete_algo(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Cancelled>, ApiError> {
    let which = Which::read(&call.params)?;
    let (algo, instrument) =
        locate(&app, call.account, which).ok_or_else(ApiError::unknown_order)?;
    let client_id = protocol::ClientId::EMPTY;
    let symbol = instrument.spec.symbol;
    let command = Command::CancelAlgo(CancelAlgo {
        account: call.account,
        symbol,
        _pad: [0; 2],
        algo,
        client_id,
        _pad2: [0; 4],
    });
    submit(&app, instrument.spec.shard, command, call.expires_at, &Asked::Cancel).await?;
    let known = query::find(&app, call.account, Which::Id(algo)).await?;
    let client_algo_id = known.map(|algo| algo.client_id().to_string()).unwrap_or_default();
    Ok(Json(Cancelled { algo_id: algo.0, client_algo_id, code: "200", msg: "success" }))
}

async fn delete_all(State(app): State<Arc<App>>, call: Signed) -> Result<Json<Done>, ApiError> {
    let instrument = instrument(&app, &call.params)?;
    let (account, symbol) = (call.account, instrument.spec.symbol);
    let command = Command::CancelAllAlgos(CancelAll { account, symbol, _pad: [0; 2] });
    submit(&app, instrument.spec.shard, command, call.expires_at, &Asked::Cancel).await?;
    Ok(Json(Done::CANCELLED_ALL))
}

async fn post_countdown(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<CountdownShown>, ApiError> {
    let instrument = instrument(&app, &call.params)?;
    let after_ms = countdown_ms(&call.params)?;
    let (account, symbol) = (call.account, instrument.spec.symbol);
    let after: Micros = after_ms.saturating_mul(1_000);
    let command = Command::Countdown(Countdown { account, symbol, _pad: [0; 2], after });
    submit(&app, instrument.spec.shard, command, call.expires_at, &Asked::Cancel).await?;
    let symbol = instrument.name().to_owned();
    Ok(Json(CountdownShown { symbol, countdown_time: after_ms.to_string() }))
}

fn countdown_ms(params: &Params) -> Result<u64, ApiError> {
    let time = params.integer("countdownTime")?;
    let time = time.ok_or_else(|| ApiError::mandatory("countdownTime"))?;
    u64::try_from(time).map_err(|_| ApiError::invalid("countdownTime"))
}

/// A shard counts what waits with it; here they are counted together.
fn check_count(app: &App, account: AccountId) -> Result<(), ApiError> {
    let views = app.views.read();
    let waiting = views.accounts.get(account).map_or(0, |known| known.waiting_algos().count());
    if waiting < ALGOS_PER_ACCOUNT_MAX {
        Ok(())
    } else {
        Err(reject::error(protocol::Reject::TooManyAlgos, &Asked::Algo))
    }
}

/// A new conditional order as the views have it, or as its shard accepted it.
fn placed(app: &App, terms: &PlaceAlgo, reply: &Reply) -> Algo {
    let id = AlgoId(reply.outcome.order.0);
    let views = app.views.read();
    let known = views.accounts.get(terms.account).and_then(|account| account.algo(id));
    known.copied().unwrap_or_else(|| Algo::new(id, *terms, reply.ts))
}

/// Where a conditional order is: its id says it, and of a client id the views know it.
fn locate(app: &App, account: AccountId, which: Which) -> Option<(AlgoId, Instrument)> {
    let views = app.views.read();
    let id = match which {
        Which::Id(id) => id,
        Which::Client(client_id) => {
            views.accounts.get(account)?.algo_by_client_id(&client_id)?.algo
        }
    };
    let symbol: SymbolId = id.symbol();
    views.instruments.get(symbol).map(|instrument| (id, *instrument))
}
