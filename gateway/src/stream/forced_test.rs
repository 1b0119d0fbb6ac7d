//! Liquidations over real sockets: what everybody hears of them, and what their owners do.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::stream_test::Client;
use crate::{
    stage::{KEY, Stage, check_shape},
    views::accounts::sample::Ask,
};

/// Accounts 1 and 2 are long and short 200 lots at 60,000.00 afterwards, and have an order each.
const OPEN: [Ask; 3] = [(0, 0, 0, 10_000, 399), (0, 1, 2, 10_000, 399), (3, 0, 0, 0, 1)];
/// The fund takes over what comes first: a kind of ask, whose, and at which price.
const TAKE_OVER: u16 = 2;

#[tokio::test]
async fn the_largest_liquidation_of_a_second_is_told() {
    let mut stage = Stage::open().await;
    stage.play(&OPEN);
    let mut clients = Vec::new();
    for name in ["btcusdt@forceOrder", "!forceOrder@arr", "ethusdt@forceOrder"] {
        let mut client = Client::open(&stage, "/market/ws").await;
        client.subscribe(&[name]).await;
        clients.push(client);
    }
    // the long one at 59,000.20, then the short one at 59,000.50
    stage.play(&[(20, 0, 0, 0, TAKE_OVER), (20, 0, 0, 0, TAKE_OVER + 3)]);
    let mut other = clients.pop().unwrap();
    for client in &mut clients {
        let event = client.hear().await;
        let shape = json!({"e":"string","E":"int","o":{"s":"string","S":"string","o":"string",
            "f":"string","q":"string","p":"string","ap":"string","X":"string","l":"string",
            "z":"string","T":"int"}});
        check_shape(&event, &shape, "forceOrder");
        let mut order = event["o"].clone();
        order["T"].take();
        assert_eq!(
            order,
            json!({
                "s": "BTCUSDT", "S": "BUY", "o": "LIMIT", "f": "IOC", "q": "0.200",
                "p": "59000.50", "ap": "59000.500", "X": "FILLED", "l": "0.200", "z": "0.200",
                "T": null,
            })
        );
        let more = timeout(Duration::from_millis(1_200), client.hear()).await;
        assert!(more.is_err(), "one a second and symbol: {more:?}");
    }
    let heard = timeout(Duration::from_millis(10), other.hear()).await;
    assert!(heard.is_err(), "another symbol's: {heard:?}");
}

/// What the owner of a position hears while it is liquidated on the book, and when what is still
/// owed is advanced and paid back.
#[tokio::test]
async fn an_owner_hears_of_the_liquidation() {
    let mut stage = Stage::open().await;
    let http = reqwest::Client::new();
    let post = http.post(stage.url("/fapi/v1/listenKey")).header("X-MBX-APIKEY", KEY);
    let (_, made) = stage.send(post).await;
    stage.play(&OPEN);
    // somebody buys 50 lots at 59,001.00
    stage.play(&[(0, 2, 0, 10, 49)]);
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&[made["listenKey"].as_str().unwrap()]).await;
    stage.play(&[(7, 0, 0, 0, 0), (20, 0, 0, 0, 0), (21, 0, 0, 0, 40_000)]);
    let mut heard = Vec::new();
    while heard.len() < 9 {
        heard.push(client.hear().await);
    }
    let word = |event: &Value| -> String {
        let of = match event["e"].as_str().unwrap() {
            "ORDER_TRADE_UPDATE" => &event["o"]["x"],
            "ACCOUNT_UPDATE" => &event["a"]["m"],
            "TRADE_LITE" => &event["e"],
            other => panic!("{other}"),
        };
        of.as_str().unwrap().to_owned()
    };
    assert_eq!(
        heard.iter().map(word).collect::<Vec<_>>(),
        [
            "CANCELED",
            "NEW",
            "TRADE_LITE",
            "ORDER",
            "CALCULATED",
            "EXPIRED",
            "INSURANCE_CLEAR",
            "INSURANCE_CLEAR",
            "INSURANCE_CLEAR",
        ]
    );
    let fill = &heard[4]["o"];
    assert_eq!(fill["c"], json!(format!("autoclose-{}", fill["i"])));
    assert_eq!(
        [&fill["S"], &fill["X"], &fill["l"], &fill["L"], &fill["n"], &fill["f"], &fill["R"]],
        [
            &json!("SELL"),
            &json!("PARTIALLY_FILLED"),
            &json!("0.050"),
            &json!("59001.00"),
            &json!("0.00000000"),
            &json!("IOC"),
            &json!(true)
        ]
    );
    let balance = |at: usize| heard[at]["a"]["B"][0].clone();
    assert_eq!(
        [6, 7, 8].map(|at| balance(at)["bc"].clone()),
        ["-0.00050000", "0.40000000", "-0.20000000"]
    );
    assert_eq!(heard[3]["a"]["P"][0]["pa"], json!("0.150"));
    assert_eq!(heard[6]["a"]["P"], json!([]), "a cross position is backed by the wallet alone");
    // 10,000 less a fee of 6, less 50 lots' loss of 49.95, and what the three have changed
    assert_eq!(balance(8)["wb"], json!("9944.24950000"));
}

/// Whoever is deleveraged knows by the order's name and by the word of its fill.
#[tokio::test]
async fn a_counterparty_hears_of_its_deleveraging() {
    let mut stage = Stage::open().await;
    let http = reqwest::Client::new();
    let post = http.post(stage.url("/fapi/v1/listenKey")).header("X-MBX-APIKEY", KEY);
    let (_, made) = stage.send(post).await;
    stage.play(&OPEN);
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&[made["listenKey"].as_str().unwrap()]).await;
    // the short one is due; the long one is who is on the other side
    stage.play(&[(20, 0, 0, 1, 1)]);
    let order = loop {
        let event = client.hear().await;
        if event["o"]["x"] == "CALCULATED" {
            break event["o"].clone();
        }
    };
    assert_eq!((&order["c"], &order["S"]), (&json!("adl_autoclose"), &json!("SELL")));
    assert_eq!(
        (&order["X"], &order["z"], &order["m"]),
        (&json!("FILLED"), &json!("0.200"), &json!(true))
    );
}
