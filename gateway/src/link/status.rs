//! How the link stands, for operators and for handlers that must know whether a shard answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use protocol::{Seq, SessionId, ShardId};
use serde::Serialize;

/// One shard as the link's thread saw it last.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    pub shard: u8,
    /// It takes commands: a primary was heard lately, and it has caught up.
    pub ready: bool,
    /// A primary was heard lately.
    pub connected: bool,
    /// All that the shard had committed when it was met has been seen.
    pub caught_up: bool,
    pub replica: u8,
    pub epoch: u32,
    pub incarnation: u64,
    pub committed: Seq,
    /// The last seq seen whole.
    pub seen: Seq,
    /// `committed - seen`.
    pub lag: Seq,
    pub session: u64,
    /// Commands without an outcome.
    pub under_way: usize,
}

/// The status of all shards, shared with the thread that writes it.
#[derive(Clone, Default)]
pub struct LinkStatus {
    shards: Arc<RwLock<BTreeMap<ShardId, ShardStatus>>>,
    complete: Arc<AtomicBool>,
}

impl LinkStatus {
    pub fn shards(&self) -> Vec<ShardStatus> {
        self.shards.read().values().cloned().collect()
    }

    pub fn shard(&self, shard: ShardId) -> Option<ShardStatus> {
        self.shards.read().get(&shard).cloned()
    }

    /// Whether at least `count` shards have been met and the views hold what those had committed
    /// then. Once true it stays so: a shard that goes away later is told apart by its status.
    pub fn complete(&self, count: usize) -> bool {
        if self.complete.load(Ordering::Acquire) {
            return true;
        }
        let shards = self.shards.read();
        let complete = shards.len() >= count && shards.values().all(|shard| shard.caught_up);
        self.complete.fetch_or(complete, Ordering::AcqRel);
        complete
    }

    pub(super) fn set(&self, shard: ShardId, status: ShardStatus) {
        self.shards.write().insert(shard, status);
    }
}

impl ShardStatus {
    pub fn session(&self) -> Option<SessionId> {
        (self.session != 0).then_some(SessionId(self.session))
    }
}
