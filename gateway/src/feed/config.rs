//! The `feed.toml`, and what it has to be before anything starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    ops::RangeInclusive,
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    FeedError,
    combine::{SOURCES_MAX, WEIGHT_MAX},
};

/// How often one source may be asked: no venue bans whoever asks twice a second.
pub const POLL_MS: RangeInclusive<u64> = 500..=60_000;
/// How long one whole answer may take.
pub const TIMEOUT_MS: RangeInclusive<u64> = 100..=30_000;
/// How old a price may be that still counts.
pub const MAX_AGE_MS: RangeInclusive<u64> = 1_000..=90_000;
/// Symbols of one source.
pub const SYMBOLS_MAX: usize = 1_024;

/// The `feed.toml` of a cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    pub cluster: u64,
    pub aeron_dir: PathBuf,
    /// Where nodes announce themselves and listen.
    pub channel: String,
    /// The gateway's admin listener, which knows the symbols and their last prices.
    pub admin_url: String,
    pub admin_token: String,
    /// Draws the simulated walk.
    #[serde(default)]
    pub seed: u64,
    /// With fewer live sources, nothing is sent of a symbol.
    #[serde(default = "sources_min")]
    pub sources_min: usize,
    #[serde(default)]
    pub simulation: Vec<Simulated>,
    #[serde(default)]
    pub http: Vec<HttpSource>,
}

/// One simulated index.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    pub symbol: String,
    /// Where it starts, and what it is drawn back to: a decimal text.
    pub price: String,
}

/// A server that is asked for prices in Binance's ticker format.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// How the log calls it.
    pub name: String,
    /// Asked as it stands: `https://fapi.binance.com/fapi/v1/ticker/price`.
    pub url: String,
    #[serde(default = "weight")]
    pub weight: u32,
    /// From one request to the next.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
    /// For one whole answer.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// A price that is older counts for nothing.
    #[serde(default = "max_age_ms")]
    pub max_age_ms: u64,
    /// Our symbol to theirs.
    pub symbols: BTreeMap<String, String>,
}

fn max_age_ms() -> u64 {
    5_000
}

