//! A source of prices over HTTP, in the format of Binance's tickers.
//!
//! ```text
//!   GET /fapi/v1/ticker/price  ─▶ [{"symbol":"BTCUSDT","price":"60000.1","time":1700000000000}, …]
//!   GET /api/v3/ticker/price   ─▶ [{"symbol":"BTCUSDT","price":"60000.1"}, …], or one of them
//! ```
//!
//! Each source is asked by a task of its own, so that a slow one delays nobody. What it answers is
//! not trusted: its size, its time and every row are checked, and what is old counts for nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use reqwest::{Client, Url, redirect::Policy};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{FeedError, combine::WEIGHT_MAX};
use crate::clock::now_ms;

/// An answer with every symbol of a large venue is a tenth of this.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Waits that make sense, in milliseconds.
const WAIT_MS_MIN: u64 = 50;
const WAIT_MS_MAX: u64 = 60_000;

/// One source as it is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// As logs call it.
    pub name: String,
    /// Of the ticker, `http` or `https`.
    pub url: String,
    /// Against the weights of the other sources.
    #[serde(default = "weight")]
    pub weight: u32,
    /// The symbols it prices: our name to the one it uses.
    pub symbols: BTreeMap<String, String>,
    /// From one question to the next.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// How long an answer may take.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// A price that is older counts for nothing.
    #[serde(default = "max_age_ms")]
    pub max_age_ms: u64,
}

/// A price and when it was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub price_e8: i64,
    at: Instant,
}

/// The last answer of a source, by the names it uses.
pub type Quotes = BTreeMap<String, Quote>;

/// Why a source gave no prices.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
    #[error("its answer has more than {BODY_BYTES_MAX} bytes")]
    Oversized,
    #[error("its answer is no ticker: {0}")]
    Garbage(#[from] serde_json::Error),
    #[error("its answer prices none of its symbols")]
    Nothing,
}

/// A source that is being asked.
pub struct Asked {
    pub config: HttpSource,
    quotes: watch::Receiver<Quotes>,
}

#[derive(Deserialize)]
struct Ticker {
    symbol: String,
    price: String,
    /// Of the price, in milliseconds; where there is none it is as old as the answer.
    time: Option<i64>,
}

impl HttpSource {
    /// Checks what no answer could mend.
    pub fn check(&self) -> Result<(), FeedError> {
        let wrong =
            |reason: &'static str| Err(FeedError::Source { name: self.name.clone(), reason });
        let known = Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !known {
            return wrong("its url is neither http nor https");
        }
        if self.symbols.is_empty() {
            return wrong("it prices no symbol");
        }
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return wrong("its weight is outside 1 to 1000000");
        }
        let waits = [self.poll_ms, self.timeout_ms, self.max_age_ms];
        if !waits.iter().all(|wait| (WAIT_MS_MIN..=WAIT_MS_MAX).contains(wait)) {
            return wrong("a wait is outside 50 to 60000 milliseconds");
        }
        Ok(())
    }

    /// Starts to ask it; ends with the one who holds what is returned.
    pub fn start(self) -> Result<Asked, FeedError> {
        let http = Client::builder()
            .timeout(Duration::from_millis(self.timeout_ms))
            .redirect(Policy::none())
            .build()?;
        let (tell, quotes) = watch::channel(Quotes::new());
        tokio::spawn(ask_forever(http, self.clone(), tell));
        Ok(Asked { config: self, quotes })
    }

    async fn ask(&self, http: &Client) -> Result<Quotes, SourceError> {
        let mut response = http.get(&self.url).send().await?;
        if !response.status().is_success() {
            return Err(SourceError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(SourceError::Oversized);
            }
            body.extend_from_slice(&chunk);
        }
        let wanted: BTreeSet<&str> = self.symbols.values().map(String::as_str).collect();
        let quotes = read(&body, &wanted, now_ms(), Instant::now())?;
        if quotes.is_empty() { Err(SourceError::Nothing) } else { Ok(quotes) }
    }
}

impl Asked {
    /// Its price of one of our symbols, if it has a fresh one.
    pub fn price_e8(&self, symbol: &str, now: Instant) -> Option<i64> {
        let theirs = self.config.symbols.get(symbol)?;
        let quote = self.quotes.borrow().get(theirs).copied()?;
        let age = now.saturating_duration_since(quote.at);
        (age <= Duration::from_millis(self.config.max_age_ms)).then_some(quote.price_e8)
    }
}

async fn ask_forever(http: Client, source: HttpSource, tell: watch::Sender<Quotes>) {
    let mut ticks = interval(Duration::from_millis(source.poll_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = None;
    while !tell.is_closed() {
        ticks.tick().await;
        let answer = source.ask(&http).await;
        // once, not with each question
        if answered.replace(answer.is_ok()) != Some(answer.is_ok()) {
            match &answer {
                Ok(_) => info!(source = source.name, "an index source answers"),
                Err(error) => warn!(source = source.name, %error, "an index source gives nothing"),
            }
        }
        if let Ok(quotes) = answer {
            tell.send_replace(quotes);
        }
    }
}

/// The rows of an answer that are wanted and in order; one that is not spoils no other.
fn read(
    body: &[u8],
    wanted: &BTreeSet<&str>,
    now_ms: i64,
    now: Instant,
) -> Result<Quotes, serde_json::Error> {
    let rows = match serde_json::from_slice(body)? {
        Value::Array(rows) => rows,
        row => vec![row],
    };
    let quote = |row: Value| {
        let ticker = Ticker::deserialize(row).ok()?;
        let price_e8 = protocol::decimal::parse(&ticker.price, 8).ok().filter(|p| *p > 0)?;
        let age = ticker.time.map_or(0, |time| now_ms.saturating_sub(time));
        // a clock that is ahead makes no price fresher than the answer
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let at = now.checked_sub(age)?;
        wanted.contains(ticker.symbol.as_str()).then_some((ticker.symbol, Quote { price_e8, at }))
    };
    Ok(rows.into_iter().filter_map(quote).collect())
}

fn weight() -> u32 {
    1
}

fn poll_ms() -> u64 {
    1_000
}

fn timeout_ms() -> u64 {
    2_000
}

fn max_age_ms() -> u64 {
    5_000
}
