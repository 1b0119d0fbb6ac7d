//! Errors as the API says them: a code, a text and an HTTP status, always as JSON.

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {msg}")]
pub struct ApiError {
    pub code: i32,
    pub msg: Cow<'static, str>,
    #[serde(skip)]
    pub status: StatusCode,
    /// When a limited caller may come back.
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

impl ApiError {
    /// An error of the caller: HTTP 400.
    pub fn new(code: i32, msg: impl Into<Cow<'static, str>>) -> Self {
        Self { code, msg: msg.into(), status: StatusCode::BAD_REQUEST, retry_after_s: None }
    }

    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// A limit is used up: HTTP 429.
    pub fn too_many(code: i32, msg: impl Into<Cow<'static, str>>, retry_after_s: u32) -> Self {
        let retry_after_s = Some(retry_after_s);
        Self { code, msg: msg.into(), status: StatusCode::TOO_MANY_REQUESTS, retry_after_s }
    }

    /// -1102: missing, empty or unreadable.
    pub fn mandatory(name: &str) -> Self {
        let name = shorten(name);
        Self::new(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }

    /// -1106: there, where it means nothing.
    pub fn not_required(name: &str) -> Self {
        Self::new(-1106, format!("Parameter '{}' sent when not required.", shorten(name)))
    }

    /// -1130: there, but of no use.
    pub fn invalid(name: &str) -> Self {
        Self::new(-1130, format!("Data sent for paramter '{}' is not valid.", shorten(name)))
    }

    pub fn precision() -> Self {
        Self::new(-1111, "Precision is over the maximum defined for this asset.")
    }

    pub fn invalid_symbol() -> Self {
        Self::new(-1121, "Invalid symbol.")
    }

    pub fn unknown_order() -> Self {
        Self::new(-2011, "Unknown order sent.")
    }

    pub fn no_such_order() -> Self {
        Self::new(-2013, "Order does not exist.")
    }

    pub fn invalid_listen_key() -> Self {
        Self::new(-1125, "This listenKey does not exist.")
    }

    /// A fault of ours: HTTP 500. The cause goes to the log, not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(-1000, "An unknown error occured while processing the request.")
            .with_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The command may have been applied: HTTP 503, query the order.
    pub fn outcome_unknown() -> Self {
        Self::new(-1000, "Unknown error, please check your request or try again later.")
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Nothing was done, try again: HTTP 503.
    pub fn unavailable() -> Self {
        Self::new(-1000, "Service Unavailable.").with_status(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Nothing was done, back off: HTTP 503.
    pub fn throttled() -> Self {
        Self::new(
            -1008,
            "Request throttled by system-level protection. Reduce-only/close-position orders are \
             exempt.",
        )
        .with_status(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// No such path, or not with this method: HTTP 404.
    pub fn no_such_path(method: &str, path: &str) -> Self {
        Self::new(-5000, format!("Path {}, Method {} is invalid", shorten(path), shorten(method)))
            .with_status(StatusCode::NOT_FOUND)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// As much of a caller's own text as an error repeats.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    text.chars().take(CHARS_MAX).collect()
}
