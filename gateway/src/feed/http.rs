//! A source that is asked by HTTP, over and over, for ticker prices.
//!
//! The server is not trusted: an answer has a largest size, a whole request a longest time,
//! redirects are not followed, and a server that fails or asks for patience is asked less often.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, time::Duration};

use protocol::decimal;
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER, redirect::Policy};
use tokio::{sync::mpsc::Sender, time::sleep};
use tracing::{info, warn};

use super::{
    announced::Announced,
    board::{Quote, SourceId},
    config::HttpSource,
    source::{Clock, Prices},
    ticker::{self, Ticker},
};

/// Every symbol of a large venue is a tenth of this.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The pause after a failure doubles up to this (or is one period, if that is longer).
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long a server is left alone that says "too often" and not for how long.
const THROTTLED: Duration = Duration::from_secs(60);
const THROTTLED_MAX: Duration = Duration::from_secs(3_600);
/// What Binance says to those who went on after "too often".
const BANNED: u16 = 418;
/// Symbols that one line of the log names.
const NAMED_MAX: usize = 8;

/// Why a source gave no price, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("no whole answer within {0} ms")]
    Slow(u64),
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error("answered with status {0}")]
    Status(u16),
    #[error("asked too often, has to be left alone for {} s", .0.as_secs())]
    Throttled(Duration),
    #[error("the answer is larger than {BODY_BYTES_MAX} bytes")]
    Huge,
    #[error("the answer is no ticker: {0}")]
    Garbage(#[from] serde_json::Error),
    #[error("the answer has no usable price of {0}")]
    Lacking(String),
}

/// What an answer was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Whole,
    /// Some of the symbols were there.
    Partial,
    Dead,
}

/// Asks one server.
pub struct Poller {
    id: SourceId,
    source: HttpSource,
    clock: Clock,
    http: Client,
}

