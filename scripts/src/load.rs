//! `exchange load FILE`: lists instruments, sets brackets, opens accounts and books deposits.
//!
//! The file is read and checked whole before anything is sent. Everything sent is idempotent:
//! a symbol is listed again as it is, an account is found by its name, a deposit carries a
//! transfer number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, admin::Admin, secrets::ApiKey};

const INSTRUMENTS_MAX: usize = 256;
const ACCOUNTS_MAX: usize = 10_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default)]
    pub sharding: Sharding,
    #[serde(default, rename = "instrument")]
    pub instruments: Vec<Instrument>,
    #[serde(default)]
    pub index: Index,
    #[serde(default, rename = "account")]
    pub accounts: Vec<Account>,
}

/// Where a cluster's own feed takes the prices of symbols that it does not simulate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Fresh sources that a price takes at the least.
    #[serde(default)]
    pub sources_min: Option<usize>,
    #[serde(default, rename = "source")]
    pub sources: Vec<IndexSource>,
}

/// A ticker in Binance's format. What is not said here the feed decides, which checks it too.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSource {
    pub name: String,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_ms: Option<u64>,
    /// Our name of a symbol to the source's.
    pub symbols: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharding {
    pub default: u8,
    #[serde(default)]
    pub shards: Vec<ShardSymbols>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSymbols {
    pub shard: u8,
    pub symbols: BTreeSet<String>,
}

/// Amounts stay text on the way through: only the gateway turns them into units.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    pub symbol: String,
    pub base: String,
    pub quote: String,
    pub tick_size: String,
    pub step_size: String,
    pub min_price: String,
    pub max_price: String,
    pub min_qty: String,
    pub max_qty: String,
    pub max_market_qty: String,
    pub min_notional: String,
    pub multiplier_up: String,
    pub multiplier_down: String,
    pub market_take_bound: String,
    pub trigger_protect: String,
    pub liquidation_fee: String,
    pub maker_fee: String,
    pub taker_fee: String,
    pub default_leverage: u8,
    pub funding_interval_hours: u8,
    /// Where the simulated index starts; a symbol without one has index sources, or waits.
    #[serde(default, skip_serializing)]
    pub index_price: Option<String>,
    #[serde(rename = "bracket", skip_serializing)]
    pub brackets: Vec<BracketRow>,
}

/// One leverage bracket; its floor is the cap of the one before.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BracketRow {
    pub cap: String,
    pub max_leverage: u32,
    pub maintenance: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub name: String,
    #[serde(default)]
    pub deposit: Option<String>,
    #[serde(skip)]
    pub key: Option<ApiKey>,
    /// PEM of the key that its owner signs with, instead of a secret.
    #[serde(skip)]
    pub public_key: Option<String>,
}

impl Index {
    /// The symbols that have a price as long as their sources give one.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().flat_map(|source| source.symbols.keys()).map(String::as_str)
    }
}

impl Default for Sharding {
    fn default() -> Self {
        Self { default: 1, shards: Vec::new() }
    }
}

impl Sharding {
    pub fn shard_of(&self, symbol: &str) -> u8 {
        let named = self.shards.iter().find(|s| s.symbols.contains(symbol));
        named.map_or(self.default, |s| s.shard)
    }
}

