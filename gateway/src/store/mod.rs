//! History and keys in a database: what memory does not hold, idempotent by shard, seq and index.

/// One fact to be written, keyed by its place in a shard's log.
#[derive(Clone, Debug)]
pub enum Row {}

pub struct Store {}

impl Store {
    /// Queues rows for the writer; called by the link thread, so it never blocks.
    pub fn push(&self, _rows: Vec<Row>) {}
}
