//! One request: its JSON, its signature, and its parameters as a query.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::methods::Security;
use crate::{
    app::App,
    clock::now_ms,
    keys::Key,
    limits::PARAMS_MAX,
    rest::{
        auth::{Caller, check_time, key_of, verify},
        error::ApiError,
        params::Params,
    },
};

/// Bytes of an id, which is sent back as it came.
const ID_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: BTreeMap<String, &'a RawValue>,
}

/// A request whose parameters are text: of a string what it holds, of others how they are written.
pub struct Request<'a> {
    pub id: Option<Box<RawValue>>,
    pub method: Cow<'a, str>,
    params: BTreeMap<String, String>,
}

impl<'a> Request<'a> {
    pub fn read(text: &'a str) -> Result<Self, ApiError> {
        let raw: Raw = serde_json::from_str(text)
            .map_err(|_| ApiError::new(-1130, "The request is not JSON with a method."))?;
        if raw
            .id
            .is_some_and(|id| id.get().len() > ID_BYTES_MAX || id.get().starts_with(['{', '[']))
        {
            return Err(ApiError::invalid("id"));
        }
        if raw.params.len() > PARAMS_MAX {
            return Err(ApiError::new(
                -1101,
                format!("Too many parameters; at most {PARAMS_MAX}."),
            ));
        }
        let mut params = BTreeMap::new();
        for (name, value) in raw.params {
            let text = value.get();
            let text = if text.starts_with('"') {
                serde_json::from_str(text).map_err(|_| ApiError::invalid(&name))?
            } else if text == "null" {
                continue;
            } else {
                text.to_owned()
            };
            params.insert(name, text);
        }
        Ok(Self { id: raw.id.map(ToOwned::to_owned), method: raw.method, params })
    }

    /// Whether the answer shall say how much of the limits is used.
    pub fn wants_limits(&self) -> bool {
        self.params.get("returnRateLimits").is_none_or(|text| text != "false")
    }

    /// Who asks, as far as the method needs to know; `session` is the key that has logged on.
    pub fn authenticate(
        &self,
        app: &App,
        security: Security,
        session: Option<Arc<Key>>,
    ) -> Result<Option<Caller>, ApiError> {
        if security == Security::None {
            return Ok(None);
        }
        if let Some(key) = session.filter(|key| self.leaves_it_to(key)) {
            let expires_at = match security {
                Security::None | Security::Key => 0,
                Security::Signature => check_time(&self.as_params(), now_ms())?,
            };
            return Ok(Some(Caller { key, expires_at }));
        }
        let key = key_of(app, self.params.get("apiKey").map_or("", String::as_str))?;
        let expires_at = match security {
            Security::None | Security::Key => 0,
            Security::Signature => {
                let signature = self.params.get("signature");
                let signature = signature.ok_or_else(|| ApiError::mandatory("signature"))?;
                verify(&key.credential, &[self.signed().as_bytes()], signature.as_bytes())?;
                check_time(&self.as_params(), now_ms())?
            }
        };
        Ok(Some(Caller { key, expires_at }))
    }

    /// Whether it relies on who has logged on: it names nobody else, and is not signed itself.
    fn leaves_it_to(&self, key: &Key) -> bool {
        let named = self.params.get("apiKey");
        named.is_none_or(|name| *name == key.key) && !self.params.contains_key("signature")
    }

    /// The parameters as a query of REST.
    pub fn query(&self) -> String {
        let pair =
            |(name, value): (&String, &String)| format!("{}={}", escape(name), escape(value));
        let carried =
            self.params.iter().filter(|(name, _)| !matches!(name.as_str(), "apiKey" | "signature"));
        carried.map(pair).collect::<Vec<_>>().join("&")
    }

    /// What was signed: all other parameters by name, not encoded.
    fn signed(&self) -> String {
        let pair = |(name, value): (&String, &String)| format!("{name}={value}");
        let signed = self.params.iter().filter(|(name, _)| *name != "signature");
        signed.map(pair).collect::<Vec<_>>().join("&")
    }

    fn as_params(&self) -> Params {
        Params::new(self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// Percent-encodes everything that is not plain.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_booleans_are_signed_as_they_are_written() {
        let request = Request::read(
            r#"{"id":"7","method":"order.place","params":{"symbol":"BTCUSDT","quantity":0.010,
            "apiKey":"k","reduceOnly":false,"none":null,"price":"1 \"&","signature":"x"}}"#,
        )
        .unwrap();
        assert_eq!(request.id.as_ref().unwrap().get(), "\"7\"");
        let signed = "apiKey=k&price=1 \"&&quantity=0.010&reduceOnly=false&symbol=BTCUSDT";
        assert_eq!(request.signed(), signed);
        let query = "price=1%20%22%26&quantity=0.010&reduceOnly=false&symbol=BTCUSDT";
        assert_eq!(request.query(), query);
        assert!(request.wants_limits());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in ["", "[]", "{}", r#"{"method":5}"#, r#"{"id":{},"method":"ping"}"#] {
            assert_eq!(Request::read(text).err().unwrap().code, -1130, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}", name in "\\PC{0,10}", value in "\\PC{0,20}") {
            let _ = Request::read(&text).map(|request| request.query());
            let good = serde_json::json!({ "method": "ping", "params": { name: value } }).to_string();
            let request = Request::read(&good).unwrap();
            prop_assert!(request.query().is_ascii());
        }
    }
}
