//! The index-price feed, a process of its own: `gateway --role feed`.
//!
//! It sends each shard one frame of prices a period. The only source so far is a simulation, and
//! its name in the configuration says so. A restarted feed goes on from the last index prices in
//! the shards' logs, which it learns from a gateway.

pub mod combine;
#[cfg(test)]
mod combine_test;
mod source;
mod walk;

use std::{collections::BTreeMap, time::Duration};

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
use source::{Listed, Venue};
use walk::Walk;

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

/// Sends prices until the process is ended.
pub async fn run(config: &FeedConfig, link: &Client) -> Result<(), FeedError> {
    let bases = base_prices(config)?;
    let venue = Venue::new(&config.admin_url, &config.admin_token)?;
    let orders = link.orders();
    let mut walks: BTreeMap<String, (Listed, Walk)> = BTreeMap::new();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if walks.len() < bases.len() {
            adopt(&venue, &bases, config.seed, &mut walks).await;
        }
        if walks.is_empty() {
            sleep(RETRY).await;
            continue;
        }
        ticks.tick().await;
        for (shard, command) in frames(&mut walks) {
            send(&orders, shard, command);
        }
    }
}

/// Starts the walk of every symbol that has been listed since the last look.
async fn adopt(
    venue: &Venue,
    bases: &BTreeMap<String, i64>,
    seed: u64,
    walks: &mut BTreeMap<String, (Listed, Walk)>,
) {
    let listed = match venue.symbols().await {
        Ok(listed) => listed,
        Err(error) => return warn!(%error, "the gateway does not say what is listed"),
    };
    for (name, symbol) in listed {
        let Some(base) = bases.get(&name).filter(|_| !walks.contains_key(&name)) else { continue };
        let start = if symbol.index_e8 > 0 { symbol.index_e8 } else { *base };
        info!(symbol = name, start_e8 = start, "a simulated index price");
        let walk = Walk::new(*base, start, seed ^ u64::from(symbol.symbol.0));
        walks.insert(name, (symbol, walk));
    }
}

/// The next price of every symbol, in as few commands as they fit.
fn frames(walks: &mut BTreeMap<String, (Listed, Walk)>) -> Vec<(ShardId, Command)> {
    let mut by_shard: BTreeMap<ShardId, Vec<IndexPrice>> = BTreeMap::new();
    for (listed, walk) in walks.values_mut() {
        let row = IndexPrice { symbol: listed.symbol, _pad: [0; 6], price_e8: walk.step() };
        by_shard.entry(listed.shard).or_default().push(row);
    }
    let mut frames = Vec::new();
    for (shard, prices) in by_shard {
        for chunk in prices.chunks(INDEX_PRICES_MAX) {
            let none = IndexPrice { symbol: protocol::SymbolId::NONE, _pad: [0; 6], price_e8: 0 };
            let mut rows = [none; INDEX_PRICES_MAX];
            rows[..chunk.len()].copy_from_slice(chunk);
            let count = chunk.len() as u16;
            frames.push((shard, Command::IndexPrices(IndexPrices { count, _pad: [0; 6], rows })));
        }
    }
    frames
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
    fn one_frame_a_shard_until_it_is_full() {
        let mut walks = BTreeMap::new();
        for id in 1..=20u16 {
            let shard = ShardId(if id <= 18 { 1 } else { 2 });
            let listed = Listed { symbol: SymbolId(id), shard, index_e8: 0 };
            walks.insert(id.to_string(), (listed, Walk::new(100, 100, 1)));
        }
        let counts: Vec<(u8, u16)> = frames(&mut walks)
            .iter()
            .map(|(shard, command)| match command {
                Command::IndexPrices(prices) => (shard.0, prices.count),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(1, 16), (1, 2), (2, 2)]);
    }
}
