//! The order object, one shape for every endpoint that shows an order.

use protocol::{
    command::Place,
    order::{OrderOrigin, OrderStatus, OrderType, WorkingType},
};
use serde::Serialize;

use crate::{
    link::Reply,
    text::{Text, percent},
    views::{instruments::Instrument, order::Order},
    words::Word,
};

/// Decimals of an order's value.
const QUOTE_DECIMALS: u32 = 2;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderShown {
    order_id: u64,
    symbol: String,
    status: &'static str,
    client_order_id: String,
    price: Text,
    avg_price: Text,
    orig_qty: Text,
    executed_qty: Text,
    cum_qty: Text,
    cum_quote: Text,
    time_in_force: &'static str,
    #[serde(rename = "type")]
    order_type: &'static str,
    reduce_only: bool,
    close_position: bool,
    side: &'static str,
    position_side: &'static str,
    stop_price: Text,
    working_type: &'static str,
    price_protect: bool,
    orig_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    activate_price: Option<Text>,
    /// How far a trailing stop trails, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_rate: Option<Text>,
    price_match: &'static str,
    self_trade_prevention_mode: &'static str,
    good_till_date: u64,
    time: u64,
    update_time: u64,
}

impl OrderShown {
    pub fn new(order: &Order, instrument: &Instrument) -> Self {
        let origin = order.origin.as_ref();
        let trailing = origin.filter(|origin| origin.callback > 0);
        let zero = Text::zero(u32::from(instrument.spec.price_decimals));
        let price = match order.order_type {
            OrderType::Limit => instrument.price(order.price),
            OrderType::Market => zero,
        };
        Self {
            order_id: order.order.0,
            symbol: instrument.name().to_owned(),
            status: order.status.word(),
            client_order_id: order.client_id.to_string(),
            price,
            avg_price: instrument.average_price(order.cum_quote.into(), order.cum_qty),
            orig_qty: instrument.qty(order.qty),
            executed_qty: instrument.qty(order.cum_qty),
            cum_qty: instrument.qty(order.cum_qty),
            cum_quote: Text::fixed(order.cum_quote.into(), QUOTE_DECIMALS),
            time_in_force: order.time_in_force.word(),
            order_type: order.order_type.word(),
            reduce_only: order.reduce_only,
            close_position: origin.is_some_and(|origin| origin.close_position),
            side: order.side.word(),
            position_side: order.position_side.word(),
            stop_price: origin.map_or(zero, |origin| instrument.price(origin.trigger_price)),
            working_type: origin.map_or(WorkingType::Contract, |origin| origin.working_type).word(),
            price_protect: origin.is_some_and(|origin| origin.price_protect),
            orig_type: origin.map_or(order.order_type.word(), |origin| origin.algo_type.word()),
            activate_price: trailing.map(|origin| instrument.price(origin.activate_price)),
            price_rate: trailing.map(|origin| percent(origin.callback)),
            price_match: order.price_match.word(),
            self_trade_prevention_mode: order.self_trade.word(),
            good_till_date: order.good_till / 1_000,
            time: order.created / 1_000,
            update_time: order.updated / 1_000,
        }
    }
}

/// An order as its shard accepted it, before any fill.
pub fn accepted(place: &Place, reply: &Reply) -> Order {
    Order {
        order: reply.outcome.order,
        account: place.account,
        symbol: place.symbol,
        side: place.side,
        order_type: place.order_type,
        time_in_force: place.time_in_force,
        self_trade: place.self_trade,
        price_match: place.price_match,
        position_side: place.position_side,
        reduce_only: place.reduce_only,
        wanted_by: OrderOrigin::Owner,
        status: OrderStatus::New,
        price: place.price,
        qty: place.qty,
        cum_qty: 0,
        cum_quote: 0,
        good_till: place.good_till,
        client_id: place.client_id,
        origin: None,
        created: reply.ts,
        updated: reply.ts,
    }
}
