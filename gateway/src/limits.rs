//! Bounds of what the gateway takes, by name, and the counters that hold callers to them.
//!
//! Windows are aligned to the clock, as on the venue whose API this is: a minute's weight is
//! forgotten when the next minute begins.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr},
};

use parking_lot::Mutex;
use protocol::AccountId;
use serde::{Deserialize, Serialize};

use crate::rest::error::ApiError;

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Parameters of one request.
pub const PARAMS_MAX: usize = 256;
/// Callers counted apart in one window; those beyond share one count.
pub const CALLERS_MAX: usize = 65_536;
/// Conditional orders that an account may have waiting, over all symbols.
pub const ALGOS_PER_ACCOUNT_MAX: usize = 200;
/// Orders placed in one batch.
pub const BATCH_PLACE_MAX: usize = 5;
/// Orders cancelled in one batch.
pub const BATCH_CANCEL_MAX: usize = 10;

const TEN_SECONDS_MS: i64 = 10_000;
const MINUTE_MS: i64 = 60_000;

/// What callers may do in a window. The defaults are beyond what one machine can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowances {
    /// Request weight of one address.
    pub weight_per_minute: u32,
    /// Orders of one account.
    pub orders_per_10s: u32,
    pub orders_per_minute: u32,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            weight_per_minute: 100_000_000,
            orders_per_10s: 10_000_000,
            orders_per_minute: 60_000_000,
        }
    }
}

/// Request weights and order counts per caller and window.
#[derive(Default)]
pub struct Limits {
    allowances: Allowances,
    weights: Mutex<Window<IpAddr>>,
    orders_10s: Mutex<Window<AccountId>>,
    orders_1m: Mutex<Window<AccountId>>,
}

/// One limit as clients are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub rate_limit_type: &'static str,
    pub interval: &'static str,
    pub interval_num: u32,
    pub limit: u32,
}

/// How many orders an account has sent in the present windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderCounts {
    pub in_10s: u32,
    pub in_minute: u32,
}

impl Limits {
    pub fn new(allowances: Allowances) -> Self {
        Self { allowances, ..Self::default() }
    }

    /// What exchangeInfo says of them.
    pub fn shown(&self) -> Vec<Shown> {
        let row = |rate_limit_type, interval, interval_num, limit| Shown {
            rate_limit_type,
            interval,
            interval_num,
            limit,
        };
        vec![
            row("REQUEST_WEIGHT", "MINUTE", 1, self.allowances.weight_per_minute),
            row("ORDERS", "MINUTE", 1, self.allowances.orders_per_minute),
            row("ORDERS", "SECOND", 10, self.allowances.orders_per_10s),
        ]
    }

    /// Counts a request; returns the weight used this minute, or 429 with when to come back.
    pub fn weigh(&self, caller: Option<IpAddr>, weight: u32, now_ms: i64) -> Result<u32, ApiError> {
        let caller = caller.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let limit = self.allowances.weight_per_minute;
        self.weights.lock().count(caller, weight, limit, MINUTE_MS, now_ms).map_err(|wait_s| {
            ApiError::too_many(
                -1003,
                format!("Too many requests; current limit is {limit} requests per minute."),
                wait_s,
            )
        })
    }

    /// Counts orders of an account, or refuses them all with 429.
    pub fn count_orders(
        &self,
        account: AccountId,
        count: u32,
        now_ms: i64,
    ) -> Result<OrderCounts, ApiError> {
        let refuse = |limit: u32, interval: &'static str| {
            move |wait_s| {
                let text = format!("Too many new orders; current limit is {limit} orders per ");
                ApiError::too_many(-1015, text + interval + ".", wait_s)
            }
        };
        let Allowances { orders_per_10s, orders_per_minute, .. } = self.allowances;
        let in_10s = self
            .orders_10s
            .lock()
            .count(account, count, orders_per_10s, TEN_SECONDS_MS, now_ms)
            .map_err(refuse(orders_per_10s, "10 SECONDS"))?;
        let in_minute = self
            .orders_1m
            .lock()
            .count(account, count, orders_per_minute, MINUTE_MS, now_ms)
            .map_err(refuse(orders_per_minute, "MINUTE"))?;
        Ok(OrderCounts { in_10s, in_minute })
    }
}

/// Counts of one window of time; those of the one before are gone with it.
struct Window<K> {
    number: i64,
    counts: HashMap<K, u32>,
    /// Of all callers beyond [`CALLERS_MAX`].
    others: u32,
}

impl<K> Default for Window<K> {
    fn default() -> Self {
        Self { number: 0, counts: HashMap::new(), others: 0 }
    }
}

impl<K: Eq + Hash> Window<K> {
    /// Adds to a caller's count, or says in how many seconds the window ends.
    fn count(
        &mut self,
        caller: K,
        add: u32,
        limit: u32,
        length_ms: i64,
        now_ms: i64,
    ) -> Result<u32, u32> {
        let number = now_ms.div_euclid(length_ms);
        if number != self.number {
            self.number = number;
            self.counts.clear();
            self.others = 0;
        }
        let full = self.counts.len() >= CALLERS_MAX;
        let count = match self.counts.get_mut(&caller) {
            Some(count) => count,
            None if full => &mut self.others,
            None => self.counts.entry(caller).or_default(),
        };
        let sum = count.saturating_add(add);
        if sum > limit {
            let left_ms = length_ms - now_ms.rem_euclid(length_ms);
            return Err(u32::try_from(left_ms.div_euclid(1_000) + 1).unwrap_or(1));
        }
        *count = sum;
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowances =
        Allowances { weight_per_minute: 10, orders_per_10s: 3, orders_per_minute: 5 };

    #[test]
    fn weight_is_counted_per_address_and_minute() {
        let limits = Limits::new(ALLOWED);
        let other = Some(IpAddr::from([10, 0, 0, 1]));
        assert_eq!(limits.weigh(None, 4, 60_000).unwrap(), 4);
        assert_eq!(limits.weigh(None, 6, 61_000).unwrap(), 10);
        let refused = limits.weigh(None, 1, 90_000).unwrap_err();
        assert_eq!((refused.code, refused.status.as_u16()), (-1003, 429));
        assert_eq!(refused.retry_after_s, Some(31));
        assert_eq!(limits.weigh(other, 1, 90_000).unwrap(), 1);
        assert_eq!(limits.weigh(None, 1, 120_000).unwrap(), 1);
    }

    #[test]
    fn orders_have_two_windows() {
        let limits = Limits::new(ALLOWED);
        let account = AccountId(1);
        let counts = limits.count_orders(account, 3, 0).unwrap();
        assert_eq!(counts, OrderCounts { in_10s: 3, in_minute: 3 });
        let refused = limits.count_orders(account, 1, 9_999).unwrap_err();
        assert_eq!(refused.code, -1015);
        assert!(refused.msg.contains("3 orders per 10 SECONDS"), "{}", refused.msg);
        let counts = limits.count_orders(account, 2, 10_000).unwrap();
        assert_eq!(counts, OrderCounts { in_10s: 2, in_minute: 5 });
        assert!(limits.count_orders(account, 1, 20_000).unwrap_err().msg.contains("MINUTE"));
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let mut window = Window::default();
        for caller in 0..CALLERS_MAX + 10 {
            assert!(window.count(caller, 1, 10, MINUTE_MS, 0).is_ok());
        }
        assert_eq!(window.counts.len(), CALLERS_MAX);
        assert!(window.count(CALLERS_MAX + 10, 1, 10, MINUTE_MS, 0).is_err());
        assert!(window.count(0, 1, 10, MINUTE_MS, 0).is_ok());
    }
}
