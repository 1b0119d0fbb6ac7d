//! The WebSocket API over a real socket: signed as clients sign, answered as REST answers.

use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    clock::now_ms,
    stage::{KEY, SECRET, Stage},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(stage: &Stage) -> Socket {
    let url = stage.url("/ws-fapi/v1").replace("http", "ws");
    connect_async(url).await.unwrap().0
}

async fn ask(socket: &mut Socket, text: String) -> Value {
    socket.send(Message::text(text)).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    serde_json::from_str(answer.to_text().unwrap()).unwrap()
}

fn signed(method: &str, params: &[(&str, &str)]) -> String {
    let time = now_ms().to_string();
    let mut all = params.to_vec();
    all.extend([("apiKey", KEY), ("timestamp", &time)]);
    all.sort_unstable();
    let payload: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(payload.join("&").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut object: serde_json::Map<String, Value> =
        all.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    object.insert("timestamp".into(), json!(now_ms_of(&time)));
    object.insert("signature".into(), json!(signature));
    json!({ "id": 7, "method": method, "params": object }).to_string()
}

/// Clients write times as numbers and sign them as such.
fn now_ms_of(text: &str) -> i64 {
    text.parse().unwrap()
}

#[tokio::test]
async fn requests_go_where_rest_goes() {
    let stage = Stage::open().await;
    let mut socket = connect(&stage).await;
    let pong = ask(&mut socket, r#"{"id":"a","method":"ping"}"#.into()).await;
    assert_eq!(
        (&pong["id"], &pong["status"], &pong["result"]),
        (&json!("a"), &json!(200), &json!({}))
    );
    assert_eq!(pong["rateLimits"][0]["rateLimitType"], "REQUEST_WEIGHT");
    assert_eq!(pong["rateLimits"][0]["count"], 1);

    let balance = ask(&mut socket, signed("v2/account.balance", &[])).await;
    assert_eq!(balance["status"], 200, "{balance}");
    assert_eq!(balance["result"][0]["asset"], "USDT");
    let quiet = ask(&mut socket, signed("account.status", &[("returnRateLimits", "false")])).await;
    assert_eq!((&quiet["status"], quiet.get("rateLimits")), (&json!(200), None));
    let started = ask(
        &mut socket,
        json!({ "id": 1, "method": "userDataStream.start", "params": { "apiKey": KEY } })
            .to_string(),
    )
    .await;
    assert_eq!(started["result"]["listenKey"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn refusals_have_the_codes_of_rest() {
    let stage = Stage::open().await;
    let mut socket = connect(&stage).await;
    let unknown =
        ask(&mut socket, signed("order.status", &[("symbol", "NONE"), ("orderId", "1")])).await;
    assert_eq!((&unknown["status"], &unknown["error"]["code"]), (&json!(400), &json!(-1121)));
    let stop = [
        ("algoType", "CONDITIONAL"),
        ("symbol", "BTCUSDT"),
        ("side", "SELL"),
        ("type", "STOP_MARKET"),
        ("quantity", "1"),
    ];
    for (method, params, code) in [
        ("algoOrder.place", &stop[..], -1102),
        ("algoOrder.cancel", &[("clientAlgoId", "none")][..], -2011),
    ] {
        let answer = ask(&mut socket, signed(method, params)).await;
        let said = (&answer["status"], &answer["error"]["code"]);
        assert_eq!(said, (&json!(400), &json!(code)), "{method}");
    }
    let forged =
        signed("account.status", &[]).replace("\"timestamp\"", "\"recvWindow\":1,\"timestamp\"");
    for (text, status, code) in [
        (forged, 400, -1022),
        (r#"{"id":1,"method":"account.status","params":{}}"#.into(), 401, -2014),
        (
            r#"{"id":1,"method":"account.status","params":{"apiKey":"nobodyatall"}}"#.into(),
            401,
            -2015,
        ),
        (
            json!({ "method": "account.status", "params": { "apiKey": KEY } }).to_string(),
            400,
            -1102,
        ),
        (r#"{"id":1,"method":"order.fancy"}"#.into(), 400, -1020),
        ("nonsense".into(), 400, -1130),
    ] {
        let answer = ask(&mut socket, text.clone()).await;
        assert_eq!(
            (&answer["status"], &answer["error"]["code"]),
            (&json!(status), &json!(code)),
            "{text}"
        );
    }
}
