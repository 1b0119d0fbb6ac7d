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
    unscale_ceil(amount * rate as i128)
}

/// `amount * rate`, rounded down.
pub const fn share_floor(amount: i128, rate: Rate) -> i128 {
    unscale_floor(amount * rate as i128)
}

/// What is scaled by [`RATE_ONE`], without the scale, rounded up.
pub const fn unscale_ceil(scaled: i128) -> i128 {
    -unscale_floor(-scaled)
}

/// As [`unscale_ceil`], rounded down.
///
/// A division by a constant is a multiplication in 64 bits, but not in 128, so a long one is two
/// short ones: digit by digit, as on paper.
pub const fn unscale_floor(scaled: i128) -> i128 {
    const BY: u64 = RATE_ONE as u64;
    const DIGIT: u32 = 32;
    const DIGIT_MASK: u64 = (1 << DIGIT) - 1;
    let narrow = scaled as i64;
    if narrow as i128 == scaled {
        return narrow.div_euclid(RATE_ONE) as i128;
    }
    let magnitude = scaled.unsigned_abs();
    let high = (magnitude >> DIGIT) as u64;
    if high as u128 != magnitude >> DIGIT {
        return scaled.div_euclid(RATE_ONE as i128);
    }
    // what is left of the high digits is below 2^27, so it fits before the low one
    let low = ((high % BY) << DIGIT) | (magnitude as u64 & DIGIT_MASK);
    let quotient = (((high / BY) as i128) << DIGIT) + (low / BY) as i128;
    match scaled < 0 {
        true => -quotient - !low.is_multiple_of(BY) as i128,
        false => quotient,
    }
}

const _: () = assert!(RATE_ONE < 1 << 31);

/// An amount that the limits on entry keep inside an i64; anything else is a broken invariant.
pub fn cash(amount: i128) -> Cash {
    match Cash::try_from(amount) {
        Ok(cash) => cash,
        Err(_) => panic!("amount {amount} is beyond the limits enforced on entry"),
    }
}
