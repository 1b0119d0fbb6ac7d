//! The WebSocket API over a real socket: signed as clients sign, answered as REST answers.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{EncodePublicKey, spki::der::pem::LineEnding},
};
use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use protocol::AccountId;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    clock::now_ms,
    credential::{Credential, PublicKey, tests::RSA_PEM},
    keys::Key,
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

#[tokio::test]
async fn a_connection_that_has_logged_on_signs_no_more() {
    let stage = Stage::open().await;
    let signing = SigningKey::from_bytes(&[9; 32]);
    let pem = signing.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    for (key, pem) in [("ed25519key", pem.as_str()), ("rsakeyrsakey", RSA_PEM)] {
        let credential = Credential::PublicKey(PublicKey::from_pem(pem).unwrap());
        stage.app.keys.insert(Key { key: key.into(), account: AccountId(2), credential });
    }
    let mut socket = connect(&stage).await;
    let request = |method: &str, params: Value| {
        json!({ "id": 1, "method": method, "params": params }).to_string()
    };
    let bare = |method: &str| request(method, json!({ "timestamp": now_ms() }));
    let logon = |key: &str| {
        let time = now_ms();
        let payload = format!("apiKey={key}&timestamp={time}");
        let signature = BASE64.encode(signing.sign(payload.as_bytes()).to_bytes());
        request(
            "session.logon",
            json!({ "apiKey": key, "timestamp": time, "signature": signature }),
        )
    };
    let nobody = ask(&mut socket, request("session.status", json!({}))).await;
    assert_eq!(nobody["result"]["apiKey"], Value::Null);
    assert_eq!(nobody["result"]["authorizedSince"], Value::Null);
    assert!(nobody["result"]["connectedSince"].is_i64() && nobody["result"]["serverTime"].is_i64());
    assert_eq!(ask(&mut socket, bare("account.balance")).await["status"], 401);

    // neither a forged logon nor a key of another kind opens the session
    assert_eq!(ask(&mut socket, logon("rsakeyrsakey")).await["error"]["code"], -1022);
    let forged = logon("ed25519key").replace("\"timestamp\":1", "\"timestamp\":2");
    assert_eq!(ask(&mut socket, forged).await["status"], 400);
    let hmac = ask(&mut socket, signed("session.logon", &[])).await;
    assert_eq!((&hmac["status"], &hmac["error"]["code"]), (&json!(400), &json!(-4056)));
    assert_eq!(ask(&mut socket, bare("account.balance")).await["status"], 401);

    let on = ask(&mut socket, logon("ed25519key")).await;
    assert_eq!((&on["status"], &on["result"]["apiKey"]), (&json!(200), &json!("ed25519key")));
    assert!(on["result"]["authorizedSince"].is_i64(), "{on}");
    assert_eq!(on["rateLimits"][0]["rateLimitType"], "REQUEST_WEIGHT");
    let balance = ask(&mut socket, bare("account.balance")).await;
    assert_eq!((&balance["status"], &balance["result"][0]["asset"]), (&json!(200), &json!("USDT")));
    let named = json!({ "apiKey": "ed25519key", "timestamp": now_ms() });
    assert_eq!(ask(&mut socket, request("account.balance", named)).await["status"], 200);
    let listen = ask(&mut socket, request("userDataStream.start", json!({}))).await;
    assert_eq!(listen["status"], 200, "{listen}");
    // a time is wanted all the same, and others sign for themselves
    let timeless = ask(&mut socket, request("account.balance", json!({}))).await;
    assert_eq!(timeless["error"]["code"], -1102);
    let other = json!({ "apiKey": KEY, "timestamp": now_ms() });
    assert_eq!(ask(&mut socket, request("account.balance", other)).await["status"], 400);
    assert_eq!(ask(&mut socket, signed("account.balance", &[])).await["status"], 200);
    // a session is its connection's alone
    let mut second = connect(&stage).await;
    assert_eq!(ask(&mut second, bare("account.balance")).await["status"], 401);

    let out = ask(&mut socket, request("session.logout", json!({}))).await;
    assert_eq!((&out["status"], &out["result"]["apiKey"]), (&json!(200), &Value::Null));
    assert_eq!(ask(&mut socket, bare("account.balance")).await["status"], 401);
}
