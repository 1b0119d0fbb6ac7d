//! What an operator can set, read from a TOML file; a key that nobody knows is an error.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The cluster's number; messages of others are not ours.
    pub cluster: u64,
    /// Where traders connect.
    pub listen: SocketAddr,
    /// Where the operator's tool connects; keep it on loopback.
    pub admin_listen: SocketAddr,
    /// The database of history, keys and listen keys.
    pub database: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            database: PathBuf::from("gateway.sqlite"),
        }
    }
}
