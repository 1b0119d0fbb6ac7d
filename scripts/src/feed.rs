//! The `feed.toml` of a local cluster: what the seed names, and what was loaded since. The feed
//! takes over what is written while it runs.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    config::write_private,
    layout::Layout,
    load::{IndexSource, Seed},
    process::beside,
};

/// Where prices come from; the rest of the file stays as it is.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Tables {
    #[serde(skip_serializing_if = "Option::is_none")]
    sources_min: Option<usize>,
    #[serde(default)]
    simulation: Vec<Simulated>,
    #[serde(default)]
    http: Vec<IndexSource>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Simulated {
    symbol: String,
    price: String,
}

/// Writes the file of a cluster that starts. What was loaded into it before still is listed, so
/// it still needs prices.
pub fn write(layout: &Layout, header: &str, seed: &Seed) -> Result<(), Error> {
    let path = layout.config("feed");
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::file(path)(e)),
    };
    write_private(&path, &merged(&path, header, &before, seed)?)
}

/// Gives a running feed what a seed names. Nothing is written when the feed could not start so.
pub async fn teach(layout: &Layout, seed: &Seed) -> Result<(), Error> {
    let named = seed.instruments.iter().any(|each| each.index_price.is_some());
    if !named && seed.index.sources.is_empty() {
        return Ok(());
    }
    let (path, next) = (layout.config("feed"), layout.config("feed-next"));
    let before = fs::read_to_string(&path).map_err(Error::file(&path))?;
    let after = merged(&path, &before, &before, seed)?;
    if after == before {
        // a file that is as it was need not be taken over
        return Ok(());
    }
    write_private(&next, &after)?;
    check(&next).await?;
    fs::rename(&next, &path).map_err(Error::file(path))
}

/// Lets the feed say what is wrong with a configuration, before anything runs.
pub async fn check(path: &Path) -> Result<(), Error> {
    let mut command = tokio::process::Command::new(beside("gateway"));
    command.args(["--role", "feed", "--check", "--config"]).arg(path);
    let output = command.output().await;
    let output = output.map_err(|source| Error::Spawn { role: "the feed".to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Feed { path: path.to_path_buf(), reason })
}

/// The plain keys of `header`, and the tables of `before` with those of a seed.
fn merged(path: &Path, header: &str, before: &str, seed: &Seed) -> Result<String, Error> {
    let wrong = |reason: String| Error::Format { path: path.to_path_buf(), reason };
    let mut file: toml::Table = toml::from_str(header).map_err(|e| wrong(e.to_string()))?;
    let mut tables: Tables = toml::from_str(before).map_err(|e| wrong(e.to_string()))?;
    tables.take(seed);
    let tables = toml::Table::try_from(&tables).map_err(|e| wrong(e.to_string()))?;
    file.extend(tables);
    toml::to_string(&file).map_err(|e| wrong(e.to_string()))
}

impl Tables {
    /// What the seed says of a symbol or of a source counts.
    fn take(&mut self, seed: &Seed) {
        let simulated: BTreeMap<&str, &str> = seed
            .instruments
            .iter()
            .filter_map(|each| Some((each.symbol.as_str(), each.index_price.as_deref()?)))
            .collect();
        let sourced = |symbol: &str| seed.index.symbols().any(|each| each == symbol);
        self.simulation
            .retain(|each| !simulated.contains_key(each.symbol.as_str()) && !sourced(&each.symbol));
        let owned = |(symbol, price): (&&str, &&str)| Simulated {
            symbol: (*symbol).to_owned(),
            price: (*price).to_owned(),
        };
        self.simulation.extend(simulated.iter().map(owned));
        self.sources_min = seed.index.sources_min.or(self.sources_min);
        for source in &seed.index.sources {
            let mut source = source.clone();
            if let Some(at) = self.http.iter().position(|known| known.name == source.name) {
                for (ours, theirs) in self.http.remove(at).symbols {
                    source.symbols.entry(ours).or_insert(theirs);
                }
            }
            self.http.push(source);
        }
        for source in &mut self.http {
            source.symbols.retain(|symbol, _| !simulated.contains_key(symbol.as_str()));
        }
        self.http.retain(|source| !source.symbols.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "cluster = 1\nadmin_token = \"t\"\n";

    fn seed(index: &str, instruments: &[(&str, Option<&str>)]) -> Seed {
        let local = include_str!("../seed/local.toml");
        let row = local.split("symbol = \"XRPUSDT\"").nth(1).unwrap();
        let mut text = index.to_owned();
        for (symbol, price) in instruments {
            let with = price.map(|price| format!("index_price = \"{price}\"")).unwrap_or_default();
            let row = row.replace("index_price = \"0.60\"", &with);
            text += &format!("\n[[instrument]]\nsymbol = \"{symbol}\"{row}");
        }
        Seed::parse(&text, Path::new("seed.toml")).unwrap()
    }

    fn merge(before: &str, seed: &Seed) -> String {
        merged(Path::new("feed.toml"), HEADER, before, seed).unwrap()
    }

    fn read(text: &str) -> (Vec<(String, String)>, Vec<IndexSource>) {
        let Tables { simulation, http, .. } = toml::from_str(text).unwrap();
        (simulation.into_iter().map(|each| (each.symbol, each.price)).collect(), http)
    }

    fn source(symbol: &str) -> String {
        format!(
            "[index]\nsources_min = 1\n[[index.source]]\nname = \"a\"\nweight = 3\n\
             url = \"https://127.0.0.1/fapi/v1/ticker/price\"\nsymbols = {{ {symbol} = \"X\" }}"
        )
    }

    #[test]
    fn index_sources_reach_the_feed() {
        let text = merge("", &seed(&source("B"), &[("A", Some("2")), ("B", None)]));
        let file: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(file["admin_token"].as_str(), Some("t"));
        assert_eq!(file["sources_min"].as_integer(), Some(1));
        let written = &file["http"][0];
        assert_eq!(written["symbols"]["B"].as_str(), Some("X"));
        assert_eq!((written["weight"].as_integer(), written.get("poll_ms")), (Some(3), None));
        assert_eq!(read(&text).0, [("A".into(), "2".into())]);
    }

    #[test]
    fn what_is_loaded_twice_is_once() {
        let seed = seed(&source("B"), &[("A", Some("2")), ("B", None)]);
        let first = merge("", &seed);
        assert_eq!(merged(Path::new("feed.toml"), &first, &first, &seed).unwrap(), first);
    }

    #[test]
    fn what_was_loaded_stays_and_what_is_loaded_counts() {
        let first = merge("", &seed(&source("B"), &[("A", Some("2")), ("B", None)]));
        let second = merge(&first, &seed(&source("C"), &[("C", None), ("D", Some("5"))]));
        let (simulation, http) = read(&second);
        let pair = |symbol: &str, price: &str| (symbol.to_owned(), price.to_owned());
        assert_eq!(simulation, [pair("A", "2"), pair("D", "5")]);
        assert_eq!(http.len(), 1);
        assert_eq!(http[0].symbols.keys().collect::<Vec<_>>(), ["B", "C"]);
        // a symbol has the one or the other
        let third = merge(&second, &seed("", &[("B", Some("7")), ("C", Some("8"))]));
        let (simulation, http) = read(&third);
        assert_eq!((simulation.len(), http.len()), (4, 0));
        let fourth = merge(&third, &seed(&source("A"), &[("A", None)]));
        assert_eq!(read(&fourth).0.len(), 3);
    }
}
