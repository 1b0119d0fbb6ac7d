//! Clients' own order ids: unique among an account's open orders.
//!
//! Clients choose these texts, so they are hashed with the shard's secret: nobody can make two of
//! them meet. 128 bits stand for the text itself; the text is in the events.

use protocol::{AccountId, ClientId, OrderId};
use siphasher::sip128::SipHasher13;

use crate::open_ids::OpenIds;

/// An account's client id, hashed with the secret; `NONE` for an order without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    open: OpenIds,
    seen: [Seen; SEEN],
}

/// Client ids whose hashes are kept for their turn: more than frames are shown ahead.
const SEEN: usize = 16;

/// A client id that was shown ahead, and its hash.
#[derive(Clone, Copy)]
struct Seen {
    account: AccountId,
    id: ClientId,
    key: ClientKey,
}

impl ClientIds {
    pub fn new(secret: &[u8; 16], orders: usize) -> Self {
        let open = OpenIds::with_capacity(orders);
        let nobody = Seen { account: AccountId::NONE, id: ClientId::EMPTY, key: ClientKey::NONE };
        Self { secret: SipHasher13::new_with_key(secret), open, seen: [nobody; SEEN] }
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
        let seen = &self.seen[seen_at(id)];
        match seen.account == account && seen.id == *id {
            true => seen.key,
            false => self.hash(account, id),
        }
    }

    /// Is shown a client id ahead: hashes it, and asks for where it will be looked for.
    pub fn foresee(&mut self, account: AccountId, id: &ClientId) {
        if id.is_empty() {
            return;
        }
        let key = self.hash(account, id);
        self.seen[seen_at(id)] = Seen { account, id: *id, key };
        self.open.prefetch(key);
    }

    fn hash(&self, account: AccountId, id: &ClientId) -> ClientKey {
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
        if key == ClientKey::NONE { None } else { self.open.find(key) }
    }

    pub fn insert(&mut self, key: ClientKey, place: Place) {
        if key != ClientKey::NONE {
            let is_new = self.open.insert(key, place);
            assert!(is_new, "a client id is checked before its order is accepted");
        }
    }

    pub fn remove(&mut self, key: ClientKey) {
        if key != ClientKey::NONE {
            let known = self.open.remove(key);
            assert!(known, "an open order's client id is known");
        }
    }
}

/// Where a client id is kept until its turn: most differ in one of these bytes from those beside.
fn seen_at(id: &ClientId) -> usize {
    let bytes = id.as_bytes();
    let last = bytes.len().saturating_sub(3);
    bytes[last..].iter().fold(0, |sum, byte| sum + usize::from(*byte)) % SEEN
}
