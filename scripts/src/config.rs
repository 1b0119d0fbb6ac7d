//! The configuration of each process of a local cluster, written anew at every start.

use std::{fmt::Write as _, path::Path};

use crate::{Error, layout::Layout, layout::write_atomically, load::Seed, secrets::Secrets};

/// Shards of a local cluster, the ledger (0) included.
pub const SHARDS: u8 = 4;
/// Journal segments of a local cluster: small, so that a start takes no time.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Loopback ports of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub rest: u16,
    pub admin: u16,
    pub aeron: u16,
}

/// Writes `engine-N.toml`, `gateway.toml` and `feed.toml`.
pub fn write(layout: &Layout, secrets: &Secrets, ports: Ports, seed: &Seed) -> Result<(), Error> {
    for shard in 0..SHARDS {
        let text = engine(layout, secrets, ports, shard);
        write_private(&layout.config(&format!("engine-{shard}")), &text)?;
    }
    write_private(&layout.config("gateway"), &gateway(layout, secrets, ports))?;
    write_private(&layout.config("feed"), &feed(layout, secrets, ports, seed))
}

/// The channel that everybody on this machine sends to and listens on.
fn channel(ports: Ports) -> String {
    format!("aeron:udp?endpoint=127.0.0.1:{}", ports.aeron)
}

fn common(layout: &Layout, secrets: &Secrets, ports: Ports) -> String {
    format!(
        "cluster = {}\naeron_dir = {}\nchannel = {}\n",
        secrets.cluster,
        quoted(&layout.aeron(secrets.cluster)),
        text(&channel(ports)),
    )
}

fn engine(layout: &Layout, secrets: &Secrets, ports: Ports, shard: u8) -> String {
    let mut out = common(layout, secrets, ports);
    let _ = writeln!(out, "shard = {shard}\nshards = {SHARDS}\nreplica = 0");
    let _ = writeln!(out, "data_dir = {}", quoted(&layout.shard(shard)));
    let _ = writeln!(out, "segment_bytes = {SEGMENT_BYTES}\nlayout = \"compact\"");
    out
}

fn gateway(layout: &Layout, secrets: &Secrets, ports: Ports) -> String {
    let mut out = common(layout, secrets, ports);
    let _ = writeln!(out, "shards = {SHARDS}");
    let _ = writeln!(out, "listen = \"127.0.0.1:{}\"", ports.rest);
    let _ = writeln!(out, "admin_listen = \"127.0.0.1:{}\"", ports.admin);
    let _ = writeln!(out, "data_dir = {}", quoted(&layout.gateway()));
    let _ = writeln!(out, "admin_token = {}", text(&secrets.admin_token));
    let _ = writeln!(out, "secret_key = {}", text(&secrets.gateway_key));
    out
}

fn feed(layout: &Layout, secrets: &Secrets, ports: Ports, seed: &Seed) -> String {
    let mut out = common(layout, secrets, ports);
    let _ = writeln!(out, "admin_url = \"http://127.0.0.1:{}\"", ports.admin);
    let _ = writeln!(out, "admin_token = {}", text(&secrets.admin_token));
    for instrument in &seed.instruments {
        if let Some(price) = &instrument.index_price {
            let symbol = text(&instrument.symbol);
            let _ = writeln!(out, "\n[[simulation]]\nsymbol = {symbol}\nprice = {}", text(price));
        }
    }
    if let Some(least) = seed.index.sources_min {
        // before the first table, where a key of the whole file has to be
        out = format!("sources_min = {least}\n{out}");
    }
    for source in &seed.index.sources {
        let table = toml::to_string(source).expect("a source is plain keys and one table");
        let _ = write!(out, "\n[[http]]\n{}", table.replace("[symbols]", "[http.symbols]"));
    }
    out
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    write_atomically(path, text.as_bytes(), 0o600)
}

fn quoted(path: &Path) -> String {
    text(&path.to_string_lossy())
}

fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_sources_reach_the_feed() {
        let seed = "[index]\nsources_min = 2\n[[index.source]]\nname = \"a\"\nweight = 3\n\
                    url = \"https://127.0.0.1/fapi/v1/ticker/price\"\nsymbols = { B = \"BUSDT\" }\n\
                    [[instrument]]\nsymbol = \"B\"";
        let local = include_str!("../seed/local.toml");
        let row = local.split("symbol = \"XRPUSDT\"").nth(1).unwrap();
        let seed = format!("{seed}{}", row.replace("index_price", "# index_price"));
        let seed = Seed::parse(&seed, Path::new("seed.toml")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path()).unwrap();
        layout.prepare().unwrap();
        let secrets = Secrets::load_or_draw(&layout).unwrap();
        let ports = Ports { rest: 1, admin: 2, aeron: 3 };
        let written: toml::Table = toml::from_str(&feed(&layout, &secrets, ports, &seed)).unwrap();
        assert_eq!(written["sources_min"].as_integer(), Some(2));
        let source = &written["http"][0];
        assert_eq!(source["symbols"]["B"].as_str(), Some("BUSDT"));
        assert_eq!((source["weight"].as_integer(), source.get("poll_ms")), (Some(3), None));
    }

    #[test]
    fn strange_paths_stay_one_value() {
        let line = format!("dir = {}", text("/tmp/a \"b\"\nc = 1"));
        let table: toml::Table = toml::from_str(&line).unwrap();
        assert_eq!(table.len(), 1);
        assert_eq!(table["dir"].as_str(), Some("/tmp/a \"b\"\nc = 1"));
    }
}
