//! The REST API: Binance's USD-M futures, over what the views know and the shards decide.
//!
//! A handler takes one of the extractors of [`auth`] (`Public`, `Keyed`, `Signed`), reads its
//! [`params::Params`], and returns `Result<Json<T>, ApiError>`. Around all of them: nothing is
//! served before the views are complete, every request is weighed, and whatever goes wrong is
//! said in JSON.

pub mod account;
pub mod algos;
pub mod auth;
pub mod error;
pub mod orders;
pub mod params;
pub mod public;
pub mod reject;
#[cfg(test)]
pub(crate) mod rest_test;
pub mod weights;

use std::sync::Arc;

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use error::ApiError;

use crate::{app::App, clock::now_ms, listener::Peer, ws_api};

/// How much of this minute's weight the caller has used.
pub const WEIGHT_HEADER: &str = "x-mbx-used-weight-1m";
/// How many orders the account has sent in the present windows.
pub const ORDER_COUNT_10S_HEADER: &str = "x-mbx-order-count-10s";
pub const ORDER_COUNT_1M_HEADER: &str = "x-mbx-order-count-1m";
/// Paths that are served while the views are not complete yet.
const ALWAYS_SERVED: [&str; 3] = ["/fapi/v1/ping", "/fapi/v1/time", "/api/v3/ping"];

/// Everything that traders reach: REST, streams, and the API that does both over one socket.
pub fn router(app: Arc<App>) -> Router {
    let rest = Router::new()
        .merge(public::routes())
        .merge(account::routes())
        .merge(orders::routes())
        .merge(algos::routes())
        .merge(crate::stream::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .layer(middleware::from_fn_with_state(app.clone(), admit))
        .with_state(app.clone());
    rest.clone().merge(ws_api::routes(rest, app))
}

/// Weighs a request and lets it pass if there is something to answer it with.
async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0.ip());
    let uri = request.uri();
    let weight = weights::weight(request.method().as_str(), uri.path(), uri.query());
    let used = match app.limits.weigh(caller, weight, now_ms()) {
        Ok(used) => used,
        Err(error) => return error.into_response(),
    };
    let complete = app.orders.status().complete(app.config.shards);
    let mut response = if complete || ALWAYS_SERVED.contains(&uri.path()) {
        next.run(request).await
    } else {
        ApiError::unavailable().into_response()
    };
    response.headers_mut().insert(WEIGHT_HEADER, HeaderValue::from(used));
    response
}

async fn no_such_path(method: Method, uri: Uri) -> ApiError {
    ApiError::no_such_path(method.as_str(), uri.path())
}
