//! A small signed client of the trading API, for the bots and the drills.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::{Error, admin::without_url, secrets::ApiKey};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const RECV_WINDOW_MS: u64 = 10_000;

#[derive(Clone)]
pub struct Rest {
    base: String,
    key: ApiKey,
    http: reqwest::Client,
}

/// What the venue said: a body, or its error code and text with the HTTP status.
#[derive(Debug)]
pub enum Answer {
    Done(Value),
    Refused { status: u16, code: i64, msg: String },
}

impl Rest {
    pub fn new(base: &str, key: ApiKey) -> Self {
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build().unwrap_or_default();
        Self { base: base.to_owned(), key, http }
    }

    /// A call without signature.
    pub async fn public(&self, path: &str, query: &str) -> Result<Answer, Error> {
        let url = format!("{}{path}?{query}", self.base);
        self.send(self.http.get(url), path).await
    }

    /// A signed call; parameters must be URL-safe as they stand.
    pub async fn signed(
        &self,
        method: reqwest::Method,
        path: &str,
        params: &str,
    ) -> Result<Answer, Error> {
        let separator = if params.is_empty() { "" } else { "&" };
        let query =
            format!("{params}{separator}recvWindow={RECV_WINDOW_MS}&timestamp={}", now_ms());
        let url = format!("{}{path}?{query}&signature={}", self.base, self.sign(&query));
        self.send(self.http.request(method, url), path).await
    }

    fn sign(&self, payload: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.api_secret.as_bytes())
            .expect("HMAC takes keys of every length");
        mac.update(payload.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Answer, Error> {
        let failed = |e: reqwest::Error| Error::Http {
            url: format!("{}{path}", self.base),
            reason: without_url(e),
        };
        let answer =
            request.header("X-MBX-APIKEY", &self.key.api_key).send().await.map_err(failed)?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(failed)?;
        if status.is_success() {
            return Ok(Answer::Done(body));
        }
        Ok(Answer::Refused {
            status: status.as_u16(),
            code: body.get("code").and_then(Value::as_i64).unwrap_or(0),
            msg: body.get("msg").and_then(Value::as_str).unwrap_or("").to_owned(),
        })
    }
}

impl Answer {
    /// The body, or the refusal as an error of this tool.
    pub fn done(self, what: &str) -> Result<Value, Error> {
        match self {
            Self::Done(body) => Ok(body),
            Self::Refused { status, code, msg } => Err(Error::Refused {
                what: what.to_owned(),
                reason: format!("{code} {msg} (HTTP {status})"),
            }),
        }
    }
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_published_example_does() {
        let key = ApiKey {
            api_key: String::new(),
            api_secret: "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j".into(),
        };
        let payload = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1\
                       &recvWindow=5000&timestamp=1499827319559";
        assert_eq!(
            Rest::new("http://127.0.0.1:1", key).sign(payload),
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
        );
    }
}
