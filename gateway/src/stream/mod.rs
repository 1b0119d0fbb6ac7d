//! WebSocket streams: subscriptions, and who gets which notice.

use protocol::AccountId;

use crate::views::{accounts::UserNotice, market::MarketNotice};

/// Where notices go to the sockets that asked for them.
#[derive(Default)]
pub struct Hub {}

impl Hub {
    /// Called by the link thread after the views were written, in order; it never blocks.
    pub fn publish(&self, _market: Vec<MarketNotice>, _user: Vec<(AccountId, UserNotice)>) {}
}

/// The socket paths.
pub fn routes() -> axum::Router<std::sync::Arc<crate::app::App>> {
    axum::Router::new()
}
