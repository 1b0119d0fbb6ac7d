//! What every handler can reach: one `Arc` of it goes through the whole gateway.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{
    config::Config,
    keys::Keys,
    limits::Limits,
    link::Orders,
    store::{Directory, Store},
    stream::Hub,
    views::{Views, accounts::queues::RankedQueues},
};

/// The gateway's shared parts. Only the link thread writes to `views`; everybody else reads, for
/// as short a time as it takes to copy what is needed, and never across an `await`.
pub struct App {
    pub config: Config,
    pub views: Arc<RwLock<Views>>,
    pub orders: Orders,
    pub keys: Keys,
    pub limits: Limits,
    pub hub: Arc<Hub>,
    pub store: Arc<Store>,
    /// Accounts, their keys and listen keys.
    pub directory: Directory,
    /// Who would be deleveraged first.
    pub queues: RankedQueues,
}
