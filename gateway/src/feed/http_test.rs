//! The HTTP sources against local servers that are right, slow, huge, wrong, wild, stale or dead.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

use super::{
    board::SourceId,
    config::{HttpSource, Plan},
    http::{BODY_BYTES_MAX, Fault, Poller},
    source::{Clock, Sources},
};

const TIMEOUT_MS: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does with a request.
#[derive(Clone, Debug)]
enum Manner {
    /// This body, with status 200.
    Body(String),
    /// A status line's end, headers and no body.
    Status(&'static str),
    /// Nothing at all, for longer than anybody waits.
    Silent,
    /// A right answer, one byte at a time and never whole.
    Dripping,
    /// A body without an end.
    Endless,
    /// Half of what it announced.
    Cut,
}

/// A server on a free loopback port.
struct Server {
    url: String,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/fapi/v1/ticker/price", listener.local_addr().unwrap());
        let manner = Arc::new(Mutex::new(manner));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (now, seen) = (manner.clone(), requests.clone());
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, now.clone(), seen.clone()));
            }
        });
        Self { url, manner, requests, task }
    }

    fn set(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    fn source(&self, name: &str, weight: u32) -> HttpSource {
        HttpSource {
            name: name.into(),
            url: self.url.clone(),
            weight,
            poll_ms: 500,
            timeout_ms: TIMEOUT_MS,
            max_age_ms: 1_500,
            symbols: [("BTCUSDT".to_owned(), "XBTUSD".to_owned())].into(),
        }
    }

    fn poller(&self) -> Poller {
        Poller::new(SourceId(0), self.source("one", 1), Clock::start()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection; a client that goes away ends it.
async fn serve(mut socket: TcpStream, manner: Arc<Mutex<Manner>>, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    seen.lock().push(String::from_utf8_lossy(&request).into_owned());
    let manner = manner.lock().clone();
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
    };
    let mut say = async |text: String| socket.write_all(text.as_bytes()).await.is_ok();
    match manner {
        Manner::Body(body) => {
            say(head(body.len()) + &body).await;
        }
        Manner::Status(status) => {
            say(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        }
        Manner::Silent => sleep(PATIENCE).await,
        Manner::Dripping => {
            let mut goes_on = say(head(1_000)).await;
            while goes_on {
                sleep(Duration::from_millis(20)).await;
                goes_on = say(" ".into()).await;
            }
        }
        Manner::Endless => {
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
            let mut goes_on = say(chunked).await;
            while goes_on {
                goes_on = say(chunk.clone()).await;
            }
        }
        Manner::Cut => {
            say(head(1_000) + "[{\"symbol\":\"XBTUSD\",").await;
        }
    }
}

fn ticker(price: &str) -> Manner {
    Manner::Body(format!(r#"{{"symbol":"XBTUSD","price":"{price}"}}"#))
}

fn ticker_at(price: &str, time: i64) -> Manner {
    Manner::Body(format!(r#"{{"symbol":"XBTUSD","price":"{price}","time":{time}}}"#))
}

async fn fault(manner: Manner) -> Fault {
    let server = Server::start(manner).await;
    server.poller().ask().await.expect_err("it is wrong")
}

#[tokio::test]
async fn an_answer_gives_prices_by_our_symbols() {
    let body = r#"[{"symbol":"ETHUSD","price":"1"},{"symbol":"XBTUSD","price":"60000.125"}]"#;
    let server = Server::start(Manner::Body(body.into())).await;
    let (prices, fault) = server.poller().ask().await.unwrap();
    assert_eq!(prices.len(), 1);
    assert_eq!((prices[0].0.as_str(), prices[0].1.price_e8), ("BTCUSDT", 6_000_012_500_000));
    assert!(fault.is_none());
    assert!(server.requests.lock()[0].starts_with("GET /fapi/v1/ticker/price HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_price_is_as_old_as_its_request_or_as_its_time() {
    let server = Server::start(ticker("1")).await;
    let clock = Clock::start();
    let poller = Poller::new(SourceId(0), server.source("one", 1), clock).unwrap();
    let before_ms = clock.now_ms();
    let at_ms = async || poller.ask().await.unwrap().0[0].1.at_ms;
    assert!((before_ms..=clock.now_ms()).contains(&at_ms().await));
    let wall_ms = crate::clock::now_ms();
    server.set(ticker_at("1", wall_ms - 60_000));
    assert!(at_ms().await <= clock.now_ms() - 60_000);
    // a clock that goes before ours makes nothing younger than it is
    server.set(ticker_at("1", wall_ms + 60_000));
    assert!(at_ms().await <= clock.now_ms());
    for time in [i64::MIN, i64::MAX] {
        server.set(ticker_at("1", time));
        assert!(at_ms().await <= clock.now_ms());
    }
}

#[tokio::test]
async fn every_way_to_fail_has_its_name() {
    assert!(matches!(fault(Manner::Silent).await, Fault::Slow(TIMEOUT_MS)));
    assert!(matches!(fault(Manner::Dripping).await, Fault::Slow(TIMEOUT_MS)));
    assert!(matches!(fault(Manner::Cut).await, Fault::Broken(_)));
    assert!(matches!(fault(Manner::Body("<html>".into())).await, Fault::Garbage(_)));
    assert!(matches!(fault(Manner::Status("503 Busy")).await, Fault::Status(503)));
    let redirect = "302 Found\r\nlocation: http://127.0.0.1:1/";
    assert!(matches!(fault(Manner::Status(redirect)).await, Fault::Status(302)));

    let wait = |fault| match fault {
        Fault::Throttled(wait) => wait.as_secs(),
        other => panic!("{other}"),
    };
    let patience = "429 Too Many Requests\r\nretry-after: 7";
    assert_eq!(wait(fault(Manner::Status(patience)).await), 7);
    assert_eq!(wait(fault(Manner::Status("418 I'm a teapot")).await), 60);
    let forever = "418 I'm a teapot\r\nretry-after: 999999999";
    assert_eq!(wait(fault(Manner::Status(forever)).await), 3_600);

    let server = Server::start(Manner::Silent).await;
    let poller = server.poller();
    drop(server);
    sleep(Duration::from_millis(50)).await;
    let dead = poller.ask().await.expect_err("nobody listens");
    assert!(matches!(dead, Fault::Unreachable(_)), "{dead}");
    assert!(dead.to_string().contains("refused"), "{dead}");
}

#[tokio::test]
async fn no_more_is_read_than_the_limit() {
    let server = Server::start(Manner::Endless).await;
    let mut source = server.source("one", 1);
    source.timeout_ms = 20_000;
    let poller = Poller::new(SourceId(0), source, Clock::start()).unwrap();
    assert!(matches!(poller.ask().await.expect_err("it is huge"), Fault::Huge));
    let padding = " ".repeat(BODY_BYTES_MAX);
    server.set(Manner::Body(format!(r#"{{"symbol":"XBTUSD","price":"1"}}{padding}"#)));
    assert!(matches!(poller.ask().await.expect_err("it is too long"), Fault::Huge));
    let padding = " ".repeat(BODY_BYTES_MAX - 100);
    server.set(Manner::Body(format!(r#"{{"symbol":"XBTUSD","price":"1"}}{padding}"#)));
    assert_eq!(poller.ask().await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn a_price_that_is_none_does_not_spoil_the_others() {
    let body = r#"[{"symbol":"C","price":null},7,{"symbol":"A","price":"2.5"},{"symbol":"B","price":"-1"}]"#;
    let server = Server::start(Manner::Body(body.into())).await;
    let mut source = server.source("one", 1);
    source.symbols = ["A", "B", "C"].map(|s| (s.to_owned(), s.to_owned())).into();
    let poller = Poller::new(SourceId(0), source, Clock::start()).unwrap();
    let (prices, fault) = poller.ask().await.unwrap();
    assert_eq!(prices.iter().map(|(s, _)| s.as_str()).collect::<Vec<_>>(), ["A"]);
    assert_eq!(fault.unwrap().to_string(), "the answer has no usable price of B, C");
    for wrong in ["0", "", "NaN", "1e400", "0.000000001", "99999999999999"] {
        server.set(Manner::Body(format!(r#"[{{"symbol":"A","price":"{wrong}"}}]"#)));
        assert!(poller.ask().await.unwrap().0.is_empty(), "{wrong}");
    }
}

#[tokio::test]
async fn https_speaks_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::start(Manner::Silent).await;
    let source = HttpSource {
        url: format!("https://localhost:{port}/api/v3/ticker/price"),
        timeout_ms: 5_000,
        ..server.source("one", 1)
    };
    let poller = Poller::new(SourceId(0), source, Clock::start()).unwrap();
    let greeting = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut greeting = vec![0; 5];
        socket.read_exact(&mut greeting).await.unwrap();
        let length = usize::from(u16::from_be_bytes([greeting[3], greeting[4]]));
        greeting.resize(5 + length, 0);
        socket.read_exact(&mut greeting[5..]).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        greeting
    });
    let fault = poller.ask().await.expect_err("the server speaks no TLS");
    assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
    // a handshake record with a ClientHello that names the host
    let greeting = greeting.await.unwrap();
    assert_eq!((greeting[0], greeting[1], greeting[5]), (22, 3, 1));
    assert!(greeting.windows(9).any(|bytes| bytes == b"localhost"));
}

/// Waits until BTCUSDT has that index, or none.
async fn settle(sources: &mut Sources, expected: Option<i64>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let indices: BTreeMap<String, i64> = sources.indices().unwrap().into_iter().collect();
        let found = indices.get("BTCUSDT").map(|price_e8| price_e8 / 1_000_000);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {expected:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Prices are hundredths in here: three sources of weight 1, 1 and 2 at 100, 101 and 102.
#[tokio::test]
async fn sources_stand_in_for_each_other_until_too_few_are_left() {
    let servers = [ticker("100"), ticker("101"), ticker("102")]
        .map(async |manner| Server::start(manner).await);
    let [one, two, three] = servers;
    let (one, two, three) = (one.await, two.await, three.await);
    let http = vec![one.source("one", 1), two.source("two", 1), three.source("three", 2)];
    let plan = Plan { sources_min: 2, seed: 0, bases: BTreeMap::new(), http };
    let mut sources = Sources::start(&plan).unwrap();
    settle(&mut sources, Some(10_125)).await;

    // wild, and back
    three.set(ticker("200"));
    settle(&mut sources, Some(10_050)).await;
    three.set(ticker("102"));
    settle(&mut sources, Some(10_125)).await;

    // stale by its own word, slow, huge, garbage: each is dropped, and comes back
    let stale = ticker_at("102", crate::clock::now_ms() - 60_000);
    for manner in [stale, Manner::Silent, Manner::Endless, Manner::Body("{}".into())] {
        three.set(manner);
        settle(&mut sources, Some(10_050)).await;
        three.set(ticker("102"));
        settle(&mut sources, Some(10_125)).await;
    }

    // two are wild: the median
    one.set(ticker("10"));
    three.set(ticker("1000"));
    settle(&mut sources, Some(10_100)).await;

    // dead for good: with one left, there is no index
    drop((one, three));
    settle(&mut sources, None).await;
    drop(two);
}

#[tokio::test]
async fn a_server_is_asked_once_a_period_and_left_alone_when_it_says_so() {
    let (fine, strict) = (Server::start(ticker("1")).await, Server::start(ticker("1")).await);
    strict.set(Manner::Status("429 Too Many Requests\r\nretry-after: 60"));
    let http = vec![fine.source("fine", 1), strict.source("strict", 1)];
    let plan = Plan { sources_min: 1, seed: 0, bases: BTreeMap::new(), http };
    let _sources = Sources::start(&plan).unwrap();
    sleep(Duration::from_millis(1_800)).await;
    let asked = fine.requests.lock().len();
    assert!((2..=4).contains(&asked), "{asked}");
    assert_eq!(strict.requests.lock().len(), 1);
}
