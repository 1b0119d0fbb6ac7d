//! Orders looked up: what is live in the views, what is over in the store, without a seam.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use protocol::{AccountId, Micros, OrderId, SymbolId};

use super::{ask::Which, instrument, show::OrderShown, single::is_open};
use crate::{
    app::App,
    rest::{auth::Signed, error::ApiError, params::Params},
    store::history::{End, Range},
    views::order::Order,
};

/// Orders in one answer, and where the caller names no number.
const ORDERS_MAX: i64 = 1_000;
const ORDERS_DEFAULT: i64 = 500;
/// The longest span of time that can be asked for.
const SPAN_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;

pub(super) async fn get_order(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<OrderShown>, ApiError> {
    let instrument = instrument(&app, &call.params)?;
    let which = Which::read(&call.params)?;
    let order = find(&app, call.account, instrument.spec.symbol, which).await?;
    let order = order.ok_or_else(ApiError::no_such_order)?;
    Ok(Json(OrderShown::new(&order, &instrument)))
}

pub(super) async fn get_open_order(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<OrderShown>, ApiError> {
    let instrument = instrument(&app, &call.params)?;
    let which = Which::read(&call.params)?;
    let order = find_live(&app, call.account, instrument.spec.symbol, which);
    let order = order.filter(is_open).ok_or_else(ApiError::no_such_order)?;
    Ok(Json(OrderShown::new(&order, &instrument)))
}

pub(super) async fn get_open_orders(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<OrderShown>>, ApiError> {
    let symbol = match call.params.get("symbol") {
        Some(_) => Some(instrument(&app, &call.params)?.spec.symbol),
        None => None,
    };
    let views = app.views.read();
    let orders = views.accounts.open_orders(call.account, symbol);
    let shown = orders.iter().filter_map(|order| {
        views.instruments.get(order.symbol).map(|instrument| OrderShown::new(order, instrument))
    });
    Ok(Json(shown.collect()))
}

pub(super) async fn get_all_orders(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<OrderShown>>, ApiError> {
    let instrument = instrument(&app, &call.params)?;
    let range = range(&call.params, "orderId")?;
    let orders = all_orders(&app, call.account, instrument.spec.symbol, &range).await?;
    Ok(Json(orders.iter().map(|order| OrderShown::new(order, &instrument)).collect()))
}

/// An order wherever it is: live, just closed, or long over.
pub(super) async fn find(
    app: &App,
    account: AccountId,
    symbol: SymbolId,
    which: Which,
) -> Result<Option<Order>, ApiError> {
    if let Some(order) = find_live(app, account, symbol, which) {
        return Ok(Some(order));
    }
    let stored = match which {
        Which::Id(id) => app.store.order(account, symbol, id).await,
        Which::Client(id) => app.store.order_by_client_id(account, symbol, &id).await,
    };
    stored.map_err(ApiError::internal)
}

/// An order as its shard knows it: by its id where its name was made here.
pub(super) fn at_shard(app: &App, account: AccountId, symbol: SymbolId, which: Which) -> Which {
    match find_live(app, account, symbol, which) {
        Some(order) if order.is_nameless() => Which::Id(order.order),
        Some(_) | None => which,
    }
}

fn find_live(app: &App, account: AccountId, symbol: SymbolId, which: Which) -> Option<Order> {
    let views = app.views.read();
    match which {
        Which::Id(id) => views.accounts.order(account, symbol, id),
        Which::Client(id) => views.accounts.order_by_client_id(account, symbol, &id),
    }
    .copied()
}

/// Stored orders and live ones, by id; a live one is the newer truth.
async fn all_orders(
    app: &App,
    account: AccountId,
    symbol: SymbolId,
    range: &Range,
) -> Result<Vec<Order>, ApiError> {
    // The views are read first: what leaves them afterwards is in the store by then.
    let live = live_orders(app, account, symbol, range);
    let stored = app.store.orders(account, symbol, range).await.map_err(ApiError::internal)?;
    let mut orders: BTreeMap<OrderId, Order> =
        stored.into_iter().map(|order| (order.order, order)).collect();
    orders.extend(live.into_iter().map(|order| (order.order, order)));
    let beyond = orders.len().saturating_sub(range.limit);
    let orders = orders.into_values();
    Ok(match range.end {
        End::First => orders.take(range.limit).collect(),
        End::Last => orders.skip(beyond).collect(),
    })
}

fn live_orders(app: &App, account: AccountId, symbol: SymbolId, range: &Range) -> Vec<Order> {
    let views = app.views.read();
    let Some(account) = views.accounts.get(account) else { return Vec::new() };
    let keys = (symbol, OrderId(range.from_id))..=(symbol, OrderId(u64::MAX));
    let wanted = |order: &&Order| range.holds(order.order.0, order.created);
    let of = |orders: &BTreeMap<(SymbolId, OrderId), Order>| -> Vec<Order> {
        orders.range(keys.clone()).map(|(_, order)| order).filter(wanted).copied().collect()
    };
    let mut orders = of(&account.closed);
    orders.extend(of(&account.open));
    orders
}

/// What part of history is asked for: by id or by time, oldest first once a start is named.
pub fn range(params: &Params, id_name: &str) -> Result<Range, ApiError> {
    let limit = params.integer("limit")?.unwrap_or(ORDERS_DEFAULT);
    let limit = usize::try_from(limit.min(ORDERS_MAX)).ok().filter(|limit| *limit > 0);
    let limit = limit.ok_or_else(|| ApiError::invalid("limit"))?;
    let from_id = params.integer(id_name)?;
    let (start, end) = (params.integer("startTime")?, params.integer("endTime")?);
    if let (Some(start), Some(end)) = (start, end)
        && (end < start || end.saturating_sub(start) > SPAN_MS_MAX)
    {
        return Err(ApiError::invalid("startTime"));
    }
    let named = from_id.is_some() || start.is_some();
    Ok(Range {
        from_id: unsigned(id_name, from_id)?.unwrap_or(0),
        from_ts: unsigned("startTime", start)?.map_or(0, micros),
        to_ts: unsigned("endTime", end)?.map_or(i64::MAX as u64, |ms| micros(ms) + 999),
        limit,
        end: if named { End::First } else { End::Last },
    })
}

fn micros(ms: u64) -> Micros {
    ms.min(i64::MAX as u64 / 1_000 - 1) * 1_000
}

fn unsigned(name: &str, value: Option<i64>) -> Result<Option<u64>, ApiError> {
    value.map(|value| u64::try_from(value).map_err(|_| ApiError::invalid(name))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stage::Stage, views::accounts::sample::BTC};
    use protocol::ClientId;

    /// A shard does not know the names that orders without one are given here.
    #[tokio::test]
    async fn a_name_made_here_becomes_the_id_that_the_shard_knows() {
        let mut stage = Stage::open().await;
        // a named order, and a stop that fires
        stage.play(&[(0, 0, 0, 5, 5), (14, 0, 4 | 2, 1_000, 9), (15, 0, 0, 0, 3)]);
        let account = AccountId(1);
        let orders = stage.app.views.read().accounts.open_orders(account, Some(BTC));
        let [named, born] = orders[..] else { panic!("{orders:?}") };
        assert_eq!((named.is_nameless(), born.is_nameless()), (false, true));
        let at = |which| at_shard(&stage.app, account, BTC, which);
        assert_eq!(at(Which::Client(born.client_id)), Which::Id(born.order));
        let unknown = ClientId::new("auto_77").unwrap();
        for same in [Which::Client(named.client_id), Which::Client(unknown), Which::Id(born.order)]
        {
            assert_eq!(at(same), same);
        }
    }
}
