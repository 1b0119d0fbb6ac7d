//! Settings of an account, and the terms under which it trades.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::{
    AccountId, CASH_DECIMALS, Command, ShardId, SymbolId,
    command::{SetLeverage, SetMarginMode, SetPositionMode},
    decimal,
    limits::LEVERAGE_MAX,
    order::{MarginMode, PositionMode},
};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::{need_symbol, not_offered, positions::max_notional, symbol};
use crate::{
    app::App,
    clock::now_ms,
    limits::Shown as Limit,
    rest::{
        auth::Signed,
        error::ApiError,
        orders::judge,
        reject::{self, Asked},
    },
    text::Text,
    views::{
        Views,
        accounts::figures::bracket_table,
        instruments::{Instrument, Instruments},
    },
    words::Word,
};

pub(super) async fn post_leverage(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<LeverageSet>, ApiError> {
    let instrument = *need_symbol(&app.views.read().instruments, &call.params)?;
    let asked = call.params.need("leverage")?;
    let leverage = asked
        .parse::<u8>()
        .ok()
        .filter(|leverage| (1..=LEVERAGE_MAX).contains(leverage))
        .ok_or_else(|| reject::invalid_leverage(&asked.chars().take(20).collect::<String>()))?;
    let (account, symbol) = (call.account, instrument.spec.symbol);
    let command = Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 });
    let reply = app.orders.submit(instrument.spec.shard, command, call.expires_at).await;
    judge(reply, &Asked::Leverage(leverage))?;
    Ok(Json(LeverageSet {
        leverage,
        max_notional_value: max_notional(&instrument, leverage),
        symbol: instrument.name().to_owned(),
    }))
}

pub(super) async fn post_margin_type(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Value>, ApiError> {
    let instrument = *need_symbol(&app.views.read().instruments, &call.params)?;
    let mode = MarginMode::parse(call.params.need("marginType")?);
    let mode = mode.ok_or_else(|| ApiError::invalid("marginType"))?;
    let (account, symbol) = (call.account, instrument.spec.symbol);
    let command = Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 });
    let reply = app.orders.submit(instrument.spec.shard, command, call.expires_at).await;
    judge(reply, &Asked::Margin)?;
    Ok(success())
}

pub(super) async fn get_position_mode(State(app): State<Arc<App>>, call: Signed) -> Json<Value> {
    Json(json!({ "dualSidePosition": hedges(&app.views.read(), call.account) }))
}

