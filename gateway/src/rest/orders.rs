//! Trading endpoints: place, amend, cancel and query orders, one at a time or in batches.
//!
//! Nothing is decided here. Parameters become commands ([`ask`]), the shard answers, and the
//! order is shown as the views have it, which by then is what the answer speaks of ([`show`]).

pub mod ask;
mod batch;
mod query;
pub mod show;
mod single;

use std::sync::Arc;

use axum::{
    Json, Router,
    http::HeaderName,
    routing::{delete, get, post},
};
use protocol::{Command, ShardId};

use super::{
    ORDER_COUNT_1M_HEADER, ORDER_COUNT_10S_HEADER,
    error::ApiError,
    params::Params,
    reject::{self, Asked},
};
use crate::{
    app::App,
    limits::OrderCounts,
    link::{Reply, SubmitError},
    views::instruments::Instrument,
};

pub use self::single::{Done, amend, cancel, cancel_all, place, test_place};
pub(super) use self::{ask::response_type, query::range};

const COUNT_10S: HeaderName = HeaderName::from_static(ORDER_COUNT_10S_HEADER);
const COUNT_1M: HeaderName = HeaderName::from_static(ORDER_COUNT_1M_HEADER);

/// An answer of an order endpoint, with how many orders the account has sent lately.
pub type Counted<T> = ([(HeaderName, String); 2], Json<T>);

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/fapi/v1/order",
            post(single::post_order)
                .put(single::put_order)
                .delete(single::delete_order)
                .get(query::get_order),
        )
        .route("/fapi/v1/order/test", post(single::post_test))
        .route("/fapi/v1/allOpenOrders", delete(single::delete_all))
        .route(
            "/fapi/v1/batchOrders",
            post(batch::post_batch).put(batch::put_batch).delete(batch::delete_batch),
        )
        .route("/fapi/v1/openOrder", get(query::get_open_order))
        .route("/fapi/v1/openOrders", get(query::get_open_orders))
        .route("/fapi/v1/allOrders", get(query::get_all_orders))
}

pub(super) fn counted<T>(counts: OrderCounts, answer: T) -> Counted<T> {
    let headers =
        [(COUNT_10S, counts.in_10s.to_string()), (COUNT_1M, counts.in_minute.to_string())];
    (headers, Json(answer))
}

/// The instrument that `symbol` names.
pub(super) fn instrument(app: &App, params: &Params) -> Result<Instrument, ApiError> {
    let name = params.need("symbol")?.to_ascii_uppercase();
    let views = app.views.read();
    views.instruments.by_name(&name).copied().ok_or_else(ApiError::invalid_symbol)
}

/// Hands a command to its shard and waits; what was refused is an error.
pub(super) async fn submit(
    app: &App,
    shard: ShardId,
    command: Command,
    expires_at: u64,
    asked: &Asked,
) -> Result<Reply, ApiError> {
    judge(app.orders.submit(shard, command, expires_at).await, asked)
}

/// What a reply, or its absence, means to the caller.
pub fn judge(reply: Result<Reply, SubmitError>, asked: &Asked) -> Result<Reply, ApiError> {
    let reply = reply?;
    if reply.outcome.reject.is_none() {
        Ok(reply)
    } else {
        Err(reject::error(reply.outcome.reject, asked))
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Unknown => Self::outcome_unknown(),
            SubmitError::Busy => Self::throttled(),
            SubmitError::Unavailable => Self::unavailable(),
        }
    }
}
