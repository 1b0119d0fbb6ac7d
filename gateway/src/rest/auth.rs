//! Who calls: extractors that check key, time and signature before a handler sees parameters.
//!
//! A signature is over the bytes as they came, query and body behind one another without its own
//! pair, because clients encode in ways that decoding and encoding again would not reproduce.

use std::{sync::Arc, time::Duration};

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode},
};
use protocol::{AccountId, Micros};
use tokio::time::timeout;

use super::{
    error::ApiError,
    params::{Params, take_signature},
};
use crate::{app::App, clock::now_ms, credential::Credential, keys::Key, limits::BODY_BYTES_MAX};

/// How old a request may be where it does not say.
pub const RECV_WINDOW_MS: i64 = 5_000;
pub const RECV_WINDOW_MS_MAX: i64 = 60_000;
/// How far a caller's clock may be ahead.
pub const AHEAD_MS_MAX: i64 = 1_000;
/// The longest key that is looked up.
const KEY_CHARS_MAX: usize = 128;
const KEY_HEADER: &str = "x-mbx-apikey";
/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A call that anybody may make.
pub struct Public {
    pub params: Params,
}

/// A call that needs a key but no signature.
pub struct Keyed {
    pub account: AccountId,
    pub key: String,
    pub params: Params,
}

/// A call that its key's owner has signed.
pub struct Signed {
    pub account: AccountId,
    pub key: String,
    pub params: Params,
    /// The time after which its caller does not want it done.
    pub expires_at: Micros,
}

/// Who calls, where that was found out before the request came here: the WebSocket API puts it
/// beside the requests that it carries. Nothing from outside can.
#[derive(Clone)]
pub struct Caller {
    pub key: Arc<Key>,
    pub expires_at: Micros,
}

impl FromRequest<Arc<App>> for Public {
    type Rejection = ApiError;

    async fn from_request(request: Request, _app: &Arc<App>) -> Result<Self, ApiError> {
        let raw = Raw::read(request).await?;
        Ok(Self { params: Params::decode(&raw.query, &raw.body)? })
    }
}

impl FromRequest<Arc<App>> for Keyed {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let key = match request.extensions_mut().remove::<Caller>() {
            Some(caller) => caller.key,
            None => find_key(app, request.headers())?,
        };
        let raw = Raw::read(request).await?;
        let params = Params::decode(&raw.query, &raw.body)?;
        Ok(Self { account: key.account, key: key.key.clone(), params })
    }
}

impl FromRequest<Arc<App>> for Signed {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        if let Some(Caller { key, expires_at }) = request.extensions_mut().remove() {
            let raw = Raw::read(request).await?;
            let params = Params::decode(&raw.query, &raw.body)?;
            return Ok(Self { account: key.account, key: key.key.clone(), params, expires_at });
        }
        let key = find_key(app, request.headers())?;
        let raw = Raw::read(request).await?;
        let (query, body, signature) = take_signature(&raw.query, &raw.body);
        let params = Params::decode(&query, &body)?;
        params.need("timestamp")?;
        let signature = signature.filter(|signature| !signature.is_empty());
        let signature = signature.ok_or_else(|| ApiError::mandatory("signature"))?;
        verify(&key.credential, &[&query, &body], signature)?;
        let expires_at = check_time(&params, now_ms())?;
        Ok(Self { account: key.account, key: key.key.clone(), params, expires_at })
    }
}

/// Checks a signature as it came over the parts behind one another: -1022.
pub fn verify(credential: &Credential, parts: &[&[u8]], signature: &[u8]) -> Result<(), ApiError> {
    if credential.verify(parts, signature) {
        Ok(())
    } else {
        Err(ApiError::new(-1022, "Signature for this request is not valid."))
    }
}

/// Checks `timestamp` and `recvWindow` against the clock; returns when the request is too old.
pub fn check_time(params: &Params, now_ms: i64) -> Result<Micros, ApiError> {
    let timestamp = params.integer("timestamp")?.ok_or_else(|| ApiError::mandatory("timestamp"))?;
    let window = params.integer("recvWindow")?.unwrap_or(RECV_WINDOW_MS);
    if !(0..=RECV_WINDOW_MS_MAX).contains(&window) {
        let text = format!("recvWindow must be less than {RECV_WINDOW_MS_MAX}.");
        return Err(ApiError::new(-1131, text));
    }
    if timestamp <= 0 {
        return Err(ApiError::mandatory("timestamp"));
    }
    if timestamp >= now_ms.saturating_add(AHEAD_MS_MAX) {
        let text = "Timestamp for this request was 1000ms ahead of the server's time.";
        return Err(ApiError::new(-1021, text));
    }
    if now_ms.saturating_sub(timestamp) > window {
        return Err(outside_window());
    }
    let expires_ms = timestamp + window;
    Ok(Micros::try_from(expires_ms).unwrap_or(0).saturating_mul(1_000))
}

