//! Account endpoints: balances, positions, settings and history of who signs the call.
//!
//! What is shown is computed by the engine's own arithmetic over the views; what is asked to be
//! changed goes to the shard that decides it. What this exchange does not have (several margin
//! assets, fees in another asset) is refused with a text that says so.

pub mod balances;
pub mod forced;
pub mod history;
#[cfg(test)]
pub(crate) mod http_test;
pub mod margin;
pub mod positions;
pub mod settings;
#[cfg(test)]
mod shape_test;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use super::{error::ApiError, params::Params};
use crate::{
    app::App,
    views::instruments::{Instrument, Instruments},
};

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v2/account", get(balances::get_account_v2))
        .route("/fapi/v3/account", get(balances::get_account_v3))
        .route("/fapi/v2/balance", get(balances::get_balance))
        .route("/fapi/v3/balance", get(balances::get_balance))
        .route("/fapi/v2/positionRisk", get(positions::get_risk_v2))
        .route("/fapi/v3/positionRisk", get(positions::get_risk_v3))
        .route("/fapi/v1/adlQuantile", get(forced::get_adl_quantile))
        .route("/fapi/v1/forceOrders", get(forced::get_force_orders))
        .route("/fapi/v1/positionMargin", post(margin::post_margin))
        .route("/fapi/v1/positionMargin/history", get(margin::get_history))
        .route("/fapi/v1/leverage", post(settings::post_leverage))
        .route("/fapi/v1/marginType", post(settings::post_margin_type))
        .route(
            "/fapi/v1/positionSide/dual",
            get(settings::get_position_mode).post(settings::post_position_mode),
        )
        .route(
            "/fapi/v1/multiAssetsMargin",
            get(settings::get_multi_assets).post(settings::post_multi_assets),
        )
        .route("/fapi/v1/feeBurn", get(settings::get_fee_burn).post(settings::post_fee_burn))
        .route("/fapi/v1/leverageBracket", get(settings::get_brackets))
        .route("/fapi/v1/accountConfig", get(settings::get_account_config))
        .route("/fapi/v1/symbolConfig", get(settings::get_symbol_config))
        .route("/fapi/v1/commissionRate", get(settings::get_commission))
        .route("/fapi/v1/rateLimit/order", get(settings::get_order_limits))
        .route("/fapi/v1/apiTradingStatus", get(settings::get_trading_status))
        .route("/fapi/v1/userTrades", get(history::get_trades))
        .route("/fapi/v1/income", get(history::get_income))
        .route("/fapi/v1/orderAmendment", get(history::get_amendments))
}

/// The instrument that `symbol` names, if it is sent.
fn symbol<'a>(
    instruments: &'a Instruments,
    params: &Params,
) -> Result<Option<&'a Instrument>, ApiError> {
    let Some(name) = params.get("symbol") else { return Ok(None) };
    let found = instruments.by_name(&name.to_ascii_uppercase());
    found.map(Some).ok_or_else(ApiError::invalid_symbol)
}

/// The instrument that `symbol` has to name.
fn need_symbol<'a>(
    instruments: &'a Instruments,
    params: &Params,
) -> Result<&'a Instrument, ApiError> {
    params.need("symbol")?;
    symbol(instruments, params)?.ok_or_else(ApiError::invalid_symbol)
}

/// A value that is understood, but stands for something that is not offered here.
fn not_offered(name: &str, what: &str) -> ApiError {
    let mut error = ApiError::invalid(name);
    error.msg = format!("{} {what}", error.msg).into();
    error
}
