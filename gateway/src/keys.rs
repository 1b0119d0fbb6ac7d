//! Who may call: API keys, their secrets and the accounts they act for.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use protocol::AccountId;

/// The keys in memory; the store keeps them, sealed, over restarts.
#[derive(Default)]
pub struct Keys {
    by_key: RwLock<HashMap<String, Arc<Key>>>,
}

/// One API key.
pub struct Key {
    pub key: String,
    pub account: AccountId,
    pub secret: Vec<u8>,
}

impl Keys {
    pub fn insert(&self, key: Key) {
        self.by_key.write().insert(key.key.clone(), Arc::new(key));
    }

    pub fn get(&self, key: &str) -> Option<Arc<Key>> {
        self.by_key.read().get(key).cloned()
    }
}
