//! What is kept in memory until the store has it, so that a reader of both meets no seam.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use protocol::{
    AccountId, AlgoId, Micros, OrderId, Seq, ShardId, SymbolId, TradeId, limits::SHARDS_MAX,
};

use super::account::{AmendmentKey, IncomeKey, MarginKey};

/// How long a closed order stays in memory at least, in log time: its own reply is made from it.
pub const RECENT_KEPT_US: Micros = 2_000_000;

/// How far the store has written each shard's rows; shared by the writer and the views.
#[derive(Debug, Default)]
pub struct Progress {
    stored: [AtomicU64; SHARDS_MAX],
}

impl Progress {
    pub fn stored(&self, shard: ShardId) -> Seq {
        self.stored.get(usize::from(shard.0)).map_or(0, |seq| seq.load(Ordering::Acquire))
    }

    /// Called once the rows up to `seq` are committed.
    pub fn advance(&self, shard: ShardId, seq: Seq) {
        if let Some(stored) = self.stored.get(usize::from(shard.0)) {
            stored.fetch_max(seq, Ordering::AcqRel);
        }
    }
}

/// One thing to drop again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recent {
    Order(SymbolId, OrderId),
    Algo(AlgoId),
    Fill(SymbolId, TradeId),
    Income(IncomeKey),
    Amendment(AmendmentKey),
    Margin(MarginKey),
}

/// By shard, in the order of its log: what has been kept since when.
#[derive(Debug, Default)]
pub(super) struct Recents {
    progress: Arc<Progress>,
    shards: [VecDeque<Entry>; SHARDS_MAX],
}

#[derive(Debug)]
struct Entry {
    seq: Seq,
    ts: Micros,
    account: AccountId,
    what: Recent,
}

impl Recents {
    pub fn follow(&mut self, progress: Arc<Progress>) {
        self.progress = progress;
    }

    pub fn push(&mut self, shard: ShardId, seq: Seq, ts: Micros, account: AccountId, what: Recent) {
        self.shards[usize::from(shard.0)].push_back(Entry { seq, ts, account, what });
    }

    /// The next of a shard that is stored and old enough, if there is one.
    pub fn pop(&mut self, shard: ShardId, now: Micros) -> Option<(AccountId, Recent)> {
        let stored = self.progress.stored(shard);
        let queue = &mut self.shards[usize::from(shard.0)];
        let due = queue.front().is_some_and(|entry| {
            entry.seq <= stored && entry.ts.saturating_add(RECENT_KEPT_US) <= now
        });
        if !due {
            return None;
        }
        queue.pop_front().map(|entry| (entry.account, entry.what))
    }
}
