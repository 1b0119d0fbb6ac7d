//! Several orders in one request: sent in the order given, answered in the same order, each with
//! its order or with why not.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use protocol::{Command, Micros, OrderId, command::Place};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{
    Counted,
    ask::{self, ResponseType, Which},
    counted, instrument, judge, query,
    show::OrderShown,
    single::{asked_amend, asked_place, placed, spoken_of},
};
use crate::{
    app::App,
    clock::now_ms,
    limits::{BATCH_CANCEL_MAX, BATCH_PLACE_MAX},
    link::{Reply, SubmitError},
    rest::{auth::Signed, error::ApiError, params::Params, reject::Asked},
    views::instruments::Instrument,
};

/// One row of a batch's answer.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Row {
    Order(Box<OrderShown>),
    Failed(ApiError),
}

/// A row on its way.
struct UnderWay {
    reply: oneshot::Receiver<Result<Reply, SubmitError>>,
    instrument: Instrument,
    asked: Asked,
    /// A new order, and how it is to be shown; others are shown as they are.
    place: Option<(Place, ResponseType)>,
}

pub(super) async fn post_batch(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Counted<Vec<Row>>, ApiError> {
    let items = items(&call.params)?;
    let counts = app.limits.count_orders(call.account, items.len() as u32, now_ms())?;
    let begun = items.iter().map(|item| begin_place(&app, &call, item.as_ref())).collect();
    Ok(counted(counts, finish(&app, &call, begun).await))
}

pub(super) async fn put_batch(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Counted<Vec<Row>>, ApiError> {
    let items = items(&call.params)?;
    let counts = app.limits.count_orders(call.account, items.len() as u32, now_ms())?;
    let begun = items.iter().map(|item| begin_amend(&app, &call, item.as_ref())).collect();
    Ok(counted(counts, finish(&app, &call, begun).await))
}

pub(super) async fn delete_batch(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<Row>>, ApiError> {
    let instrument = instrument(&app, &call.params)?;
    let begun = cancelled(&call.params)?
        .into_iter()
        .map(|which| {
            let which = query::at_shard(&app, call.account, instrument.spec.symbol, which?);
            let cancel = Command::Cancel(ask::cancel(which, call.account, &instrument));
            begin(&app, call.expires_at, instrument, cancel, Asked::Cancel, None)
        })
        .collect();
    Ok(Json(finish(&app, &call, begun).await))
}

fn begin_place(
    app: &App,
    call: &Signed,
    item: Result<&Params, &ApiError>,
) -> Result<UnderWay, ApiError> {
    let params = item.map_err(Clone::clone)?;
    let instrument = instrument(app, params)?;
    let wanted = ask::response_type(params)?;
    let place = ask::place(params, call.account, &instrument)?;
    let asked = asked_place(&place, &instrument);
    let place_too = Some((place, wanted));
    begin(app, call.expires_at, instrument, Command::Place(place), asked, place_too)
}

fn begin_amend(
    app: &App,
    call: &Signed,
    item: Result<&Params, &ApiError>,
) -> Result<UnderWay, ApiError> {
    let params = item.map_err(Clone::clone)?;
    let instrument = instrument(app, params)?;
    let which = query::at_shard(app, call.account, instrument.spec.symbol, Which::read(params)?);
    let amend = Command::Amend(ask::amend(params, which, call.account, &instrument)?);
    let asked = asked_amend(&instrument);
    begin(app, call.expires_at, instrument, amend, asked, None)
}

fn begin(
    app: &App,
    expires_at: Micros,
    instrument: Instrument,
    command: Command,
    asked: Asked,
    place: Option<(Place, ResponseType)>,
) -> Result<UnderWay, ApiError> {
    let reply = app.orders.begin(instrument.spec.shard, command, expires_at)?;
    Ok(UnderWay { reply, instrument, asked, place })
}

async fn finish(app: &App, call: &Signed, begun: Vec<Result<UnderWay, ApiError>>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(begun.len());
    for one in begun {
        let shown = match one {
            Ok(under_way) => finish_one(app, call, under_way).await,
            Err(error) => Err(error),
        };
        rows.push(shown.map_or_else(Row::Failed, |order| Row::Order(Box::new(order))));
    }
    rows
}

async fn finish_one(app: &App, call: &Signed, one: UnderWay) -> Result<OrderShown, ApiError> {
    let UnderWay { reply, instrument, asked, place } = one;
    let reply = judge(reply.await.unwrap_or(Err(SubmitError::Unknown)), &asked)?;
    match place {
        Some((place, wanted)) => placed(app, &instrument, &place, wanted, &reply).await,
        None => spoken_of(app, &instrument, call.account, &reply).await,
    }
}

/// The orders of a batch as parameters; one that is none fails alone.
fn items(params: &Params) -> Result<Vec<Result<Params, ApiError>>, ApiError> {
    let items = params
        .array::<Box<RawValue>>("batchOrders")?
        .ok_or_else(|| ApiError::mandatory("batchOrders"))?;
    if !(1..=BATCH_PLACE_MAX).contains(&items.len()) {
        return Err(ApiError::new(-4082, "Invalid number of batch place orders."));
    }
    Ok(items.iter().map(|item| item_params(item)).collect())
}

/// The fields of an object as parameters. Numbers keep their text, so that they stay exact.
fn item_params(item: &RawValue) -> Result<Params, ApiError> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(item.get()).map_err(|_| ApiError::mandatory("batchOrders"))?;
    let mut pairs = Vec::with_capacity(fields.len());
    for (name, raw) in fields {
        let text = raw.get();
        let value = match text.as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str(text).map_err(|_| ApiError::mandatory("batchOrders"))?
            }
            Some(b'{' | b'[') => return Err(ApiError::invalid(&name)),
            _ if text == "null" => continue,
            _ => text.to_owned(),
        };
        pairs.push((name, value));
    }
    Ok(Params::new(pairs))
}

