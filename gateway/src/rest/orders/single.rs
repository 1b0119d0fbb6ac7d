//! One order at a time: place, check, amend, cancel, and cancel all of a symbol.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::{
    AccountId, Command, Micros,
    command::{CancelAll, Place},
    order::OrderStatus,
};
use serde::Serialize;

use super::{
    Counted,
    ask::{self, ResponseType, Which},
    counted, instrument, query,
    show::{OrderShown, accepted},
    submit,
};
use crate::{
    app::App,
    clock::now_ms,
    link::Reply,
    rest::{auth::Signed, error::ApiError, params::Params, reject::Asked},
    text::Text,
    views::{instruments::Instrument, order::Order},
};

/// That something was done which has no object to show.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Done {
    code: i32,
    msg: &'static str,
}

impl Done {
    pub const CANCELLED_ALL: Self =
        Self { code: 200, msg: "The operation of cancel all open order is done." };
}

pub(super) async fn post_order(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Counted<OrderShown>, ApiError> {
    let counts = app.limits.count_orders(call.account, 1, now_ms())?;
    let order = place(&app, call.account, &call.params, call.expires_at).await?;
    Ok(counted(counts, order))
}

pub(super) async fn post_test(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<OrderShown>, ApiError> {
    test_place(&app, call.account, &call.params, call.expires_at).await.map(Json)
}

pub(super) async fn put_order(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Counted<OrderShown>, ApiError> {
    let counts = app.limits.count_orders(call.account, 1, now_ms())?;
    let order = amend(&app, call.account, &call.params, call.expires_at).await?;
    Ok(counted(counts, order))
}

pub(super) async fn delete_order(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<OrderShown>, ApiError> {
    cancel(&app, call.account, &call.params, call.expires_at).await.map(Json)
}

pub(super) async fn delete_all(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Done>, ApiError> {
    cancel_all(&app, call.account, &call.params, call.expires_at).await.map(Json)
}

/// Places an order and shows it as far as the caller wants to know.
pub async fn place(
    app: &App,
    account: AccountId,
    params: &Params,
    expires_at: Micros,
) -> Result<OrderShown, ApiError> {
    let instrument = instrument(app, params)?;
    let wanted = ask::response_type(params)?;
    let place = ask::place(params, account, &instrument)?;
    let asked = asked_place(&place, &instrument);
    let command = Command::Place(place);
    let reply = submit(app, instrument.spec.shard, command, expires_at, &asked).await?;
    placed(app, &instrument, &place, wanted, &reply).await
}

/// Asks the shard what it would say to an order, and places none.
pub async fn test_place(
    app: &App,
    account: AccountId,
    params: &Params,
    expires_at: Micros,
) -> Result<OrderShown, ApiError> {
    let instrument = instrument(app, params)?;
    ask::response_type(params)?;
    let place = ask::place(params, account, &instrument)?;
    let asked = asked_place(&place, &instrument);
    let command = Command::TestPlace(place);
    let reply = submit(app, instrument.spec.shard, command, expires_at, &asked).await?;
    Ok(OrderShown::new(&accepted(&place, &reply), &instrument))
}

/// Changes an order's price or quantity.
pub async fn amend(
    app: &App,
    account: AccountId,
    params: &Params,
    expires_at: Micros,
) -> Result<OrderShown, ApiError> {
    let instrument = instrument(app, params)?;
    let which = query::at_shard(app, account, instrument.spec.symbol, Which::read(params)?);
    let amend = ask::amend(params, which, account, &instrument)?;
    let asked = asked_amend(&instrument);
    let command = Command::Amend(amend);
    let reply = submit(app, instrument.spec.shard, command, expires_at, &asked).await?;
    spoken_of(app, &instrument, account, &reply).await
}

/// Ends an order.
pub async fn cancel(
    app: &App,
    account: AccountId,
    params: &Params,
    expires_at: Micros,
) -> Result<OrderShown, ApiError> {
    let instrument = instrument(app, params)?;
    let which = query::at_shard(app, account, instrument.spec.symbol, Which::read(params)?);
    let cancel = ask::cancel(which, account, &instrument);
    let command = Command::Cancel(cancel);
    let reply = submit(app, instrument.spec.shard, command, expires_at, &Asked::Cancel).await?;
    spoken_of(app, &instrument, account, &reply).await
}

/// Ends every order on a symbol.
pub async fn cancel_all(
    app: &App,
    account: AccountId,
    params: &Params,
    expires_at: Micros,
) -> Result<Done, ApiError> {
    let instrument = instrument(app, params)?;
    let command =
        Command::CancelAll(CancelAll { account, symbol: instrument.spec.symbol, _pad: [0; 2] });
    submit(app, instrument.spec.shard, command, expires_at, &Asked::Cancel).await?;
    Ok(Done::CANCELLED_ALL)
}

pub(super) fn asked_place(place: &Place, instrument: &Instrument) -> Asked {
    let notional_min = Text::fixed(instrument.spec.notional_min.into(), 0).to_string();
    Asked::Place { price_match: place.price_match, notional_min }
}

pub(super) fn asked_amend(instrument: &Instrument) -> Asked {
    Asked::Amend { notional_min: Text::fixed(instrument.spec.notional_min.into(), 0).to_string() }
}

/// A new order as it was accepted, or as it has become.
pub(super) async fn placed(
    app: &App,
    instrument: &Instrument,
    place: &Place,
    wanted: ResponseType,
    reply: &Reply,
) -> Result<OrderShown, ApiError> {
    let which = Which::Id(reply.outcome.order);
    let known = query::find(app, place.account, place.symbol, which).await?;
    let order = match (wanted, known) {
        (ResponseType::Result, Some(order)) => order,
        // An ack says nothing of fills, but the price that was matched is the order's own.
        (ResponseType::Ack, Some(order)) => Order { price: order.price, ..accepted(place, reply) },
        (_, None) => accepted(place, reply),
    };
    Ok(OrderShown::new(&order, instrument))
}

/// The order that a reply is about, as it is now.
pub(super) async fn spoken_of(
    app: &App,
    instrument: &Instrument,
    account: AccountId,
    reply: &Reply,
) -> Result<OrderShown, ApiError> {
    let which = Which::Id(reply.outcome.order);
    let order = query::find(app, account, instrument.spec.symbol, which).await?;
    let order = order.ok_or_else(|| {
        ApiError::internal(format!("order {} is not in the views", reply.outcome.order))
    })?;
    Ok(OrderShown::new(&order, instrument))
}

/// Whether an order can still trade.
pub(super) fn is_open(order: &Order) -> bool {
    match order.status {
        OrderStatus::New | OrderStatus::PartiallyFilled => true,
        OrderStatus::Filled
        | OrderStatus::Canceled
        | OrderStatus::Rejected
        | OrderStatus::Expired
        | OrderStatus::ExpiredInMatch => false,
    }
}
