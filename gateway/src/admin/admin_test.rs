//! The operator's API over a real socket: who may, what happens, and that twice is once.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{EncodePublicKey, spki::der::pem::LineEnding},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    clock::now_ms,
    credential::tests::RSA_PEM,
    rest::rest_test::{ADMIN_TOKEN, Venue, hmac_with},
};

fn ask(venue: &Venue, token: &str, method: Method, path: &str, body: &str) -> (u16, Value) {
    let url = format!("http://{}{path}", venue.admin);
    let request = reqwest::Client::new().request(method, url).bearer_auth(token);
    venue.runtime.block_on(async {
        let response = request.body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    })
}

fn post(venue: &Venue, path: &str, body: &Value) -> (u16, Value) {
    ask(venue, ADMIN_TOKEN, Method::POST, path, &body.to_string())
}

fn get(venue: &Venue, path: &str) -> Value {
    let (status, body) = ask(venue, ADMIN_TOKEN, Method::GET, path, "");
    assert_eq!(status, 200, "{body}");
    body
}

fn listing() -> Value {
    json!({
        "symbol": "ETHUSDT", "shard": 1, "base": "ETH", "quote": "USDT",
        "tick_size": "0.01", "step_size": "0.001", "min_price": "1", "max_price": "100000",
        "min_qty": "0.001", "max_qty": "1000", "max_market_qty": "100", "min_notional": "5",
        "multiplier_up": "1.05", "multiplier_down": "0.95", "market_take_bound": "0.05",
        "trigger_protect": "0.05", "liquidation_fee": "0.0125", "maker_fee": "0.0002",
        "taker_fee": "0.0005", "default_leverage": 20, "funding_interval_hours": 8,
    })
}

/// Frames in the trading shard's log.
fn log_len(venue: &Venue) -> usize {
    venue.shard.as_ref().unwrap().disk.lock().unwrap().log.len()
}

#[test]
fn nobody_is_let_in_without_the_token() {
    let venue = Venue::open();
    for token in ["", "wrong", "0123456789abcde", "0123456789abcdef0"] {
        let (status, error) = ask(&venue, token, Method::GET, "/admin/status", "");
        assert_eq!((status, &error["code"]), (401, &json!(-2015)), "{token}");
    }
    let status = get(&venue, "/admin/status");
    assert_eq!(status["complete"], true);
    assert_eq!(status["shards"].as_array().unwrap().len(), 2);
    assert_eq!(status["shards"][1]["ready"], true);
    assert_eq!(post(&venue, "/admin/none", &json!({})).1["code"], -5000);
}

#[test]
fn a_symbol_is_listed_once_however_often_it_is_loaded() {
    let venue = Venue::open();
    let brackets = json!({
        "symbol": "ETHUSDT",
        "brackets": [{ "cap": "50000", "max_leverage": 50, "maintenance": "0.01" }],
    });
    let before = log_len(&venue);
    for _ in 0..2 {
        let (status, listed) = post(&venue, "/admin/symbols", &listing());
        assert_eq!((status, &listed["id"]), (200, &json!(2)), "{listed}");
        assert_eq!(post(&venue, "/admin/brackets", &brackets).0, 200);
    }
    assert_eq!(log_len(&venue), before + 2);
    let symbols = get(&venue, "/admin/symbols");
    assert_eq!(symbols[1]["symbol"], "ETHUSDT");
    assert_eq!((&symbols[1]["id"], &symbols[1]["index_e8"]), (&json!(2), &json!(0)));
    let mut wrong = listing();
    wrong["colour"] = json!("red");
    let (status, error) = post(&venue, "/admin/symbols", &wrong);
    assert!(error["msg"].as_str().unwrap().contains("colour"), "{status} {error}");
    let mut moved = listing();
    moved["shard"] = json!(3);
    assert_eq!(post(&venue, "/admin/symbols", &moved).0, 400);
    assert_eq!(log_len(&venue), before + 2);
}

