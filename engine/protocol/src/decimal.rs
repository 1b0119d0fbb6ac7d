//! Exact text for fixed-point integers, both ways: exact or refused, never a float.

use core::fmt;

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// Not `[+-]digits[.digits]`, with an optional exponent.
    Malformed,
    /// More significant decimals than the scale holds.
    TooPrecise,
    /// Does not fit an i64 at this scale.
    OutOfRange,
}

/// Longest text that is looked at; longer ones are malformed.
pub const DECIMAL_TEXT_MAX: usize = 64;

/// Reads `text` as an integer of units of `10^-decimals`: `parse("0.25", 3) == 250`.
pub fn parse(text: &str, decimals: u32) -> Result<i64, DecimalError> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > DECIMAL_TEXT_MAX {
        return Err(DecimalError::Malformed);
    }
    let (negative, rest) = match bytes[0] {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    let (mantissa, exponent) = split_exponent(rest)?;
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DecimalError::Malformed);
    }
    // value = digits * 10^(exponent - fraction.len() + decimals)
    let mut value: i128 = 0;
    let mut zeros: i64 = 0;
    for digit in whole.iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return Err(DecimalError::Malformed);
        }
        // trailing zeros are held back, so that "1.50000000000000000000" is not too precise
        if *digit == b'0' {
            zeros += 1;
            continue;
        }
        value = grow(value, zeros + 1)? + i128::from(digit - b'0');
        zeros = 0;
    }
    if value == 0 {
        return Ok(0);
    }
    let shift = exponent - fraction.len() as i64 + i64::from(decimals) + zeros;
    if shift < 0 {
        return Err(DecimalError::TooPrecise);
    }
    let value = grow(value, shift)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| DecimalError::OutOfRange)
}

/// An integer of units of `10^-decimals` as text with exactly that many decimals.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    pub value: i128,
    pub decimals: u32,
}

pub fn show(value: impl Into<i128>, decimals: u32) -> Decimal {
    Decimal { value: value.into(), decimals }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u128.pow(self.decimals);
        let magnitude = self.value.unsigned_abs();
        let sign = if self.value < 0 { "-" } else { "" };
        let (whole, fraction) = (magnitude / unit, magnitude % unit);
        if self.decimals == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{fraction:0width$}", width = self.decimals as usize)
    }
}

fn split_exponent(text: &[u8]) -> Result<(&[u8], i64), DecimalError> {
    let Some(at) = text.iter().position(|b| matches!(b, b'e' | b'E')) else {
        return Ok((text, 0));
    };
    let digits = core::str::from_utf8(&text[at + 1..]).map_err(|_| DecimalError::Malformed)?;
    let exponent: i16 = digits.parse().map_err(|_| DecimalError::Malformed)?;
    Ok((&text[..at], i64::from(exponent)))
}

fn grow(value: i128, tens: i64) -> Result<i128, DecimalError> {
    if value == 0 {
        return Ok(0);
    }
    let tens = u32::try_from(tens).map_err(|_| DecimalError::OutOfRange)?;
    10i128
        .checked_pow(tens)
        .and_then(|factor| value.checked_mul(factor))
        .ok_or(DecimalError::OutOfRange)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn reads_what_clients_send() {
        assert_eq!(parse("60000", 2), Ok(6_000_000));
        assert_eq!(parse("60000.0", 1), Ok(600_000));
        assert_eq!(parse(".5", 1), Ok(5));
        assert_eq!(parse("1e-05", 5), Ok(1));
        assert_eq!(parse("-0.010", 3), Ok(-10));
        assert_eq!(parse("1.5000000000000000000000000000000", 1), Ok(15));
        assert_eq!(parse("0.00000000000000000000", 0), Ok(0));
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", ".", "-", "1.2.3", "1,5", "NaN", "inf", "0x10", " 1", "1 ", "--1", "1e"] {
            assert_eq!(parse(text, 8), Err(DecimalError::Malformed), "{text}");
        }
        assert_eq!(parse("0.001", 2), Err(DecimalError::TooPrecise));
        assert_eq!(parse("1e-9", 8), Err(DecimalError::TooPrecise));
        assert_eq!(parse("1e30", 0), Err(DecimalError::OutOfRange));
        assert_eq!(parse("1e32767", 0), Err(DecimalError::OutOfRange));
        assert_eq!(parse("1000000000000000000000000000000", 3), Err(DecimalError::OutOfRange));
        assert_eq!(parse("9223372036854775808", 0), Err(DecimalError::OutOfRange));
    }

    proptest! {
        #[test]
        fn text_and_back(value: i64, decimals in 0u32..=18) {
            prop_assert_eq!(parse(&show(value, decimals).to_string(), decimals), Ok(value));
        }

        #[test]
        fn never_panics(text in "\\PC{0,70}", decimals in 0u32..=18) {
            let _ = parse(&text, decimals);
        }
    }
}
