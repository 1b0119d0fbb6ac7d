//! What an account did: fills, statement and amendments, from memory and store without a seam.
//!
//! The views are read first: what leaves them afterwards is in the store by then.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::{AccountId, ClientId, Micros, OrderId, SymbolId, TradeId, order::Side};
use serde::Serialize;

use super::{need_symbol, symbol};
use crate::{
    app::App,
    rest::{auth::Signed, error::ApiError, params::Params, reject::client_id_invalid},
    store::{
        history::{End, Range},
        row::{AmendmentRow, FillRow, IncomeKind, IncomeRow},
    },
    text::Text,
    views::{
        accounts::{Account, MARGIN_ASSET},
        instruments::{Instrument, Instruments},
    },
    words::Word,
};

/// Rows in one answer.
const ROWS_MAX: i64 = 1_000;
/// Rows where the caller names no number.
const TRADES_DEFAULT: i64 = 500;
const INCOME_DEFAULT: i64 = 100;
const AMENDMENTS_DEFAULT: i64 = 50;
const AMENDMENTS_MAX: i64 = 100;
/// The longest span of time that can be asked for.
const SPAN_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Statements reach further back.
const INCOME_SPAN_MS_MAX: i64 = 200 * 24 * 60 * 60 * 1_000;
/// Decimals of a trade's value.
const QUOTE_DECIMALS: u32 = 2;

