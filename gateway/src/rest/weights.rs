//! What each request weighs, once: the counter and the documents read it here.

use super::params::Params;

/// Weight of a request. Only the query is looked at: requests whose weight depends on parameters
/// carry them there.
pub fn weight(method: &str, path: &str, query: Option<&str>) -> u32 {
    let Some(endpoint) = endpoint(path) else { return 1 };
    let params = || Params::decode(query.unwrap_or("").as_bytes(), b"").unwrap_or_default();
    let limit = |default: i64| params().integer("limit").ok().flatten().unwrap_or(default);
    let by_symbol = |one: u32, all: u32| if params().get("symbol").is_some() { one } else { all };
    match (method, endpoint) {
        ("POST" | "PUT", "order") | ("POST", "algoOrder") => 0,
        (_, "batchOrders") => 5,
        (_, "depth") => match limit(500) {
            ..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        (
            _,
            "klines" | "continuousKlines" | "markPriceKlines" | "indexPriceKlines"
            | "premiumIndexKlines",
        ) => match limit(500) {
            ..=99 => 1,
            100..=499 => 2,
            500..=1_000 => 5,
            _ => 10,
        },
        (_, "ticker/24hr" | "openOrders" | "openAlgoOrders") => by_symbol(1, 40),
        (_, "premiumIndex") => by_symbol(1, 10),
        (_, "ticker/bookTicker") => by_symbol(2, 5),
        (_, "ticker/price") => by_symbol(1, 2),
        (
            _,
            "account" | "balance" | "positionRisk" | "userTrades" | "allOrders" | "allAlgoOrders"
            | "trades" | "accountConfig" | "symbolConfig" | "adlQuantile",
        ) => 5,
        (_, "income") | ("GET", "positionSide/dual" | "multiAssetsMargin" | "feeBurn") => 30,
        (_, "commissionRate" | "aggTrades") => 20,
        (_, "historicalTrades") => 200,
        (_, "countdownCancelAll") => 10,
        (_, "forceOrders") => by_symbol(20, 50),
        _ => 1,
    }
}

/// The path behind `/fapi/vN/`.
fn endpoint(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/fapi/v")?;
    rest.split_once('/').map(|(_, endpoint)| endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_that_clients_count_with() {
        for (method, path, query, expected) in [
            ("GET", "/fapi/v1/ping", "", 1),
            ("POST", "/fapi/v1/order", "", 0),
            ("DELETE", "/fapi/v1/order", "", 1),
            ("POST", "/fapi/v1/batchOrders", "", 5),
            ("GET", "/fapi/v1/depth", "symbol=A&limit=50", 2),
            ("GET", "/fapi/v1/depth", "symbol=A", 10),
            ("GET", "/fapi/v1/depth", "symbol=A&limit=1000", 20),
            ("GET", "/fapi/v1/klines", "limit=99", 1),
            ("GET", "/fapi/v1/klines", "limit=1500", 10),
            ("GET", "/fapi/v1/ticker/24hr", "", 40),
            ("GET", "/fapi/v1/ticker/24hr", "symbol=A", 1),
            ("GET", "/fapi/v1/openOrders", "", 40),
            ("GET", "/fapi/v3/account", "", 5),
            ("GET", "/fapi/v1/positionSide/dual", "", 30),
            ("POST", "/fapi/v1/positionSide/dual", "", 1),
            ("GET", "/fapi/v1/historicalTrades", "", 200),
            ("GET", "/elsewhere", "", 1),
        ] {
            assert_eq!(weight(method, path, Some(query)), expected, "{method} {path}?{query}");
        }
    }
}
