//! The operator's API, on a listener of its own: symbols, brackets, fees, accounts, deposits, withdrawals.
//!
//! Whoever speaks to it says a token. Everything is idempotent, so that a file can be loaded
//! twice, and what changes money or access is written into the audit table.

mod accounts;
#[cfg(test)]
mod admin_test;
mod instruments;
mod transfers;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{FromRequest, Request, State},
    http::{Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use protocol::{AccountId, Command, ShardId};
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use crate::{
    app::App,
    link::{Reply, ShardStatus},
    rest::{error::ApiError, orders::judge, reject::Asked},
    store::{StoreError, StoreStatus},
    text::Text,
    views::{Views, accounts::Account},
};

/// Bytes of a request of the operator's.
const ADMIN_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Who the audit table says it was.
const ACTOR: &str = "admin";

type Result<T> = std::result::Result<T, ApiError>;

/// What admin handlers reach.
#[derive(Clone)]
struct Admin {
    app: Arc<App>,
    /// Ids are given out one after the other.
    giving_ids: Arc<Mutex<()>>,
}

pub fn router(app: Arc<App>) -> Router {
    let admin = Admin { app, giving_ids: Arc::default() };
    Router::new()
        .route("/admin/status", get(status))
        .route("/admin/symbols", get(instruments::get_symbols).post(instruments::post_symbol))
        .route("/admin/symbol-state", post(instruments::post_state))
        .route("/admin/brackets", post(instruments::post_brackets))
        .route("/admin/fees", post(instruments::post_fees))
        .route("/admin/accounts", get(accounts::get_accounts).post(accounts::post_account))
        .route("/admin/deposits", post(transfers::post_deposit))
        .route("/admin/withdrawals", post(transfers::post_withdrawal))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .layer(middleware::from_fn_with_state(admin.clone(), authenticate))
        .with_state(admin)
}

async fn authenticate(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let said = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let token = said.and_then(|said| said.strip_prefix(b"Bearer ")).unwrap_or(b"");
    if bool::from(token.ct_eq(admin.app.config.admin_token.as_bytes())) {
        return next.run(request).await;
    }
    ApiError::new(-2015, "The admin token is missing or wrong.")
        .with_status(StatusCode::UNAUTHORIZED)
        .into_response()
}

async fn no_such_path(method: Method, uri: Uri) -> ApiError {
    ApiError::no_such_path(method.as_str(), uri.path())
}

/// How the gateway stands.
#[derive(Serialize)]
struct Status {
    /// Every shard was met and caught up with.
    complete: bool,
    shards: Vec<ShardStatus>,
    store: StoreStatus,
    insurance: Insurance,
}

/// What there is of the insurance fund.
#[derive(Serialize)]
struct Insurance {
    /// All of it, what is on its way between ledger and shards included.
    wallet: Text,
    /// By shard; 0, the ledger, has what is free.
    cash: BTreeMap<u8, Text>,
}

impl Insurance {
    fn of(views: &Views) -> Self {
        let fund = views.accounts.get(AccountId::INSURANCE);
        let cash = fund.into_iter().flat_map(|fund| &fund.cash);
        Self {
            wallet: Text::e8(fund.map_or(0, Account::wallet)),
            cash: cash.map(|(shard, at)| (shard.0, Text::e8(at.cash))).collect(),
        }
    }
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    let app = &admin.app;
    let link = app.orders.status();
    Json(Status {
        complete: link.complete(app.config.shards),
        shards: link.shards(),
        store: app.store.status(),
        insurance: Insurance::of(&app.views.read()),
    })
}

impl Admin {
    /// Hands a command to a shard; what was refused is an error.
    async fn submit(&self, shard: ShardId, command: Command) -> Result<Reply> {
        judge(self.app.orders.submit(shard, command, 0).await, &Asked::Admin)
    }

    async fn audit(&self, action: &str, detail: &str) -> Result<()> {
        let now_ms = now_ms();
        self.app.directory.audit(ACTOR, action, detail, now_ms).await.map_err(ApiError::internal)
    }
}

/// A JSON body, whatever its content type says; its faults are told in the API's own form.
struct Body<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let bytes = to_bytes(request.into_body(), ADMIN_BODY_BYTES_MAX).await.map_err(|_| {
            let text = format!("The request's body is longer than {ADMIN_BODY_BYTES_MAX} bytes.");
            ApiError::new(-1130, text).with_status(StatusCode::PAYLOAD_TOO_LARGE)
        })?;
        let body = serde_json::from_slice(&bytes);
        body.map(Self).map_err(|error| ApiError::new(-1130, format!("The request: {error}.")))
    }
}

/// Errors of the store that are the operator's to mend say so; others are faults of ours.
fn store_error(error: StoreError) -> ApiError {
    match error {
        StoreError::AccountExists(_) | StoreError::KeyExists => {
            ApiError::new(-1130, error.to_string()).with_status(StatusCode::CONFLICT)
        }
        StoreError::AccountUnknown(_) => {
            ApiError::new(-1130, error.to_string()).with_status(StatusCode::NOT_FOUND)
        }
        StoreError::AccountName(_) | StoreError::AccountsMax | StoreError::KeyUnusable => {
            ApiError::new(-1130, error.to_string())
        }
        StoreError::Open { .. }
        | StoreError::Migrate { .. }
        | StoreError::Database(_)
        | StoreError::Replaced { .. }
        | StoreError::WriterEnded
        | StoreError::KeyFile { .. }
        | StoreError::KeyMalformed { .. }
        | StoreError::PublicKey(_)
        | StoreError::Sealed => ApiError::internal(error),
    }
}

fn now_ms() -> u64 {
    u64::try_from(crate::clock::now_ms()).unwrap_or_default()
}