pub(super) async fn get_trades(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<UserTrade>>, ApiError> {
    let symbol = symbol_id(&app, &call.params)?;
    let order = unsigned(&call.params, "orderId")?.map(OrderId);
    let window = Window { default: TRADES_DEFAULT, max: ROWS_MAX, span_ms: SPAN_MS_MAX };
    let range = window.read(&call.params, "fromId")?;
    let fills = fills(&app, call.account, symbol, order, &range).await?;
    let views = app.views.read();
    let shown = fills.iter().filter_map(|fill| UserTrade::new(fill, &views.instruments));
    Ok(Json(shown.collect()))
}

pub(super) async fn get_income(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<Income>>, ApiError> {
    let symbol = symbol_id(&app, &call.params)?;
    let window = Window { default: INCOME_DEFAULT, max: ROWS_MAX, span_ms: INCOME_SPAN_MS_MAX };
    let range = window.read(&call.params, "")?;
    let incomes = match call.params.get("incomeType") {
        None => incomes(&app, call.account, symbol, None, &range).await?,
        Some(name) => match IncomeKind::parse(name) {
            Some(kind) => incomes(&app, call.account, symbol, Some(kind), &range).await?,
            // of the kinds that are not here there is nothing
            None => Vec::new(),
        },
    };
    let views = app.views.read();
    Ok(Json(incomes.iter().map(|row| Income::new(row, &views.instruments)).collect()))
}

pub(super) async fn get_amendments(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<Amendment>>, ApiError> {
    let instrument = *need_symbol(&app.views.read().instruments, &call.params)?;
    let order = order_id(&app, call.account, instrument.spec.symbol, &call.params).await?;
    let window = Window { default: AMENDMENTS_DEFAULT, max: AMENDMENTS_MAX, span_ms: SPAN_MS_MAX };
    let range = window.read(&call.params, "")?;
    let rows = amendments(&app, call.account, instrument.spec.symbol, order).await?;
    let counted = (1..).zip(&rows).filter(|(_, row)| range.holds(row.id, row.ts));
    let mut shown: Vec<_> =
        counted.map(|(count, row)| Amendment::new(row, count, &instrument)).collect();
    match range.end {
        End::First => shown.truncate(range.limit),
        End::Last => drop(shown.drain(..shown.len().saturating_sub(range.limit))),
    }
    Ok(Json(shown))
}

/// The order that `orderId` or, without one, `origClientOrderId` names.
async fn order_id(
    app: &App,
    account: AccountId,
    symbol: SymbolId,
    params: &Params,
) -> Result<OrderId, ApiError> {
    if let Some(id) = unsigned(params, "orderId")? {
        return Ok(OrderId(id));
    }
    let name = params.get("origClientOrderId").ok_or_else(|| ApiError::mandatory("orderId"))?;
    let client_id = ClientId::new(name).ok_or_else(client_id_invalid)?;
    let live = {
        let views = app.views.read();
        views.accounts.order_by_client_id(account, symbol, &client_id).map(|order| order.order)
    };
    if let Some(order) = live {
        return Ok(order);
    }
    let stored = app.store.order_by_client_id(account, symbol, &client_id).await;
    let stored = stored.map_err(ApiError::internal)?;
    stored.map(|order| order.order).ok_or_else(ApiError::no_such_order)
}

async fn fills(
    app: &App,
    account: AccountId,
    symbol: Option<SymbolId>,
    order: Option<OrderId>,
    range: &Range,
) -> Result<Vec<FillRow>, ApiError> {
    let live = from_views(app, account, |known| {
        let wanted = |fill: &&FillRow| {
            symbol.is_none_or(|symbol| symbol == fill.symbol)
                && order.is_none_or(|order| order == fill.order)
                && range.holds(fill.trade.0, fill.ts)
        };
        known.fills.values().filter(wanted).copied().collect()
    });
    let stored = app.store.fills(account, symbol, order, range).await;
    let key = |fill: &FillRow| (fill.ts, fill.symbol, fill.trade);
    Ok(range.merge(live, stored.map_err(ApiError::internal)?, key))
}

async fn incomes(
    app: &App,
    account: AccountId,
    symbol: Option<SymbolId>,
    kind: Option<IncomeKind>,
    range: &Range,
) -> Result<Vec<IncomeRow>, ApiError> {
    let live = from_views(app, account, |known| {
        let wanted = |row: &&IncomeRow| {
            symbol.is_none_or(|symbol| symbol == row.symbol)
                && kind.is_none_or(|kind| kind == row.kind)
                && range.holds(u64::MAX, row.ts)
        };
        known.incomes.values().filter(wanted).copied().collect()
    });
    let stored = app.store.incomes(account, symbol, kind, range).await;
    let key = |row: &IncomeRow| (row.ts, row.kind, row.id);
    Ok(range.merge(live, stored.map_err(ApiError::internal)?, key))
}

/// All changes of one order, oldest first.
async fn amendments(
    app: &App,
    account: AccountId,
    symbol: SymbolId,
    order: OrderId,
) -> Result<Vec<AmendmentRow>, ApiError> {
    let live = from_views(app, account, |known| {
        let keys = (symbol, order, 0)..=(symbol, order, u64::MAX);
        known.amendments.range(keys).map(|(_, row)| *row).collect()
    });
    let stored = app.store.amendments(account, symbol, order).await;
    Ok(Range::last(usize::MAX).merge(live, stored.map_err(ApiError::internal)?, |row| row.id))
}

pub(super) fn from_views<T>(
    app: &App,
    account: AccountId,
    read: impl Fn(&Account) -> Vec<T>,
) -> Vec<T> {
    app.views.read().accounts.get(account).map(read).unwrap_or_default()
}

/// Bounds of what can be asked for at once.
pub(super) struct Window {
    pub default: i64,
    pub max: i64,
    pub span_ms: i64,
}

impl Window {
    /// Reads times, limit and, where it has a name, the first id: oldest first once a start is
    /// named, else the newest.
    pub fn read(&self, params: &Params, from_id: &str) -> Result<Range, ApiError> {
        let limit = params.integer("limit")?.unwrap_or(self.default).min(self.max);
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        let limit = limit.ok_or_else(|| ApiError::invalid("limit"))?;
        let from = unsigned(params, from_id)?;
        let (start, end) = (unsigned(params, "startTime")?, unsigned(params, "endTime")?);
        if let (Some(start), Some(end)) = (start, end) {
            if start > end {
                return Err(ApiError::new(-1023, "Start time is greater than end time."));
            }
            if end - start > self.span_ms.unsigned_abs() {
                return Err(ApiError::invalid("startTime"));
            }
        }
        let named = from.is_some() || start.is_some();
        Ok(Range {
            from_id: from.unwrap_or(0),
            from_ts: start.map_or(0, micros),
            // a millisecond is named by its beginning and lasts to its end
            to_ts: end.map_or(i64::MAX as u64, |ms| micros(ms) + 999),
            limit,
            end: if named { End::First } else { End::Last },
        })
    }
}

fn micros(ms: u64) -> Micros {
    ms.min(i64::MAX as u64 / 1_000 - 1) * 1_000
}

fn unsigned(params: &Params, name: &str) -> Result<Option<u64>, ApiError> {
    let value = params.integer(name)?;
    value.map(|value| u64::try_from(value).map_err(|_| ApiError::invalid(name))).transpose()
}

fn symbol_id(app: &App, params: &Params) -> Result<Option<SymbolId>, ApiError> {
    Ok(symbol(&app.views.read().instruments, params)?.map(|known| known.spec.symbol))
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserTrade {
    symbol: String,
    id: u64,
    order_id: u64,
    side: &'static str,
    price: Text,
    qty: Text,
    quote_qty: Text,
    realized_pnl: Text,
    commission: Text,
    commission_asset: &'static str,
    time: u64,
    position_side: &'static str,
    buyer: bool,
    maker: bool,
}

impl UserTrade {
    pub(super) fn new(fill: &FillRow, instruments: &Instruments) -> Option<Self> {
        let instrument = instruments.get(fill.symbol)?;
        Some(Self {
            symbol: instrument.name().to_owned(),
            id: fill.trade.0,
            order_id: fill.order.0,
            side: fill.side.word(),
            price: instrument.price(fill.price),
            qty: instrument.qty(fill.qty),
            quote_qty: Text::fixed(i128::from(fill.quote), QUOTE_DECIMALS),
            realized_pnl: Text::e8(fill.pnl),
            commission: Text::e8(fill.fee),
            commission_asset: MARGIN_ASSET,
            time: fill.ts / 1_000,
            position_side: fill.position_side.word(),
            buyer: fill.side == Side::Buy,
            maker: fill.maker,
        })
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Income {
    symbol: String,
    income_type: &'static str,
    income: Text,
    asset: &'static str,
    info: &'static str,
    time: u64,
    tran_id: u64,
    trade_id: String,
}

impl Income {
    pub(super) fn new(row: &IncomeRow, instruments: &Instruments) -> Self {
        let symbol = instruments.get(row.symbol).map_or("", Instrument::name);
        let trade_id =
            if row.trade == TradeId::NONE { String::new() } else { row.trade.to_string() };
        Self {
            symbol: symbol.to_owned(),
            income_type: row.kind.name(),
            income: Text::e8(row.amount),
            asset: MARGIN_ASSET,
            info: "",
            time: row.ts / 1_000,
            tran_id: row.id,
            trade_id,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amendment {
    amendment_id: u64,
    symbol: String,
    pair: String,
    order_id: u64,
    client_order_id: String,
    time: u64,
    amendment: Change,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    price: BeforeAfter,
    orig_qty: BeforeAfter,
    count: u32,
}

#[derive(Clone, Debug, Serialize)]
struct BeforeAfter {
    before: Text,
    after: Text,
}

impl Amendment {
    pub(super) fn new(row: &AmendmentRow, count: u32, instrument: &Instrument) -> Self {
        let price = |ticks| instrument.price(ticks);
        let qty = |lots| instrument.qty(lots);
        Self {
            amendment_id: row.id,
            symbol: instrument.name().to_owned(),
            pair: instrument.name().to_owned(),
            order_id: row.order.0,
            client_order_id: row.client_id.to_string(),
            time: row.ts / 1_000,
            amendment: Change {
                price: BeforeAfter {
                    before: price(row.price_before),
                    after: price(row.price_after),
                },
                orig_qty: BeforeAfter { before: qty(row.qty_before), after: qty(row.qty_after) },
                count,
            },
        }
    }
}
