//! Integer money: exact products and divisions with a stated rounding.

use protocol::{Cash, Lots, RATE_ONE, Rate, Ticks};

/// Value of `qty` lots at `price` ticks in cash units, exact.
///
/// Shape: |price| < 2^41, |qty| < 2^45, mult < 2^61, and a listed instrument's products stay
/// below 2^100 whatever its mark does.
pub const fn value(price: Ticks, qty: Lots, mult: i64) -> i128 {
    price as i128 * qty as i128 * mult as i128
}

/// Division towards plus infinity; `divisor` > 0.
pub const fn div_ceil(dividend: i128, divisor: i128) -> i128 {
    -div_floor(-dividend, divisor)
}

/// Division towards minus infinity; `divisor` > 0.
pub const fn div_floor(dividend: i128, divisor: i128) -> i128 {
    // most amounts fit 64 bits, where a division costs a fraction
    let (narrow, by) = (dividend as i64, divisor as i64);
    if narrow as i128 == dividend && by as i128 == divisor {
        return narrow.div_euclid(by) as i128;
    }
    dividend.div_euclid(divisor)
}

/// `amount * rate`, rounded up.
pub const fn share_ceil(amount: i128, rate: Rate) -> i128 {
    div_ceil(amount * rate as i128, RATE_ONE as i128)
}

/// `amount * rate`, rounded down.
pub const fn share_floor(amount: i128, rate: Rate) -> i128 {
    div_floor(amount * rate as i128, RATE_ONE as i128)
}

/// An amount that the limits on entry keep inside an i64; anything else is a broken invariant.
pub fn cash(amount: i128) -> Cash {
    match Cash::try_from(amount) {
        Ok(cash) => cash,
        Err(_) => panic!("amount {amount} is beyond the limits enforced on entry"),
    }
}