/// -1021: the request is too old.
pub fn outside_window() -> ApiError {
    ApiError::new(-1021, "Timestamp for this request is outside of the recvWindow.")
}

/// Looks a key up by its text: -2014 where it cannot be one, -2015 where nobody has it.
pub fn key_of(app: &App, text: &str) -> Result<Arc<Key>, ApiError> {
    let possible = (1..=KEY_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !possible {
        return Err(
            ApiError::new(-2014, "API-key format invalid.").with_status(StatusCode::UNAUTHORIZED)
        );
    }
    app.keys.get(text).ok_or_else(|| {
        ApiError::new(-2015, "Invalid API-key, IP, or permissions for action.")
            .with_status(StatusCode::UNAUTHORIZED)
    })
}

fn find_key(app: &App, headers: &HeaderMap) -> Result<Arc<Key>, ApiError> {
    let text = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    key_of(app, text)
}

/// A request's parameters as they came.
struct Raw {
    query: Vec<u8>,
    body: axum::body::Bytes,
}

impl Raw {
    async fn read(request: Request) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or("").as_bytes().to_vec();
        let body = timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await.map_err(|_| {
            ApiError::new(-1007, "Timeout waiting for the request's body.")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        })?;
        let body = body.map_err(|_| {
            let text = format!("The request's body is longer than {BODY_BYTES_MAX} bytes.");
            ApiError::new(-1130, text).with_status(StatusCode::PAYLOAD_TOO_LARGE)
        })?;
        Ok(Self { query, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of the venue's documentation.
    const SECRET: &[u8] = b"2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";
    const QUERY: &[u8] = b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&\
        timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
    const SIGNATURE: &[u8] = b"3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9";

    fn verify(secret: &[u8], parts: &[&[u8]], signature: &[u8]) -> Result<(), ApiError> {
        super::verify(&Credential::Secret(secret.to_vec()), parts, signature)
    }

    #[test]
    fn signatures_are_over_the_bytes_as_they_came() {
        assert_eq!(verify(SECRET, &[QUERY, b""], SIGNATURE), Ok(()));
        assert_eq!(verify(SECRET, &[b"", QUERY], SIGNATURE), Ok(()));
        let (left, right) = QUERY.split_at(33);
        assert_eq!(verify(SECRET, &[left, right], SIGNATURE), Ok(()));
        assert_eq!(verify(SECRET, &[QUERY], &SIGNATURE.to_ascii_uppercase()), Ok(()));
        for wrong in [&SIGNATURE[..63], b"", b"zz", &[b'a'; 64]] {
            assert_eq!(verify(SECRET, &[QUERY], wrong).unwrap_err().code, -1022);
        }
        assert_eq!(verify(b"other", &[QUERY], SIGNATURE).unwrap_err().code, -1022);
        assert_eq!(verify(SECRET, &[&QUERY[1..]], SIGNATURE).unwrap_err().code, -1022);
    }

    #[test]
    fn requests_are_neither_old_nor_from_the_future() {
        let at = |query: &str| check_time(&Params::decode(query.as_bytes(), b"").unwrap(), 100_000);
        assert_eq!(at("timestamp=100999"), Ok(105_999_000));
        assert_eq!(at("timestamp=101000").unwrap_err().code, -1021);
        assert_eq!(at("timestamp=95000"), Ok(100_000_000));
        assert_eq!(at("timestamp=94999").unwrap_err().code, -1021);
        assert_eq!(at("timestamp=40000&recvWindow=60000"), Ok(100_000_000));
        assert_eq!(at("timestamp=95000&recvWindow=60001").unwrap_err().code, -1131);
        assert_eq!(at("timestamp=95000&recvWindow=-1").unwrap_err().code, -1131);
        for absent in ["", "timestamp=", "timestamp=x", "timestamp=-5"] {
            assert_eq!(at(absent).unwrap_err().code, -1102);
        }
        assert_eq!(at(&format!("timestamp={}", i64::MAX)).unwrap_err().code, -1021);
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_another_signature(at in 0..QUERY.len(), bit in 0..8u8) {
            let mut changed = QUERY.to_vec();
            changed[at] ^= 1 << bit;
            prop_assert!(verify(SECRET, &[&changed], SIGNATURE).is_err());
        }

        #[test]
        fn no_time_panics(timestamp: i64, window: i64, now in 0..i64::MAX / 2_000) {
            let query = format!("timestamp={timestamp}&recvWindow={window}");
            let _ = check_time(&Params::decode(query.as_bytes(), b"").unwrap(), now);
        }
    }
}
