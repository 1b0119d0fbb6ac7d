//! Who there is: accounts, their API keys and listen keys, and who did what to them.

use std::sync::Arc;

use protocol::{AccountId, limits::ACCOUNTS_MAX};
use rand::{Rng, distr::Alphanumeric};
use sha2::{Digest, Sha256};
use sqlx::{Row as _, SqliteConnection};

use super::{
    SealingKey, Store, StoreError,
    convert::{Word, signed, unsigned},
};
use crate::{
    credential::{Credential, KeyKind, PublicKey, PublicKeyInvalid},
    keys::Key,
};

/// Characters of an account's name.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of an API key and of its secret.
pub const KEY_CHARS_MIN: usize = 8;
pub const KEY_CHARS_MAX: usize = 128;
/// Characters of the keys and secrets made here, as clients know them.
const KEY_CHARS: usize = 64;

/// Accounts and keys; everything that changes them is written down with who did it.
pub struct Directory {
    store: Arc<Store>,
    sealing: SealingKey,
}

/// An account as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AccountEntry {
    pub account: u32,
    pub name: String,
    pub created_ms: u64,
}

/// A listen key that has not been deleted; it may have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenKey {
    pub listen_key: String,
    pub account: AccountId,
    pub expires_ms: u64,
}

impl Directory {
    pub fn new(store: Arc<Store>, sealing: SealingKey) -> Self {
        Self { store, sealing }
    }

    /// All API keys, opened; an error when they were sealed with another key than ours.
    pub async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        let rows = sqlx::query("SELECT hash, account, kind, sealed FROM api_keys")
            .fetch_all(self.store.strict())
            .await?;
        rows.iter()
            .map(|row| {
                let account = AccountId(row.try_get("account")?);
                let kind = Word::read(row, "kind")?;
                let context = context(row.try_get("hash")?, account, kind);
                let plain = self.sealing.open(row.try_get("sealed")?, &context)?;
                let (key, proof) = split(&plain).ok_or(StoreError::Sealed)?;
                Ok(Key { key, account, credential: credential(kind, proof)? })
            })
            .collect()
    }

    /// Makes an account; ids are dense from 1.
    pub async fn create_account(
        &self,
        actor: &str,
        name: &str,
        now_ms: u64,
    ) -> Result<AccountId, StoreError> {
        self.create_account_above(actor, name, AccountId::NONE, now_ms).await
    }

    /// The same, with an id above one that the shards know: where a database was lost, a new
    /// account must not find an old one's money.
    pub async fn create_account_above(
        &self,
        actor: &str,
        name: &str,
        known: AccountId,
        now_ms: u64,
    ) -> Result<AccountId, StoreError> {
        let chars = name.chars().count();
        if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(StoreError::AccountName(name.chars().take(NAME_CHARS_MAX).collect()));
        }
        let mut transaction = self.store.strict().begin_with("BEGIN IMMEDIATE").await?;
        let taken = sqlx::query("SELECT 1 FROM accounts WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await?;
        if taken.is_some() {
            return Err(StoreError::AccountExists(name.to_owned()));
        }
        let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(account), 0) FROM accounts")
            .fetch_one(&mut *transaction)
            .await?;
        let account = u32::try_from(last.max(known.0.into()) + 1)
            .ok()
            .filter(|id| *id as usize <= ACCOUNTS_MAX)
            .map(AccountId)
            .ok_or(StoreError::AccountsMax)?;
        sqlx::query("INSERT INTO accounts (account, name, created_ms) VALUES (?, ?, ?)")
            .bind(account.0)
            .bind(name)
            .bind(signed(now_ms))
            .execute(&mut *transaction)
            .await?;
        let detail = format!("account {account}, {name}");
        write_audit(&mut transaction, actor, "account add", &detail, now_ms).await?;
        transaction.commit().await?;
        Ok(account)
    }

    pub async fn accounts(&self) -> Result<Vec<AccountEntry>, StoreError> {
        let rows = sqlx::query("SELECT * FROM accounts ORDER BY account")
            .fetch_all(self.store.strict())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(AccountEntry {
                    account: row.try_get("account")?,
                    name: row.try_get("name")?,
                    created_ms: unsigned(row, "created_ms")?,
                })
            })
            .collect()
    }

    pub async fn account(&self, name: &str) -> Result<Option<AccountId>, StoreError> {
        let row: Option<u32> = sqlx::query_scalar("SELECT account FROM accounts WHERE name = ?")
            .bind(name)
            .fetch_optional(self.store.strict())
            .await?;
        Ok(row.map(AccountId))
    }

    /// Draws a key for whoever signs with the other half of a public key.
    pub async fn create_public_key(
        &self,
        actor: &str,
        account: AccountId,
        public_key: PublicKey,
        now_ms: u64,
    ) -> Result<Key, StoreError> {
        let key = Key { key: draw(), account, credential: Credential::PublicKey(public_key) };
        self.add_key(actor, &key, now_ms).await?;
        Ok(key)
    }

    /// Draws a key and a secret for an account.
    pub async fn create_key(
        &self,
        actor: &str,
        account: AccountId,
        now_ms: u64,
    ) -> Result<Key, StoreError> {
        let credential = Credential::Secret(draw().into_bytes());
        let key = Key { key: draw(), account, credential };
        self.add_key(actor, &key, now_ms).await?;
        Ok(key)
    }

    /// Takes a key that somebody has chosen, with its secret or its public key.
    pub async fn add_key(&self, actor: &str, key: &Key, now_ms: u64) -> Result<(), StoreError> {
        let usable = |text: &[u8]| {
            (KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&text.len())
                && text.iter().all(u8::is_ascii_alphanumeric)
        };
        if !usable(key.key.as_bytes()) || !key.secret().is_none_or(usable) {
            return Err(StoreError::KeyUnusable);
        }
        let hash = key_hash(&key.key);
        let kind = key.credential.kind();
        let sealed = self.sealing.seal(&join(key), &context(&hash, key.account, kind))?;
        let mut transaction = self.store.strict().begin_with("BEGIN IMMEDIATE").await?;
        let owner = sqlx::query("SELECT 1 FROM accounts WHERE account = ?")
            .bind(key.account.0)
            .fetch_optional(&mut *transaction)
            .await?;
        if owner.is_none() {
            return Err(StoreError::AccountUnknown(key.account));
        }
        let added = sqlx::query(
            "INSERT OR IGNORE INTO api_keys (hash, account, kind, sealed, created_ms) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(hash.as_slice())
        .bind(key.account.0)
        .bind(kind.number())
        .bind(sealed)
        .bind(signed(now_ms))
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            return Err(StoreError::KeyExists);
        }
        // a hash names the key to who has it, and to nobody else
        let detail = format!("account {}, key with hash {}", key.account, hex::encode(hash));
        write_audit(&mut transaction, actor, "key add", &detail, now_ms).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Writes down what an operator did.
    pub async fn audit(
        &self,
        actor: &str,
        action: &str,
        detail: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut connection = self.store.strict().acquire().await?;
        Ok(write_audit(&mut connection, actor, action, detail, now_ms).await?)
    }

    /// Listen keys that have not expired.
    pub async fn listen_keys(&self, now_ms: u64) -> Result<Vec<ListenKey>, StoreError> {
        let rows = sqlx::query("SELECT * FROM listen_keys WHERE expires_ms > ?")
            .bind(signed(now_ms))
            .fetch_all(self.store.strict())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ListenKey {
                    listen_key: row.try_get("listen_key")?,
                    account: AccountId(row.try_get("account")?),
                    expires_ms: unsigned(row, "expires_ms")?,
                })
            })
            .collect()
    }

    /// Makes or extends a listen key.
    pub async fn put_listen_key(&self, key: &ListenKey) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO listen_keys (listen_key, account, expires_ms) VALUES (?, ?, ?) \
             ON CONFLICT (listen_key) DO UPDATE SET expires_ms = excluded.expires_ms",
        )
        .bind(&key.listen_key)
        .bind(key.account.0)
        .bind(signed(key.expires_ms))
        .execute(self.store.strict())
        .await?;
        Ok(())
    }

    /// Deletes a listen key, and with it all that have expired.
    pub async fn remove_listen_key(&self, key: &str, now_ms: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM listen_keys WHERE listen_key = ? OR expires_ms <= ?")
            .bind(key)
            .bind(signed(now_ms))
            .execute(self.store.strict())
            .await?;
        Ok(())
    }
}

