//! Conditional orders looked up: what waits in the views, what is over in the store, no seam.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use protocol::{AccountId, AlgoId, SymbolId};

use super::{
    ask::{self, Which},
    show::{AlgoShown, Detail},
};
use crate::{
    app::App,
    rest::{
        auth::Signed,
        error::ApiError,
        orders::{instrument, range},
    },
    store::history::{End, Range},
    views::algo::Algo,
};

pub(super) async fn get_algo(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<AlgoShown>, ApiError> {
    let which = Which::read(&call.params)?;
    let algo = find(&app, call.account, which).await?.ok_or_else(ApiError::no_such_order)?;
    let views = app.views.read();
    let instrument = views.instruments.get(algo.symbol()).ok_or_else(ApiError::no_such_order)?;
    Ok(Json(AlgoShown::new(&algo, instrument, Detail::All)))
}

pub(super) async fn get_open(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<AlgoShown>>, ApiError> {
    ask::check_kind(&call.params)?;
    let symbol = match call.params.get("symbol") {
        Some(_) => Some(instrument(&app, &call.params)?.spec.symbol),
        None => None,
    };
    let id = ask::algo_id(&call.params)?;
    let views = app.views.read();
    let algos = views.accounts.waiting_algos(call.account, symbol);
    let wanted = algos.iter().filter(|algo| id.is_none_or(|id| id == algo.algo));
    let shown = wanted.filter_map(|algo| {
        let instrument = views.instruments.get(algo.symbol())?;
        Some(AlgoShown::new(algo, instrument, Detail::All))
    });
    Ok(Json(shown.collect()))
}

pub(super) async fn get_all(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<AlgoShown>>, ApiError> {
    ask::check_kind(&call.params)?;
    let instrument = instrument(&app, &call.params)?;
    let range = range(&call.params, "algoId")?;
    let algos = all(&app, call.account, instrument.spec.symbol, &range).await?;
    let shown = algos.iter().map(|algo| AlgoShown::new(algo, &instrument, Detail::All));
    Ok(Json(shown.collect()))
}

/// A conditional order wherever it is: waiting, just over, or long over.
pub(super) async fn find(
    app: &App,
    account: AccountId,
    which: Which,
) -> Result<Option<Algo>, ApiError> {
    if let Some(algo) = find_live(app, account, which) {
        return Ok(Some(algo));
    }
    let stored = match which {
        Which::Id(id) => app.store.algo(account, id).await,
        Which::Client(id) => app.store.algo_by_client_id(account, &id).await,
    };
    stored.map_err(ApiError::internal)
}

fn find_live(app: &App, account: AccountId, which: Which) -> Option<Algo> {
    let views = app.views.read();
    let account = views.accounts.get(account)?;
    match which {
        Which::Id(id) => account.algo(id),
        Which::Client(id) => account.algo_by_client_id(&id),
    }
    .copied()
}

/// Stored ones and live ones, by id; a live one is the newer truth.
async fn all(
    app: &App,
    account: AccountId,
    symbol: SymbolId,
    range: &Range,
) -> Result<Vec<Algo>, ApiError> {
    // The views are read first: what leaves them afterwards is in the store by then.
    let live = live(app, account, symbol, range);
    let stored = app.store.algos(account, symbol, range).await.map_err(ApiError::internal)?;
    let by_id = |algo: Algo| (algo.algo, algo);
    let mut algos: BTreeMap<AlgoId, Algo> = stored.into_iter().map(by_id).collect();
    algos.extend(live.into_iter().map(by_id));
    let beyond = algos.len().saturating_sub(range.limit);
    let algos = algos.into_values();
    Ok(match range.end {
        End::First => algos.take(range.limit).collect(),
        End::Last => algos.skip(beyond).collect(),
    })
}

fn live(app: &App, account: AccountId, symbol: SymbolId, range: &Range) -> Vec<Algo> {
    let views = app.views.read();
    let Some(account) = views.accounts.get(account) else { return Vec::new() };
    let wanted = |algo: &&Algo| algo.symbol() == symbol && range.holds(algo.algo.0, algo.created);
    let of = |algos: &BTreeMap<AlgoId, Algo>| -> Vec<Algo> {
        algos.range(AlgoId(range.from_id)..).map(|(_, algo)| algo).filter(wanted).copied().collect()
    };
    let mut algos = of(&account.ended_algos);
    algos.extend(of(&account.algos));
    algos
}
