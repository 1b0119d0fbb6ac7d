//! Bounds of what the gateway takes, by name, and the counters that hold callers to them.

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Request weights and order counts per caller and interval.
#[derive(Default)]
pub struct Limits {}
