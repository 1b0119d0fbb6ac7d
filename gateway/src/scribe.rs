//! Writes what the shards say into the views, and hands on what it means to streams and store.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{
    link::{Listener, Received},
    store::Store,
    stream::Hub,
    views::{Effects, Views},
};

/// Events applied under one lock, so that readers get their turn while a gateway catches up.
const EVENTS_PER_LOCK: usize = 512;

/// The only writer of the views; it lives on the link's thread.
pub struct Scribe {
    views: Arc<RwLock<Views>>,
    hub: Arc<Hub>,
    store: Arc<Store>,
    effects: Effects,
}

impl Scribe {
    pub fn new(views: Arc<RwLock<Views>>, hub: Arc<Hub>, store: Arc<Store>) -> Self {
        Self { views, hub, store, effects: Effects::default() }
    }
}

impl Listener for Scribe {
    fn has_room(&self) -> bool {
        self.store.has_room()
    }

    fn apply(&mut self, batch: &[Received]) {
        for part in batch.chunks(EVENTS_PER_LOCK) {
            let mut views = self.views.write();
            for received in part {
                views.apply(received.shard, &received.header, &received.event, &mut self.effects);
            }
        }
    }

    fn publish(&mut self) {
        let Effects { market, user, rows } = std::mem::take(&mut self.effects);
        self.hub.publish(market, user);
        if !rows.is_empty() {
            self.store.push(rows);
        }
    }
}
