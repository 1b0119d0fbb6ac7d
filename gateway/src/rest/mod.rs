//! The REST API: Binance's USD-M futures, over what the views know and the shards decide.
//!
//! A handler takes one of the extractors of [`auth`] (`Public`, `Keyed`, `Signed`), reads its
//! [`params::Params`], and returns `Result<Json<T>, ApiError>`.

pub mod account;
pub mod auth;
pub mod error;
pub mod orders;
pub mod params;
pub mod public;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(public::routes())
        .merge(account::routes())
        .merge(orders::routes())
        .merge(crate::stream::routes())
        .with_state(app)
}
