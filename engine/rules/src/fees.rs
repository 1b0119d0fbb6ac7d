//! Trading fees.

use protocol::{RATE_ONE, Rate};

use crate::money::{share_ceil, share_floor};

/// What a fill of this value costs: a fee is rounded up, a rebate (negative) towards zero.
pub const fn fee(value: i128, rate: Rate) -> i128 {
    if rate >= 0 { share_ceil(value, rate) } else { -share_floor(value, -rate) }
}

/// Rates that an exchange can charge: a taker pays, and a rebate never exceeds what the taker
/// of the same schedule pays.
pub const fn are_valid(maker: Rate, taker: Rate) -> bool {
    taker >= 0 && taker < RATE_ONE && maker < RATE_ONE && maker >= -taker
}
