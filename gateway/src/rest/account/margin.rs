//! Margin of isolated positions: added, taken out, and the list of such moves.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::{
    AccountId, CASH_DECIMALS, Command, SymbolId, command::MoveMargin, limits::CASH_MAX,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    history::{Window, from_views},
    need_symbol,
    settings::number,
};
use crate::{
    app::App,
    rest::{
        auth::Signed,
        error::ApiError,
        orders::{ask, judge},
        params::Params,
        reject::Asked,
    },
    store::{
        history::{MarginMove, Range},
        row::MarginRow,
    },
    text::Text,
    views::instruments::Instrument,
    words::Word,
};

/// Moves in one answer.
const MOVES_MAX: i64 = 500;
/// The longest span of time that can be asked for.
const SPAN_MS_MAX: i64 = 30 * 24 * 60 * 60 * 1_000;

pub(super) async fn post_margin(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Moved>, ApiError> {
    let instrument = *need_symbol(&app.views.read().instruments, &call.params)?;
    let amount = call.params.decimal("amount", CASH_DECIMALS)?;
    let amount = amount.ok_or_else(|| ApiError::mandatory("amount"))?;
    if !(1..=CASH_MAX).contains(&amount) {
        return Err(ApiError::new(-4055, "Amount must be positive."));
    }
    let which = which(&call.params)?.ok_or_else(|| ApiError::mandatory("type"))?;
    let command = Command::MoveMargin(MoveMargin {
        account: call.account,
        symbol: instrument.spec.symbol,
        position_side: ask::position_side(&call.params)?,
        _pad: 0,
        amount: match which {
            MarginMove::Add => amount,
            MarginMove::Remove => -amount,
        },
    });
    let reply = app.orders.submit(instrument.spec.shard, command, call.expires_at).await;
    judge(reply, &Asked::Margin)?;
    Ok(Json(Moved {
        amount: number(amount),
        code: 200,
        msg: "Successfully modify position margin.",
        kind: type_of(which),
    }))
}

pub(super) async fn get_history(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<MarginShown>>, ApiError> {
    let instrument = *need_symbol(&app.views.read().instruments, &call.params)?;
    let which = which(&call.params)?;
    let window = Window { default: MOVES_MAX, max: MOVES_MAX, span_ms: SPAN_MS_MAX };
    let range = window.read(&call.params, "")?;
    let rows = moves(&app, call.account, instrument.spec.symbol, which, &range).await?;
    Ok(Json(rows.iter().map(|row| MarginShown::new(row, &instrument)).collect()))
}

async fn moves(
    app: &App,
    account: AccountId,
    symbol: SymbolId,
    which: Option<MarginMove>,
    range: &Range,
) -> Result<Vec<MarginRow>, ApiError> {
    let live = from_views(app, account, |known| {
        let wanted = |row: &&MarginRow| {
            row.symbol == symbol
                && which.is_none_or(|which| which == MarginMove::of(row.amount))
                && range.holds(u64::MAX, row.ts)
        };
        known.margins.values().filter(wanted).copied().collect()
    });
    let stored = app.store.margins(account, symbol, which, range).await;
    let key = |row: &MarginRow| (row.ts, row.id);
    Ok(range.merge(live, stored.map_err(ApiError::internal)?, key))
}

/// 1 adds, 2 takes out.
fn which(params: &Params) -> Result<Option<MarginMove>, ApiError> {
    match params.integer("type")? {
        None => Ok(None),
        Some(1) => Ok(Some(MarginMove::Add)),
        Some(2) => Ok(Some(MarginMove::Remove)),
        Some(_) => Err(ApiError::invalid("type")),
    }
}

const fn type_of(which: MarginMove) -> u8 {
    match which {
        MarginMove::Add => 1,
        MarginMove::Remove => 2,
    }
}

#[derive(Debug, Serialize)]
pub struct Moved {
    amount: Box<RawValue>,
    code: u16,
    msg: &'static str,
    #[serde(rename = "type")]
    kind: u8,
}

/// A move as its owner's history shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MarginShown {
    symbol: String,
    #[serde(rename = "type")]
    kind: u8,
    delta_type: &'static str,
    amount: Text,
    asset: String,
    time: u64,
    position_side: &'static str,
}

impl MarginShown {
    pub(super) fn new(row: &MarginRow, instrument: &Instrument) -> Self {
        Self {
            symbol: instrument.name().to_owned(),
            kind: type_of(MarginMove::of(row.amount)),
            delta_type: "USER_ADJUST",
            amount: Text::e8(row.amount.abs()),
            asset: instrument.spec.quote.as_str().to_owned(),
            time: row.ts / 1_000,
            position_side: row.position_side.word(),
        }
    }
}
