//! Listen keys: what opens an account's own stream, for an hour at a time.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, Router, extract::State, routing::post};
use parking_lot::Mutex;
use protocol::AccountId;
use rand::{Rng, distr::Alphanumeric};
use serde_json::{Value, json};

use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Keyed, error::ApiError},
    store::directory::ListenKey,
};

/// How long a key opens its stream after it was made or extended.
pub const LISTEN_KEY_MS: u64 = 60 * 60 * 1_000;
const LISTEN_KEY_CHARS: usize = 64;

/// The keys in memory; the store has them too, so that a restart keeps them. An account has one.
#[derive(Default)]
pub struct ListenKeys {
    by_account: Mutex<HashMap<AccountId, ListenKey>>,
}

impl ListenKeys {
    /// Takes over what the store kept.
    pub fn restore(&self, keys: Vec<ListenKey>) {
        let mut by_account = self.by_account.lock();
        for key in keys {
            let newer =
                by_account.get(&key.account).is_none_or(|old| old.expires_ms < key.expires_ms);
            if newer {
                by_account.insert(key.account, key);
            }
        }
    }

    /// The account's key, made if there is none, good for another hour.
    pub fn open(&self, account: AccountId, now_ms: u64) -> ListenKey {
        self.extend(account, now_ms).unwrap_or_else(|| {
            let listen_key: String = rand::rng()
                .sample_iter(Alphanumeric)
                .take(LISTEN_KEY_CHARS)
                .map(char::from)
                .collect();
            let key = ListenKey { listen_key, account, expires_ms: now_ms + LISTEN_KEY_MS };
            self.by_account.lock().insert(account, key.clone());
            key
        })
    }

    /// Gives the account's key another hour; nothing when it has none or it has expired.
    pub fn extend(&self, account: AccountId, now_ms: u64) -> Option<ListenKey> {
        let mut by_account = self.by_account.lock();
        let key = by_account.get_mut(&account).filter(|key| key.expires_ms > now_ms)?;
        key.expires_ms = now_ms + LISTEN_KEY_MS;
        Some(key.clone())
    }

    pub fn remove(&self, account: AccountId) -> Option<ListenKey> {
        self.by_account.lock().remove(&account)
    }

    /// Whose stream a key opens.
    pub fn find(&self, listen_key: &str, now_ms: u64) -> Option<AccountId> {
        if listen_key.len() != LISTEN_KEY_CHARS {
            return None;
        }
        let by_account = self.by_account.lock();
        let mut keys = by_account.values();
        let key = keys.find(|key| key.listen_key == listen_key && key.expires_ms > now_ms)?;
        Some(key.account)
    }

    /// Takes out what has expired.
    pub fn expire(&self, now_ms: u64) -> Vec<ListenKey> {
        let mut by_account = self.by_account.lock();
        by_account.extract_if(|_, key| key.expires_ms <= now_ms).map(|(_, key)| key).collect()
    }
}

pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/fapi/v1/listenKey", post(open).put(extend).delete(remove))
}

async fn open(State(app): State<Arc<App>>, call: Keyed) -> Result<Json<Value>, ApiError> {
    let key = app.hub.listen_keys.open(call.account, now());
    app.directory.put_listen_key(&key).await.map_err(ApiError::internal)?;
    Ok(Json(json!({ "listenKey": key.listen_key })))
}

async fn extend(State(app): State<Arc<App>>, call: Keyed) -> Result<Json<Value>, ApiError> {
    let key = app.hub.listen_keys.extend(call.account, now());
    let key = key.ok_or_else(ApiError::invalid_listen_key)?;
    app.directory.put_listen_key(&key).await.map_err(ApiError::internal)?;
    Ok(Json(json!({ "listenKey": key.listen_key })))
}

/// Deleting what is not there is done already.
async fn remove(State(app): State<Arc<App>>, call: Keyed) -> Result<Json<Value>, ApiError> {
    if let Some(key) = app.hub.listen_keys.remove(call.account) {
        let removed = app.directory.remove_listen_key(&key.listen_key, now()).await;
        removed.map_err(ApiError::internal)?;
        app.hub.end_listen_key(key).await;
    }
    Ok(Json(json!({})))
}

fn now() -> u64 {
    u64::try_from(now_ms()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lives_an_hour_and_is_kept_when_asked_again() {
        let keys = ListenKeys::default();
        let account = AccountId(7);
        assert_eq!(keys.extend(account, 0), None);
        let made = keys.open(account, 1_000);
        assert_eq!(made.listen_key.len(), LISTEN_KEY_CHARS);
        let again = keys.open(account, 2_000);
        assert_eq!(again.listen_key, made.listen_key);
        assert_eq!(again.expires_ms, 2_000 + LISTEN_KEY_MS);
        assert_eq!(keys.find(&made.listen_key, again.expires_ms - 1), Some(account));
        assert_eq!(keys.find(&made.listen_key, again.expires_ms), None);
        assert_eq!(keys.extend(account, again.expires_ms), None);
        assert_eq!(keys.expire(again.expires_ms), vec![again.clone()]);
        assert_ne!(keys.open(account, again.expires_ms).listen_key, made.listen_key);
    }

    #[test]
    fn a_restart_keeps_the_newest() {
        let keys = ListenKeys::default();
        let row = |text: &str, expires_ms| ListenKey {
            listen_key: text.repeat(LISTEN_KEY_CHARS),
            account: AccountId(1),
            expires_ms,
        };
        keys.restore(vec![row("a", 5), row("b", 9), row("c", 7)]);
        assert_eq!(keys.find(&"b".repeat(LISTEN_KEY_CHARS), 8), Some(AccountId(1)));
        assert_eq!(keys.find(&"c".repeat(LISTEN_KEY_CHARS), 6), None);
    }
}
