//! The local cluster's own keys: drawn once, kept in a file that only its owner can read.

use std::{fs, io};

use rand::{Rng as _, distr::Alphanumeric};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    layout::{Layout, write_atomically},
};

const KEY_CHARS: usize = 64;

/// An API key of the REST API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    pub api_key: String,
    pub api_secret: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Names this cluster in every message, so that another on the same port is a stranger.
    pub cluster: u64,
    pub admin_token: String,
    /// Encrypts API secrets at rest in the gateway's database; 32 bytes in hex.
    pub gateway_key: String,
    pub demo: ApiKey,
    pub bots: Vec<ApiKey>,
}

/// Accounts of the market-making bots.
pub const BOTS: usize = 3;

impl Secrets {
    /// Reads the cluster's secrets, or draws them at its first start.
    pub fn load_or_draw(layout: &Layout) -> Result<Self, Error> {
        let path = layout.secrets_file();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::Format { path, reason: e.to_string() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let secrets = Self::draw();
                let text = serde_json::to_vec_pretty(&secrets)
                    .map_err(|e| Error::Format { path: path.clone(), reason: e.to_string() })?;
                write_atomically(&path, &text, 0o600)?;
                Ok(secrets)
            }
            Err(e) => Err(Error::file(path)(e)),
        }
    }

    fn draw() -> Self {
        Self {
            // TOML has no integers above i63
            cluster: rand::rng().random::<u64>() >> 1,
            admin_token: text(),
            gateway_key: hex::encode(rand::rng().random::<[u8; 32]>()),
            demo: ApiKey::draw(),
            bots: (0..BOTS).map(|_| ApiKey::draw()).collect(),
        }
    }
}

impl ApiKey {
    fn draw() -> Self {
        Self { api_key: text(), api_secret: text() }
    }
}

fn text() -> String {
    rand::rng().sample_iter(Alphanumeric).take(KEY_CHARS).map(char::from).collect()
}
