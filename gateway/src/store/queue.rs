//! Rows between the link thread and the writer: bounded by who fills it, never blocking.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Row;

/// Rows that may wait for the writer; at some 200 bytes each about 50 MiB.
pub const QUEUE_ROWS_MAX: usize = 262_144;

/// What an operator sees of the writer.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct StoreStatus {
    pub queued_rows: usize,
    /// Committed since the start.
    pub written_rows: u64,
    /// False: the shards' events wait until the database takes rows again.
    pub has_room: bool,
    /// Why the last try failed; `None`: all is well.
    pub error: Option<String>,
}

#[derive(Default)]
pub(super) struct Queue {
    chunks: Mutex<VecDeque<Vec<Row>>>,
    rows: AtomicUsize,
    closed: AtomicBool,
    filled: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: u64,
    error: Option<String>,
}

impl Queue {
    pub fn push(&self, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        self.rows.fetch_add(rows.len(), Ordering::AcqRel);
        self.chunks.lock().push_back(rows);
        self.filled.notify_one();
    }

    /// Rows that are not in the database yet.
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    pub fn has_room(&self) -> bool {
        self.rows() < QUEUE_ROWS_MAX
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes chunks until there are `wanted` rows; they still count as queued.
    pub fn take(&self, wanted: usize) -> Vec<Row> {
        let mut chunks = self.chunks.lock();
        let mut rows = Vec::new();
        while rows.len() < wanted {
            let Some(mut chunk) = chunks.pop_front() else { break };
            rows.append(&mut chunk);
        }
        rows
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.lock().is_empty()
    }

    pub async fn wait(&self) {
        self.filled.notified().await;
    }

    /// Rows that were taken are in the database, or were found there.
    pub fn done(&self, rows: usize) {
        self.rows.fetch_sub(rows, Ordering::AcqRel);
        let mut state = self.state.lock();
        state.written += rows as u64;
        state.error = None;
    }

    /// True when this is news: the same trouble is told once.
    pub fn failed(&self, error: String) -> bool {
        let mut state = self.state.lock();
        let news = state.error.as_ref() != Some(&error);
        state.error = Some(error);
        news
    }

    pub fn status(&self) -> StoreStatus {
        let state = self.state.lock();
        StoreStatus {
            queued_rows: self.rows(),
            written_rows: state.written,
            has_room: self.has_room(),
            error: state.error.clone(),
        }
    }
}
