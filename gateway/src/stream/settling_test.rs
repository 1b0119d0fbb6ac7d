//! The end of a symbol over real sockets: what everybody hears of it, and what those do who held
//! something.

use serde_json::json;

use super::stream_test::Client;
use crate::{
    stage::{KEY, Stage},
    views::accounts::sample::Ask,
};

/// Accounts 1 and 2 are long and short 200 lots at 60,000.00 afterwards.
const OPEN: [Ask; 3] = [(0, 0, 0, 10_000, 399), (0, 1, 2, 10_000, 399), (3, 0, 0, 0, 1)];
/// The symbol is settled at 60,100.00.
const SETTLE: Ask = (22, 0, 0, 11_000, 0);

#[tokio::test]
async fn a_state_is_told_to_everybody() {
    let mut stage = Stage::open().await;
    stage.play(&OPEN);
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&["!contractInfo"]).await;
    stage.play(&[SETTLE]);
    let mut states = Vec::new();
    while states.last() != Some(&json!("CLOSE")) {
        let told = client.hear().await;
        assert_eq!((&told["e"], &told["s"]), (&json!("contractInfo"), &json!("BTCUSDT")));
        states.push(told["cs"].clone());
    }
    let (_, info) = stage.get("/fapi/v1/exchangeInfo").await;
    let statuses: Vec<_> =
        info["symbols"].as_array().unwrap().iter().map(|row| row["status"].clone()).collect();
    assert_eq!(statuses, ["CLOSE", "TRADING"]);
    let (_, interest) = stage.get("/fapi/v1/openInterest?symbol=BTCUSDT").await;
    assert_eq!(interest["openInterest"], "0.000");
}

#[tokio::test]
async fn an_owner_hears_how_its_position_ended() {
    let mut stage = Stage::open().await;
    let http = reqwest::Client::new();
    let post = http.post(stage.url("/fapi/v1/listenKey")).header("X-MBX-APIKEY", KEY);
    let (_, made) = stage.send(post).await;
    stage.play(&OPEN);
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&[made["listenKey"].as_str().unwrap()]).await;
    stage.play(&[SETTLE]);
    let new = client.hear().await["o"].clone();
    let name = json!(format!("settlement_autoclose-{}", new["i"]));
    assert_eq!((&new["x"], &new["c"], &new["R"]), (&json!("NEW"), &name, &json!(true)));
    assert_eq!(client.hear().await["e"], "TRADE_LITE");
    let account = client.hear().await["a"].clone();
    assert_eq!((&account["m"], &account["P"][0]["pa"]), (&json!("ORDER"), &json!("0.000")));
    let fill = client.hear().await["o"].clone();
    assert_eq!([&fill["c"], &fill["X"], &fill["S"]], [&name, &json!("FILLED"), &json!("SELL")]);
    // 0.2 at 100.00 more
    assert_eq!([&fill["L"], &fill["rp"], &fill["n"]], ["60100.00", "20.00000000", "0.00000000"]);
}
