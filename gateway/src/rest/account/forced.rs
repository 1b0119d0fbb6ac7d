//! What the exchange closed for its owner, and who would be next.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::{
    AccountId, SymbolId,
    order::{OrderOrigin, PositionSide},
};
use serde::Serialize;

use super::{
    history::{Window, from_views},
    symbol,
};
use crate::{
    app::App,
    rest::{auth::Signed, error::ApiError, orders::show::OrderShown},
    store::history::Range,
    views::{Views, accounts::queues::Queues, order::Order},
};

const ORDERS_DEFAULT: i64 = 50;
const ORDERS_MAX: i64 = 100;
const SPAN_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Orders that closed a position as its account was due, or as another one was.
pub(super) async fn get_force_orders(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<OrderShown>>, ApiError> {
    let wanted = symbol(&app.views.read().instruments, &call.params)?.map(|it| it.spec.symbol);
    let origins: &[OrderOrigin] = match call.params.get("autoCloseType") {
        None => &[OrderOrigin::Liquidation, OrderOrigin::Deleverage],
        Some(text) if text.eq_ignore_ascii_case("LIQUIDATION") => &[OrderOrigin::Liquidation],
        Some(text) if text.eq_ignore_ascii_case("ADL") => &[OrderOrigin::Deleverage],
        Some(_) => return Err(ApiError::invalid("autoCloseType")),
    };
    let window = Window { default: ORDERS_DEFAULT, max: ORDERS_MAX, span_ms: SPAN_MS_MAX };
    let range = window.read(&call.params, "")?;
    let orders = forced(&app, call.account, wanted, origins, &range).await?;
    let views = app.views.read();
    let shown = orders.iter().filter_map(|order| {
        views.instruments.get(order.symbol).map(|instrument| OrderShown::new(order, instrument))
    });
    Ok(Json(shown.collect()))
}

/// The views are read first: what leaves them afterwards is in the store by then.
async fn forced(
    app: &App,
    account: AccountId,
    symbol: Option<SymbolId>,
    origins: &[OrderOrigin],
    range: &Range,
) -> Result<Vec<Order>, ApiError> {
    let live = from_views(app, account, |known| {
        let wanted = |order: &&Order| {
            origins.contains(&order.wanted_by)
                && symbol.is_none_or(|symbol| symbol == order.symbol)
                && range.holds(u64::MAX, order.created)
        };
        known.closed.values().chain(known.open.values()).filter(wanted).copied().collect()
    });
    let stored = app.store.forced_orders(account, symbol, origins, range).await;
    let key = |order: &Order| (order.created, order.symbol, order.order);
    Ok(range.merge(live, stored.map_err(ApiError::internal)?, key))
}

pub(super) async fn get_adl_quantile(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<AdlQuantile>>, ApiError> {
    let queues = app.queues.latest(&app.views);
    let views = app.views.read();
    let wanted = symbol(&views.instruments, &call.params)?.map(|known| known.spec.symbol);
    Ok(Json(adl_quantiles(&views, &queues, call.account, wanted)))
}

/// The places of whatever is held, a row a symbol.
pub fn adl_quantiles(
    views: &Views,
    queues: &Queues,
    account: AccountId,
    symbol: Option<SymbolId>,
) -> Vec<AdlQuantile> {
    let Some(known) = views.accounts.get(account) else { return Vec::new() };
    let held = known.slots.values().filter(|slot| slot.position != 0).map(|slot| slot.symbol);
    let mut symbols: Vec<_> = held.filter(|held| symbol.is_none_or(|it| it == *held)).collect();
    symbols.dedup();
    let row = |symbol: SymbolId| {
        let of = |leg| queues.quantile(account, symbol, leg);
        Some(AdlQuantile {
            symbol: views.instruments.get(symbol)?.name().to_owned(),
            adl_quantile: Quantiles {
                long: of(PositionSide::Long),
                short: of(PositionSide::Short),
                // only says that there are two legs
                hedge: 0,
                both: of(PositionSide::Both),
            },
        })
    };
    symbols.into_iter().filter_map(row).collect()
}

/// From 0 to 4: the higher the sooner it is deleveraged.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdlQuantile {
    symbol: String,
    adl_quantile: Quantiles,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Quantiles {
    long: u8,
    short: u8,
    hedge: u8,
    both: u8,
}
