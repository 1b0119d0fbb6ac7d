//! The account endpoints over real HTTP: what is refused and how, and history without a seam.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use protocol::AccountId;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    clock::now_ms,
    stage::{KEY, SECRET, Stage},
    store::history::Range,
    views::{Effects, Views, accounts::sample::Ask},
};

/// Sends a signed call with its parameters in the query.
pub(crate) async fn call(stage: &Stage, method: &str, path: &str, params: &str) -> (u16, Value) {
    let query = format!("{params}&timestamp={}", now_ms());
    let query = query.trim_start_matches('&').to_owned();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(query.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let url = stage.url(&format!("{path}?{query}&signature={signature}"));
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    stage.send(reqwest::Client::new().request(method, url).header("X-MBX-APIKEY", KEY)).await
}

pub(crate) async fn get(stage: &Stage, path: &str, params: &str) -> Value {
    let (status, body) = call(stage, "GET", path, params).await;
    assert_eq!(status, 200, "{path}?{params}: {body}");
    body
}

/// Asks after which account 1 has filled, amended and closed orders.
fn some_trading(from: u16) -> Vec<Ask> {
    (from..from + 150)
        .flat_map(|n| {
            let who = (n % 4) as u8;
            let trades =
                [(0, who, (n % 4) as u8, n, 40 + n), (4, 0, 0, n, n / 2), (6, 0, 0, n, 7 * n)];
            let funding = (19, 0, (n / 20 % 2) as u8, 10_000 + 90 * n, 0);
            let liquidation = (20, 0, 0, n / 12, n / 24);
            let funding = (n % 20 == 19).then_some(funding);
            let liquidation = (n % 12 == 11).then_some(liquidation);
            let advance = (n % 50 == 49).then_some((21, 0, 0, 0, n));
            trades.into_iter().chain(funding).chain(liquidation).chain(advance)
        })
        .collect()
}

#[tokio::test]
async fn every_account_endpoint_answers() {
    let mut stage = Stage::open().await;
    stage.play(&some_trading(0));
    for (path, params) in [
        ("/fapi/v2/account", ""),
        ("/fapi/v3/account", ""),
        ("/fapi/v2/balance", ""),
        ("/fapi/v3/balance", ""),
        ("/fapi/v2/positionRisk", ""),
        ("/fapi/v3/positionRisk", "symbol=btcusdt"),
        ("/fapi/v1/adlQuantile", ""),
        ("/fapi/v1/forceOrders", "autoCloseType=ADL"),
        ("/fapi/v1/positionMargin/history", "symbol=BTCUSDT"),
        ("/fapi/v1/positionSide/dual", ""),
        ("/fapi/v1/multiAssetsMargin", ""),
        ("/fapi/v1/feeBurn", ""),
        ("/fapi/v1/leverageBracket", ""),
        ("/fapi/v1/accountConfig", ""),
        ("/fapi/v1/symbolConfig", "symbol=ETHUSDT"),
        ("/fapi/v1/commissionRate", "symbol=BTCUSDT"),
        ("/fapi/v1/rateLimit/order", ""),
        ("/fapi/v1/apiTradingStatus", ""),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT"),
        ("/fapi/v1/income", ""),
    ] {
        let body = get(&stage, path, params).await;
        assert!(!body.is_null(), "{path}");
    }
    assert_eq!(get(&stage, "/fapi/v2/positionRisk", "").await.as_array().unwrap().len(), 2);
    let unsigned = stage.get("/fapi/v2/account").await;
    assert!(unsigned.0 == 400 || unsigned.0 == 401, "{unsigned:?}");
}

#[tokio::test]
async fn what_is_not_offered_says_so() {
    let stage = Stage::open().await;
    let symbol = "symbol=BTCUSDT";
    for (path, params, code, text) in [
        ("/fapi/v1/marginType", format!("{symbol}&marginType=x"), -1130, "marginType"),
        ("/fapi/v1/marginType", symbol.to_owned(), -1102, "marginType"),
        ("/fapi/v1/positionSide/dual", "dualSidePosition=x".to_owned(), -1102, "dualSidePosition"),
        ("/fapi/v1/positionSide/dual", String::new(), -1102, "dualSidePosition"),
        ("/fapi/v1/multiAssetsMargin", "multiAssetsMargin=true".to_owned(), -1130, "one margin"),
        ("/fapi/v1/feeBurn", "feeBurn=true".to_owned(), -1130, "margin asset"),
        ("/fapi/v1/positionMargin", format!("{symbol}&amount=1"), -1102, "type"),
        ("/fapi/v1/positionMargin", format!("{symbol}&type=1"), -1102, "amount"),
        ("/fapi/v1/positionMargin", format!("{symbol}&amount=0&type=1"), -4055, "positive"),
        ("/fapi/v1/positionMargin", format!("{symbol}&amount=-2&type=2"), -4055, "positive"),
        ("/fapi/v1/positionMargin", format!("{symbol}&amount=1&type=3"), -1130, "type"),
        (
            "/fapi/v1/order",
            format!("{symbol}&side=SELL&type=MARKET&quantity=1&positionSide=LONG&reduceOnly=true"),
            -1106,
            "reduceOnly",
        ),
        ("/fapi/v1/leverage", format!("{symbol}&leverage=126"), -4028, "126"),
        ("/fapi/v1/leverage", format!("{symbol}&leverage=0"), -4028, "0"),
        ("/fapi/v1/leverage", format!("{symbol}&leverage=1.5"), -4028, "1.5"),
        ("/fapi/v1/leverage", symbol.to_owned(), -1102, "leverage"),
        ("/fapi/v1/leverage", "symbol=NOPE&leverage=5".to_owned(), -1121, "Invalid symbol."),
    ] {
        let (status, body) = call(&stage, "POST", path, &params).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{path}?{params}: {body}");
        assert!(body["msg"].as_str().unwrap().contains(text), "{path}?{params}: {body}");
    }
    let (status, body) =
        call(&stage, "POST", "/fapi/v1/multiAssetsMargin", "multiAssetsMargin=false").await;
    assert_eq!((status, &body["code"]), (200, &json!(200)));
    // there are no shards behind this gateway: nothing was done, and that is what it says
    for (path, params) in [
        ("/fapi/v1/leverage", format!("{symbol}&leverage=21")),
        ("/fapi/v1/marginType", format!("{symbol}&marginType=ISOLATED")),
        ("/fapi/v1/positionSide/dual", "dualSidePosition=true".to_owned()),
        ("/fapi/v1/positionMargin", format!("{symbol}&amount=1.5&type=1&positionSide=SHORT")),
    ] {
        let (status, body) = call(&stage, "POST", path, &params).await;
        assert_eq!(status, 503, "{path}: {body}");
    }
    for (path, params, code) in [
        ("/fapi/v1/commissionRate", "", -1102),
        ("/fapi/v1/symbolConfig", "symbol=NOPE", -1121),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&limit=0", -1130),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&limit=x", -1102),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&startTime=5&endTime=4", -1023),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&startTime=0&endTime=999999999999", -1130),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&fromId=-1", -1130),
        ("/fapi/v1/forceOrders", "autoCloseType=SOMETIMES", -1130),
        ("/fapi/v1/forceOrders", "symbol=NOPE", -1121),
        ("/fapi/v1/adlQuantile", "symbol=NOPE", -1121),
        ("/fapi/v1/orderAmendment", "symbol=BTCUSDT", -1102),
        ("/fapi/v1/orderAmendment", "symbol=BTCUSDT&origClientOrderId=none", -2013),
    ] {
        let (status, body) = call(&stage, "GET", path, params).await;
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{path}?{params}: {body}");
    }
}

