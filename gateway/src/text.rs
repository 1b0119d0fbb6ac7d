//! Exact decimals as JSON strings, the form in which clients get every price and amount.

use protocol::{
    CASH_DECIMALS, Rate,
    decimal::{self, Decimal},
};
use serde::{Serialize, Serializer};

/// Decimals of a rate in percent.
pub const PERCENT_DECIMALS: u32 = 6;

/// A decimal that JSON shows as a string.
#[derive(Clone, Copy, Debug)]
pub struct Text(pub Decimal);

impl Text {
    /// Zero with that many decimals.
    pub fn zero(decimals: u32) -> Self {
        Self(decimal::show(0, decimals))
    }

    /// An amount or a rate in units of 1e-8, with all its decimals.
    pub fn e8(value: impl Into<i128>) -> Self {
        Self(decimal::show(value, CASH_DECIMALS))
    }

    /// A value in units of 1e-8 with as many decimals as named, or with more where it has more.
    pub fn fixed(value_e8: i128, decimals: u32) -> Self {
        match CASH_DECIMALS.checked_sub(decimals) {
            Some(spare) => {
                let unit = 10i128.pow(spare);
                if value_e8 % unit == 0 {
                    Self(decimal::show(value_e8 / unit, decimals))
                } else {
                    Self::e8(value_e8)
                }
            }
            None => Self(decimal::show(value_e8 * 10i128.pow(decimals - CASH_DECIMALS), decimals)),
        }
    }
}

/// A rate in percent, as clients write it: without decimals that say nothing.
pub fn percent(rate: Rate) -> Text {
    let (mut value, mut decimals) = (rate, PERCENT_DECIMALS);
    while decimals > 0 && value % 10 == 0 {
        (value, decimals) = (value / 10, decimals - 1);
    }
    Text(decimal::show(value, decimals))
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_never_lost() {
        assert_eq!(Text::fixed(6_000_010_000_000, 2).to_string(), "60000.10");
        assert_eq!(Text::fixed(6_000_010_100_000, 2).to_string(), "60000.10100000");
        assert_eq!(Text::fixed(-150_000_000, 0).to_string(), "-1.50000000");
        assert_eq!(Text::fixed(100_000_000, 10).to_string(), "1.0000000000");
        assert_eq!(percent(0).to_string(), "0");
        assert_eq!(percent(1_500_000).to_string(), "1.5");
        assert_eq!(percent(10_000_001).to_string(), "10.000001");
        assert_eq!(serde_json::to_string(&Text::e8(1)).ok().as_deref(), Some("\"0.00000001\""));
    }
}