/// The orders to cancel, by one list of ids or the other.
fn cancelled(params: &Params) -> Result<Vec<Result<Which, ApiError>>, ApiError> {
    let by_id = params.array::<serde_json::Value>("orderIdList")?;
    let which: Vec<_> = match by_id {
        Some(ids) => ids.iter().map(order_id).collect(),
        None => params
            .array::<String>("origClientOrderIdList")?
            .ok_or_else(|| ApiError::mandatory("orderIdList"))?
            .iter()
            .map(|text| Which::client(text))
            .collect(),
    };
    if !(1..=BATCH_CANCEL_MAX).contains(&which.len()) {
        return Err(ApiError::new(-4032, "Exceed maximum cancel order size."));
    }
    Ok(which)
}

/// An id in a list, as a number or as text.
fn order_id(value: &serde_json::Value) -> Result<Which, ApiError> {
    let id = match value {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    id.filter(|id| *id > 0)
        .map(|id| Which::Id(OrderId(id)))
        .ok_or_else(|| ApiError::invalid("orderIdList"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(name: &str, value: &str) -> Params {
        Params::new(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn items_keep_the_text_of_their_numbers() {
        let text = r#"[{"symbol":"A","price":60000.10,"reduceOnly":true,"quantity":"0.01","x":null},
            {"nested":{}}, 5]"#;
        let items = items(&params("batchOrders", text)).unwrap();
        let first = items[0].as_ref().unwrap();
        assert_eq!(first.get("price"), Some("60000.10"));
        assert_eq!(first.get("reduceOnly"), Some("true"));
        assert_eq!(first.get("quantity"), Some("0.01"));
        assert_eq!(first.get("x"), None);
        assert_eq!(items[1].as_ref().unwrap_err().code, -1130);
        assert_eq!(items[2].as_ref().unwrap_err().code, -1102);
    }

    #[test]
    fn batches_have_their_bounds() {
        let codes = |text: &str| items(&params("batchOrders", text)).map(|_| ()).unwrap_err().code;
        assert_eq!(codes("[]"), -4082);
        assert_eq!(codes("[{},{},{},{},{},{}]"), -4082);
        assert_eq!(codes("{}"), -1102);
        assert_eq!(items(&Params::default()).map(|_| ()).unwrap_err().code, -1102);
        let cancels = |name: &str, text: &str| cancelled(&params(name, text)).map(|all| all.len());
        assert_eq!(cancels("orderidlist", "[1,\"2\",0]"), Ok(3));
        assert_eq!(cancels("origClientOrderIdList", "[\"a\"]"), Ok(1));
        assert_eq!(cancels("orderIdList", "[1,2,3,4,5,6,7,8,9,10,11]").unwrap_err().code, -4032);
        assert_eq!(cancels("nothing", "[]").unwrap_err().code, -1102);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            for name in ["batchOrders", "orderIdList", "origClientOrderIdList"] {
                let params = params(name, &text);
                let _ = items(&params);
                let _ = cancelled(&params);
            }
        }
    }
}