#[test]
fn an_account_has_a_key_that_works_and_its_deposit_once() {
    let venue = Venue::open();
    let wanted = json!({ "name": "alice", "deposit": "100.5" });
    let (status, made) = post(&venue, "/admin/accounts", &wanted);
    assert_eq!((status, &made["deposited"]), (200, &json!(true)), "{made}");
    let (_, again) = post(&venue, "/admin/accounts", &wanted);
    assert_eq!(again["deposited"], false);
    for same in ["account", "api_key", "secret"] {
        assert_eq!(again[same], made[same]);
    }
    let query = format!("timestamp={}", now_ms());
    let signature = hmac_with(made["secret"].as_str().unwrap(), &query);
    let url = format!("http://{}/fapi/v1/openOrders?{query}&signature={signature}", venue.address);
    let request =
        reqwest::Client::new().get(url).header("X-MBX-APIKEY", made["api_key"].as_str().unwrap());
    let status = venue.runtime.block_on(async { request.send().await.unwrap().status() });
    assert_eq!(status.as_u16(), 200);

    // what the shards hold for an account that the database does not know stays apart
    venue.know_account(41);
    let (_, carol) = post(&venue, "/admin/accounts", &json!({ "name": "carol" }));
    assert_eq!(carol["account"], 42);

    let own = json!({ "name": "bob", "api_key": "bobsownkey", "secret": "bobsownsecret" });
    assert_eq!(post(&venue, "/admin/accounts", &own).0, 200);
    assert_eq!(post(&venue, "/admin/accounts", &own).0, 200);
    let stolen = json!({ "name": "eve", "api_key": "bobsownkey", "secret": "evesownsecret" });
    assert_eq!(post(&venue, "/admin/accounts", &stolen).0, 400);

    let account = made["account"].clone();
    let deposit = |transfer: u64, amount: &str| {
        let body = json!({ "account": account, "transfer": transfer, "amount": amount });
        post(&venue, "/admin/deposits", &body)
    };
    assert_eq!(deposit(2, "1").1["booked"], true);
    assert_eq!(deposit(2, "1").1["booked"], false);
    for amount in ["-1", "0", "1e30", "0.000000001", "much"] {
        assert_eq!(deposit(3, amount).0, 400, "{amount}");
    }
    let stranger = json!({ "account": 99, "transfer": 1, "amount": "1" });
    assert_eq!(post(&venue, "/admin/deposits", &stranger).0, 400);
    assert_eq!(post(&venue, "/admin/withdrawals", &stranger).0, 400);
    // the insurance fund takes money, and gives none
    let fund = json!({ "account": 0, "transfer": 1, "amount": "250" });
    assert_eq!(get(&venue, "/admin/status")["insurance"]["wallet"], "0.00000000");
    assert_eq!(post(&venue, "/admin/deposits", &fund).1["booked"], true);
    assert_eq!(post(&venue, "/admin/deposits", &fund).1["booked"], false);
    assert_eq!(post(&venue, "/admin/withdrawals", &fund).0, 400);
    let insurance = &get(&venue, "/admin/status")["insurance"];
    let whole = json!({ "wallet": "250.00000000", "cash": { "0": "250.00000000" } });
    assert_eq!(insurance, &whole);
    for transfer in [1, 2] {
        let body = json!({ "account": account, "transfer": transfer, "amount": "0.5" });
        let (status, paid) = post(&venue, "/admin/withdrawals", &body);
        assert_eq!((status, &paid["booked"]), (200, &json!(true)), "{paid}");
    }
}

#[test]
fn a_public_key_is_enough_to_open_an_account() {
    let venue = Venue::open();
    let signing = SigningKey::from_bytes(&[7; 32]);
    let pem = signing.verifying_key().to_public_key_pem(LineEnding::CRLF).unwrap();
    let wanted = json!({ "name": "dora", "public_key": pem });
    let (status, made) = post(&venue, "/admin/accounts", &wanted);
    assert_eq!((status, &made["key_type"]), (200, &json!("ED25519")), "{made}");
    assert_eq!(made.get("secret"), None);
    let again = post(&venue, "/admin/accounts", &wanted).1;
    assert_eq!(again["api_key"], made["api_key"]);
    // one account may have a key of each kind
    let (_, other) = post(&venue, "/admin/accounts", &json!({ "name": "dora" }));
    assert_eq!((&other["account"], &other["key_type"]), (&made["account"], &json!("HMAC")));
    assert_ne!(other["api_key"], made["api_key"]);
    let (_, rsa) =
        post(&venue, "/admin/accounts", &json!({ "name": "dora", "public_key": RSA_PEM }));
    assert_eq!((&rsa["account"], &rsa["key_type"]), (&made["account"], &json!("RSA")));

    let ask = |query: &str, signature: &str| {
        let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let url =
            format!("http://{}/fapi/v1/openOrders?{query}&signature={encoded}", venue.address);
        let key = made["api_key"].as_str().unwrap();
        let request = reqwest::Client::new().get(url).header("X-MBX-APIKEY", key);
        venue.runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
    };
    let query = format!("timestamp={}", now_ms());
    let signature = BASE64.encode(signing.sign(query.as_bytes()).to_bytes());
    assert_eq!(ask(&query, &signature), 200);
    assert_eq!(ask(&format!("{query}&symbol=BTCUSDT"), &signature), 400);
    assert_eq!(ask(&query, &hmac_with(other["secret"].as_str().unwrap(), &query)), 400);

    let own = json!({ "name": "dora", "api_key": "dorasownkey", "public_key": RSA_PEM });
    for _ in 0..2 {
        assert_eq!(post(&venue, "/admin/accounts", &own).1["api_key"], "dorasownkey");
    }
    for (name, value) in [("public_key", json!(pem)), ("secret", json!("dorassecret"))] {
        let mut wrong = own.clone();
        wrong[name] = value;
        assert_eq!(post(&venue, "/admin/accounts", &wrong).0, 400, "{name}");
    }
    let text = json!({ "name": "dora", "public_key": "no key" });
    let (status, error) = post(&venue, "/admin/accounts", &text);
    assert!(error["msg"].as_str().unwrap().contains("Ed25519"), "{status} {error}");
}
