//! `exchange symbol`: what is listed, and which state it is in.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{Error, admin::Admin};

/// Every symbol as the gateway knows it.
pub async fn list(admin: &Admin) -> Result<Value, Error> {
    admin.get("/admin/symbols").await
}

/// The same for people.
pub fn show(symbols: &Value) -> String {
    let mut text = format!(
        "{:<16}{:>5}{:>7}  {:<12}{:>18}\n",
        "symbol", "id", "shard", "state", "open interest"
    );
    for row in symbols.as_array().into_iter().flatten() {
        let word = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
        let stale = if row["index_stale"] == true { "  no index: only reduces" } else { "" };
        let (symbol, state, interest) = (word("symbol"), word("state"), word("open_interest"));
        let (id, shard) = (row["id"].to_string(), row["shard"].to_string());
        let _ = writeln!(text, "{symbol:<16}{id:>5}{shard:>7}  {state:<12}{interest:>18}{stale}");
    }
    text
}

/// Brings a symbol into a state; with `SETTLING` its positions are closed at a price or, without
/// one, at the mark.
pub async fn set_state(
    admin: &Admin,
    symbol: &str,
    state: &str,
    price: Option<&str>,
) -> Result<Value, Error> {
    let body = json!({ "symbol": symbol, "state": state, "price": price });
    admin.post("/admin/symbol-state", &body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_a_line() {
        let row = json!({
            "symbol": "BTCUSDT", "id": 1, "shard": 2, "state": "HALT", "index_stale": true,
            "index_e8": 0, "open_interest": "1.500",
        });
        let text = show(&json!([row]));
        let words: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words[..5], ["BTCUSDT", "1", "2", "HALT", "1.500"]);
        assert!(text.contains("no index"));
    }
}
