//! The conditional order as an object, one shape for every endpoint that shows one.

use serde::Serialize;

use crate::{
    text::{Text, percent},
    views::{
        algo::{ALGO_KIND, Algo, becomes},
        instruments::Instrument,
    },
    words::Word,
};

/// How much of a conditional order is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What was asked for, and how far it has come.
    Terms,
    /// What it became, too.
    All,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlgoShown {
    algo_id: u64,
    client_algo_id: String,
    algo_type: &'static str,
    order_type: &'static str,
    symbol: String,
    side: &'static str,
    position_side: &'static str,
    time_in_force: &'static str,
    quantity: Text,
    algo_status: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    actual: Option<Actual>,
    trigger_price: Text,
    price: Text,
    iceberg_quantity: Option<Text>,
    self_trade_prevention_mode: &'static str,
    working_type: &'static str,
    price_match: &'static str,
    close_position: bool,
    price_protect: bool,
    reduce_only: bool,
    /// Empty but for a trailing stop.
    activate_price: String,
    /// In percent.
    callback_rate: String,
    create_time: u64,
    update_time: u64,
    trigger_time: u64,
    good_till_date: u64,
}

/// What a conditional order has become; texts are empty before that.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Actual {
    actual_order_id: String,
    actual_price: Text,
    actual_qty: Text,
    actual_type: &'static str,
    /// Of pairs that are one order, which are not offered.
    tp_trigger_price: Text,
    tp_price: Text,
    sl_trigger_price: Text,
    sl_price: Text,
    tp_order_type: &'static str,
}

impl AlgoShown {
    pub fn new(algo: &Algo, instrument: &Instrument, detail: Detail) -> Self {
        let terms = &algo.terms;
        let trails = terms.callback != 0;
        let trail = |text: Text| if trails { text.to_string() } else { String::new() };
        Self {
            algo_id: algo.algo.0,
            client_algo_id: terms.client_id.to_string(),
            algo_type: ALGO_KIND,
            order_type: terms.algo_type.word(),
            symbol: instrument.name().to_owned(),
            side: terms.side.word(),
            position_side: terms.position_side.word(),
            time_in_force: terms.time_in_force.word(),
            quantity: instrument.qty(terms.qty),
            algo_status: algo.status.word(),
            actual: (detail == Detail::All).then(|| Actual::new(algo, instrument)),
            trigger_price: instrument.price(terms.trigger_price),
            price: instrument.price(terms.price),
            iceberg_quantity: None,
            self_trade_prevention_mode: terms.self_trade.word(),
            working_type: terms.working_type.word(),
            price_match: terms.price_match.word(),
            close_position: terms.close_position,
            price_protect: terms.price_protect,
            reduce_only: terms.reduce_only || terms.close_position,
            activate_price: trail(instrument.price(terms.activate_price)),
            callback_rate: trail(percent(terms.callback)),
            create_time: algo.created / 1_000,
            update_time: algo.updated / 1_000,
            trigger_time: algo.triggered / 1_000,
            good_till_date: terms.good_till / 1_000,
        }
    }
}

impl Actual {
    fn new(algo: &Algo, instrument: &Instrument) -> Self {
        let became = !algo.order.is_none();
        let none = instrument.price(0);
        Self {
            actual_order_id: if became { algo.order.to_string() } else { String::new() },
            actual_price: instrument.average_price(algo.cum_quote.into(), algo.cum_qty),
            actual_qty: instrument.qty(algo.cum_qty),
            actual_type: if became { becomes(algo.terms.algo_type).word() } else { "" },
            tp_trigger_price: none,
            tp_price: none,
            sl_trigger_price: none,
            sl_price: none,
            tp_order_type: "",
        }
    }
}
