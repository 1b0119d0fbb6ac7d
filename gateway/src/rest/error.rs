//! Errors as the API says them: a code, a text and an HTTP status, always as JSON.

use std::borrow::Cow;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiError {
    pub code: i32,
    pub msg: Cow<'static, str>,
    #[serde(skip)]
    pub status: StatusCode,
}

impl ApiError {
    /// An error of the caller: HTTP 400.
    pub fn new(code: i32, msg: impl Into<Cow<'static, str>>) -> Self {
        Self { code, msg: msg.into(), status: StatusCode::BAD_REQUEST }
    }

    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// -1102: missing, empty or unreadable.
    pub fn mandatory(name: &str) -> Self {
        Self::new(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }

    /// -1130: there, but of no use.
    pub fn invalid(name: &str) -> Self {
        Self::new(-1130, format!("Data sent for paramter '{name}' is not valid."))
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
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(&self)).into_response()
    }
}
