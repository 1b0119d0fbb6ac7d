//! Secrets at rest: sealed under a key that is not in the database.
//!
//! Signatures are checked with the secret itself, so a hash of it would not do. Each seal is
//! bound to its key's hash and account, so that rows can't be exchanged.

use std::{
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use rand::RngCore;

use super::StoreError;

/// Where the key may stand instead of in a file: 64 hexadecimal digits.
pub const SEALING_KEY_ENV: &str = "EXCHANGE_SEALING_KEY";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The key under which secrets are stored.
pub struct SealingKey([u8; KEY_BYTES]);

impl SealingKey {
    /// From the environment, else from a file, which is made on the first start for its owner
    /// alone.
    pub fn from_env_or_file(path: &Path) -> Result<Self, StoreError> {
        match std::env::var(SEALING_KEY_ENV) {
            Ok(text) => Self::from_hex(&text, SEALING_KEY_ENV),
            Err(std::env::VarError::NotPresent) => Self::from_file(path),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(StoreError::KeyMalformed { origin: SEALING_KEY_ENV.to_owned() })
            }
        }
    }

    /// From a file, which is made if it is not there.
    pub fn from_file(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::KeyFile { path: path.to_owned(), source };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_hex(text.trim(), &path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = Self::random();
                let mut file = std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)
                    .map_err(failed)?;
                file.write_all(hex::encode(key.0).as_bytes()).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    pub fn from_hex(text: &str, origin: &str) -> Result<Self, StoreError> {
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text, &mut key)
            .map_err(|_| StoreError::KeyMalformed { origin: origin.to_owned() })?;
        Ok(Self(key))
    }

    pub fn random() -> Self {
        let mut key = [0; KEY_BYTES];
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// Seals `plain`, bound to `context`.
    pub(super) fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: context })
            .map_err(|_| StoreError::Sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::seal`] made with the same context.
    pub(super) fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(StoreError::Sealed)?;
        let nonce: &[u8; NONCE_BYTES] = nonce;
        self.cipher()
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context })
            .map_err(|_| StoreError::Sealed)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn opens_only_what_it_sealed(plain in prop::collection::vec(any::<u8>(), 0..200), at: u16) {
            let key = SealingKey::random();
            let sealed = key.seal(&plain, b"context").unwrap();
            prop_assert_eq!(key.open(&sealed, b"context").unwrap(), plain);
            prop_assert!(key.open(&sealed, b"another").is_err());
            prop_assert!(SealingKey::random().open(&sealed, b"context").is_err());
            let mut bent = sealed.clone();
            let at = usize::from(at) % bent.len();
            bent[at] ^= 1;
            prop_assert!(key.open(&bent, b"context").is_err());
            prop_assert!(key.open(&sealed[..at], b"context").is_err());
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        let first = SealingKey::from_file(&path).unwrap();
        let sealed = first.seal(b"secret", b"").unwrap();
        let again = SealingKey::from_file(&path).unwrap();
        assert_eq!(again.open(&sealed, b"").unwrap(), b"secret");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(SealingKey::from_file(&path), Err(StoreError::KeyMalformed { .. })));
        let nowhere = dir.path().join("no").join("sealing.key");
        assert!(matches!(SealingKey::from_file(&nowhere), Err(StoreError::KeyFile { .. })));
    }
}
