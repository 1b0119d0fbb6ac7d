//! A client of the gateway's admin API.

use std::time::Duration;

use serde_json::Value;

use crate::Error;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Admin {
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Admin {
    pub fn new(url: &str, token: &str) -> Self {
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build().unwrap_or_default();
        Self { url: url.to_owned(), token: token.to_owned(), http }
    }

    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.send(self.http.get(format!("{}{path}", self.url)), path).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.send(self.http.post(format!("{}{path}", self.url)).json(body), path).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value, Error> {
        let failed = |e: reqwest::Error| Error::Http {
            url: format!("{}{path}", self.url),
            reason: without_url(e),
        };
        let answer = request.bearer_auth(&self.token).send().await.map_err(failed)?;
        let status = answer.status();
        let body: Value = answer.json().await.map_err(failed)?;
        if status.is_success() {
            return Ok(body);
        }
        let reason = body.get("msg").and_then(Value::as_str).unwrap_or("no reason given");
        Err(Error::Refused { what: path.to_owned(), reason: format!("{reason} ({status})") })
    }
}

/// A transport error in one line; the URL stands beside it already.
pub fn without_url(error: reqwest::Error) -> String {
    use std::error::Error as _;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
