//! With what a caller proves who it is: a secret that both know, or a key of which only the
//! public half is here.
//!
//! A secret signs with HMAC-SHA256, written in hex. Keys sign with Ed25519 or with RSA (PKCS#1
//! v1.5, SHA-256), written in base64. All of them sign the same bytes.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::pkcs8::{DecodePublicKey, EncodePublicKey, spki::der::pem::LineEnding};
use hmac::{Hmac, KeyInit, Mac};
use rsa::{pkcs1v15, signature::Verifier as _, traits::PublicKeyParts};
use sha2::Sha256;

use crate::rest::params::percent_decode;

/// Bytes of a public key as PEM; the longest that is taken has some 800.
pub const PEM_BYTES_MAX: usize = 4_096;
/// Bytes of an RSA modulus: 2048 to 4096 bits.
pub const RSA_BYTES_MIN: usize = 256;
pub const RSA_BYTES_MAX: usize = 512;

/// How signatures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Hmac = 0,
    Ed25519 = 1,
    Rsa = 2,
}

impl KeyKind {
    pub const ALL: &'static [Self] = &[Self::Hmac, Self::Ed25519, Self::Rsa];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hmac => "HMAC",
            Self::Ed25519 => "ED25519",
            Self::Rsa => "RSA",
        }
    }
}

#[derive(Debug)]
pub enum Credential {
    Secret(Vec<u8>),
    PublicKey(PublicKey),
}

impl Credential {
    pub const fn kind(&self) -> KeyKind {
        match self {
            Self::Secret(_) => KeyKind::Hmac,
            Self::PublicKey(key) => key.kind(),
        }
    }

    /// Whether this is its signature, as it came, over the parts behind one another.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        match self {
            Self::Secret(secret) => verify_secret(secret, parts, signature).is_some(),
            Self::PublicKey(key) => key.verify(parts, signature).is_some(),
        }
    }
}

/// `None`: it is not. Hex of either case is taken.
fn verify_secret(secret: &[u8], parts: &[&[u8]], signature: &[u8]) -> Option<()> {
    let mut given = [0; 32];
    hex::decode_to_slice(signature, &mut given).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(&given).ok()
}

/// The public half of a caller's key.
#[derive(Debug)]
pub struct PublicKey {
    /// Written anew, so that one key has one text.
    pem: String,
    verifier: Verifier,
}

#[derive(Debug)]
enum Verifier {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Rsa(Box<pkcs1v15::VerifyingKey<Sha256>>),
}

/// A text is no public key that is taken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key is PEM of an Ed25519 key or of an RSA key of 2048 to 4096 bits")]
pub struct PublicKeyInvalid;

impl PublicKey {
    pub fn from_pem(text: &str) -> Result<Self, PublicKeyInvalid> {
        if text.len() > PEM_BYTES_MAX {
            return Err(PublicKeyInvalid);
        }
        if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_pem(text.trim()) {
            if key.is_weak() {
                return Err(PublicKeyInvalid);
            }
            let verifier = Verifier::Ed25519(Box::new(key));
            return Ok(Self { pem: write_pem(&key)?, verifier });
        }
        let key = rsa::PublicKey::from_public_key_pem(text.trim());
        let key = key.map_err(|_| PublicKeyInvalid)?;
        if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&key.size()) {
            return Err(PublicKeyInvalid);
        }
        let pem = write_pem(&key)?;
        Ok(Self { pem, verifier: Verifier::Rsa(Box::new(pkcs1v15::VerifyingKey::new(key))) })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub const fn kind(&self) -> KeyKind {
        match self.verifier {
            Verifier::Ed25519(_) => KeyKind::Ed25519,
            Verifier::Rsa(_) => KeyKind::Rsa,
        }
    }

    fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> Option<()> {
        // in base64 a plus stands for itself, also where a query has it
        let signature = BASE64.decode(percent_decode(signature)).ok()?;
        let message = parts.concat();
        match &self.verifier {
            Verifier::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(&signature).ok()?;
                key.verify_strict(&message, &signature).ok()
            }
            Verifier::Rsa(key) => {
                let signature = pkcs1v15::Signature::try_from(signature.as_slice()).ok()?;
                key.verify(&message, &signature).ok()
            }
        }
    }
}

