//! The index-price feed, a process of its own: `gateway --role feed`.
//!
//! It sends each shard one frame of prices a period. A symbol's price is a simulation, which says so
//! by its name in the configuration, or is combined of what HTTP sources say. A restarted
//! simulation goes on from the last index prices in the shards' logs, which it learns from a
//! gateway. A symbol with too few sources is not sent: the engine sees its index stay away.
//!
//! ```text
//!   walk ────────────────────┐
//!   http ─▶ fresh? ─▶ near? ─┴▶ price ─▶ one frame a shard and period
//! ```

pub mod combine;
#[cfg(test)]
mod combine_test;
mod http;
#[cfg(test)]
mod http_test;
mod source;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use protocol::{
    Command, Name, ShardId,
    command::{IndexPrice, IndexPrices},
    limits::INDEX_PRICES_MAX,
    order::SessionKind,
};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use crate::link::{self, Client, Listener, Orders, Received};
use combine::{Part, SOURCES_MAX, combine};
use http::Asked;
use source::{Listed, Venue};
use walk::Walk;

pub use http::HttpSource;

/// Two prices a second and symbol: more would keep an idle cluster awake.
const PERIOD: Duration = Duration::from_millis(500);
/// A price that could not be sent in time is worth nothing any more.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(100);

/// The `feed.toml` of a cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    pub cluster: u64,
    pub aeron_dir: std::path::PathBuf,
    /// Where nodes announce themselves and listen.
    pub channel: String,
    /// The gateway's admin listener, which knows the symbols and their last prices.
    pub admin_url: String,
    pub admin_token: String,
    /// Draws the simulated walk.
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub simulation: Vec<Simulated>,
    /// Sources in Binance's ticker format.
    #[serde(default)]
    pub http: Vec<HttpSource>,
    /// Fresh sources that a price takes at the least.
    #[serde(default = "sources_min")]
    pub sources_min: usize,
}

/// One simulated index.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    pub symbol: String,
    /// Where it starts, and what it is drawn back to: a decimal text.
    pub price: String,
}

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("the price {price:?} of {symbol} is not a positive decimal with at most 8 places")]
    Price { symbol: String, price: String },
    #[error("{symbol} stands twice among the simulated symbols")]
    Twice { symbol: String },
    #[error("{symbol} is simulated and has sources: it is one or the other")]
    Mixed { symbol: String },
    #[error("{symbol} has fewer sources than the {least} that its price takes")]
    TooFew { symbol: String, least: usize },
    #[error("there are more than {SOURCES_MAX} sources")]
    TooMany,
    #[error("the source {name}: {reason}")]
    Source { name: String, reason: &'static str },
    #[error("the HTTP client could not be made: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the link could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Transport(#[from] transport::Error),
}

/// The base prices of a configuration, checked: symbol to price in units of 1e-8.
pub fn base_prices(config: &FeedConfig) -> Result<BTreeMap<String, i64>, FeedError> {
    let mut bases = BTreeMap::new();
    for Simulated { symbol, price } in &config.simulation {
        let price_e8 = protocol::decimal::parse(price, 8).ok().filter(|p| *p > 0);
        let Some(price_e8) = price_e8 else {
            return Err(FeedError::Price { symbol: symbol.clone(), price: price.clone() });
        };
        if bases.insert(symbol.clone(), price_e8).is_some() {
            return Err(FeedError::Twice { symbol: symbol.clone() });
        }
    }
    Ok(bases)
}

