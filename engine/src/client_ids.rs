//! Clients' own order ids: unique among an account's open orders.
//!
//! Clients choose these texts, so they are hashed with the shard's secret: nobody can make two of
//! them meet. 128 bits stand for the text itself; the text is in the events.

use core::hash::BuildHasherDefault;

use hashbrown::HashMap;
use protocol::{AccountId, ClientId, OrderId};
use siphasher::sip128::SipHasher13;

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

/// The bytes of a client id.
const ALPHABET: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < table.len() {
        let sign = matches!(byte as u8, b'.' | b':' | b'/' | b'_' | b'-');
        table[byte] = sign || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

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
        // no early end: a short loop without branches is what a processor likes best
        id.as_bytes().iter().fold(true, |valid, byte| valid & ALPHABET[usize::from(*byte)])
    }

    pub fn key(&self, account: AccountId, id: &ClientId) -> ClientKey {
        if id.is_empty() {
            return ClientKey::NONE;
        }
        let (text, mut words) =
            (id.as_bytes(), [0; size_of::<AccountId>() + size_of::<ClientId>()]);
        let (of_account, of_text) = words.split_at_mut(size_of::<AccountId>());
        of_account.copy_from_slice(&account.0.to_le_bytes());
        of_text[..text.len()].copy_from_slice(text);
        let hash = self.secret.hash(&words[..size_of::<AccountId>() + text.len()]);
        // 0 stands for none, so it is moved aside
        ClientKey(hash.as_u128().max(1))
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