pub(super) async fn post_position_mode(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Value>, ApiError> {
    let mode = match need_boolean(&call, "dualSidePosition")? {
        false => PositionMode::OneWay,
        true => PositionMode::Hedge,
    };
    let set = SetPositionMode { account: call.account, mode, _pad: [0; 3] };
    let command = Command::SetPositionMode(set);
    let reply = app.orders.submit(ShardId::LEDGER, command, call.expires_at).await;
    judge(reply, &Asked::Margin)?;
    Ok(success())
}

/// The account has two legs a symbol.
fn hedges(views: &Views, account: AccountId) -> bool {
    views.accounts.get(account).is_some_and(|known| known.hedge)
}

fn success() -> Json<Value> {
    Json(json!({ "code": 200, "msg": "success" }))
}

pub(super) async fn get_multi_assets(_call: Signed) -> Json<Value> {
    Json(json!({ "multiAssetsMargin": false }))
}

pub(super) async fn post_multi_assets(call: Signed) -> Result<Json<Value>, ApiError> {
    off_only(&call, "multiAssetsMargin", "There is one margin asset.")
}

pub(super) async fn get_fee_burn(_call: Signed) -> Json<Value> {
    Json(json!({ "feeBurn": false }))
}

pub(super) async fn post_fee_burn(call: Signed) -> Result<Json<Value>, ApiError> {
    off_only(&call, "feeBurn", "Fees are paid in the margin asset.")
}

pub(super) async fn get_brackets(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<SymbolBrackets>>, ApiError> {
    let views = app.views.read();
    let wanted = symbol(&views.instruments, &call.params)?.map(|known| known.spec.symbol);
    Ok(Json(brackets(&views.instruments, wanted)))
}

pub(super) async fn get_account_config(State(app): State<Arc<App>>, call: Signed) -> Json<Value> {
    Json(account_config(&app.views.read(), call.account))
}

pub(super) async fn get_symbol_config(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<SymbolConfig>>, ApiError> {
    let views = app.views.read();
    let wanted = symbol(&views.instruments, &call.params)?.map(|known| known.spec.symbol);
    Ok(Json(symbol_configs(&views, call.account, wanted)))
}

pub(super) async fn get_commission(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Commission>, ApiError> {
    let views = app.views.read();
    let instrument = need_symbol(&views.instruments, &call.params)?;
    Ok(Json(commission(&views, call.account, instrument)))
}

pub(super) async fn get_order_limits(
    State(app): State<Arc<App>>,
    _call: Signed,
) -> Json<Vec<Limit>> {
    let limits = app.limits.shown().into_iter();
    Json(limits.filter(|limit| limit.rate_limit_type == "ORDERS").collect())
}

/// Nobody is locked out for how they trade.
pub(super) async fn get_trading_status(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Value>, ApiError> {
    symbol(&app.views.read().instruments, &call.params)?;
    Ok(Json(json!({ "indicators": {}, "updateTime": now_ms() })))
}

/// A setting that can only be off: off is granted, on is not offered.
fn off_only(call: &Signed, name: &str, why: &str) -> Result<Json<Value>, ApiError> {
    match need_boolean(call, name)? {
        false => Ok(success()),
        true => Err(not_offered(name, why)),
    }
}

fn need_boolean(call: &Signed, name: &str) -> Result<bool, ApiError> {
    call.params.boolean(name)?.ok_or_else(|| ApiError::mandatory(name))
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeverageSet {
    leverage: u8,
    max_notional_value: Text,
    symbol: String,
}

pub(super) fn account_config(views: &Views, account: AccountId) -> Value {
    json!({
        "feeTier": 0, "canTrade": true, "canDeposit": true, "canWithdraw": true,
        "dualSidePosition": hedges(views, account), "updateTime": 0, "multiAssetsMargin": false,
        "tradeGroupId": -1,
    })
}

/// Brackets of one symbol; they are numbers, not strings, as everywhere else.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SymbolBrackets {
    symbol: String,
    notional_coef: Box<RawValue>,
    brackets: Vec<BracketShown>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BracketShown {
    bracket: usize,
    initial_leverage: u32,
    notional_cap: Box<RawValue>,
    notional_floor: Box<RawValue>,
    maint_margin_ratio: Box<RawValue>,
    cum: Box<RawValue>,
}

pub(super) fn brackets(instruments: &Instruments, wanted: Option<SymbolId>) -> Vec<SymbolBrackets> {
    instruments
        .iter()
        .filter(|instrument| wanted.is_none_or(|wanted| wanted == instrument.spec.symbol))
        .filter_map(|instrument| {
            let table = bracket_table(instrument)?;
            let rows = table.rows().iter().enumerate().map(|(at, row)| BracketShown {
                bracket: at + 1,
                initial_leverage: row.max_leverage,
                notional_cap: whole(row.cap),
                notional_floor: whole(row.floor),
                maint_margin_ratio: number(i64::from(row.maintenance)),
                cum: number(table.cum_shown(at)),
            });
            Some(SymbolBrackets {
                symbol: instrument.name().to_owned(),
                notional_coef: number(protocol::RATE_ONE),
                brackets: rows.collect(),
            })
        })
        .collect()
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SymbolConfig {
    symbol: String,
    margin_type: &'static str,
    is_auto_add_margin: bool,
    leverage: u8,
    max_notional_value: Text,
}

pub(super) fn symbol_configs(
    views: &Views,
    account: AccountId,
    wanted: Option<SymbolId>,
) -> Vec<SymbolConfig> {
    let chosen = |symbol| views.accounts.get(account).map(|known| known.slot(symbol));
    views
        .instruments
        .iter()
        .filter(|instrument| wanted.is_none_or(|wanted| wanted == instrument.spec.symbol))
        .map(|instrument| {
            let leverage = views.accounts.leverage(account, instrument);
            SymbolConfig {
                symbol: instrument.name().to_owned(),
                margin_type: chosen(instrument.spec.symbol)
                    .unwrap_or_default()
                    .margin_mode()
                    .word(),
                is_auto_add_margin: false,
                leverage,
                max_notional_value: max_notional(instrument, leverage),
            }
        })
        .collect()
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Commission {
    symbol: String,
    maker_commission_rate: String,
    taker_commission_rate: String,
    /// Of orders that only retail takers meet: there are none, so it is the maker's.
    rpi_commission_rate: String,
}

pub(super) fn commission(views: &Views, account: AccountId, instrument: &Instrument) -> Commission {
    let fees = views.accounts.fees(account, instrument);
    Commission {
        symbol: instrument.name().to_owned(),
        maker_commission_rate: short(fees.maker),
        taker_commission_rate: short(fees.taker),
        rpi_commission_rate: short(fees.maker),
    }
}

/// A value in units of 1e-8 without the zeros at its end.
fn short(value_e8: i64) -> String {
    let text = decimal::show(value_e8, CASH_DECIMALS).to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value in units of 1e-8 as a JSON number that has a fraction, as clients' models expect.
pub(super) fn number(value_e8: i64) -> Box<RawValue> {
    let text = short(value_e8);
    raw(if text.contains('.') { text } else { text + ".0" })
}

/// A value in units of 1e-8 as a JSON integer where it is one.
fn whole(value_e8: i64) -> Box<RawValue> {
    raw(short(value_e8))
}

fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("digits with a point are a JSON number")
}
