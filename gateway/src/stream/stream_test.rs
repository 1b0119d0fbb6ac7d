//! Streams over real sockets: every form of address, every event, every limit.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::{
    hub::{Ask as SocketAsk, Line, Why},
    name::Topic,
    socket,
};
use crate::{
    stage::{KEY, Stage, check_shape},
    views::accounts::sample::Ask,
};

pub(super) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn open(stage: &Stage, path: &str) -> Self {
        let url = format!("ws://{}{path}", stage.address);
        Self(connect_async(url).await.unwrap().0)
    }

    async fn say(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    /// The next text; fails when none comes.
    pub async fn hear(&mut self) -> Value {
        loop {
            let message = timeout(Duration::from_secs(10), self.0.next()).await;
            match message.expect("nothing came").expect("it ended").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn subscribe(&mut self, names: &[&str]) -> Value {
        self.say(&json!({ "method": "SUBSCRIBE", "params": names, "id": "x-1" })).await;
        self.hear().await
    }

    /// The frame that closes the connection.
    async fn closed(&mut self) -> CloseFrame {
        loop {
            let message = timeout(Duration::from_secs(10), self.0.next()).await;
            match message.expect("nothing came").expect("it ended without a word") {
                Ok(Message::Close(frame)) => return frame.expect("a reason"),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// An order on each side of a book, a trade between them, and a mark.
fn round(step: u16) -> Vec<Ask> {
    vec![
        (0, 0, 0, step % 500, 100),
        (0, 1, 2, 19_000 - step % 500, 100),
        (12, 0, 0, 10_000 + step, 0),
        (3, 0, 0, 1, 0),
        (3, 0, 0, 0, 1),
    ]
}

#[tokio::test]
async fn every_stream_tells_its_event() {
    let mut stage = Stage::open().await;
    (0..20).for_each(|step| stage.play(&round(step)));
    let kline = json!({"t":"int","T":"int","s":"string","i":"string","f":"int","L":"int",
        "o":"string","c":"string","h":"string","l":"string","v":"string","n":"int","x":"bool",
        "q":"string","V":"string","Q":"string","B":"string"});
    let depth = json!({"e":"string","E":"int","T":"int","s":"string","U":"int","u":"int",
        "pu":"int"});
    let mark = json!({"e":"string","E":"int","s":"string","p":"string","ap":"string",
        "P":"string","i":"string","r":"string","T":"int"});
    let mini = json!({"e":"string","E":"int","s":"string","c":"string","o":"string",
        "h":"string","l":"string","v":"string","q":"string"});
    let day = json!({"e":"string","E":"int","s":"string","p":"string","P":"string","w":"string",
        "c":"string","Q":"string","o":"string","h":"string","l":"string","v":"string",
        "q":"string","O":"int","C":"int","F":"int","L":"int","n":"int"});
    let best = json!({"e":"string","u":"int","E":"int","T":"int","s":"string","b":"string",
        "B":"string","a":"string","A":"string"});
    for (name, template) in [
        (
            "btcusdt@trade",
            json!({"e":"string","E":"int","T":"int","s":"string","t":"int","p":"string",
                "q":"string","X":"string","m":"bool"}),
        ),
        (
            "btcusdt@aggTrade",
            json!({"e":"string","E":"int","s":"string","a":"int","p":"string","q":"string",
                "nq":"string","f":"int","l":"int","T":"int","m":"bool"}),
        ),
        ("btcusdt@depth", depth.clone()),
        ("btcusdt@depth@100ms", depth.clone()),
        ("btcusdt@depth@500ms", depth.clone()),
        ("btcusdt@depth5", depth.clone()),
        ("btcusdt@depth10@100ms", depth.clone()),
        ("btcusdt@depth20@500ms", depth),
        ("btcusdt@bookTicker", best.clone()),
        ("!bookTicker", best),
        ("btcusdt@markPrice", mark.clone()),
        ("btcusdt@markPrice@1s", mark.clone()),
        ("!markPrice@arr@1s", json!([mark])),
        ("btcusdt@kline_1m", json!({"e":"string","E":"int","s":"string","k":kline})),
        (
            "btcusdt_perpetual@continuousKline_1h",
            json!({"e":"string","E":"int","ps":"string","ct":"string","k":{"t":"int"}}),
        ),
        ("btcusdt@miniTicker", mini.clone()),
        ("!miniTicker@arr", json!([mini])),
        ("btcusdt@ticker", day.clone()),
        ("!ticker@arr", json!([day])),
    ] {
        let mut client = Client::open(&stage, "/ws").await;
        assert_eq!(
            client.subscribe(&[name]).await,
            json!({ "result": null, "id": "x-1" }),
            "{name}"
        );
        let event = loop {
            stage.play(&round(7));
            let heard = timeout(Duration::from_millis(200), client.hear()).await;
            if let Ok(event) = heard {
                break event;
            }
        };
        check_shape(&event, &template, name);
    }
}

#[tokio::test]
async fn every_address_form_works() {
    let mut stage = Stage::open().await;
    for prefix in ["", "/public", "/market", "/private"] {
        for (path, name, combined) in [
            ("/ws/btcusdt@bookTicker", "btcusdt@bookTicker", false),
            ("/ws/BTCUSDT@bookTicker/btcusdt@forceOrder", "BTCUSDT@bookTicker", false),
            ("/ws", "btcusdt@bookTicker", false),
            ("/ws/0", "btcusdt@bookTicker", false),
            ("/stream", "btcusdt@bookTicker", true),
            ("/stream?streams=!forceOrder@arr/btcusdt@bookTicker", "btcusdt@bookTicker", true),
        ] {
            let mut client = Client::open(&stage, &format!("{prefix}{path}")).await;
            let told = client.subscribe(&["btcusdt@forceOrder"]).await;
            assert_eq!(told, json!({ "result": null, "id": "x-1" }));
            if !path.contains('@') {
                client.subscribe(&[name]).await;
            }
            client.say(&json!({ "method": "LIST_SUBSCRIPTIONS", "id": 7 })).await;
            let list = client.hear().await;
            assert_eq!(list["id"], 7);
            assert!(list["result"].as_array().unwrap().contains(&json!(name)), "{path}: {list}");
            let event = loop {
                stage.play(&round(3));
                if let Ok(event) = timeout(Duration::from_millis(200), client.hear()).await {
                    break event;
                }
            };
            let data = if combined {
                assert_eq!(event["stream"], name);
                &event["data"]
            } else {
                &event
            };
            assert_eq!(data["e"], "bookTicker", "{path}");
        }
    }
}

#[tokio::test]
async fn depth_events_chain_on_a_snapshot() {
    let mut stage = Stage::open().await;
    stage.play(&round(1));
    let mut client = Client::open(&stage, "/public/ws/1").await;
    client.subscribe(&["btcusdt@depth@100ms"]).await;
    let (_, snapshot) = stage.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000").await;
    let mut last = snapshot["lastUpdateId"].as_u64().unwrap();
    let mut book = std::collections::BTreeMap::new();
    let mut take = |side: &str, rows: &Value| {
        for row in rows.as_array().unwrap() {
            let key = (side.to_owned(), row[0].as_str().unwrap().to_owned());
            let qty = row[1].as_str().unwrap().to_owned();
            if qty == "0.000" {
                book.remove(&key)
            } else {
                book.insert(key, qty)
            };
        }
    };
    take("b", &snapshot["bids"]);
    take("a", &snapshot["asks"]);
    let mut chained = None;
    for step in 0..6 {
        stage.play(&round(step * 13));
        let event = client.hear().await;
        let (first, end) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        match chained {
            Some(previous) => assert_eq!(event["pu"], json!(previous)),
            None => assert!(first <= last + 1 && last <= end, "{event} after {last}"),
        }
        chained = Some(end);
        last = end;
        take("b", &event["b"]);
        take("a", &event["a"]);
    }
    let (_, now) = stage.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000").await;
    assert_eq!(now["lastUpdateId"], json!(last));
    let rows = now["bids"].as_array().unwrap().len() + now["asks"].as_array().unwrap().len();
    assert_eq!(book.len(), rows);
    for (side, rows) in [("b", &now["bids"]), ("a", &now["asks"])] {
        for row in rows.as_array().unwrap() {
            let key = (side.to_owned(), row[0].as_str().unwrap().to_owned());
            assert_eq!(book.get(&key).map(String::as_str), row[1].as_str());
        }
    }
}

#[tokio::test]
async fn an_account_hears_of_itself_while_its_key_lives() {
    let mut stage = Stage::open().await;
    let keyed = |request: reqwest::RequestBuilder| request.header("X-MBX-APIKEY", KEY);
    let http = reqwest::Client::new();
    let url = stage.url("/fapi/v1/listenKey");
    let (status, made) = stage.send(keyed(http.put(&url))).await;
    assert_eq!((status, &made["code"]), (400, &json!(-1125)));
    let (_, made) = stage.send(keyed(http.post(&url))).await;
    let key = made["listenKey"].as_str().unwrap().to_owned();
    assert_eq!(stage.send(keyed(http.put(&url))).await, (200, made.clone()));
    assert_eq!(stage.send(keyed(http.post(&url).body("listenKey=x"))).await, (200, made));

    let mut clients = Vec::new();
    for path in [
        format!("/private/ws?listenKey={key}"),
        format!("/ws/{key}"),
        format!("/stream?streams={key}"),
    ] {
        clients.push(Client::open(&stage, &path).await);
    }
    let mut late = Client::open(&stage, "/private/stream").await;
    assert_eq!(late.subscribe(&[&key]).await["result"], Value::Null);
    clients.push(late);
    for client in &mut clients {
        client.say(&json!({ "method": "LIST_SUBSCRIPTIONS", "id": 1 })).await;
        assert_eq!(client.hear().await, json!({ "result": [&key], "id": 1 }));
    }
    // account 1 places, so its owner hears of a new order
    stage.play(&[(0, 0, 0, 5, 5)]);
    let order: Value = serde_json::from_str(
        r#"{"e":"string","E":"int","T":"int","o":{"s":"string","c":"string",
        "S":"string","o":"string","f":"string","q":"string","p":"string","ap":"string",
        "sp":"string","x":"string","X":"string","i":"int","l":"string","z":"string","L":"string",
        "N":"string","n":"string","T":"int","t":"int","b":"string","a":"string","m":"bool",
        "R":"bool","wt":"string","ot":"string","ps":"string","cp":"bool","AP":"string",
        "cr":"string","rp":"string","pP":"bool","si":"int","ss":"int","V":"string","pm":"string",
        "gtd":"int","er":"string"}}"#,
    )
    .unwrap();
    for (at, client) in clients.iter_mut().enumerate() {
        let event = client.hear().await;
        let data = if at < 2 { &event } else { &event["data"] };
        if at >= 2 {
            assert_eq!(event["stream"], json!(key));
        }
        check_shape(data, &order, "order");
        assert_eq!((&data["e"], &data["o"]["x"]), (&json!("ORDER_TRADE_UPDATE"), &json!("NEW")));
    }
    assert_eq!(stage.send(keyed(http.delete(&url))).await, (200, json!({})));
    let end = clients[0].hear().await;
    assert_eq!((&end["e"], &end["listenKey"]), (&json!("listenKeyExpired"), &json!(key)));
    let mut refused = Client::open(&stage, &format!("/private/ws?listenKey={key}")).await;
    assert_eq!(refused.closed().await.reason, "This listenKey does not exist.");
}

#[tokio::test]
async fn fills_are_told_as_order_account_and_lite_events() {
    let mut stage = Stage::open().await;
    let http = reqwest::Client::new();
    let post = http.post(stage.url("/fapi/v1/listenKey")).header("X-MBX-APIKEY", KEY);
    let (_, made) = stage.send(post).await;
    let key = made["listenKey"].as_str().unwrap().to_owned();
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&[&key]).await;
    let mut heard = std::collections::BTreeMap::new();
    for step in 0..40 {
        stage.play(&round(step));
    }
    while heard.len() < 3 {
        let event = client.hear().await;
        if event["o"]["x"] == "NEW" {
            continue;
        }
        heard.insert(event["e"].as_str().unwrap().to_owned(), event);
    }
    let lite = json!({"e":"string","E":"int","T":"int","s":"string","q":"string","p":"string",
        "m":"bool","c":"string","S":"string","L":"string","l":"string","t":"int","i":"int"});
    check_shape(&heard["TRADE_LITE"], &lite, "lite");
    let account = json!({"e":"string","E":"int","T":"int","a":{"m":"string",
        "B":[{"a":"string","wb":"string","cw":"string","bc":"string"}],
        "P":[{"s":"string","pa":"string","ep":"string","bep":"string","cr":"string",
            "up":"string","mt":"string","iw":"string","ps":"string","ma":"string"}]}});
    check_shape(&heard["ACCOUNT_UPDATE"], &account, "account");
    assert_eq!(heard["ORDER_TRADE_UPDATE"]["o"]["x"], "TRADE");
}

/// A cross position pays out of the wallet, so its funding tells the balance alone.
#[tokio::test]
async fn funding_is_told_with_its_reason() {
    let mut stage = Stage::open().await;
    let http = reqwest::Client::new();
    let post = http.post(stage.url("/fapi/v1/listenKey")).header("X-MBX-APIKEY", KEY);
    let (_, made) = stage.send(post).await;
    let key = made["listenKey"].as_str().unwrap().to_owned();
    for step in 0..40 {
        stage.play(&round(step));
    }
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&[&key]).await;
    // 0.0001 of whatever is held of each symbol
    stage.play(&[(19, 0, 0, 30_000, 0), (19, 0, 1, 30_000, 0)]);
    let told = client.hear().await;
    assert_eq!((&told["e"], &told["a"]["m"]), (&json!("ACCOUNT_UPDATE"), &json!("FUNDING_FEE")));
    assert_eq!(told["a"]["P"], json!([]));
    assert_ne!(told["a"]["B"][0]["bc"], "0.00000000");
}

#[tokio::test]
async fn bad_requests_are_refused_and_the_socket_lives() {
    let stage = Stage::open().await;
    let mut client = Client::open(&stage, "/ws").await;
    for (frame, code) in [
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@nothing"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":["nope@trade"],"id":1}"#, 2),
        (r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_9m"],"id":1}"#, 2),
        (r#"{"method":"HELLO","id":1}"#, 2),
        (r#"{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}"#, 1),
        ("{", 3),
    ] {
        client.0.send(Message::text(frame)).await.unwrap();
        let answer = client.hear().await;
        assert_eq!(answer["code"], json!(code), "{frame}: {answer}");
        assert!(answer["msg"].is_string());
    }
    client.say(&json!({ "method": "GET_PROPERTY", "params": ["combined"], "id": 2 })).await;
    assert_eq!(client.hear().await, json!({ "result": false, "id": 2 }));
    tokio::time::sleep(socket::MESSAGES_WINDOW).await;
    client.say(&json!({ "method": "SET_PROPERTY", "params": ["combined", true], "id": 3 })).await;
    assert_eq!(client.hear().await, json!({ "result": null, "id": 3 }));
    client.say(&json!({ "method": "GET_PROPERTY", "params": ["combined"], "id": 4 })).await;
    assert_eq!(client.hear().await, json!({ "result": true, "id": 4 }));
    client.say(&json!({ "method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 5 })).await;
    assert_eq!(client.hear().await, json!({ "result": null, "id": 5 }));
    // an address with a name that stands for nothing says so
    let mut wrong = Client::open(&stage, "/ws/btcusdt@nothing").await;
    assert_eq!(wrong.hear().await["code"], json!(2));
}

#[tokio::test]
async fn limits_close_a_connection_with_a_reason() {
    let stage = Stage::open().await;
    let mut chatty = Client::open(&stage, "/ws").await;
    for id in 0..=socket::MESSAGES_MAX {
        chatty.say(&json!({ "method": "LIST_SUBSCRIPTIONS", "id": id })).await;
    }
    assert_eq!(chatty.closed().await.reason, "too many messages");

    let mut long = Client::open(&stage, "/ws").await;
    // the write may break off when the gateway has had enough
    let _ = long.0.send(Message::text("x".repeat(socket::MESSAGE_BYTES_MAX + 1))).await;
    assert_eq!(long.closed().await.reason, "the message is too long");

    let mut huge = Client::open(&stage, "/ws").await;
    let sent = huge.0.send(Message::text("x".repeat(10 * 1024 * 1024))).await;
    let ended = timeout(Duration::from_secs(10), huge.0.next()).await.expect("it is ended");
    let refused = matches!(&ended, Some(Ok(Message::Close(_))));
    assert!(refused || sent.is_err() || matches!(ended, None | Some(Err(_))));
    let mut binary = Client::open(&stage, "/ws").await;
    binary.0.send(Message::binary(vec![0; 8])).await.unwrap();
    assert_eq!(binary.closed().await.reason, "only text is understood");

    let (status, body) = stage.get("/stream").await;
    assert_eq!((status, &body["code"]), (426, &json!(-1000)));

    let mut other = Client::open(&stage, "/ws").await;
    let names: Vec<String> = (0..=1_024).map(|at| format!("btcusdt@n{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(other.subscribe(&names).await["code"], json!(2));
    stage.app.hub.stop().await;
    assert_eq!(other.closed().await.reason, "the gateway is stopping");
}

#[tokio::test]
async fn a_reader_that_sleeps_is_dropped_and_others_hear_all() {
    const ROOM: usize = 8;
    let mut stage = Stage::open().await;
    let hub = stage.app.hub.clone();
    let open = async |room: usize| {
        let (queue, mut events) = tokio::sync::mpsc::channel(room);
        let line = Line { queue, end: std::sync::Arc::default() };
        let end = std::sync::Arc::clone(&line.end);
        let socket = hub.enter().unwrap();
        let names = vec!["btcusdt@bookTicker".to_owned()];
        let ask = SocketAsk::Open { socket, line, combined: false, names, listen_key: None };
        assert!(hub.ask(ask).await);
        // an answer says that the stream has begun
        let (id, request) = super::control::read(r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#);
        let request = request.unwrap();
        assert!(hub.ask(SocketAsk::Request { socket, id, request }).await);
        assert!(events.recv().await.is_some());
        (events, end)
    };
    let (mut unread, told) = open(ROOM).await;
    let (mut events, _) = open(10 * ROOM).await;
    for step in 0..3 * ROOM as u16 {
        // each bid is better than the last
        stage.play(&[(0, 0, 0, step, 1)]);
        let event = timeout(Duration::from_secs(10), events.recv()).await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&event).unwrap();
        assert_eq!(event["b"], format!("{}.{}0", 59_000 + step / 10, step % 10));
    }
    assert_eq!(told.told().await, Why::Slow);
    let mut left = 0;
    while unread.recv().await.is_some() {
        left += 1;
    }
    assert_eq!(left, ROOM);
}

#[test]
fn names_are_read() {
    use super::name::{NameError, parse};
    use crate::views::{
        Effects, Views,
        accounts::sample::{BTC, Toy},
    };
    let mut views = Views::default();
    for (shard, header, event) in &Toy::new().said {
        views.apply(*shard, header, event, &mut Effects::default());
    }
    let read = |name: &str| parse(name, &views.instruments);
    assert_eq!(read("btcusdt@trade"), Ok(Topic::Trade(BTC)));
    assert_eq!(read("btcusdt@depth"), read("btcusdt@depth@250ms"));
    assert_eq!(read("btcusdt@markPrice"), read("btcusdt@markPrice@3s"));
    assert_eq!(read("btcusdt@depth@1s"), Err(NameError::Variant));
    assert_eq!(read("btcusdt@kline_1M").is_ok(), read("btcusdt@kline_1y").is_err());
    assert_eq!(read("dogeusdt@trade"), Err(NameError::Symbol));
    for name in ["", "@", "btcusdt", "btcusdt@", "btcusdt@trade@x", "!x", "a@b@c@d"] {
        assert!(read(name).is_err(), "{name}");
    }
    assert_eq!(read(&"x".repeat(200)), Err(NameError::Length));
}

#[tokio::test]
async fn a_conditional_order_is_told_of_in_the_order_of_its_life() {
    let mut stage = Stage::open().await;
    let http = reqwest::Client::new();
    let post = http.post(stage.url("/fapi/v1/listenKey")).header("X-MBX-APIKEY", KEY);
    let (_, made) = stage.send(post).await;
    let key = made["listenKey"].as_str().unwrap().to_owned();
    let mut client = Client::open(&stage, "/ws").await;
    client.subscribe(&[&key]).await;
    // a stop of account 1 is listed, waits for margin, fires, and its order is cancelled;
    // a trailing one begins to trail, and is refused
    stage.play(&[
        (14, 0, 4 | 2, 1_000, 9),
        (15, 0, 0, 0, 0),
        (15, 0, 0, 0, 3),
        (7, 0, 0, 0, 0),
        (14, 0, 2, 1_000, 9),
        (15, 0, 0, 0, 1),
        (17, 0, 0, 0, 1),
    ]);
    let template = json!({"e":"string","E":"int","T":"int","o":{"caid":"string","aid":"int",
        "at":"string","o":"string","s":"string","S":"string","ps":"string","f":"string",
        "q":"string","X":"string","ai":"string","ap":"string","aq":"string","act":"string",
        "tp":"string","p":"string","V":"string","wt":"string","pm":"string","cp":"bool",
        "pP":"bool","R":"bool","tt":"int","gtd":"int","rm":"string"}});
    let mut told = Vec::new();
    while told.last().is_none_or(|(_, status)| status != "REJECTED") {
        let event = client.hear().await;
        let order = event["o"].clone();
        let name = event["e"].as_str().unwrap().to_owned();
        if name == "ALGO_UPDATE" {
            check_shape(&event, &template, "algo");
            let became = order["ai"] != "";
            assert_eq!(
                (order["act"] == "0", order["tt"] == 0),
                (!became, order["X"] == "NEW" || order["X"] == "REJECTED")
            );
            assert_eq!((&order["aq"], &order["ap"]), (&json!("0.000"), &json!("0.000")));
            assert_eq!(order["rm"] == "", order["X"] != "REJECTED");
        } else {
            assert_eq!((&order["ot"], &order["sp"]), (&json!("STOP"), &json!("59100.00")));
            assert_eq!((&order["o"], &order["wt"]), (&json!("LIMIT"), &json!("MARK_PRICE")));
            assert_eq!((&order["pP"], &order["cp"]), (&json!(true), &json!(false)));
            assert_eq!(order["c"], json!(format!("auto_{}", order["i"])));
        }
        told.push((name, order["X"].as_str().unwrap().to_owned()));
    }
    let told: Vec<_> = told.iter().map(|(e, x)| (e.as_str(), x.as_str())).collect();
    assert_eq!(
        told,
        [
            ("ALGO_UPDATE", "NEW"),
            ("ALGO_UPDATE", "TRIGGERING"),
            ("ALGO_UPDATE", "TRIGGERED"),
            ("ORDER_TRADE_UPDATE", "NEW"),
            ("ORDER_TRADE_UPDATE", "CANCELED"),
            ("ALGO_UPDATE", "FINISHED"),
            ("ALGO_UPDATE", "NEW"),
            ("ALGO_UPDATE", "REJECTED"),
        ]
    );
}
