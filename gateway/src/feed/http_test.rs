//! Sources against a server on this machine that is right, old, wild, slow, huge, garbled or gone.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode, header},
    routing::get,
};
use tokio::{net::TcpListener, time::sleep};

use super::{
    combined,
    http::{Asked, HttpSource},
};
use crate::clock::now_ms;

const E8: i64 = 100_000_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server does when it is asked.
#[derive(Clone, Debug)]
enum Mood {
    Says(String),
    Waits,
    Floods,
    Breaks,
    Redirects,
}

/// Serves a ticker; returns its address, and what changes its mood.
async fn serve(mood: Mood) -> (String, Arc<Mutex<Mood>>) {
    let mood = Arc::new(Mutex::new(mood));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/fapi/v1/ticker/price", listener.local_addr().unwrap());
    let router = Router::new().route("/fapi/v1/ticker/price", get(answer)).with_state(mood.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, mood)
}

async fn answer(State(mood): State<Arc<Mutex<Mood>>>) -> Response<Body> {
    let mood = mood.lock().unwrap().clone();
    let response = Response::builder();
    match mood {
        Mood::Says(text) => response.body(text.into()),
        Mood::Waits => {
            sleep(Duration::from_secs(30)).await;
            response.body(futures(1_000, 0).into())
        }
        Mood::Floods => response.body(vec![b' '; 3 * 1024 * 1024].into()),
        Mood::Breaks => response.status(StatusCode::BAD_GATEWAY).body("sorry".into()),
        Mood::Redirects => {
            let there = "http://127.0.0.1:1/";
            response.status(StatusCode::FOUND).header(header::LOCATION, there).body(Body::empty())
        }
    }
    .unwrap()
}

/// As `/fapi/v1/ticker/price` says it.
fn futures(price: i64, age_ms: i64) -> String {
    let time = now_ms() - age_ms;
    format!(
        r#"[{{"symbol":"OTHER","price":"7","time":{time}}},
            {{"symbol":"BTCUSDT","price":"{price}.50","time":{time}}}]"#
    )
}

/// As `/api/v3/ticker/price?symbol=…` says it.
fn spot(price: i64) -> String {
    format!(r#"{{"symbol":"BTCUSDT","price":"{price}.50"}}"#)
}

fn source(url: &str) -> HttpSource {
    HttpSource {
        name: "test".to_owned(),
        url: url.to_owned(),
        weight: 1,
        symbols: [("BTC".to_owned(), "BTCUSDT".to_owned())].into(),
        poll_ms: 50,
        timeout_ms: 200,
        max_age_ms: 600,
    }
}

fn price(source: &Asked) -> Option<i64> {
    source.price_e8("BTC", Instant::now())
}

/// Waits until what a source says is so, as long as it takes a machine that is busy.
async fn until(what: impl Fn() -> bool) {
    let waited = Instant::now();
    while !what() {
        assert!(waited.elapsed() < PATIENCE, "it never came to be");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn both_tickers_are_read() {
    for text in [futures(1_000, 0), spot(1_000)] {
        let (url, mood) = serve(Mood::Says(text)).await;
        let asked = source(&url).start().unwrap();
        until(|| price(&asked) == Some(1_000 * E8 + E8 / 2)).await;
        assert_eq!(asked.price_e8("BTCUSDT", Instant::now()), None, "not by the name it uses");
        *mood.lock().unwrap() = Mood::Says(spot(1_001));
        until(|| price(&asked) == Some(1_001 * E8 + E8 / 2)).await;
    }
}

/// What was said before counts until it is old, and then nothing does.
#[tokio::test]
async fn a_source_that_fails_is_dropped_when_its_price_is_old() {
    let garbage = |text: &str| Mood::Says(text.to_owned());
    let nonsense = [
        r#"[{"symbol":"BTCUSDT","price":"-1"}]"#,
        r#"[{"symbol":"BTCUSDT","price":"1e30"}]"#,
        r#"[{"symbol":"BTCUSDT","price":"NaN"}]"#,
        r#"{"code":-1121,"msg":"Invalid symbol."}"#,
        r#"[{"symbol":"BTCUSDT","price":"#,
        "<html>",
        "",
    ];
    let moods = [Mood::Waits, Mood::Floods, Mood::Breaks, Mood::Redirects];
    let mut tasks = Vec::new();
    for wrong in moods.into_iter().chain(nonsense.map(garbage)) {
        tasks.push(tokio::spawn(async move {
            let (url, mood) = serve(Mood::Says(spot(1_000))).await;
            let asked = source(&url).start().unwrap();
            until(|| price(&asked).is_some()).await;
            *mood.lock().unwrap() = wrong.clone();
            let dropped = tokio::time::timeout(PATIENCE / 2, until(|| price(&asked).is_none()));
            assert!(dropped.await.is_ok(), "{wrong:?} gives {:?}", price(&asked));
            *mood.lock().unwrap() = Mood::Says(spot(1_002));
            until(|| price(&asked) == Some(1_002 * E8 + E8 / 2)).await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_source_that_repeats_an_old_price_is_dropped() {
    let (url, mood) = serve(Mood::Says(futures(1_000, 5_000))).await;
    let asked = source(&url).start().unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(price(&asked), None);
    // a clock that is ahead is no reason to refuse
    *mood.lock().unwrap() = Mood::Says(futures(1_000, -5_000));
    until(|| price(&asked).is_some()).await;
}

#[tokio::test]
async fn a_row_that_is_wrong_spoils_no_other() {
    let text = r#"[{"symbol":"X","price":null}, 7, {"symbol":"BTCUSDT","price":"9"}]"#;
    let (url, _mood) = serve(Mood::Says(text.to_owned())).await;
    let asked = source(&url).start().unwrap();
    until(|| price(&asked) == Some(9 * E8)).await;
}

/// Three sources: one turns wild, then another dies, then the last two.
#[tokio::test]
async fn sources_stand_in_for_each_other_until_too_few_are_left() {
    let mut sources = Vec::new();
    let mut moods = Vec::new();
    for at in [1_000, 1_001, 1_002] {
        let (url, mood) = serve(Mood::Says(spot(at))).await;
        sources.push(source(&url).start().unwrap());
        moods.push(mood);
    }
    let index = || combined(&sources, 2, "BTC", Instant::now());
    let half = E8 / 2;
    until(|| index() == Some(1_001 * E8 + half)).await;
    *moods[2].lock().unwrap() = Mood::Says(spot(9_000));
    until(|| index() == Some(1_000 * E8 + half + half)).await;
    *moods[2].lock().unwrap() = Mood::Breaks;
    *moods[1].lock().unwrap() = Mood::Says(spot(1_010));
    until(|| index() == Some(1_005 * E8 + half)).await;
    *moods[0].lock().unwrap() = Mood::Waits;
    until(|| index().is_none()).await;
    *moods[0].lock().unwrap() = Mood::Says(spot(1_000));
    until(|| index() == Some(1_005 * E8 + half)).await;
}

#[tokio::test]
async fn nobody_there_is_no_price() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let asked = source(&url).start().unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(price(&asked), None);
}

/// A certificate nobody has signed is not believed, and that is all: the client does speak TLS.
#[tokio::test]
async fn https_is_spoken() {
    let (url, _mood) = serve(Mood::Says(spot(1_000))).await;
    let asked = source(&url.replace("http:", "https:")).start().unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(price(&asked), None);
}
