//! WebSocket streams: market data for anybody, and each account's own events.
//!
//! A connection is a small task of its own ([`socket`]); what it asks and all it is told goes
//! through one task that knows who listens to what ([`hub`]). An event is written once, however
//! many listen.

mod control;
mod depth;
mod feeds;
#[cfg(test)]
mod forced_test;
mod hub;
pub mod listen_keys;
mod name;
mod payload;
#[cfg(test)]
mod settling_test;
mod socket;
#[cfg(test)]
mod stream_test;
mod user;
#[cfg(test)]
mod user_test;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::any,
};
use serde::Deserialize;

pub use hub::{BATCHES_MAX, Hub, HubTask, SOCKET_QUEUE_MAX, SOCKETS_MAX};
pub use socket::Start;

use crate::{app::App, rest::error::ApiError};

/// The socket paths: plain, and behind a word for what they are used for, which decides nothing.
pub fn routes() -> Router<Arc<App>> {
    let mut router = Router::new().merge(listen_keys::routes());
    for prefix in ["", "/public", "/market", "/private"] {
        router = router
            .route(&format!("{prefix}/ws"), any(raw))
            .route(&format!("{prefix}/ws/"), any(raw))
            .route(&format!("{prefix}/ws/{{*names}}"), any(raw_named))
            .route(&format!("{prefix}/stream"), any(combined))
            .route(&format!("{prefix}/stream/"), any(combined));
    }
    router
}

/// What stands behind the question mark.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    streams: Option<String>,
    #[serde(rename = "listenKey")]
    listen_key: Option<String>,
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn raw(upgrade: Upgrade, query: Query<Asked>, app: State<Arc<App>>) -> Response {
    open(upgrade, app, query.0.start(false, ""))
}

async fn raw_named(
    upgrade: Upgrade,
    Path(names): Path<String>,
    query: Query<Asked>,
    app: State<Arc<App>>,
) -> Response {
    open(upgrade, app, query.0.start(false, &names))
}

async fn combined(upgrade: Upgrade, query: Query<Asked>, app: State<Arc<App>>) -> Response {
    open(upgrade, app, query.0.start(true, ""))
}

impl Asked {
    /// A number instead of a name only tells a client's connections apart.
    fn start(self, combined: bool, path: &str) -> Start {
        let asked = self.streams.as_deref().unwrap_or("");
        let names = path.split('/').chain(asked.split('/'));
        let is_name = |name: &&str| !name.bytes().all(|byte| byte.is_ascii_digit());
        Start {
            combined,
            names: names.filter(is_name).map(str::to_owned).collect(),
            listen_key: self.listen_key.filter(|key| !key.is_empty()),
        }
    }
}

fn open(upgrade: Upgrade, State(app): State<Arc<App>>, start: Start) -> Response {
    let hub = Arc::clone(&app.hub);
    let Ok(upgrade) = upgrade else {
        return ApiError::new(-1000, "This path is for WebSocket connections.")
            .with_status(StatusCode::UPGRADE_REQUIRED)
            .into_response();
    };
    upgrade
        .max_message_size(socket::MESSAGE_BYTES_MAX)
        .max_frame_size(socket::MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| socket::run(socket, hub, start))
}