/// Checks the sources, and that each symbol has enough of them.
pub fn check_sources(config: &FeedConfig) -> Result<(), FeedError> {
    let simulated: BTreeSet<&str> = config.simulation.iter().map(|s| s.symbol.as_str()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    if config.http.len() > SOURCES_MAX {
        return Err(FeedError::TooMany);
    }
    for source in &config.http {
        source.check()?;
        for symbol in source.symbols.keys() {
            if simulated.contains(symbol.as_str()) {
                return Err(FeedError::Mixed { symbol: symbol.clone() });
            }
            *counts.entry(symbol).or_default() += 1;
        }
    }
    let least = config.sources_min;
    match counts.into_iter().find(|(_, count)| *count < least) {
        Some((symbol, _)) => Err(FeedError::TooFew { symbol: symbol.to_owned(), least }),
        None => Ok(()),
    }
}

const fn sources_min() -> usize {
    1
}

/// How the feed's link speaks to the shards.
pub fn link_settings(config: &FeedConfig) -> link::client::Settings {
    link::client::Settings {
        cluster: config.cluster,
        discovery_channel: config.channel.clone(),
        egress_channel: config.channel.clone(),
        kind: SessionKind::Feed,
        name: Name::new("feed").unwrap_or_default(),
        from: link::From::Tail,
        reply_timeout: REPLY_TIMEOUT,
    }
}

/// The feed wants no events: it only speaks.
pub struct Deaf;

impl Listener for Deaf {
    fn apply(&mut self, _: &[Received]) {}
}

/// Where a symbol's price comes from.
enum Price {
    Simulated(Walk),
    /// What the sources say of it.
    Combined,
}

/// A listed symbol that this feed prices.
struct Priced {
    listed: Listed,
    price: Price,
}

/// Everything this feed asks and sends.
struct Desk {
    venue: Venue,
    bases: BTreeMap<String, i64>,
    seed: u64,
    sources: Vec<Asked>,
    sources_min: usize,
    priced: BTreeMap<String, Priced>,
}

/// Sends prices until the process is ended.
pub async fn run(config: &FeedConfig, link: &Client) -> Result<(), FeedError> {
    let sources = config.http.iter().cloned().map(HttpSource::start);
    let mut desk = Desk {
        venue: Venue::new(&config.admin_url, &config.admin_token)?,
        bases: base_prices(config)?,
        seed: config.seed,
        sources: sources.collect::<Result<_, _>>()?,
        sources_min: config.sources_min,
        priced: BTreeMap::new(),
    };
    let orders = link.orders();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if desk.waits() {
            desk.adopt().await;
        }
        if desk.priced.is_empty() {
            sleep(RETRY).await;
            continue;
        }
        ticks.tick().await;
        for (shard, command) in desk.frames(Instant::now()) {
            send(&orders, shard, command);
        }
    }
}

impl Desk {
    /// Some symbol of the configuration has not been seen listed.
    fn waits(&self) -> bool {
        let sourced = self.sources.iter().flat_map(|source| source.config.symbols.keys());
        self.bases.keys().chain(sourced).any(|symbol| !self.priced.contains_key(symbol))
    }

    /// Takes up every symbol that has been listed since the last look.
    async fn adopt(&mut self) {
        let listed = match self.venue.symbols().await {
            Ok(listed) => listed,
            Err(error) => return warn!(%error, "the gateway does not say what is listed"),
        };
        for (name, listed) in listed {
            if self.priced.contains_key(&name) {
                continue;
            }
            let price = if let Some(base) = self.bases.get(&name) {
                let start = if listed.index_e8 > 0 { listed.index_e8 } else { *base };
                info!(symbol = name, start_e8 = start, "a simulated index price");
                Price::Simulated(Walk::new(*base, start, self.seed ^ u64::from(listed.symbol.0)))
            } else if self.sources.iter().any(|it| it.config.symbols.contains_key(&name)) {
                info!(symbol = name, "an index price of sources");
                Price::Combined
            } else {
                continue;
            };
            self.priced.insert(name, Priced { listed, price });
        }
    }

    /// The prices that there are now, in as few commands as they fit.
    fn frames(&mut self, now: Instant) -> Vec<(ShardId, Command)> {
        let mut by_shard: BTreeMap<ShardId, Vec<IndexPrice>> = BTreeMap::new();
        for (name, Priced { listed, price }) in &mut self.priced {
            let price_e8 = match price {
                Price::Simulated(walk) => Some(walk.step()),
                Price::Combined => combined(&self.sources, self.sources_min, name, now),
            };
            let Some(price_e8) = price_e8 else { continue };
            let row = IndexPrice { symbol: listed.symbol, _pad: [0; 6], price_e8 };
            by_shard.entry(listed.shard).or_default().push(row);
        }
        let chunked = by_shard.iter().flat_map(|(shard, prices)| {
            prices.chunks(INDEX_PRICES_MAX).map(|chunk| (*shard, command_of(chunk)))
        });
        chunked.collect()
    }
}

/// What the sources make of a symbol, unless too few of them are fresh.
fn combined(sources: &[Asked], least: usize, symbol: &str, now: Instant) -> Option<i64> {
    let part = |source: &Asked| {
        let price_e8 = source.price_e8(symbol, now)?;
        Some(Part { price_e8, weight: source.config.weight })
    };
    let fresh: Vec<Part> = sources.iter().filter_map(part).collect();
    if fresh.len() < least {
        return None;
    }
    combine(&fresh).map(|combined| combined.price_e8)
}