/// The same rows come, once each and in order, whether memory, the store or both have them.
#[tokio::test]
async fn history_is_the_same_wherever_it_is() {
    let mut stage = Stage::open().await;
    stage.play(&some_trading(0));
    let seen = stage.events().len();
    stage.play(&some_trading(150));
    let queries = [
        ("/fapi/v1/userTrades", "symbol=BTCUSDT"),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&limit=3"),
        ("/fapi/v1/userTrades", "symbol=BTCUSDT&fromId=100&limit=5"),
        ("/fapi/v1/userTrades", "limit=1000"),
        ("/fapi/v1/income", "limit=1000"),
        ("/fapi/v1/income", "limit=4"),
        ("/fapi/v1/income", "incomeType=COMMISSION&startTime=1&limit=7"),
        ("/fapi/v1/income", "incomeType=FUNDING_FEE"),
        ("/fapi/v1/positionMargin/history", "symbol=ETHUSDT"),
        ("/fapi/v1/forceOrders", ""),
        ("/fapi/v1/forceOrders", "autoCloseType=LIQUIDATION&limit=100"),
        ("/fapi/v1/forceOrders", "autoCloseType=adl&symbol=BTCUSDT"),
        ("/fapi/v1/forceOrders", "limit=2&startTime=1"),
        ("/fapi/v1/income", "incomeType=INSURANCE_CLEAR"),
    ];
    let mut in_memory = Vec::new();
    for (path, params) in queries {
        in_memory.push(get(&stage, path, params).await);
    }
    let trades = in_memory[0].as_array().unwrap();
    assert!(trades.len() > 5, "there is something to look at");
    assert!(trades.windows(2).all(|pair| pair[0]["id"].as_u64() < pair[1]["id"].as_u64()));
    assert_eq!(in_memory[1].as_array().unwrap()[..], trades[trades.len() - 3..]);
    let first = in_memory[2].as_array().unwrap();
    assert!(first.len() == 5 && first.iter().all(|row| row["id"].as_u64() >= Some(100)));
    let incomes = in_memory[4].as_array().unwrap();
    assert!(incomes.windows(2).all(|pair| pair[0]["time"].as_u64() <= pair[1]["time"].as_u64()));
    let fundings = in_memory[7].as_array().unwrap();
    assert!(fundings.len() > 5);
    let of_funding = |row: &Value| row["incomeType"] == "FUNDING_FEE" && row["symbol"] != "";
    assert!(fundings.iter().all(of_funding), "{fundings:?}");

    let forced = |at: usize, name: &str| {
        let rows = in_memory[at].as_array().unwrap();
        let named = |row: &&Value| row["clientOrderId"].as_str().unwrap().starts_with(name);
        (rows.len(), rows.iter().filter(named).count())
    };
    let (all, liquidated) = forced(9, "autoclose-");
    assert_eq!(forced(9, "adl_autoclose").1, all - liquidated);
    assert_eq!(forced(10, "autoclose-"), (liquidated, liquidated));
    let (deleveraged, named) = forced(11, "adl_autoclose");
    assert!(liquidated > 1 && named == deleveraged && deleveraged > 0);
    assert_eq!(in_memory[12].as_array().unwrap()[..], in_memory[9].as_array().unwrap()[..2]);
    assert!(!in_memory[13].as_array().unwrap().is_empty());

    // now the store has the first half as well
    let mut effects = Effects::default();
    let mut views = Views::default();
    for (shard, header, event) in &stage.events()[..seen] {
        views.apply(*shard, header, event, &mut effects);
    }
    let writer = stage.app.store.start_writer(&[]);
    stage.app.store.push(effects.rows);
    while stage.app.store.status().queued_rows > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stored = stage.app.store.fills(AccountId(1), None, None, &Range::last(1_000)).await;
    assert!(!stored.unwrap().is_empty());
    for ((path, params), expected) in queries.iter().zip(&in_memory) {
        assert_eq!(&get(&stage, path, params).await, expected, "{path}?{params}");
    }

    // and a restarted gateway has it from there alone
    let mut effects = Effects::default();
    for (shard, header, event) in &stage.events()[seen..] {
        views.apply(*shard, header, event, &mut effects);
    }
    stage.app.store.push(effects.rows);
    stage.app.store.finish();
    writer.await.unwrap().unwrap();
    let mut views = Views::default();
    stage.app.store.load(&mut views).await.unwrap();
    *stage.app.views.write() = views;
    for ((path, params), expected) in queries.iter().zip(&in_memory) {
        assert_eq!(&get(&stage, path, params).await, expected, "{path}?{params}");
    }
}
