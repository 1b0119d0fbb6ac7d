//! Who may call: API keys, what they prove themselves with, and the accounts they act for.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use protocol::AccountId;
use subtle::ConstantTimeEq;

use crate::{
    credential::{Credential, PublicKey},
    store::directory::key_hash,
};

/// The keys in memory; the store keeps them, sealed, over restarts.
///
/// They are found by their hash, so that the time of a look-up says nothing about the text.
#[derive(Default)]
pub struct Keys {
    by_hash: RwLock<HashMap<[u8; 32], Arc<Key>>>,
}

/// One API key.
pub struct Key {
    pub key: String,
    pub account: AccountId,
    pub credential: Credential,
}

impl Key {
    /// The secret that the caller has too; none of a public key.
    pub fn secret(&self) -> Option<&[u8]> {
        match &self.credential {
            Credential::Secret(secret) => Some(secret),
            Credential::PublicKey(_) => None,
        }
    }

    pub fn public_key(&self) -> Option<&PublicKey> {
        match &self.credential {
            Credential::Secret(_) => None,
            Credential::PublicKey(key) => Some(key),
        }
    }
}

impl Keys {
    pub fn insert(&self, key: Key) -> Arc<Key> {
        let key = Arc::new(key);
        self.by_hash.write().insert(key_hash(&key.key), key.clone());
        key
    }

    /// One of an account's keys that `wanted` picks, always the same while none is added.
    pub fn of(&self, account: AccountId, wanted: impl Fn(&Key) -> bool) -> Option<Arc<Key>> {
        let keys = self.by_hash.read();
        let of_account = keys.values().filter(|key| key.account == account && wanted(key));
        of_account.min_by(|a, b| a.key.cmp(&b.key)).cloned()
    }

    pub fn get(&self, key: &str) -> Option<Arc<Key>> {
        let found = self.by_hash.read().get(&key_hash(key)).cloned()?;
        bool::from(found.key.as_bytes().ct_eq(key.as_bytes())).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_whole_text() {
        let keys = Keys::default();
        let account = AccountId(7);
        let credential = Credential::Secret(b"secret".to_vec());
        keys.insert(Key { key: "abcdefgh".to_owned(), account, credential });
        let key = PublicKey::from_pem(crate::credential::tests::ED25519_PEM).unwrap();
        let credential = Credential::PublicKey(key);
        keys.insert(Key { key: "public00".to_owned(), account, credential });
        let text = |key: Option<Arc<Key>>| key.map(|key| key.key.clone());
        assert_eq!(text(keys.of(account, |key| key.secret().is_some())).unwrap(), "abcdefgh");
        assert_eq!(text(keys.of(account, |key| key.public_key().is_some())).unwrap(), "public00");
        assert!(keys.of(AccountId(8), |_| true).is_none());
        assert_eq!(keys.get("abcdefgh").map(|key| key.account), Some(account));
        for other in ["", "abcdefg", "abcdefghi", "ABCDEFGH"] {
            assert!(keys.get(other).is_none(), "{other}");
        }
    }
}
