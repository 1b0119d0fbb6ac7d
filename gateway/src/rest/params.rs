//! Request parameters: names in any case, values as text until a handler asks for a type.
//!
//! Clients send them in the query, in the body or in both, with whatever content type; the body
//! counts as urlencoded always. Some send JSON arrays without encoding, which decode to themselves.

use protocol::decimal::{self, DecimalError};

use super::error::ApiError;
use crate::limits::PARAMS_MAX;

/// The parameters of one request. The first of a name wins; those of the query stand first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self { pairs }
    }

    /// Decodes query and body as they came.
    pub fn decode(query: &[u8], body: &[u8]) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for pair in pairs_of(query).chain(pairs_of(body)) {
            if pairs.len() == PARAMS_MAX {
                return Err(ApiError::new(
                    -1101,
                    format!("Too many parameters; expected at most '{PARAMS_MAX}'."),
                ));
            }
            let (name, value) = split_pair(pair);
            let name = unescape(name).ok_or_else(|| ApiError::invalid("name"))?;
            let value = unescape(value).ok_or_else(|| ApiError::invalid(&name))?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
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
            Err(DecimalError::TooPrecise) => Err(ApiError::precision()),
            Err(DecimalError::Malformed | DecimalError::OutOfRange) => {
                Err(ApiError::mandatory(name))
            }
        }
    }

    /// A JSON array, also when the whole of it stands in quotes.
    pub fn array<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let unescaped = quoted.map(|inner| inner.replace("\\\"", "\""));
        let text = unescaped.as_deref().unwrap_or(text);
        serde_json::from_str(text).map(Some).map_err(|_| ApiError::mandatory(name))
    }
}

/// Takes the signature out of query and body as they came: what was signed is what remains, and
/// nothing is decoded for it. Returns the two remainders and the signature as it was sent.
pub fn take_signature<'a>(query: &'a [u8], body: &'a [u8]) -> (Vec<u8>, Vec<u8>, Option<&'a [u8]>) {
    let (query, in_query) = cut_signature(query);
    let (body, in_body) = cut_signature(body);
    (query, body, in_query.or(in_body))
}

fn cut_signature(raw: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let mut signature = None;
    let mut rest: Vec<&[u8]> = Vec::new();
    for pair in raw.split(|byte| *byte == b'&') {
        let (name, value) = split_pair(pair);
        if signature.is_none() && name.eq_ignore_ascii_case(b"signature") {
            signature = Some(value);
        } else {
            rest.push(pair);
        }
    }
    match signature {
        Some(_) => (rest.join(&b'&'), signature),
        None => (raw.to_vec(), None),
    }
}

fn pairs_of(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty())
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[]),
    }
}

/// Undoes percent-encoding of a form, where a `+` stands for a space. `None`: not UTF-8.
fn unescape(raw: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced)).ok()
}

/// Undoes percent-encoding; a `%` that begins no code stands for itself.
pub fn percent_decode(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, behind @ ..] = rest {
        let code = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        (bytes, rest) = match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                (bytes, &behind[2..])
            }
            None => {
                bytes.push(*first);
                (bytes, behind)
            }
        };
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(query: &str, body: &str) -> Params {
        Params::decode(query.as_bytes(), body.as_bytes()).unwrap()
    }

    #[test]
    fn names_have_any_case_and_the_query_wins() {
        let params = decode("Symbol=BTCUSDT&a=1&a=2", "symbol=ETHUSDT&orderidlist=%5B1%2C2%5D");
        assert_eq!(params.get("symbol"), Some("BTCUSDT"));
        assert_eq!(params.get("A"), Some("1"));
        assert_eq!(params.array::<u64>("orderIdList").unwrap(), Some(vec![1, 2]));
        assert_eq!(params.get("b"), None);
        assert_eq!(decode("a=&&=x&b", "").get("a"), None);
    }

    #[test]
    fn arrays_come_encoded_unencoded_quoted_and_with_spaces() {
        let wanted = Some(vec![serde_json::json!({"symbol": "A", "n": 1.5})]);
        for text in [
            r#"[{"symbol":"A","n":1.5}]"#,
            "%5B%7B%22symbol%22%3A%22A%22%2C%22n%22%3A1.5%7D%5D",
            "%5B%7B%22symbol%22%3A+%22A%22%2C+%22n%22%3A+1.5%7D%5D",
        ] {
            let params = decode("", &format!("batchOrders={text}"));
            assert_eq!(params.array::<serde_json::Value>("batchOrders").unwrap(), wanted);
        }
        let params = decode("orderIdList=%22%5B1,2%5D%22&bad=[1,", "");
        assert_eq!(params.array::<u64>("orderIdList").unwrap(), Some(vec![1, 2]));
        assert_eq!(params.array::<u64>("bad").unwrap_err().code, -1102);
    }

    #[test]
    fn values_are_what_their_type_says_or_an_error() {
        let params = decode("i=12&b=TRUE&d=0.010&big=1000000000000000000000000000000&x=y", "");
        assert_eq!(params.integer("i").unwrap(), Some(12));
        assert_eq!(params.boolean("b").unwrap(), Some(true));
        assert_eq!(params.decimal("d", 3).unwrap(), Some(10));
        assert_eq!(params.decimal("d", 1).unwrap_err().code, -1111);
        assert_eq!(params.decimal("big", 3).unwrap_err().code, -1102);
        for failed in [params.integer("x").err(), params.boolean("x").err()] {
            assert_eq!(failed.unwrap().code, -1102);
        }
        assert_eq!(params.integer("none").unwrap(), None);
    }

    #[test]
    fn a_signature_is_cut_out_wherever_it_stands() {
        let cut = |query: &str, body: &str| {
            let (query, body, signature) = take_signature(query.as_bytes(), body.as_bytes());
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(&query), text(&body), signature.map(text))
        };
        let some = |q: &str, b: &str| (q.to_owned(), b.to_owned(), Some("ab".to_owned()));
        assert_eq!(cut("a=1&b=2&signature=ab", ""), some("a=1&b=2", ""));
        assert_eq!(cut("signature=ab&a=1", "c=3"), some("a=1", "c=3"));
        assert_eq!(cut("a=1", "c=3&signature=ab"), some("a=1", "c=3"));
        assert_eq!(cut("a=1", "c=3&Signature=ab&d=4"), some("a=1", "c=3&d=4"));
        assert_eq!(cut("a=1", "signature=ab"), some("a=1", ""));
        assert_eq!(cut("a=1&", "&x"), ("a=1&".into(), "&x".into(), None));
    }

    #[test]
    fn there_is_an_end_to_parameters() {
        let many = "a=1&".repeat(PARAMS_MAX + 1);
        assert_eq!(Params::decode(many.as_bytes(), b"").unwrap_err().code, -1101);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(query: Vec<u8>, body: Vec<u8>, name in "[a-z%=]{0,4}") {
            if let Ok(params) = Params::decode(&query, &body) {
                let _ = params.get(&name);
                let _ = params.integer(&name);
                let _ = params.decimal(&name, 8);
                let _ = params.array::<serde_json::Value>(&name);
            }
            let (left, right, signature) = take_signature(&query, &body);
            prop_assert!(left.len() + right.len() <= query.len() + body.len());
            if signature.is_none() {
                prop_assert_eq!((left, right), (query, body));
            }
        }

        #[test]
        fn every_text_survives_encoding(value: String) {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let params = decode(&format!("v={encoded}"), "");
            let wanted = Some(value.as_str()).filter(|text| !text.is_empty());
            prop_assert_eq!(params.get("v"), wanted);
        }
    }
}
