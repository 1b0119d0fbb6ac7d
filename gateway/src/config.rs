//! What an operator can set: a TOML file, and environment variables over it.
//!
//! A key that nobody knows is an error, so that a typing mistake is not a default.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::limits::Allowances;

/// Variables that stand over the file: `GATEWAY_LISTEN=127.0.0.1:8080`, `GATEWAY_LIMITS__…`.
pub const ENV_PREFIX: &str = "GATEWAY_";

/// The `gateway.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cluster's number; messages of others are not ours.
    pub cluster: u64,
    /// The media driver's directory.
    pub aeron_dir: PathBuf,
    /// Where nodes announce themselves, and where they reach this process.
    pub channel: String,
    /// Shards of the cluster, the ledger included: nothing is served before all were met.
    pub shards: usize,
    /// Where traders connect.
    pub listen: SocketAddr,
    /// Where the operator's tool connects; it has to be loopback.
    pub admin_listen: SocketAddr,
    /// Where the database is kept.
    pub data_dir: PathBuf,
    /// What the operator's tool says to be let in.
    pub admin_token: String,
    /// Encrypts API secrets at rest: 32 bytes in hex.
    pub secret_key: String,
    /// How long a request waits for an outcome before it is answered with "unknown".
    #[serde(default = "reply_timeout_ms")]
    pub reply_timeout_ms: u64,
    #[serde(default)]
    pub limits: Allowances,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {0} does not exist")]
    Missing(PathBuf),
    #[error("{path}: {reason}")]
    Invalid { path: PathBuf, reason: String },
    #[error("{0}")]
    Value(&'static str),
}

/// Reads a file of any shape.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    if !path.is_file() {
        return Err(ConfigError::Missing(path.to_owned()));
    }
    Figment::new()
        .merge(Toml::file_exact(path))
        .merge(Env::prefixed(ENV_PREFIX).split("__"))
        .extract()
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), reason: error.to_string() })
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = read(path)?;
        if !config.admin_listen.ip().is_loopback() {
            return Err(ConfigError::Value("admin_listen has to be a loopback address"));
        }
        if config.admin_token.len() < ADMIN_TOKEN_BYTES_MIN {
            return Err(ConfigError::Value("admin_token has to have at least 16 characters"));
        }
        config.sealing_key()?;
        Ok(config)
    }

    /// The key that API secrets are encrypted with.
    pub fn sealing_key(&self) -> Result<[u8; 32], ConfigError> {
        let mut key = [0; 32];
        hex::decode_to_slice(&self.secret_key, &mut key)
            .map_err(|_| ConfigError::Value("secret_key has to be 32 bytes in hex"))?;
        Ok(key)
    }

    pub fn reply_timeout(&self) -> Duration {
        Duration::from_millis(self.reply_timeout_ms)
    }
}

const ADMIN_TOKEN_BYTES_MIN: usize = 16;

fn reply_timeout_ms() -> u64 {
    5_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const GOOD: &str = r#"
        cluster = 7
        aeron_dir = "/a"
        channel = "aeron:ipc"
        shards = 4
        listen = "127.0.0.1:0"
        admin_listen = "127.0.0.1:0"
        data_dir = "/d"
        admin_token = "0123456789abcdef"
        secret_key = "0000000000000000000000000000000000000000000000000000000000000000"
    "#;

    fn parse(text: &str) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_known_or_not_right_is_said() {
        assert_eq!(parse(GOOD).unwrap().limits, Allowances::default());
        let limited = parse(&format!("{GOOD}\n[limits]\nweight_per_minute = 2400")).unwrap();
        assert_eq!(limited.limits.weight_per_minute, 2_400);
        assert!(parse(&format!("{GOOD}\nlisen = 1")).unwrap_err().contains("lisen"));
        assert!(parse(&GOOD.replace("cluster = 7", "")).unwrap_err().contains("cluster"));
        assert!(parse(&GOOD.replace("\"0000", "\"x0")).unwrap_err().contains("secret_key"));
        let open = GOOD.replace("admin_listen = \"127.0.0.1", "admin_listen = \"0.0.0.0");
        assert!(parse(&open).unwrap_err().contains("loopback"));
        let missing = Config::read(Path::new("nowhere.toml")).unwrap_err();
        assert!(missing.to_string().contains("nowhere.toml"));
    }
}
