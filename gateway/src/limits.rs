//! Bounds of what the gateway takes, by name, and the counters that hold callers to them.

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Request weights and order counts per caller and interval.
#[derive(Default)]
pub struct Limits {}

/// One limit as clients are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub rate_limit_type: &'static str,
    pub interval: &'static str,
    pub interval_num: u32,
    pub limit: u32,
}

impl Limits {
    /// What exchangeInfo says of them.
    pub fn shown(&self) -> Vec<Shown> {
        let row = |rate_limit_type, interval, interval_num, limit| Shown {
            rate_limit_type,
            interval,
            interval_num,
            limit,
        };
        vec![
            row("REQUEST_WEIGHT", "MINUTE", 1, 2_400),
            row("ORDERS", "MINUTE", 1, 1_200),
            row("ORDERS", "SECOND", 10, 300),
        ]
    }
}
