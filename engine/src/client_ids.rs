//! Clients' own order ids: unique among an account's open orders.
//!
//! Clients choose these texts, so they are hashed with the shard's secret: nobody can make two of
//! them meet. 128 bits stand for the text itself; the text is in the events.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use protocol::{AccountId, ClientId, OrderId};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::hash::IntHasher;

/// An account's client id, hashed with the secret; `NONE` for an order without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(pub u128);

impl ClientKey {
    pub const NONE: Self = Self(0);
}

/// Where the order with a client id is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The symbol by its place in the shard.
    pub symbol: u16,
    pub order: OrderId,
}

pub(crate) struct ClientIds {
    secret: SipHasher13,
    open: HashMap<ClientKey, Place, BuildHasherDefault<IntHasher>>,
}

impl ClientIds {
    pub fn new(secret: &[u8; 16], orders: usize) -> Self {
        let mut open = HashMap::default();
        open.reserve(orders);
        Self { secret: SipHasher13::new_with_key(secret), open }
    }

    /// True for text that a client may use: 1 to 36 of its alphabet; empty is no id at all.
    pub fn is_valid(id: &ClientId) -> bool {
        id.as_bytes().iter().all(
            |byte| matches!(byte, b'.' | b'A'..=b'Z' | b':' | b'/' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'),
        )
    }

    pub fn key(&self, account: AccountId, id: &ClientId) -> ClientKey {
        if id.is_empty() {
            return ClientKey::NONE;
        }
        let mut hasher = self.secret;
        hasher.write(&account.0.to_le_bytes());
        hasher.write(id.as_bytes());
        // 0 stands for none, so it is moved aside
        ClientKey(hasher.finish128().as_u128().max(1))
    }

    pub fn find(&self, key: ClientKey) -> Option<Place> {
        if key == ClientKey::NONE { None } else { self.open.get(&key).copied() }
    }

    pub fn insert(&mut self, key: ClientKey, place: Place) {
        if key != ClientKey::NONE {
            let known = self.open.insert(key, place);
            assert!(known.is_none(), "a client id is checked before its order is accepted");
        }
    }

    pub fn remove(&mut self, key: ClientKey) {
        if key != ClientKey::NONE {
            let known = self.open.remove(&key);
            assert!(known.is_some(), "an open order's client id is known");
        }
    }
}
