//! What is listed, in which units and under which limits.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use protocol::{
    limits::{LEVERAGE_MAX, OPEN_ORDERS_MAX},
    order::{AlgoType, OrderType, SymbolState},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Answer, Gateway};
use crate::{
    app::App, clock::now_ms, rest::auth::Public, text::Text, views::instruments::Instrument,
    words::Word,
};

/// The date that stands for "never" where a contract says when it is delivered.
pub const NEVER_MS: i64 = 4_133_404_800_000;
/// Amends that one order may have.
const AMENDS_MAX: u32 = 10_000;
/// Decimals of amounts of an asset.
const ASSET_DECIMALS: u32 = protocol::CASH_DECIMALS;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/exchangeInfo", get(get_exchange_info))
        .route("/fapi/v1/tradingSchedule", get(get_trading_schedule))
}

async fn get_exchange_info(State(app): Gateway, _call: Public) -> Answer<ExchangeInfo> {
    let views = app.views.read();
    let symbols: Vec<_> = views.instruments.iter().map(symbol).collect();
    let mut assets: Vec<_> = views.instruments.iter().map(|each| each.spec.quote).collect();
    assets.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assets.dedup();
    Ok(Json(ExchangeInfo {
        timezone: "UTC",
        server_time: now_ms(),
        futures_type: "U_MARGINED",
        rate_limits: app.limits.shown(),
        exchange_filters: [],
        assets: assets
            .iter()
            .map(|asset| Asset {
                asset: asset.as_str().to_owned(),
                margin_available: true,
                auto_asset_exchange: "0",
            })
            .collect(),
        symbols,
    }))
}

/// Contracts trade around the clock, so no market has sessions.
async fn get_trading_schedule(_call: Public) -> Json<Value> {
    Json(json!({ "updateTime": 0, "marketSchedules": {} }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExchangeInfo {
    timezone: &'static str,
    server_time: i64,
    futures_type: &'static str,
    rate_limits: Vec<crate::limits::Shown>,
    exchange_filters: [(); 0],
    assets: Vec<Asset>,
    symbols: Vec<Symbol>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asset {
    asset: String,
    margin_available: bool,
    auto_asset_exchange: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    symbol: String,
    pair: String,
    contract_type: &'static str,
    delivery_date: i64,
    onboard_date: i64,
    status: &'static str,
    maint_margin_percent: Text,
    required_margin_percent: Text,
    base_asset: String,
    quote_asset: String,
    margin_asset: String,
    price_precision: u8,
    quantity_precision: u8,
    base_asset_precision: u32,
    quote_precision: u32,
    underlying_type: &'static str,
    underlying_sub_type: [&'static str; 0],
    settle_plan: u8,
    trigger_protect: Text,
    liquidation_fee: Text,
    market_take_bound: Text,
    max_move_order_limit: u32,
    filters: [Value; 6],
    order_types: Vec<&'static str>,
    time_in_force: [&'static str; 5],
}

fn symbol(instrument: &Instrument) -> Symbol {
    let spec = &instrument.spec;
    let name = instrument.name().to_owned();
    let first = instrument.bracket_rows().first();
    let maintenance = first.map_or(0, |row| i128::from(row.maintenance));
    let leverage = first.map_or(u32::from(LEVERAGE_MAX), |row| row.max_leverage).max(1);
    Symbol {
        symbol: name.clone(),
        pair: name,
        contract_type: "PERPETUAL",
        delivery_date: NEVER_MS,
        onboard_date: crate::views::market::millis(spec.listed_at),
        status: status(instrument.state()),
        maint_margin_percent: Text::fixed(maintenance * 100, 4),
        required_margin_percent: percent_of_leverage(leverage),
        base_asset: spec.base.as_str().to_owned(),
        quote_asset: spec.quote.as_str().to_owned(),
        margin_asset: spec.quote.as_str().to_owned(),
        price_precision: spec.price_decimals,
        quantity_precision: spec.qty_decimals,
        base_asset_precision: ASSET_DECIMALS,
        quote_precision: ASSET_DECIMALS,
        underlying_type: "COIN",
        underlying_sub_type: [],
        settle_plan: 0,
        trigger_protect: Text::fixed(spec.trigger_protect.into(), 4),
        liquidation_fee: Text::fixed(spec.liquidation_fee.into(), 6),
        market_take_bound: Text::fixed(spec.market_bound.into(), 2),
        max_move_order_limit: AMENDS_MAX,
        filters: filters(instrument),
        order_types: order_types(),
        time_in_force: ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }
}

/// What can be placed, at once or on a condition.
fn order_types() -> Vec<&'static str> {
    let at_once = OrderType::ALL.iter().map(|each| each.word());
    at_once.chain(AlgoType::ALL.iter().map(|each| each.word())).collect()
}

/// The margin that the highest leverage asks for, in percent, rounded up.
fn percent_of_leverage(leverage: u32) -> Text {
    const DECIMALS: u32 = 4;
    let unit = 100 * 10u32.pow(DECIMALS);
    Text(protocol::decimal::show(unit.div_ceil(leverage), DECIMALS))
}

/// A state in the API's words, which have none for halted and cancel-only markets.
pub fn status(state: SymbolState) -> &'static str {
    match state {
        SymbolState::Trading => "TRADING",
        SymbolState::CancelOnly => "PENDING_TRADING",
        SymbolState::ReduceOnly => "PRE_DELIVERING",
        SymbolState::Halted => "CLOSE",
        SymbolState::Settling => "SETTLING",
    }
}

fn filters(instrument: &Instrument) -> [Value; 6] {
    let spec = &instrument.spec;
    let (price, qty) = (|ticks| instrument.price(ticks), |lots| instrument.qty(lots));
    [
        json!({
            "filterType": "PRICE_FILTER",
            "minPrice": price(spec.price_min),
            "maxPrice": price(spec.price_max),
            "tickSize": price(1),
        }),
        json!({
            "filterType": "LOT_SIZE",
            "minQty": qty(spec.qty_min),
            "maxQty": qty(spec.qty_max),
            "stepSize": qty(1),
        }),
        json!({
            "filterType": "MARKET_LOT_SIZE",
            "minQty": qty(spec.qty_min),
            "maxQty": qty(spec.market_qty_max),
            "stepSize": qty(1),
        }),
        json!({ "filterType": "MAX_NUM_ORDERS", "limit": OPEN_ORDERS_MAX }),
        json!({
            "filterType": "MIN_NOTIONAL",
            "notional": Text::fixed(spec.notional_min.into(), 0),
        }),
        json!({
            "filterType": "PERCENT_PRICE",
            "multiplierUp": Text::fixed(spec.band_up.into(), 4),
            "multiplierDown": Text::fixed(spec.band_down.into(), 4),
            "multiplierDecimal": "4",
        }),
    ]
}
