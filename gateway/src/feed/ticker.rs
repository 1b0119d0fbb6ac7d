//! Binance's price ticker, as its futures (`/fapi/v1/ticker/price`) and its spot market
//! (`/api/v3/ticker/price`) answer it: one object, or an array of them.
//!
//! ```json
//! {"symbol": "BTCUSDT", "price": "6000.01", "time": 1589437530011}
//! ```

use serde::Deserialize;
use serde_json::Value;

/// The last price of one symbol; what else stands in the object is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ticker {
    pub symbol: String,
    /// A decimal text, not checked yet.
    pub price: String,
    /// When it was so, in milliseconds since the epoch; the spot market does not say.
    pub time: Option<i64>,
}

/// Reads an answer. In an array, a row that is no ticker spoils no other.
pub fn parse(body: &[u8]) -> Result<Vec<Ticker>, serde_json::Error> {
    match serde_json::from_slice(body)? {
        Value::Array(rows) => {
            Ok(rows.into_iter().filter_map(|row| Ticker::deserialize(row).ok()).collect())
        }
        row => Ok(vec![Ticker::deserialize(row)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticker(symbol: &str, price: &str, time: Option<i64>) -> Ticker {
        Ticker { symbol: symbol.into(), price: price.into(), time }
    }

    #[test]
    fn one_object_and_an_array_are_both_read() {
        let one = br#" {"symbol":"BTCUSDT","price":"6000.01","time":1589437530011}"#;
        assert_eq!(parse(one).unwrap(), [ticker("BTCUSDT", "6000.01", Some(1_589_437_530_011))]);
        let many = br#"[{"symbol":"LTCBTC","price":"4.00000200"},{"symbol":"A","price":"1"}]"#;
        assert_eq!(
            parse(many).unwrap(),
            [ticker("LTCBTC", "4.00000200", None), ticker("A", "1", None)]
        );
        assert_eq!(parse(b"[]").unwrap(), []);
        let mixed = br#"[{"symbol":"X","price":null},7,{"symbol":"A","price":"1"},{"price":"2"}]"#;
        assert_eq!(parse(mixed).unwrap(), [ticker("A", "1", None)]);
    }

    #[test]
    fn anything_else_is_refused() {
        let error = br#"{"code":-1003,"msg":"Too many requests."}"#;
        let float = br#"{"symbol":"BTCUSDT","price":6000.01}"#;
        let half = br#"[{"symbol":"BTCUSDT","price":"6000.01"}"#;
        for wrong in [&b""[..], b"<html>", b"null", b"7", error, float, half] {
            assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }
    }
}
