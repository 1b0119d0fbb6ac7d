//! The API over real sockets: what clients send, in all the ways in which they send it, and what
//! nobody should send.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use proptest::{
    prelude::*,
    test_runner::{Config as Cases, TestRunner},
};
use protocol::{AccountId, Name, ShardId, SymbolId, order::SessionKind};
use reqwest::{Client as Http, Method, RequestBuilder, header::CONTENT_TYPE};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use transport::local::LocalNetwork;

use crate::{
    admin,
    app::App,
    clock::now_ms,
    config::Config,
    credential::Credential,
    keys::{Key, Keys},
    limits::{Allowances, BODY_BYTES_MAX, Limits},
    link::{
        Client, From,
        client::Settings,
        fake_node::{CHANNEL, CLUSTER, FakeNode, POOR_FROM, Weather, World},
    },
    listener::{Bounded, Peer},
    rest,
    scribe::Scribe,
    store::{Directory, SealingKey, Store, row::CashRow},
    stream::Hub,
    views::{Views, accounts::sample, instruments::Instrument},
};

const KEY: &str = "traderkeytraderkey";
const POOR_KEY: &str = "poorkeypoorkeypoorkey";
const SECRET: &str = "secretsecretsecret";
pub(crate) const ADMIN_TOKEN: &str = "0123456789abcdef";
const REPLY_TIMEOUT: Duration = Duration::from_millis(700);

/// A gateway on ports of its own, and shards that accept everything.
pub(crate) struct Venue {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    world: World,
    pub shard: Option<FakeNode>,
    _ledger: FakeNode,
    link: Client,
    app: Arc<App>,
    pub runtime: Runtime,
    _dir: tempfile::TempDir,
}

impl Venue {
    pub fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let world = World {
            network: LocalNetwork::new(),
            weather: Weather::default(),
            grants: Arc::default(),
            seed: 1,
        };
        let (app, link) = runtime.block_on(app(dir.path(), &world));
        let ledger = FakeNode::start(&world, ShardId::LEDGER, 1, Arc::default());
        let shard = FakeNode::start(&world, ShardId(1), 1, Arc::default());
        let admin = serve(&runtime, admin::router(app.clone()));
        let address = serve(&runtime, rest::router(app.clone()));
        let venue = Self {
            address,
            admin,
            world,
            shard: Some(shard),
            _ledger: ledger,
            link,
            app,
            runtime,
            _dir: dir,
        };
        while !venue.link.status().complete(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        venue
    }

    /// As if the shards had spoken of an account.
    pub fn know_account(&self, account: u32) {
        let row = CashRow {
            account: AccountId(account),
            shard: ShardId::LEDGER,
            cash: 1,
            received: 0,
            updated: 0,
        };
        self.app.views.write().accounts.restore_cash(row);
    }

    fn request(&self, method: Method, path: &str, query: &str) -> RequestBuilder {
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let url = format!("http://{}{path}{query}", self.address);
        Http::new().request(method, url).header("X-MBX-APIKEY", KEY)
    }

    fn send(&self, request: RequestBuilder) -> (u16, Value) {
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            assert!(response.headers().contains_key("x-mbx-used-weight-1m"));
            (response.status().as_u16(), response.json().await.unwrap())
        })
    }

    /// Sends everything in the query.
    pub fn ask(&self, method: Method, path: &str, params: &str) -> (u16, Value) {
        self.send(self.request(method, path, &signed(&timed(params))))
    }
}

fn serve(runtime: &Runtime, router: Router) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Bounded::new(listener, 64);
    let service = router.into_make_service_with_connect_info::<Peer>();
    runtime.spawn(async move { axum::serve(listener, service).await });
    address
}