fn sources_min() -> usize {
    1
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

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Plan {
    pub sources_min: usize,
    pub seed: u64,
    /// The simulated symbols, with where they start in quote units of 1e-8.
    pub bases: BTreeMap<String, i64>,
    pub http: Vec<HttpSource>,
}

impl Plan {
    /// Every symbol that has a source.
    pub fn symbols(&self) -> BTreeSet<&str> {
        let fetched = self.http.iter().flat_map(|source| source.symbols.keys());
        self.bases.keys().chain(fetched).map(String::as_str).collect()
    }
}

impl FeedConfig {
    /// Says what is wrong, before anything starts.
    pub fn check(&self) -> Result<Plan, FeedError> {
        let bases = self.bases()?;
        let mut names = BTreeSet::new();
        let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
        for source in &self.http {
            let what = format!("the source {:?}", source.name);
            source.check().map_err(|reason| wrong(&what, reason))?;
            if !names.insert(&source.name) {
                return Err(wrong(&what, "stands twice".into()));
            }
            for symbol in source.symbols.keys() {
                *sources.entry(symbol).or_default() += 1;
            }
        }
        for (symbol, sources) in sources {
            if bases.contains_key(symbol) {
                return Err(wrong(symbol, "is simulated and has real sources".into()));
            }
            if sources > SOURCES_MAX {
                return Err(wrong(symbol, format!("has more than {SOURCES_MAX} sources")));
            }
            if self.sources_min == 0 || self.sources_min > sources {
                let reason = format!("{} is no part of its {sources} sources", self.sources_min);
                return Err(wrong(&format!("sources_min for {symbol}"), reason));
            }
        }
        Ok(Plan { sources_min: self.sources_min, seed: self.seed, bases, http: self.http.clone() })
    }

    fn bases(&self) -> Result<BTreeMap<String, i64>, FeedError> {
        let mut bases = BTreeMap::new();
        for Simulated { symbol, price } in &self.simulation {
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
}

impl HttpSource {
    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("needs a name".into());
        }
        let url = reqwest::Url::parse(&self.url).map_err(|e| format!("url: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("url: {:?} is neither http nor https", url.scheme()));
        }
        within(&(1..=WEIGHT_MAX), self.weight).map_err(|reason| format!("weight {reason}"))?;
        within(&POLL_MS, self.poll_ms).map_err(|reason| format!("poll_ms {reason}"))?;
        within(&TIMEOUT_MS, self.timeout_ms).map_err(|reason| format!("timeout_ms {reason}"))?;
        within(&MAX_AGE_MS, self.max_age_ms).map_err(|reason| format!("max_age_ms {reason}"))?;
        if self.poll_ms + self.timeout_ms > self.max_age_ms {
            let reason = "poll_ms and timeout_ms are together longer than max_age_ms: \
                          it would be stale between two answers";
            return Err(reason.into());
        }
        within(&(1..=SYMBOLS_MAX), self.symbols.len())
            .map_err(|reason| format!("the number of symbols {reason}"))?;
        match self.symbols.iter().find(|(ours, theirs)| ours.is_empty() || theirs.is_empty()) {
            Some((ours, theirs)) => Err(format!("symbols: {ours:?} = {theirs:?} names nothing")),
            None => Ok(()),
        }
    }
}

fn within<T: Display + PartialOrd>(range: &RangeInclusive<T>, value: T) -> Result<(), String> {
    if range.contains(&value) {
        Ok(())
    } else {
        Err(format!("has to be from {} to {}, not {value}", range.start(), range.end()))
    }
}

fn wrong(what: &str, reason: String) -> FeedError {
    FeedError::Config { what: what.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = r#"
        cluster = 1
        aeron_dir = "a"
        channel = "aeron:ipc"
        admin_url = "http://127.0.0.1:1"
        admin_token = "t"
    "#;
    const SOURCE: &str = r#"
        [[http]]
        name = "one"
        url = "https://one.example/api/v3/ticker/price"
        symbols = { BTCUSDT = "BTCUSDT" }
    "#;
    const SIMULATION: &str = "[[simulation]]\nsymbol = \"BTCUSDT\"\nprice = \"0.5\"\n";

    fn check(more: &str) -> Result<Plan, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, format!("{CLUSTER}{more}").as_bytes()).unwrap();
        let config: FeedConfig = crate::config::read(file.path()).map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let plan = check(SOURCE).unwrap();
        let source = &plan.http[0];
        assert_eq!((source.weight, source.poll_ms, source.timeout_ms), (1, 1_000, 2_000));
        assert_eq!((source.max_age_ms, plan.sources_min), (5_000, 1));
        assert_eq!(check(SIMULATION).unwrap().bases["BTCUSDT"], 50_000_000);
        assert!(check("").unwrap().symbols().is_empty());
    }

    #[test]
    fn a_wrong_simulated_price_is_refused() {
        for wrong in ["0", "-1", "", "1e30", "0.000000001", "x"] {
            assert!(check(&SIMULATION.replace("0.5", wrong)).is_err(), "{wrong}");
        }
        assert!(check(&SIMULATION.repeat(2)).unwrap_err().contains("twice"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        let with = |line: &str| check(&SOURCE.replace("[[http]]", &format!("[[http]]\n{line}")));
        let first = |line: &str| check(&format!("{line}\n{SOURCE}"));
        let url = |url: &str| check(&SOURCE.replace("https://one.example", url));
        let cases = [
            (with("weight = 0"), "weight has to be from 1"),
            (with("weight = -1"), "weight"),
            (with("poll_ms = 100"), "poll_ms has to be from 500"),
            (with("timeout_ms = 0"), "timeout_ms has to be from 100"),
            (with("poll_ms = 4500"), "stale between two answers"),
            (with("speed = 1"), "speed"),
            (with("max_age_ms = 10"), "max_age_ms has to be from 1000"),
            (first("sources_min = 0"), "sources_min for BTCUSDT"),
            (first("sources_min = 2"), "sources_min for BTCUSDT"),
            (url("ftp://one.example"), "neither http nor https"),
            (url(""), "the source \"one\": url"),
            (check(&SOURCE.repeat(2)), "the source \"one\": stands twice"),
            (check(&SOURCE.replace("\"one\"", "\"\"")), "needs a name"),
            (check(&SOURCE.replace("BTCUSDT = \"BTCUSDT\"", "")), "number of symbols"),
            (check(&SOURCE.replace("\"BTCUSDT\"", "\"\"")), "names nothing"),
            (check(&format!("{SOURCE}{SIMULATION}")), "is simulated and has real sources"),
        ];
        for (found, reason) in cases {
            let found = found.map(|_| ()).unwrap_err();
            assert!(found.contains(reason), "{found:?} does not say {reason:?}");
        }
    }

    #[test]
    fn a_symbol_has_a_limited_number_of_sources() {
        let many = |count: usize| -> String {
            (0..count).map(|i| SOURCE.replace("\"one\"", &format!("\"{i}\""))).collect()
        };
        assert!(check(&many(SOURCES_MAX)).is_ok());
        assert!(check(&many(SOURCES_MAX + 1)).unwrap_err().contains("more than 32 sources"));
    }
}
