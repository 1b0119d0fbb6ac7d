//! What the feed asks a gateway: which symbols are listed where, and their last index prices.

use std::time::Duration;

use protocol::{ShardId, SymbolId};
use serde::Deserialize;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A listed symbol as the shards know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub symbol: SymbolId,
    pub shard: ShardId,
    /// The last index price in the log; 0 before the first.
    pub index_e8: i64,
}

/// A client of the admin API's list of symbols.
pub struct Venue {
    url: String,
    token: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Row {
    symbol: String,
    id: u16,
    shard: u8,
    index_e8: i64,
}

impl Venue {
    pub fn new(admin_url: &str, token: &str) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        Ok(Self { url: format!("{admin_url}/admin/symbols"), token: token.to_owned(), http })
    }

    pub async fn symbols(&self) -> Result<Vec<(String, Listed)>, reqwest::Error> {
        let request = self.http.get(&self.url).bearer_auth(&self.token);
        let rows: Vec<Row> = request.send().await?.error_for_status()?.json().await?;
        let listed = |row: Row| {
            let (symbol, shard) = (SymbolId(row.id), ShardId(row.shard));
            (row.symbol, Listed { symbol, shard, index_e8: row.index_e8 })
        };
        Ok(rows.into_iter().map(listed).collect())
    }
}
