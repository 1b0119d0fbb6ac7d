//! Positions, and what they risk.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::{AccountId, SymbolId};
use serde::Serialize;

use super::symbol;
use crate::{
    app::App,
    rest::{auth::Signed, error::ApiError},
    text::Text,
    views::{
        Views,
        accounts::{
            figures::{Figures, SymbolFigures},
            queues::Queues,
        },
        instruments::Instrument,
    },
    words::Word,
};

/// Which symbols a list of positions has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    All,
    /// Those with a position or open orders.
    Active,
}

impl Listed {
    pub(super) fn rows<'a>(
        self,
        views: &'a Views,
        figures: &'a Figures,
    ) -> impl Iterator<Item = (&'a Instrument, &'a SymbolFigures)> {
        figures
            .symbols
            .iter()
            .filter(move |row| self == Self::All || row.is_active())
            .filter_map(|row| views.instruments.get(row.symbol).map(|known| (known, row)))
    }
}

pub(super) async fn get_risk_v2(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<PositionRisk>>, ApiError> {
    get_risk(&app, &call, Listed::All)
}

pub(super) async fn get_risk_v3(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<PositionRisk>>, ApiError> {
    get_risk(&app, &call, Listed::Active)
}

fn get_risk(app: &App, call: &Signed, listed: Listed) -> Result<Json<Vec<PositionRisk>>, ApiError> {
    let queues = app.queues.latest(&app.views);
    let views = app.views.read();
    let wanted = symbol(&views.instruments, &call.params)?.map(|known| known.spec.symbol);
    Ok(Json(position_risk(&views, &queues, call.account, wanted, listed)))
}

/// Positions with what they risk, of one symbol or of all that are listed.
pub fn position_risk(
    views: &Views,
    queues: &Queues,
    account: AccountId,
    symbol: Option<SymbolId>,
    listed: Listed,
) -> Vec<PositionRisk> {
    let figures = views.accounts.figures(account, &views.instruments);
    listed
        .rows(views, &figures)
        .filter(|(_, row)| symbol.is_none_or(|wanted| wanted == row.symbol))
        .map(|(instrument, row)| {
            let adl = queues.quantile(account, row.symbol, row.side);
            PositionRisk::new(instrument, row, adl)
        })
        .collect()
}

/// A position as the account endpoints show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountPosition {
    symbol: String,
    position_side: &'static str,
    position_amt: Text,
    unrealized_profit: Text,
    isolated_margin: Text,
    notional: Text,
    isolated_wallet: Text,
    initial_margin: Text,
    maint_margin: Text,
    position_initial_margin: Text,
    open_order_initial_margin: Text,
    leverage: String,
    isolated: bool,
    entry_price: Text,
    break_even_price: Text,
    max_notional: Text,
    bid_notional: Text,
    ask_notional: Text,
    update_time: u64,
}

impl AccountPosition {
    pub(super) fn new(instrument: &Instrument, row: &SymbolFigures) -> Self {
        let prices = u32::from(instrument.spec.price_decimals);
        Self {
            symbol: instrument.name().to_owned(),
            position_side: row.side.word(),
            position_amt: instrument.qty(row.position),
            unrealized_profit: Text::e8(row.unrealized),
            isolated_margin: Text::e8(row.isolated_margin()),
            notional: Text::e8(row.value),
            isolated_wallet: Text::e8(row.wallet),
            initial_margin: Text::e8(row.initial()),
            maint_margin: Text::e8(row.maintenance),
            position_initial_margin: Text::e8(row.position_initial),
            open_order_initial_margin: Text::e8(row.order_initial),
            leverage: row.leverage.to_string(),
            isolated: row.isolated,
            entry_price: Text::fixed(row.entry_price_e8, prices),
            break_even_price: Text::fixed(row.break_even_e8, prices),
            max_notional: max_notional(instrument, row.leverage),
            bid_notional: Text::e8(row.bids),
            ask_notional: Text::e8(row.asks),
            update_time: row.updated / 1_000,
        }
    }
}

/// A position with its risk: both versions' fields, as some clients read the older ones always.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PositionRisk {
    symbol: String,
    position_side: &'static str,
    position_amt: Text,
    entry_price: Text,
    break_even_price: Text,
    mark_price: Text,
    un_realized_profit: Text,
    liquidation_price: Text,
    isolated_margin: Text,
    notional: Text,
    margin_asset: String,
    isolated_wallet: Text,
    initial_margin: Text,
    maint_margin: Text,
    position_initial_margin: Text,
    open_order_initial_margin: Text,
    adl: u8,
    bid_notional: Text,
    ask_notional: Text,
    update_time: u64,
    leverage: String,
    margin_type: &'static str,
    is_auto_add_margin: &'static str,
    max_notional_value: Text,
}

impl PositionRisk {
    fn new(instrument: &Instrument, row: &SymbolFigures, adl: u8) -> Self {
        let prices = u32::from(instrument.spec.price_decimals);
        Self {
            symbol: instrument.name().to_owned(),
            position_side: row.side.word(),
            position_amt: instrument.qty(row.position),
            entry_price: Text::fixed(row.entry_price_e8, prices),
            break_even_price: Text::fixed(row.break_even_e8, prices),
            mark_price: Text::e8(instrument.price_e8(row.mark)),
            un_realized_profit: Text::e8(row.unrealized),
            liquidation_price: row
                .liquidation
                .map_or_else(|| Text::zero(0), |price| instrument.price(price)),
            isolated_margin: Text::e8(row.isolated_margin()),
            notional: Text::e8(row.value),
            margin_asset: instrument.spec.quote.as_str().to_owned(),
            isolated_wallet: Text::e8(row.wallet),
            initial_margin: Text::e8(row.initial()),
            maint_margin: Text::e8(row.maintenance),
            position_initial_margin: Text::e8(row.position_initial),
            open_order_initial_margin: Text::e8(row.order_initial),
            adl,
            bid_notional: Text::e8(row.bids),
            ask_notional: Text::e8(row.asks),
            update_time: row.updated / 1_000,
            leverage: row.leverage.to_string(),
            margin_type: if row.isolated { "isolated" } else { "cross" },
            is_auto_add_margin: "false",
            max_notional_value: max_notional(instrument, row.leverage),
        }
    }
}

/// The most position value at a leverage, in whole units where it is one.
pub(super) fn max_notional(instrument: &Instrument, leverage: u8) -> Text {
    Text::fixed(i128::from(instrument.max_notional(leverage)), 0)
}
