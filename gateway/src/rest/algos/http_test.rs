//! Conditional orders over real HTTP: what clients send and read, and history without a seam.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    limits::ALGOS_PER_ACCOUNT_MAX,
    rest::{
        account::http_test::{call, get},
        rest_test::Venue,
    },
    stage::{Stage, check_shape},
    views::{Effects, Views, accounts::sample::Ask},
};

const STOP: &str = "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET\
    &quantity=0.010&triggerPrice=55000&workingType=MARK_PRICE";
const PATH: &str = "/fapi/v1/algoOrder";

/// What clients read of a new one.
fn terms() -> Value {
    json!({"algoId":"int","clientAlgoId":"string","algoType":"string","orderType":"string",
        "symbol":"string","side":"string","positionSide":"string","timeInForce":"string",
        "quantity":"string","algoStatus":"string","triggerPrice":"string","price":"string",
        "selfTradePreventionMode":"string","workingType":"string","priceMatch":"string",
        "closePosition":"bool","priceProtect":"bool","reduceOnly":"bool",
        "activatePrice":"string","callbackRate":"string","createTime":"int","updateTime":"int",
        "triggerTime":"int","goodTillDate":"int"})
}

/// And of one that they ask for.
fn all() -> Value {
    let mut shape = terms();
    for name in [
        "actualOrderId",
        "actualPrice",
        "actualQty",
        "actualType",
        "tpTriggerPrice",
        "tpPrice",
        "slTriggerPrice",
        "slPrice",
        "tpOrderType",
    ] {
        shape[name] = json!("string");
    }
    shape
}

