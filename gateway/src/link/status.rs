//! How the link stands, for operators and for handlers that must know whether a shard answers.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use protocol::{Seq, SessionId, ShardId};
use serde::Serialize;

/// One shard as the link's thread saw it last.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    pub shard: u8,
    /// A primary was heard lately and takes commands.
    pub connected: bool,
    /// All that the shard had committed when it was met has been seen.
    pub ready: bool,
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
}

impl LinkStatus {
    pub fn shards(&self) -> Vec<ShardStatus> {
        self.shards.read().values().cloned().collect()
    }

    pub fn shard(&self, shard: ShardId) -> Option<ShardStatus> {
        self.shards.read().get(&shard).cloned()
    }

    /// Whether at least `count` shards are there and the views hold what they had committed when
    /// they were met.
    pub fn ready(&self, count: usize) -> bool {
        let shards = self.shards.read();
        shards.len() >= count && shards.values().all(|shard| shard.ready)
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
