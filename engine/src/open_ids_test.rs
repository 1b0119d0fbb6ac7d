//! The table beside a map of the standard library's.

extern crate std;

use proptest::prelude::*;
use protocol::OrderId;
use std::{collections::HashMap, vec::Vec};

use crate::{
    client_ids::{ClientKey, Place},
    open_ids::OpenIds,
};

/// Keys that are at home in few places, the last of a table among them, so that many go past each
/// other and round the end.
fn key() -> impl Strategy<Value = ClientKey> {
    (0u128..6, 0u128..5).prop_map(|(high, home)| ClientKey(((high + 1) << 64) | ((home + 13) % 16)))
}

proptest! {
    #[test]
    fn it_knows_what_a_map_knows(
        steps in prop::collection::vec((0u8..5, key(), any::<u16>()), 1..400),
        capacity in 0usize..3,
    ) {
        let (mut table, mut map) = (OpenIds::with_capacity(capacity), HashMap::new());
        let mut keys: Vec<ClientKey> = Vec::new();
        for (choice, key, symbol) in steps {
            let place = (symbol, OrderId(u64::from(symbol) << 20));
            if choice < 3 {
                let is_new = !map.contains_key(&key.0);
                map.entry(key.0).or_insert(place);
                keys.push(key);
                prop_assert_eq!(table.insert(key, Place { symbol, order: place.1 }), is_new);
            } else {
                prop_assert_eq!(table.remove(key), map.remove(&key.0).is_some());
            }
            for key in &keys {
                let found = table.find(*key).map(|Place { symbol, order }| (symbol, order));
                prop_assert_eq!(found, map.get(&key.0).copied());
            }
        }
    }
}

#[test]
fn it_grows_and_forgets_nothing() {
    let mut table = OpenIds::with_capacity(0);
    let key = |n: u64| ClientKey(u128::from(n) * 0x9E37_79B9_7F4A_7C15 + 1);
    for n in 0..10_000 {
        assert!(table.insert(key(n), Place { symbol: 1, order: OrderId(n) }));
    }
    for n in (0..10_000).step_by(2) {
        assert!(table.remove(key(n)) && !table.remove(key(n)));
    }
    for n in 0..10_000 {
        assert_eq!(table.find(key(n)).map(|place| place.order.0), Some(n).filter(|n| n % 2 == 1));
    }
}