async fn app(dir: &std::path::Path, world: &World) -> (Arc<App>, Client) {
    let store = Arc::new(Store::open(&dir.join("test.sqlite")).await.unwrap());
    let mut views = Views::default();
    let mut spec = sample::spec(SymbolId(1));
    spec.name = Name::new("BTCUSDT").unwrap();
    spec.shard = ShardId(1);
    (spec.price_decimals, spec.qty_decimals) = (2, 3);
    (spec.tick_e8, spec.lot_e8, spec.mult) = (10_000_000, 100_000, 10_000);
    views.instruments.restore(Instrument { spec, brackets: None, index_stale: false });
    let views = Arc::new(RwLock::new(views));
    let (hub, task) = Hub::new(views.clone());
    tokio::spawn(task.run());
    let settings = Settings {
        cluster: CLUSTER,
        discovery_channel: CHANNEL.into(),
        egress_channel: CHANNEL.into(),
        kind: SessionKind::Gateway,
        name: Name::EMPTY,
        from: From::beginning(),
        reply_timeout: REPLY_TIMEOUT,
    };
    let scribe = Scribe::new(views.clone(), hub.clone(), store.clone());
    let transport = Box::new(world.network.transport());
    let link = Client::start(settings, transport, Box::new(scribe), |_| {}).unwrap();
    let keys = Keys::default();
    for (key, account) in [(KEY, AccountId(7)), (POOR_KEY, AccountId(POOR_FROM))] {
        let credential = Credential::Secret(SECRET.into());
        keys.insert(Key { key: key.into(), account, credential });
    }
    let app = App {
        config: config(dir),
        orders: link.orders(),
        views,
        keys,
        limits: Limits::new(Allowances::default()),
        hub,
        directory: Directory::new(store.clone(), SealingKey::random()),
        store,
        queues: Default::default(),
    };
    (Arc::new(app), link)
}

fn config(dir: &std::path::Path) -> Config {
    Config {
        cluster: CLUSTER,
        aeron_dir: dir.to_owned(),
        channel: CHANNEL.into(),
        shards: 2,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.to_owned(),
        admin_token: ADMIN_TOKEN.into(),
        secret_key: "00".repeat(32),
        reply_timeout_ms: 1_000,
        limits: Allowances::default(),
    }
}

fn hmac(payload: &str) -> String {
    hmac_with(SECRET, payload)
}