impl Seed {
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        Self::parse(&text, path)
    }

    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Seed { path: path.to_path_buf(), reason };
        let seed: Self = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if seed.instruments.len() > INSTRUMENTS_MAX || seed.accounts.len() > ACCOUNTS_MAX {
            let limits = format!("at most {INSTRUMENTS_MAX} instruments, {ACCOUNTS_MAX} accounts");
            return Err(wrong(limits));
        }
        let mut symbols = BTreeSet::new();
        for instrument in &seed.instruments {
            if !symbols.insert(&instrument.symbol) {
                return Err(wrong(format!("instrument {} stands twice", instrument.symbol)));
            }
            if instrument.brackets.is_empty() {
                return Err(wrong(format!("instrument {} has no bracket", instrument.symbol)));
            }
        }
        let simulated = |symbol: &String| {
            let of = |instrument: &&Instrument| instrument.symbol == *symbol;
            seed.instruments.iter().find(of).map(|instrument| instrument.index_price.is_some())
        };
        for source in &seed.index.sources {
            for symbol in source.symbols.keys() {
                let reason = match simulated(symbol) {
                    Some(false) => continue,
                    Some(true) => "is simulated, by its index_price",
                    None => "is no instrument",
                };
                let name = &source.name;
                return Err(wrong(format!("index source {name}: {symbol} {reason}")));
            }
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = seed.accounts.iter().find(|a| !names.insert(&a.name)) {
            return Err(wrong(format!("account {} stands twice", twice.name)));
        }
        Ok(seed)
    }

    /// Sends it all; returns what the gateway said of each account.
    pub async fn send(&self, admin: &Admin) -> Result<Vec<Value>, Error> {
        for instrument in &self.instruments {
            self.send_instrument(admin, instrument).await?;
        }
        let mut accounts = Vec::new();
        for account in &self.accounts {
            accounts.push(send_account(admin, account).await?);
        }
        Ok(accounts)
    }

    async fn send_instrument(&self, admin: &Admin, instrument: &Instrument) -> Result<(), Error> {
        let symbol = &instrument.symbol;
        let mut body = json!(instrument);
        body["shard"] = json!(self.sharding.shard_of(symbol));
        admin.post("/admin/symbols", &body).await?;
        let brackets = json!({ "symbol": symbol, "brackets": instrument.brackets });
        admin.post("/admin/brackets", &brackets).await?;
        Ok(())
    }
}

/// Opens an account (or finds it by name) and books its first deposit once.
pub async fn send_account(admin: &Admin, account: &Account) -> Result<Value, Error> {
    let mut body = json!({ "name": account.name });
    if let Some(deposit) = &account.deposit {
        body["deposit"] = json!(deposit);
    }
    if let Some(key) = &account.key {
        body["api_key"] = json!(key.api_key);
        body["secret"] = json!(key.api_secret);
    }
    if let Some(pem) = &account.public_key {
        body["public_key"] = json!(pem);
    }
    admin.post("/admin/accounts", &body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Seed, Error> {
        Seed::parse(text, Path::new("seed.toml"))
    }

    #[test]
    fn the_local_seed_maps_symbols_to_shards() {
        let seed = parse(include_str!("../seed/local.toml")).unwrap();
        let shards: Vec<_> = seed
            .instruments
            .iter()
            .map(|i| (i.symbol.as_str(), seed.sharding.shard_of(&i.symbol)))
            .collect();
        assert_eq!(shards, [("BTCUSDT", 1), ("ETHUSDT", 2), ("SOLUSDT", 3), ("XRPUSDT", 3)]);
    }

    #[test]
    fn a_symbol_is_simulated_or_has_sources() {
        let with = |symbol: &str| {
            let local = include_str!("../seed/local.toml");
            let local = local.replace("index_price = \"3000\"", "");
            parse(&format!(
                "{local}\n[[index.source]]\nname = \"a\"\nurl = \"http://127.0.0.1/\"\n\
                 symbols = {{ {symbol} = \"X\" }}"
            ))
        };
        assert_eq!(with("ETHUSDT").unwrap().index.sources.len(), 1);
        assert!(with("BTCUSDT").unwrap_err().to_string().contains("simulated"));
        assert!(with("NOUSDT").unwrap_err().to_string().contains("no instrument"));
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_reason() {
        let unknown = parse("[[account]]\nname = \"a\"\ncolour = \"red\"").unwrap_err();
        assert!(unknown.to_string().contains("colour"), "{unknown}");
        let twice = parse("[[account]]\nname = \"a\"\n[[account]]\nname = \"a\"").unwrap_err();
        assert!(twice.to_string().contains("stands twice"), "{twice}");
    }
}
