//! Who calls: extractors that check key, time and signature before a handler sees parameters.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use protocol::AccountId;

use super::{error::ApiError, params::Params};
use crate::app::App;

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

/// A call that its key's secret has signed.
pub struct Signed {
    pub account: AccountId,
    pub key: String,
    pub params: Params,
    /// Milliseconds since the epoch after which the caller does not want it done.
    pub expires_ms: u64,
}

impl FromRequest<Arc<App>> for Public {
    type Rejection = ApiError;
    async fn from_request(_request: Request, _app: &Arc<App>) -> Result<Self, ApiError> {
        Ok(Self { params: Params::default() })
    }
}

impl FromRequest<Arc<App>> for Keyed {
    type Rejection = ApiError;
    async fn from_request(_request: Request, _app: &Arc<App>) -> Result<Self, ApiError> {
        Err(ApiError::unavailable())
    }
}

impl FromRequest<Arc<App>> for Signed {
    type Rejection = ApiError;
    async fn from_request(_request: Request, _app: &Arc<App>) -> Result<Self, ApiError> {
        Err(ApiError::unavailable())
    }
}
