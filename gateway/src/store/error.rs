//! What can go wrong with the database, and which of it goes away by waiting.

use std::path::PathBuf;

use protocol::{AccountId, Seq, ShardId};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database {path} can't be opened: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the database {path} is of another version: {source}")]
    Migrate { path: PathBuf, source: sqlx::migrate::MigrateError },
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database has less than this process has written: it was replaced under its feet.
    #[error(
        "the database has the rows of shard {shard} up to {stored}, but they were written up to \
         {written}: it is not the same file any more"
    )]
    Replaced { shard: ShardId, stored: Seq, written: Seq },
    #[error("the database's writer has ended")]
    WriterEnded,
    #[error("the file {path} of the sealing key: {source}")]
    KeyFile { path: PathBuf, source: std::io::Error },
    #[error("the sealing key in {origin} is not 64 hexadecimal digits")]
    KeyMalformed { origin: String },
    #[error("a stored secret can't be opened: it was sealed with another key")]
    Sealed,
    #[error("a stored key can't be read: {0}")]
    PublicKey(#[from] crate::credential::PublicKeyInvalid),
    #[error("an account named {0:?} exists")]
    AccountExists(String),
    #[error("account {0} does not exist")]
    AccountUnknown(AccountId),
    #[error("{0:?} is no account name: 1 to {max} printable characters", max = super::directory::NAME_CHARS_MAX)]
    AccountName(String),
    #[error("there are as many accounts as there can be")]
    AccountsMax,
    #[error("this API key exists")]
    KeyExists,
    #[error("an API key and its secret have {min} to {max} letters and digits each",
        min = super::directory::KEY_CHARS_MIN, max = super::directory::KEY_CHARS_MAX)]
    KeyUnusable,
}