#[test]
fn a_stop_is_placed_asked_for_and_cancelled() {
    let venue = Venue::open();
    let (status, placed) = venue.ask(Method::POST, PATH, &format!("{STOP}&clientAlgoId=mine"));
    assert_eq!(status, 200, "{placed}");
    check_shape(&placed, &terms(), "placed");
    assert_eq!(placed["icebergQuantity"], Value::Null);
    assert_eq!(placed.get("actualOrderId"), None);
    for (name, value) in [
        ("clientAlgoId", "mine"),
        ("algoType", "CONDITIONAL"),
        ("orderType", "STOP_MARKET"),
        ("algoStatus", "NEW"),
        ("triggerPrice", "55000.00"),
        ("quantity", "0.010"),
        ("price", "0.00"),
        ("workingType", "MARK_PRICE"),
        ("activatePrice", ""),
        ("callbackRate", ""),
    ] {
        assert_eq!(placed[name], value, "{name}");
    }
    let id = placed["algoId"].as_u64().unwrap();
    assert_eq!(id, 1 << 16 | 1, "the symbol is in the id");
    for query in [format!("algoId={id}"), "clientalgoid=mine&symbol=BTCUSDT".to_owned()] {
        let (status, found) = venue.ask(Method::GET, PATH, &query);
        assert_eq!((status, &found["algoId"]), (200, &json!(id)), "{found}");
        check_shape(&found, &all(), "found");
        assert_eq!((&found["actualOrderId"], &found["actualType"]), (&json!(""), &json!("")));
    }
    let trail = STOP.replace("STOP_MARKET", "TRAILING_STOP_MARKET");
    let trail = trail.replace("triggerPrice=55000", "callbackRate=1.50&activatePrice=70000");
    let (_, trail) = venue.ask(Method::POST, PATH, &trail);
    assert_eq!(
        (&trail["callbackRate"], &trail["activatePrice"]),
        (&json!("1.5"), &json!("70000.00"))
    );
    let open = |query: &str| {
        let (status, rows) = venue.ask(Method::GET, "/fapi/v1/openAlgoOrders", query);
        assert_eq!(status, 200, "{rows}");
        let rows = rows.as_array().unwrap();
        rows.iter().map(|row| row["algoId"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(open(""), [id, 2 << 16 | 1]);
    assert_eq!(open("symbol=BTCUSDT&algoType=CONDITIONAL"), [id, 2 << 16 | 1]);
    assert_eq!(open(&format!("algoId={id}")), [id]);

    let gone = json!({ "algoId": id, "clientAlgoId": "mine", "code": "200", "msg": "success" });
    assert_eq!(venue.ask(Method::DELETE, PATH, "clientAlgoId=mine"), (200, gone));
    assert_eq!(venue.ask(Method::GET, PATH, "clientAlgoId=mine").1["algoStatus"], "CANCELED");
    let done = json!({ "code": 200, "msg": "The operation of cancel all open order is done." });
    let all = venue.ask(Method::DELETE, "/fapi/v1/algoOpenOrders", "symbol=BTCUSDT");
    assert_eq!(all, (200, done));
    assert_eq!(open(""), [0u64; 0]);
    let set = json!({ "symbol": "BTCUSDT", "countdownTime": "100000" });
    let countdown = |params: &str| venue.ask(Method::POST, "/fapi/v1/countdownCancelAll", params);
    assert_eq!(countdown("symbol=BTCUSDT&countdownTime=100000"), (200, set));
    for (params, code) in [
        ("symbol=BTCUSDT", -1102),
        ("symbol=BTCUSDT&countdownTime=-1", -1130),
        ("countdownTime=1", -1102),
        ("symbol=NONE&countdownTime=1", -1121),
    ] {
        assert_eq!(countdown(params).1["code"], code, "{params}");
    }
}

#[test]
fn what_is_not_there_and_what_is_too_much_have_their_codes() {
    let venue = Venue::open();
    for (method, path, params, code) in [
        (Method::GET, PATH, "algoId=65537", -2013),
        (Method::GET, PATH, "clientAlgoId=none", -2013),
        (Method::GET, PATH, "", -1102),
        (Method::DELETE, PATH, "algoId=65537", -2011),
        (Method::DELETE, PATH, "algoId=65599", -2011),
        (Method::DELETE, PATH, "clientAlgoId=none", -2011),
        (Method::DELETE, PATH, "symbol=BTCUSDT", -1102),
        (Method::DELETE, "/fapi/v1/algoOpenOrders", "", -1102),
        (Method::GET, "/fapi/v1/openAlgoOrders", "algoType=TWAP", -1130),
        (Method::GET, "/fapi/v1/allAlgoOrders", "", -1102),
        (Method::GET, "/fapi/v1/allAlgoOrders", "symbol=BTCUSDT&limit=0", -1130),
        (
            Method::GET,
            "/fapi/v1/allAlgoOrders",
            "symbol=BTCUSDT&startTime=1&endTime=604800002",
            -1130,
        ),
        (Method::POST, PATH, "symbol=BTCUSDT", -1102),
    ] {
        let (status, error) = venue.ask(method.clone(), path, params);
        assert_eq!((status, &error["code"]), (400, &json!(code)), "{method} {path}?{params}");
    }
    for _ in 0..ALGOS_PER_ACCOUNT_MAX {
        assert_eq!(venue.ask(Method::POST, PATH, STOP).0, 200);
    }
    let (status, error) = venue.ask(Method::POST, PATH, STOP);
    assert_eq!((status, &error["code"]), (400, &json!(-4045)));
    assert_eq!(venue.ask(Method::DELETE, PATH, "algoId=65537").0, 200);
    assert_eq!(venue.ask(Method::POST, PATH, STOP).0, 200);
}

/// Asks after which account 1 has conditional orders that wait, and some of every other fate.
fn some_firing(from: u16) -> Vec<Ask> {
    (from..from + 60)
        .flat_map(|n| {
            [
                (14, 0, (n % 8) as u8, n * 7, n),
                (0, 1, 2, n, 40 + n),
                (15, 0, 0, n, n),
                (3, 0, 0, n, n / 2),
                (17, 0, 0, n, n / 3),
                (7, 0, 0, n * 3, 0),
                (14, 0, (n % 8) as u8, n * 5, n),
            ]
        })
        .collect()
}

#[tokio::test]
async fn an_order_that_was_a_stop_says_so() {
    let mut stage = Stage::open().await;
    stage.play(&[(14, 0, 4 | 2, 1_000, 9), (15, 0, 0, 0, 3)]);
    let open = get(&stage, "/fapi/v1/openOrders", "symbol=BTCUSDT").await;
    let order = &open[0];
    assert_eq!((&order["type"], &order["origType"]), (&json!("LIMIT"), &json!("STOP")));
    assert_eq!(
        (&order["stopPrice"], &order["workingType"]),
        (&json!("59100.00"), &json!("MARK_PRICE"))
    );
    assert_eq!((&order["priceProtect"], &order["closePosition"]), (&json!(true), &json!(false)));
    let name = order["clientOrderId"].as_str().unwrap();
    let params = format!("symbol=BTCUSDT&origClientOrderId={name}");
    assert_eq!(&get(&stage, "/fapi/v1/order", &params).await, order);
    let all = get(&stage, "/fapi/v1/allAlgoOrders", "symbol=BTCUSDT").await;
    assert_eq!(all[0]["algoStatus"], "TRIGGERED");
    assert_eq!(all[0]["actualOrderId"], json!(order["orderId"].to_string()));
    assert_eq!(all[0]["actualType"], "LIMIT");
    assert!(all[0]["triggerTime"].as_u64() > Some(0));
    assert_eq!(get(&stage, "/fapi/v1/openAlgoOrders", "").await, json!([]));
}

/// The same rows come, once each and in order, whether memory, the store or both have them.
#[tokio::test]
async fn history_is_the_same_wherever_it_is() {
    let mut stage = Stage::open().await;
    stage.play(&some_firing(0));
    let seen = stage.events().len();
    stage.play(&some_firing(60));
    let all = "/fapi/v1/allAlgoOrders";
    let rows = get(&stage, all, "symbol=BTCUSDT&limit=1000").await;
    let rows = rows.as_array().unwrap();
    let fates: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row["algoStatus"].as_str().unwrap().to_owned()).collect();
    for fate in ["NEW", "TRIGGERED", "FINISHED", "CANCELED", "REJECTED", "EXPIRED"] {
        assert!(fates.contains(fate), "{fate} is not among {fates:?}");
    }
    assert!(rows.windows(2).all(|pair| pair[0]["algoId"].as_u64() < pair[1]["algoId"].as_u64()));
    check_shape(&Value::Array(rows.clone()), &json!([self::all()]), "rows");
    let middle = rows[rows.len() / 2].clone();
    let from_id = format!("symbol=BTCUSDT&algoId={}&limit=5", middle["algoId"]);
    let from_time = format!("symbol=BTCUSDT&startTime={}&limit=7", middle["createTime"]);
    let by_id = format!("algoId={}", middle["algoId"]);
    let by_name = format!("clientAlgoId={}", middle["clientAlgoId"].as_str().unwrap());
    let queries = [
        (all, "symbol=BTCUSDT&limit=1000"),
        (all, "symbol=ETHUSDT&limit=3"),
        (all, &from_id),
        (all, &from_time),
        (PATH, &by_id),
        (PATH, &by_name),
        ("/fapi/v1/openAlgoOrders", ""),
    ];
    let mut in_memory = Vec::new();
    for (path, params) in queries {
        in_memory.push(get(&stage, path, params).await);
    }
    assert_eq!(in_memory[2][0], middle);
    assert_eq!(in_memory[2].as_array().unwrap().len(), 5);
    assert_eq!(in_memory[4], middle);

    let mut views = Views::default();
    let writer = stage.app.store.start_writer(&[]);
    for half in [&stage.events()[..seen], &stage.events()[seen..]] {
        let mut effects = Effects::default();
        for (shard, header, event) in half {
            views.apply(*shard, header, event, &mut effects);
        }
        stage.app.store.push(effects.rows);
        while stage.app.store.status().queued_rows > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for ((path, params), expected) in queries.iter().zip(&in_memory) {
            assert_eq!(&get(&stage, path, params).await, expected, "{path}?{params}");
        }
    }
    // a restarted gateway has what is over from the store alone
    stage.app.store.finish();
    writer.await.unwrap().unwrap();
    let mut views = Views::default();
    stage.app.store.load(&mut views).await.unwrap();
    *stage.app.views.write() = views;
    for ((path, params), expected) in queries.iter().zip(&in_memory) {
        assert_eq!(&get(&stage, path, params).await, expected, "{path}?{params}");
    }
    let (status, error) = call(&stage, "GET", PATH, "algoId=1").await;
    assert_eq!((status, &error["code"]), (400, &json!(-2013)));
}