pub(crate) fn hmac_with(secret: &str, payload: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(payload.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn timed(params: &str) -> String {
    let time = format!("timestamp={}", now_ms());
    if params.is_empty() { time } else { format!("{params}&{time}") }
}

fn signed(params: &str) -> String {
    format!("{params}&signature={}", hmac(params))
}

const ORDER: &str = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.010&price=60000";

#[test]
fn each_client_sends_an_order_in_its_own_way() {
    let venue = Venue::open();
    let post = |query: &str, body: &str, content_type: &str| {
        let request = venue
            .request(Method::POST, "/fapi/v1/order", query)
            .header(CONTENT_TYPE, content_type)
            .body(body.to_owned());
        let (status, order) = venue.send(request);
        assert_eq!(status, 200, "{order}");
        assert_eq!(order["price"], "60000.00");
        assert_eq!(order["origQty"], "0.010");
        assert_eq!(order["status"], "NEW");
        assert_eq!(order["clientOrderId"].as_str().unwrap().len(), 22);
        order["orderId"].as_u64().unwrap()
    };
    let form = "application/x-www-form-urlencoded";
    let all = timed(ORDER);
    // in the body; in the query with an empty body that claims to be JSON; labelled as JSON
    assert_eq!(post("", &signed(&all), form), 1);
    assert_eq!(post(&signed(&all), "", "application/json;charset=utf-8"), 2);
    assert_eq!(post("", &signed(&all), "application/json"), 3);
    // some here and some there, joined without a separator; the signature at either end
    let (query, body) =
        ("symbol=BTCUSDT&side=BUY&type=LIMIT", timed("timeInForce=GTC&quantity=0.010&price=60000"));
    let signature = hmac(&format!("{query}{body}"));
    assert_eq!(post(query, &format!("{body}&signature={signature}"), form), 4);
    assert_eq!(post(&format!("signature={signature}&{query}"), &body, form), 5);
    assert_eq!(post(&format!("{query}&signature={}", signature.to_uppercase()), &body, form), 6);
    // names and words in any case, unknown parameters, and a name twice: the query's counts
    let odd = timed(
        "SYMBOL=btcusdt&Side=buy&type=limit&timeinforce=gtc&quantity=0.010&price=60000.0\
         &useV2=true",
    );
    let signature = hmac(&format!("{odd}price=1"));
    assert_eq!(post(&format!("{odd}&signature={signature}"), "price=1", form), 7);

    // a DELETE with its parameters in the body, and one in the query
    let delete = |query: &str, body: &str| {
        let request = venue.request(Method::DELETE, "/fapi/v1/order", query).body(body.to_owned());
        venue.send(request)
    };
    let (status, order) = delete("", &signed(&timed("symbol=BTCUSDT&orderId=1")));
    assert_eq!((status, &order["status"]), (200, &json!("CANCELED")));
    let (status, error) = delete(&signed(&timed("symbol=BTCUSDT&orderId=1")), "");
    assert_eq!((status, &error["code"]), (400, &json!(-2011)));
    // the views know all of it
    let (_, open) = venue.ask(Method::GET, "/fapi/v1/openOrders", "symbol=BTCUSDT");
    assert_eq!(open.as_array().unwrap().len(), 6);
    let (_, order) = venue.ask(Method::GET, "/fapi/v1/order", "symbol=BTCUSDT&orderId=1");
    assert_eq!(order["status"], "CANCELED");
}

#[test]
fn batches_are_answered_row_by_row() {
    let venue = Venue::open();
    let good = r#"{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"GTC",
        "quantity":"0.010","price":60000.0}"#;
    let good = good.split_whitespace().collect::<String>();
    let batch = format!(r#"[{good},{{"symbol":"NONE"}},{good}]"#);
    let encoded: String = batch.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for text in [&batch, &encoded] {
        let body = signed(&timed(&format!("batchOrders={text}")));
        let request = venue.request(Method::POST, "/fapi/v1/batchOrders", "").body(body);
        let (status, rows) = venue.send(request);
        assert_eq!(status, 200);
        assert_eq!(rows[0]["status"], "NEW");
        assert_eq!(rows[1], json!({ "code": -1121, "msg": "Invalid symbol." }));
        assert_eq!(rows[2]["origQty"], "0.010");
    }
    let (status, rows) = venue.ask(
        Method::DELETE,
        "/fapi/v1/batchOrders",
        "symbol=BTCUSDT&orderidlist=%22%5B1,2,9%5D%22",
    );
    assert_eq!(status, 200);
    assert_eq!((&rows[0]["status"], &rows[1]["orderId"]), (&json!("CANCELED"), &json!(2)));
    assert_eq!(rows[2], json!({ "code": -2011, "msg": "Unknown order sent." }));
}

#[test]
fn whoever_is_not_who_they_say_is_told_so_in_json() {
    let venue = Venue::open();
    let orders = "/fapi/v1/openOrders";
    let code = |request: RequestBuilder| {
        let (status, error) = venue.send(request);
        (status, error["code"].as_i64().unwrap())
    };
    let get = |query: &str| venue.request(Method::GET, orders, query);
    let bare = |key: Option<&str>| {
        let url = format!("http://{}{orders}?{}", venue.address, signed(&timed("")));
        let request = Http::new().get(url);
        key.map_or(request.try_clone().unwrap(), |key| request.header("X-MBX-APIKEY", key))
    };
    assert_eq!(code(bare(None)), (401, -2014));
    assert_eq!(code(bare(Some("with space"))), (401, -2014));
    assert_eq!(code(bare(Some("unknownkeyunknownkey"))), (401, -2015));
    assert_eq!(code(get("")), (400, -1102));
    assert_eq!(code(get(&timed(""))), (400, -1102));
    assert_eq!(code(get(&format!("{}&signature=00", timed("")))), (400, -1022));
    assert_eq!(code(get(&format!("{}&x=1", signed(&timed(""))))), (400, -1022));
    assert_eq!(code(get(&signed(&format!("timestamp={}", now_ms() - 5_500)))), (400, -1021));
    assert_eq!(code(get(&signed(&format!("timestamp={}", now_ms() + 5_000)))), (400, -1021));
    let late = format!("recvWindow=10000&timestamp={}", now_ms() - 5_500);
    assert_eq!(venue.send(get(&signed(&late))).0, 200);
    assert_eq!(code(venue.request(Method::GET, "/fapi/v1/none", "")), (404, -5000));
    assert_eq!(code(venue.request(Method::PATCH, "/fapi/v1/order", "")), (404, -5000));
    let long =
        venue.request(Method::POST, "/fapi/v1/order", "").body("a".repeat(BODY_BYTES_MAX + 1));
    assert_eq!(code(long), (413, -1130));
    let huge = ORDER.replace("0.010", "1000000000000000000000000000000");
    assert_eq!(venue.ask(Method::POST, "/fapi/v1/order", &huge).1["code"], -4005);
}

#[test]
fn order_counts_and_acks_are_told() {
    let venue = Venue::open();
    let request = venue.request(Method::POST, "/fapi/v1/order", &signed(&timed(ORDER)));
    let headers = venue.runtime.block_on(async { request.send().await.unwrap() }).headers().clone();
    assert_eq!(headers["x-mbx-order-count-10s"], "1");
    assert_eq!(headers["x-mbx-order-count-1m"], "1");
    let stop = ORDER.replace("LIMIT", "STOP_MARKET");
    assert_eq!(venue.ask(Method::POST, "/fapi/v1/order", &stop).1["code"], -4120);
}

#[test]
fn a_refusal_of_the_ledger_is_no_margin_and_silence_is_no_refusal() {
    let mut venue = Venue::open();
    let url = format!("http://{}/fapi/v1/order?{}", venue.address, signed(&timed(ORDER)));
    let poor = Http::new().post(url).header("X-MBX-APIKEY", POOR_KEY);
    let (status, error) = venue.send(poor);
    assert_eq!((status, &error["code"]), (400, &json!(-2019)));

    let disk = venue.shard.take().unwrap().disk.clone();
    let silent =
        World { weather: Weather { lost: 100, ..Weather::default() }, ..venue.world.clone() };
    venue.shard = Some(FakeNode::start(&silent, ShardId(1), 2, disk));
    while venue.link.status().shard(ShardId(1)).unwrap().incarnation != 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (status, error) = venue.ask(Method::POST, "/fapi/v1/order", ORDER);
    assert_eq!(status, 503);
    assert_eq!(error["msg"], "Unknown error, please check your request or try again later.");
}

#[test]
fn no_bytes_take_the_gateway_down() {
    let venue = Venue::open();
    let full = std::env::var_os("EXCHANGE_FULL").is_some();
    let mut runner = TestRunner::new(Cases {
        cases: if full { 20_000 } else { 300 },
        failure_persistence: None,
        ..Cases::default()
    });
    let line = "POST /fapi/v1/order?symbol=BTCUSDT&signature=00 HTTP/1.1\r\nHost: x\r\n\
        X-MBX-APIKEY: traderkeytraderkey\r\nContent-Length: 20\r\n\r\n";
    let mutated = (any::<Vec<(usize, u8)>>(), any::<Vec<u8>>()).prop_map(move |(changes, body)| {
        let mut bytes = line.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.extend(body);
        bytes
    });
    let bytes = prop_oneof![any::<Vec<u8>>(), mutated];
    runner
        .run(&bytes, |bytes| {
            venue.runtime.block_on(async {
                let mut stream = TcpStream::connect(venue.address).await.unwrap();
                // The gateway may hang up at any byte; what counts is that it lives on.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                let wrong = answer.starts_with(b"HTTP/1.1 5");
                prop_assert!(!wrong, "{}", String::from_utf8_lossy(&answer));
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(venue.send(venue.request(Method::GET, "/fapi/v1/ping", "")).0, 200);
}
