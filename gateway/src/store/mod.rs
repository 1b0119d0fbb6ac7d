//! History and keys in a database: what memory does not hold, idempotent by shard, seq and index.

pub mod market;
pub mod row;

pub use row::Row;

pub struct Store {}

impl Store {
    /// Queues rows for the writer; called by the link thread, so it never blocks.
    pub fn push(&self, _rows: Vec<Row>) {}
}
