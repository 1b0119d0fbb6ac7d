//! Who trades: accounts with their keys, and a first deposit.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::AccountId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ACTOR, Admin, Body, Result, now_ms, store_error,
    transfers::{amount, book},
};
use crate::{
    credential::{Credential, PublicKey},
    keys::Key,
    rest::error::ApiError,
    store::directory::AccountEntry,
};

/// The number of an account's first deposit, so that a file loaded twice books it once.
const FIRST_TRANSFER: u64 = 1;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    deposit: Option<String>,
    api_key: Option<String>,
    secret: Option<String>,
    /// Instead of a secret: PEM of an Ed25519 or RSA key.
    public_key: Option<String>,
}

pub(super) async fn get_accounts(State(admin): State<Admin>) -> Result<Json<Vec<AccountEntry>>> {
    admin.app.directory.accounts().await.map(Json).map_err(store_error)
}

/// Finds an account by its name or makes it, sees that it has a key, and books its first deposit.
pub(super) async fn post_account(
    State(admin): State<Admin>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Value>> {
    let deposit = wanted.deposit.as_deref().map(amount).transpose()?;
    let _one_at_a_time = admin.giving_ids.lock().await;
    let directory = &admin.app.directory;
    let account = match directory.account(&wanted.name).await.map_err(store_error)? {
        Some(account) => account,
        None => {
            let known = admin.app.views.read().accounts.ids().max().unwrap_or(AccountId::NONE);
            let made = directory.create_account_above(ACTOR, &wanted.name, known, now_ms()).await;
            made.map_err(store_error)?
        }
    };
    let key = key_for(&admin, account, &wanted).await?;
    let booked = match deposit {
        Some(amount) => book(&admin, account, FIRST_TRANSFER, amount).await?,
        None => false,
    };
    let mut made = json!({
        "account": account.0,
        "name": wanted.name,
        "api_key": key.key,
        "key_type": key.credential.kind().name(),
        "deposited": booked,
    });
    if let Some(secret) = key.secret() {
        made["secret"] = json!(String::from_utf8_lossy(secret));
    }
    Ok(Json(made))
}

/// The key that was asked for, or the account's own, or a new one.
async fn key_for(admin: &Admin, account: AccountId, wanted: &Wanted) -> Result<Arc<Key>> {
    let (keys, directory) = (&admin.app.keys, &admin.app.directory);
    match (&wanted.api_key, chosen(wanted)?) {
        (Some(text), Some(credential)) => match keys.get(text) {
            Some(known) if known.account == account && alike(&known.credential, &credential) => {
                Ok(known)
            }
            Some(_) => Err(ApiError::new(-1130, "This API key exists already.")),
            None => {
                let key = Key { key: text.clone(), account, credential };
                directory.add_key(ACTOR, &key, now_ms()).await.map_err(store_error)?;
                Ok(keys.insert(key))
            }
        },
        (None, Some(Credential::PublicKey(public))) => {
            let same = |key: &Key| key.public_key().is_some_and(|key| key.pem() == public.pem());
            if let Some(known) = keys.of(account, same) {
                return Ok(known);
            }
            let key = directory.create_public_key(ACTOR, account, public, now_ms()).await;
            Ok(keys.insert(key.map_err(store_error)?))
        }
        (None, None) => match keys.of(account, |key| key.secret().is_some()) {
            Some(known) => Ok(known),
            None => {
                let key = directory.create_key(ACTOR, account, now_ms()).await;
                Ok(keys.insert(key.map_err(store_error)?))
            }
        },
        (Some(_), None) => Err(ApiError::mandatory("secret")),
        (None, Some(Credential::Secret(_))) => Err(ApiError::mandatory("api_key")),
    }
}

/// What the operator wants a key to prove itself with, if that was said.
fn chosen(wanted: &Wanted) -> Result<Option<Credential>> {
    match (&wanted.secret, &wanted.public_key) {
        (Some(_), Some(_)) => Err(ApiError::not_required("secret")),
        (Some(secret), None) => Ok(Some(Credential::Secret(secret.as_bytes().to_vec()))),
        (None, Some(pem)) => match PublicKey::from_pem(pem) {
            Ok(key) => Ok(Some(Credential::PublicKey(key))),
            Err(error) => Err(ApiError::new(-1130, error.to_string())),
        },
        (None, None) => Ok(None),
    }
}

fn alike(one: &Credential, other: &Credential) -> bool {
    match (one, other) {
        (Credential::Secret(one), Credential::Secret(other)) => one == other,
        (Credential::PublicKey(one), Credential::PublicKey(other)) => one.pem() == other.pem(),
        (Credential::Secret(_), Credential::PublicKey(_))
        | (Credential::PublicKey(_), Credential::Secret(_)) => false,
    }
}