impl Poller {
    pub fn new(id: SourceId, source: HttpSource, clock: Clock) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .timeout(Duration::from_millis(source.timeout_ms))
            .redirect(Policy::none())
            .user_agent("exchange-feed")
            .build()?;
        Ok(Self { id, source, clock, http })
    }

    /// Asks until nobody takes the prices any more.
    pub async fn run(self, out: Sender<Prices>) {
        let period = Duration::from_millis(self.source.poll_ms);
        let mut health = None;
        let mut failures: u32 = 0;
        loop {
            let asked = tokio::time::Instant::now();
            let (prices, fault) =
                self.ask().await.unwrap_or_else(|fault| (Vec::new(), Some(fault)));
            let now = match &fault {
                None => Health::Whole,
                Some(_) if prices.is_empty() => Health::Dead,
                Some(_) => Health::Partial,
            };
            failures = if now == Health::Dead { failures.saturating_add(1) } else { 0 };
            let pause = pause(period, failures, fault.as_ref());
            self.tell(&mut health, now, fault);
            if !prices.is_empty() && out.send(Prices { source: self.id, prices }).await.is_err() {
                return;
            }
            sleep(pause.saturating_sub(asked.elapsed())).await;
        }
    }

    /// The prices of one answer, and what is wrong with it if not everything is right.
    pub async fn ask(&self) -> Result<(Vec<(String, Quote)>, Option<Fault>), Fault> {
        // a price is as old as its request, however long the answer took
        let (asked_ms, wall_ms) = (self.clock.now_ms(), crate::clock::now_ms());
        let answer = self.http.get(&self.source.url).send().await;
        let response = self.judge(answer.map_err(|e| self.fault(e, Fault::Unreachable))?)?;
        let tickers = ticker::parse(&self.body(response).await?)?;
        let theirs: BTreeMap<&str, &Ticker> =
            tickers.iter().map(|ticker| (ticker.symbol.as_str(), ticker)).collect();
        let (mut prices, mut lacking) = (Vec::new(), Vec::new());
        for (ours, name) in &self.source.symbols {
            let ticker = theirs.get(name.as_str());
            match ticker.and_then(|ticker| Some((ticker, positive_e8(&ticker.price)?))) {
                Some((ticker, price_e8)) => {
                    let age_ms = ticker.time.map_or(0, |time| wall_ms.saturating_sub(time).max(0));
                    let at_ms = asked_ms.saturating_sub(age_ms);
                    prices.push((ours.clone(), Quote { price_e8, at_ms }));
                }
                None => lacking.push(name.as_str()),
            }
        }
        let fault = (!lacking.is_empty()).then(|| Fault::Lacking(named(&lacking)));
        Ok((prices, fault))
    }

    fn judge(&self, response: Response) -> Result<Response, Fault> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        if status != StatusCode::TOO_MANY_REQUESTS && status.as_u16() != BANNED {
            return Err(Fault::Status(status.as_u16()));
        }
        let after = response.headers().get(RETRY_AFTER);
        let seconds = after.and_then(|text| text.to_str().ok()?.trim().parse().ok());
        let wait = seconds.map_or(THROTTLED, Duration::from_secs);
        Err(Fault::Throttled(wait.min(THROTTLED_MAX)))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.fault(e, Fault::Broken))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Fault::Huge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn fault(&self, error: reqwest::Error, other: fn(String) -> Fault) -> Fault {
        if error.is_timeout() {
            return Fault::Slow(self.source.timeout_ms);
        }
        // an address may carry a key, and does not belong into a log
        other(causes(&error.without_url()))
    }

    fn tell(&self, health: &mut Option<Announced<Health>>, now: Health, fault: Option<Fault>) {
        let now_ms = self.clock.now_ms();
        // whatever it is at first is news
        let is_first = health.is_none();
        let health = health.get_or_insert_with(|| Announced::new(now));
        if !health.is_news(now, now_ms) && !is_first {
            return;
        }
        let source = &self.source.name;
        match (now, fault) {
            (Health::Partial, Some(fault)) => {
                warn!(source, %fault, "a price source lacks symbols");
            }
            (Health::Dead, Some(fault)) => warn!(source, %fault, "a price source gives nothing"),
            (_, Some(_)) | (_, None) => info!(source, "a price source answers"),
        }
    }
}

/// From one request to the next.
fn pause(period: Duration, failures: u32, fault: Option<&Fault>) -> Duration {
    match fault {
        Some(Fault::Throttled(wait)) => period.max(*wait),
        _ if failures <= 1 => period,
        _ => period.saturating_mul(1 << (failures - 1).min(8)).min(BACKOFF_MAX.max(period)),
    }
}

fn positive_e8(price: &str) -> Option<i64> {
    decimal::parse(price, 8).ok().filter(|price_e8| *price_e8 > 0)
}

fn named(symbols: &[&str]) -> String {
    let mut text = symbols[..symbols.len().min(NAMED_MAX)].join(", ");
    if symbols.len() > NAMED_MAX {
        let _ = write!(text, " and {} more", symbols.len() - NAMED_MAX);
    }
    text
}

/// An error with what caused it: the first alone often says only that a request failed.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_asked_less_often() {
        let period = Duration::from_secs(1);
        let pauses: Vec<u64> = (0..6).map(|n| pause(period, n, None).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 5, 5]);
        assert_eq!(pause(period * 20, 9, None), period * 20);
        assert_eq!(pause(period, u32::MAX, None), BACKOFF_MAX);
        let throttled = Fault::Throttled(Duration::from_secs(30));
        assert_eq!(pause(period, 1, Some(&throttled)).as_secs(), 30);
    }

    #[test]
    fn a_line_of_the_log_stays_short() {
        assert_eq!(named(&["A", "B"]), "A, B");
        assert_eq!(named(&["A"; 10]), "A, A, A, A, A, A, A, A and 2 more");
    }
}