/// By which a key is found, in memory and in the database.
pub fn key_hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

async fn write_audit(
    connection: &mut SqliteConnection,
    actor: &str,
    action: &str,
    detail: &str,
    now_ms: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO audit (at_ms, actor, action, detail) VALUES (?, ?, ?, ?)")
        .bind(signed(now_ms))
        .bind(actor)
        .bind(action)
        .bind(detail)
        .execute(connection)
        .await?;
    Ok(())
}

fn draw() -> String {
    rand::rng().sample_iter(Alphanumeric).take(KEY_CHARS).map(char::from).collect()
}

/// What a sealed key is bound to; keys with a secret are as old as the table.
fn context(hash: &[u8], account: AccountId, kind: KeyKind) -> Vec<u8> {
    let account = account.0.to_le_bytes();
    match kind {
        KeyKind::Hmac => [hash, &account].concat(),
        KeyKind::Ed25519 | KeyKind::Rsa => [hash, &account, &[kind as u8]].concat(),
    }
}

/// Key and what it proves itself with as one text; neither can hold the separator.
fn join(key: &Key) -> Vec<u8> {
    let proof = match &key.credential {
        Credential::Secret(secret) => secret,
        Credential::PublicKey(public) => public.pem().as_bytes(),
    };
    [key.key.as_bytes(), b"\0", proof].concat()
}

fn credential(kind: KeyKind, proof: Vec<u8>) -> Result<Credential, StoreError> {
    match kind {
        KeyKind::Hmac => Ok(Credential::Secret(proof)),
        KeyKind::Ed25519 | KeyKind::Rsa => {
            let pem = std::str::from_utf8(&proof).map_err(|_| PublicKeyInvalid)?;
            Ok(Credential::PublicKey(PublicKey::from_pem(pem)?))
        }
    }
}

fn split(plain: &[u8]) -> Option<(String, Vec<u8>)> {
    let at = plain.iter().position(|byte| *byte == 0)?;
    let key = String::from_utf8(plain[..at].to_vec()).ok()?;
    Some((key, plain[at + 1..].to_vec()))
}
