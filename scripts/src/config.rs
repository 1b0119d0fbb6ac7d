//! The configuration of each process of a local cluster, written anew at every start.

use std::{fmt::Write as _, path::Path};

use crate::{Error, feed, layout::Layout, layout::write_atomically, load::Seed, secrets::Secrets};

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
    feed::write(layout, &feed_header(layout, secrets, ports), seed)
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

fn feed_header(layout: &Layout, secrets: &Secrets, ports: Ports) -> String {
    let mut out = common(layout, secrets, ports);
    let _ = writeln!(out, "admin_url = \"http://127.0.0.1:{}\"", ports.admin);
    let _ = writeln!(out, "admin_token = {}", text(&secrets.admin_token));
    out
}

pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
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
    fn strange_paths_stay_one_value() {
        let line = format!("dir = {}", text("/tmp/a \"b\"\nc = 1"));
        let table: toml::Table = toml::from_str(&line).unwrap();
        assert_eq!(table.len(), 1);
        assert_eq!(table["dir"].as_str(), Some("/tmp/a \"b\"\nc = 1"));
    }
}
