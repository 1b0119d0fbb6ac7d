//! Request parameters: names in any case, values as text until a handler asks for a type.

use protocol::decimal::{self, DecimalError};

use super::error::ApiError;

/// The parameters of one request. The first of a name wins; those of the query stand first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self { pairs }
    }

    /// The value, if it was sent and is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value, or -1102.
    pub fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::mandatory(name))
    }

    /// An integer, or -1102 when there is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name).map(|text| text.parse().map_err(|_| ApiError::mandatory(name))).transpose()
    }

    /// `true` or `false` in any case, or -1102 when there is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.get(name)
            .map(|text| match text {
                _ if text.eq_ignore_ascii_case("true") => Ok(true),
                _ if text.eq_ignore_ascii_case("false") => Ok(false),
                _ => Err(ApiError::mandatory(name)),
            })
            .transpose()
    }

    /// A decimal in units of `10^-decimals`: -1102 when it is none or beyond all bounds, -1111
    /// when it has more decimals than that.
    pub fn decimal(&self, name: &str, decimals: u32) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match decimal::parse(text, decimals) {
            Ok(value) => Ok(Some(value)),
            Err(DecimalError::TooPrecise) => {
                Err(ApiError::new(-1111, "Precision is over the maximum defined for this asset."))
            }
            Err(DecimalError::Malformed | DecimalError::OutOfRange) => {
                Err(ApiError::mandatory(name))
            }
        }
    }
}