fn command_of(prices: &[IndexPrice]) -> Command {
    let none = IndexPrice { symbol: protocol::SymbolId::NONE, _pad: [0; 6], price_e8: 0 };
    let mut rows = [none; INDEX_PRICES_MAX];
    rows[..prices.len()].copy_from_slice(prices);
    Command::IndexPrices(IndexPrices { count: prices.len() as u16, _pad: [0; 6], rows })
}

/// Does not wait: the next price replaces one that a shard could not take.
fn send(orders: &Orders, shard: ShardId, command: Command) {
    match orders.begin(shard, command, 0) {
        Ok(reply) => {
            tokio::spawn(async move {
                match reply.await {
                    Ok(Ok(reply)) if !reply.outcome.reject.is_none() => {
                        warn!(%shard, reject = ?reply.outcome.reject, "index prices were refused");
                    }
                    Ok(Err(error)) => warn!(%shard, %error, "index prices were not confirmed"),
                    Ok(Ok(_)) | Err(_) => {}
                }
            });
        }
        Err(error) => warn!(%shard, %error, "index prices were not sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::SymbolId;

    fn config(prices: &[(&str, &str)]) -> FeedConfig {
        let simulation = prices
            .iter()
            .map(|(s, p)| Simulated { symbol: (*s).into(), price: (*p).into() })
            .collect();
        FeedConfig {
            cluster: 1,
            aeron_dir: "aeron".into(),
            channel: "local".into(),
            admin_url: String::new(),
            admin_token: String::new(),
            seed: 0,
            simulation,
            http: Vec::new(),
            sources_min: 1,
        }
    }

    #[test]
    fn prices_are_checked_before_anything_starts() {
        assert_eq!(base_prices(&config(&[("A", "0.5")])).unwrap()["A"], 50_000_000);
        for wrong in ["0", "-1", "", "1e30", "0.000000001", "x"] {
            assert!(base_prices(&config(&[("A", wrong)])).is_err(), "{wrong}");
        }
        assert!(base_prices(&config(&[("A", "1"), ("A", "2")])).is_err());
    }

    #[test]
    fn sources_are_checked_before_anything_starts() {
        let with = |rest: &str, least| -> Result<(), String> {
            let source = format!("name = \"one\"\nurl = \"http://127.0.0.1/\"\n{rest}");
            let source = figment::Figment::new()
                .merge(<figment::providers::Toml as figment::providers::Format>::string(&source));
            let http = vec![source.extract().map_err(|error| error.to_string())?];
            let config = FeedConfig { http, sources_min: least, ..config(&[("A", "1")]) };
            check_sources(&config).map_err(|error| error.to_string())
        };
        assert_eq!(with("symbols = { B = \"BUSDT\" }", 1), Ok(()));
        for (rest, least, reason) in [
            ("symbols = { A = \"A\" }", 1, "simulated"),
            ("symbols = { B = \"B\" }", 2, "fewer sources"),
            ("symbols = {}", 1, "no symbol"),
            ("symbols = { B = \"B\" }\npoll_ms = 1", 1, "wait"),
            ("symbols = { B = \"B\" }\nweight = 1000001", 1, "weight"),
            ("symbols = { B = \"B\" }\nwait = 1", 1, "wait"),
        ] {
            let said = with(rest, least).unwrap_err();
            assert!(said.contains(reason), "{rest}: {said}");
        }
    }

    #[test]
    fn one_frame_a_shard_until_it_is_full() {
        let mut desk = Desk {
            venue: Venue::new("", "").unwrap(),
            bases: BTreeMap::new(),
            seed: 0,
            sources: Vec::new(),
            sources_min: 1,
            priced: BTreeMap::new(),
        };
        for id in 1..=20u16 {
            let shard = ShardId(if id <= 18 { 1 } else { 2 });
            let listed = Listed { symbol: SymbolId(id), shard, index_e8: 0 };
            let price = Price::Simulated(Walk::new(100, 100, 1));
            desk.priced.insert(id.to_string(), Priced { listed, price });
        }
        let counts: Vec<(u8, u16)> = desk
            .frames(Instant::now())
            .iter()
            .map(|(shard, command)| match command {
                Command::IndexPrices(prices) => (shard.0, prices.count),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(1, 16), (1, 2), (2, 2)]);
    }
}