fn write_pem(key: &impl EncodePublicKey) -> Result<String, PublicKeyInvalid> {
    key.to_public_key_pem(LineEnding::LF).map_err(|_| PublicKeyInvalid)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made with openssl, as were the signatures below.
    pub const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAG4/yG7vWKgFwxCdFTOjGQOJZsLCOym3Msm3SsyvxgPk=\n\
    -----END PUBLIC KEY-----\n";
    pub const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0nFCeomuapEk0ngrzkOH\n\
    NYCXVZySyVbuMDKkQdHHLBDxv6OS7v3A5Cqg994+Wcxcg6/COkvP7yCFX9mYkmYV\n\
    lgc2DE2p4xPVXd2SqrnGuUyAtO8n+3NnGoX8+nd+nSe+69vwvi5clXe4VkFJ48UU\n\
    3WXw2oLToz4A+d2Zi70SvwiCaan/ElnJcIGbAhH9wwCH9AcxbpEufkmxgpCYqiow\n\
    V6o5IY1meJtfkhdjLP/FZAsbJldqm6SKkr/W3VSjNQ3INu5LjvIrtRGza34v/X9y\n\
    NWOCV82Mkdj7b65UZZTPA8TKLhTW44wX+8URMTHgBmaQcfkkR5YfG/m2WEH8ZIfJ\n\
    xwIDAQAB\n\
    -----END PUBLIC KEY-----\n";
    const RSA_1024_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDSCDURvrtCiGFWl3ls1goAYBjv\n\
    dVDbZgy1DKbALV2r9tG+w63SLCZ0MpCio49/4NJ1f/x4OeRrLYVctuHA8JNYN8YQ\n\
    KHBF7yA7HBxrWdV5eigTp4vEW8q0megPYkNb+vkCirRG27QYNkAaaurs00eXTo0w\n\
    eTZxB+7ugDNS8iZCqwIDAQAB\n\
    -----END PUBLIC KEY-----\n";
    const EC_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8denAClFapPTDn29k6fgMB0ySI0D\n\
    WsvX+TS/qdUO1G53R39f6VI97E2JKka0LJc5mlQ6zXpy7mG3HdpIXrTn9Q==\n\
    -----END PUBLIC KEY-----\n";

    const MESSAGE: &[u8] = b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&\
        timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
    const ED25519_SIGNATURE: &str = "\
        IlTpiGsKTCICGkxOfWvmAMNES0IQ5yUAM88lmnulYdvv2uLNEaAbobQJ8viiVQzJwZ96RsdfwTPpoKiPGYEe\
    Bg==";
    const RSA_SIGNATURE: &str = "\
        f/SWQeWhIwol5Cz+iTh1Yw9w5EQfM1R/1SHOLqVac8lbdiVww+vVWW2PZVGAccMV0vpEfSztt4iZf7ZX5mMB\
    BluBAlK9jSXZmly2SH8q4i57r4Owt0Zj/DPEkyyV5s9wOOD/TUCD/PVa7cAtRSBcUK+XVvyvi+SENnldXawC\
    n8Zl0TPxSZQHScJIwaLoo6v/PAo/GaXHzUDkm5zZQJEqzk4HG39z2F6i+FXnXS+X9LOJ95YpP7TBCjMoqPpj\
    yGyRrKemsfCvECi5QY+TeP4KOMAOGV0yY1QxuRp2JkhNJOZQvoqTLvrOMPFCpn2ayb8ag9C4bEQ8+H3GWfDn\
    C4GH9A==";

    fn both() -> [(Credential, &'static str); 2] {
        let key = |pem| Credential::PublicKey(PublicKey::from_pem(pem).unwrap());
        [(key(ED25519_PEM), ED25519_SIGNATURE), (key(RSA_PEM), RSA_SIGNATURE)]
    }

    #[test]
    fn signatures_of_another_program_are_good_however_they_are_encoded() {
        for (credential, signature) in both() {
            let kind = credential.kind();
            let encoded = signature.replace('/', "%2F").replace('+', "%2b").replace('=', "%3D");
            let (left, right) = MESSAGE.split_at(40);
            for signature in [signature, &encoded] {
                assert!(credential.verify(&[MESSAGE], signature.as_bytes()), "{kind:?}");
                assert!(credential.verify(&[left, right], signature.as_bytes()), "{kind:?}");
            }
            assert!(!credential.verify(&[&MESSAGE[1..]], signature.as_bytes()));
            for wrong in ["", "AAAA", "%", "no base64", &signature[4..], &hex::encode(signature)] {
                assert!(!credential.verify(&[MESSAGE], wrong.as_bytes()), "{kind:?} {wrong}");
            }
        }
        let [(ed25519, of_ed25519), (rsa, of_rsa)] = both();
        assert!(!ed25519.verify(&[MESSAGE], of_rsa.as_bytes()));
        assert!(!rsa.verify(&[MESSAGE], of_ed25519.as_bytes()));
    }

    #[test]
    fn one_key_has_one_text() {
        for (pem, kind) in [(ED25519_PEM, KeyKind::Ed25519), (RSA_PEM, KeyKind::Rsa)] {
            let key = PublicKey::from_pem(pem).unwrap();
            assert_eq!((key.pem(), key.kind()), (pem, kind));
            let windows = format!("  {}\r\n\n", pem.replace('\n', "\r\n"));
            assert_eq!(PublicKey::from_pem(&windows).unwrap().pem(), pem);
        }
    }

    #[test]
    fn what_is_no_key_or_a_weak_one_is_refused() {
        // the neutral point, with which everybody could sign
        let mut weak = BASE64.decode(ED25519_PEM.lines().nth(1).unwrap()).unwrap();
        weak[12..].fill(0);
        weak[12] = 1;
        let weak = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            BASE64.encode(weak)
        );
        let long = format!("{RSA_PEM}{}", "\n".repeat(PEM_BYTES_MAX));
        for text in ["", "key", EC_PEM, RSA_1024_PEM, &RSA_PEM[..200], &weak, &long] {
            assert!(PublicKey::from_pem(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_another_signature(at in 0..MESSAGE.len(), bit in 0..8u8) {
            let mut changed = MESSAGE.to_vec();
            changed[at] ^= 1 << bit;
            let [(credential, signature), _] = both();
            prop_assert!(!credential.verify(&[&changed], signature.as_bytes()));
        }

        #[test]
        fn no_bytes_panic(signature: Vec<u8>, text in "\\PC{0,60}") {
            for (credential, _) in both() {
                prop_assert!(!credential.verify(&[MESSAGE], &signature));
            }
            let wrapped = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----");
            let _ = PublicKey::from_pem(&wrapped);
        }
    }
}
