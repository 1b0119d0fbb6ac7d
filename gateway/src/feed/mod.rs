//! The index-price feed, a process of its own: `gateway --role feed`.
//!
//! It sends each shard one frame of prices a period. A symbol's index is simulated, and then
//! its table in the configuration is named so, or combined from real sources. A restarted feed
//! goes on from the last simulated prices in the shards' logs, which it learns from a gateway; so
//! does one whose configuration is written anew, as when a symbol is listed.

mod announced;
pub mod board;
#[cfg(test)]
mod board_test;
pub mod combine;
#[cfg(test)]
mod combine_test;
pub mod config;
pub mod http;
#[cfg(test)]
mod http_test;
pub mod source;
mod ticker;
mod venue;
mod walk;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use protocol::{
    Command, Name, ShardId,
    command::{IndexPrice, IndexPrices},
    limits::INDEX_PRICES_MAX,
    order::SessionKind,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use crate::link::{self, Client, Listener, Orders, Received};
pub use config::{FeedConfig, Plan};
use source::Sources;
use venue::{Listed, Venue};
use walk::Walk;
use watched::Watched;

/// Two prices a second and symbol: more would keep an idle cluster awake.
const PERIOD: Duration = Duration::from_millis(500);
/// A price that could not be sent in time is worth nothing any more.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(100);
/// How often the gateway is asked for symbols that are not listed yet, once some are.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("the price {price:?} of {symbol} is not a positive decimal with at most 8 places")]
    Price { symbol: String, price: String },
    #[error("{symbol} stands twice among the simulated symbols")]
    Twice { symbol: String },
    #[error("{what}: {reason}")]
    Config { what: String, reason: String },
    #[error("the HTTP client could not be made: {0}")]
    Http(#[from] reqwest::Error),
    #[error("a source's task has ended")]
    SourceEnded,
    #[error("the link could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error(transparent)]
    Transport(#[from] transport::Error),
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

/// Sends prices until the process is ended, of what its file names at the time.
pub async fn run(
    config: &FeedConfig,
    plan: Plan,
    path: &Path,
    link: &Client,
) -> Result<(), FeedError> {
    let mut file = Watched::new(path);
    let mut sources = Sources::start(&plan)?;
    let mut market = Market::new(plan, Venue::new(&config.admin_url, &config.admin_token)?);
    let orders = link.orders();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(plan) = file.change() {
            sources = Sources::start(&plan)?;
            market = Market::new(plan, market.venue);
        }
        market.look().await;
        if market.listed.is_empty() {
            sleep(RETRY).await;
            continue;
        }
        ticks.tick().await;
        let mut indices = sources.indices()?;
        indices.extend(market.walk());
        for (shard, command) in frames(&market.prices(indices)) {
            send(&orders, shard, command);
        }
    }
}

/// The symbols of a plan that are listed, and the walks of those that are simulated.
struct Market {
    plan: Plan,
    venue: Venue,
    listed: BTreeMap<String, Listed>,
    walks: BTreeMap<String, Walk>,
    missing: BTreeSet<String>,
    looked: Option<Instant>,
}

impl Market {
    fn new(plan: Plan, venue: Venue) -> Self {
        let missing = plan.symbols().into_iter().map(str::to_owned).collect();
        let (listed, walks) = (BTreeMap::new(), BTreeMap::new());
        Self { plan, venue, listed, walks, missing, looked: None }
    }

    /// Asks which of the missing symbols have been listed since the last look.
    async fn look(&mut self) {
        let recently = self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN);
        if self.missing.is_empty() || (recently && !self.listed.is_empty()) {
            return;
        }
        self.looked = Some(Instant::now());
        match self.venue.symbols().await {
            Ok(listed) => self.adopt(listed),
            Err(error) => warn!(%error, "the gateway does not say what is listed"),
        }
    }

    fn adopt(&mut self, listed: Vec<(String, Listed)>) {
        let before = self.missing.len();
        for (name, symbol) in listed {
            if !self.missing.remove(&name) {
                continue;
            }
            if let Some(base) = self.plan.bases.get(&name) {
                let start = if symbol.index_e8 > 0 { symbol.index_e8 } else { *base };
                info!(symbol = name, start_e8 = start, "a simulated index price");
                let seed = self.plan.seed ^ u64::from(symbol.symbol.0);
                self.walks.insert(name.clone(), Walk::new(*base, start, seed));
            }
            self.listed.insert(name, symbol);
        }
        if !self.missing.is_empty() && self.missing.len() < before {
            warn!(symbols = ?self.missing, "these are configured and not listed: nothing is sent");
        }
    }

    /// The next simulated prices.
    fn walk(&mut self) -> impl Iterator<Item = (String, i64)> {
        self.walks.iter_mut().map(|(name, walk)| (name.clone(), walk.step()))
    }

    /// Where the indices of listed symbols go.
    fn prices(&self, indices: Vec<(String, i64)>) -> Vec<(Listed, i64)> {
        let listed = |(name, price_e8)| Some((*self.listed.get(&name)?, price_e8));
        indices.into_iter().filter_map(listed).collect()
    }
}

/// One price of every symbol, in as few commands as they fit.
fn frames(prices: &[(Listed, i64)]) -> Vec<(ShardId, Command)> {
    let mut by_shard: BTreeMap<ShardId, Vec<IndexPrice>> = BTreeMap::new();
    for (listed, price_e8) in prices {
        let row = IndexPrice { symbol: listed.symbol, _pad: [0; 6], price_e8: *price_e8 };
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

    fn listed(id: u16, shard: u8, index_e8: i64) -> Listed {
        Listed { symbol: SymbolId(id), shard: ShardId(shard), index_e8 }
    }

    #[test]
    fn one_frame_a_shard_until_it_is_full() {
        let price = |id: u16| (listed(id, if id <= 18 { 1 } else { 2 }, 0), 100);
        let counts: Vec<(u8, u16)> = frames(&(1..=20).map(price).collect::<Vec<_>>())
            .iter()
            .map(|(shard, command)| match command {
                Command::IndexPrices(prices) => (shard.0, prices.count),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(1, 16), (1, 2), (2, 2)]);
    }

    #[test]
    fn simulated_symbols_walk_from_the_last_price_and_others_wait_for_theirs() {
        let bases = [("A".to_owned(), 1_000_000), ("B".to_owned(), 1_000_000)].into();
        let plan = Plan { sources_min: 1, seed: 0, bases, http: Vec::new() };
        let mut market = Market::new(plan, Venue::new("http://127.0.0.1:1", "").unwrap());
        market.adopt(vec![("A".into(), listed(1, 1, 0)), ("C".into(), listed(3, 1, 0))]);
        assert_eq!(market.missing, ["B".to_owned()].into());
        market.adopt(vec![("A".into(), listed(1, 1, 7)), ("B".into(), listed(2, 2, 2_000_000))]);
        let walked: BTreeMap<String, i64> = market.walk().collect();
        assert!((999_000..1_001_000).contains(&walked["A"]), "{walked:?}");
        assert!((1_990_000..2_001_000).contains(&walked["B"]), "{walked:?}");
        // nothing is sent of what is not listed
        let prices = market.prices(vec![("B".into(), 5), ("C".into(), 6)]);
        assert_eq!(prices, [(listed(2, 2, 2_000_000), 5)]);
    }
}
