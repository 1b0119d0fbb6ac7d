//! Who a connection belongs to: one that has logged on signs its requests no more.
//!
//! Only Ed25519 keys may log on, as on the venue whose API this is: what is signed once for many
//! requests shall not be forgeable by whoever can read what the server knows.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::{clock::now_ms, credential::KeyKind, keys::Key, rest::error::ApiError};

/// One connection's standing.
pub struct Session {
    connected_ms: i64,
    logged_on: Mutex<Option<LoggedOn>>,
}

#[derive(Clone)]
struct LoggedOn {
    key: Arc<Key>,
    since_ms: i64,
}

/// What a client is told of its session.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    api_key: Option<String>,
    authorized_since: Option<i64>,
    connected_since: i64,
    return_rate_limits: bool,
    server_time: i64,
}

impl Session {
    pub fn new() -> Self {
        Self { connected_ms: now_ms(), logged_on: Mutex::default() }
    }

    /// Takes a key whose signature was good; -4056 when it is of a kind that may not log on.
    pub fn log_on(&self, key: Arc<Key>) -> Result<(), ApiError> {
        match key.credential.kind() {
            KeyKind::Ed25519 => {
                *self.logged_on.lock() = Some(LoggedOn { key, since_ms: now_ms() });
                Ok(())
            }
            KeyKind::Hmac | KeyKind::Rsa => {
                Err(ApiError::new(-4056, "Only Ed25519 API keys can log on."))
            }
        }
    }

    pub fn log_out(&self) {
        *self.logged_on.lock() = None;
    }

    /// The key that has logged on.
    pub fn key(&self) -> Option<Arc<Key>> {
        self.logged_on.lock().as_ref().map(|logged_on| Arc::clone(&logged_on.key))
    }

    pub fn standing(&self) -> Standing {
        let logged_on = self.logged_on.lock().clone();
        Standing {
            api_key: logged_on.as_ref().map(|logged_on| logged_on.key.key.clone()),
            authorized_since: logged_on.map(|logged_on| logged_on.since_ms),
            connected_since: self.connected_ms,
            return_rate_limits: true,
            server_time: now_ms(),
        }
    }
}
