//! History and keys in a database: what memory does not hold, each row written exactly once.
//!
//! ```text
//!  link thread ──push──▶ queue (bounded) ──▶ writer task ──▶ SQLite, one transaction a batch:
//!       ▲                                                     resume points by compare-and-set,
//!       └── has_room(): when full, no more events are taken   then the rows up to them
//! ```
//!
//! Rows and the place in the log that they reach are committed together, so a crash between
//! batches loses nothing and doubles nothing: the gateway goes on from the stored place. What is
//! live is stored too, so that it starts without replaying history. The database is never on the
//! order path; while it fails, the queue fills, and the status says so.

mod algo;
mod convert;
pub mod directory;
pub mod error;
mod fundings;
pub mod history;
mod load;
pub mod market;
mod queue;
#[cfg(test)]
mod restart_test;
pub mod row;
mod seal;
mod write;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    Connection, Sqlite, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::queue::Queue;
pub use self::{
    directory::Directory,
    error::StoreError,
    load::ResumePoint,
    queue::{QUEUE_ROWS_MAX, StoreStatus},
    row::Row,
    seal::SealingKey,
};
use crate::views::accounts::recent::Progress;

/// Connections that answer queries about history at once.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another writer of the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a query waits for a free connection before it is refused.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The database, and the queue of what is still to be written into it.
pub struct Store {
    readers: SqlitePool,
    /// The writer's connection. Commits need no fsync of their own: what a power loss takes back
    /// goes with its resume point, and is read from the shards again.
    writer: SqlitePool,
    /// For accounts and keys, which nobody could say again: each commit is on the disk.
    strict: SqlitePool,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
}

impl Store {
    /// Opens or makes the database and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let pool = |size: u32, synchronous| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // a full disk makes SQLite roll back by itself, which leaves a connection that
                // counts a transaction that is no more
                .before_acquire(|connection, _| {
                    Box::pin(async { Ok(!connection.is_in_transaction()) })
                })
                .connect_lazy_with(options.clone().synchronous(synchronous))
        };
        let strict = pool(1, SqliteSynchronous::Full);
        drop(strict.acquire().await.map_err(failed)?);
        sqlx::migrate!()
            .run(&strict)
            .await
            .map_err(|source| StoreError::Migrate { path: path.to_owned(), source })?;
        check_writable(&strict).await.map_err(failed)?;
        Ok(Self {
            readers: pool(READERS_MAX, SqliteSynchronous::Normal),
            writer: pool(1, SqliteSynchronous::Normal),
            strict,
            queue: Arc::default(),
            progress: Arc::default(),
        })
    }

    /// A connection for queries, apart from the writer's.
    pub async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        self.readers.acquire().await
    }

    /// Queues rows of whole frames for the writer; called by the link thread, so it never blocks.
    ///
    /// Whoever calls asks [`Self::has_room`] before it takes more events; a batch under way may
    /// go a little over the limit.
    pub fn push(&self, rows: Vec<Row>) {
        self.queue.push(rows);
    }

    /// False: the writer is behind by [`QUEUE_ROWS_MAX`] rows, so no more events may be taken.
    pub fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// How far each shard's rows are committed; views drop what is over up to there.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    pub fn status(&self) -> StoreStatus {
        self.queue.status()
    }

    /// Starts the writer from the resume points that [`Self::load`] returned.
    ///
    /// The task ends once [`Self::finish`] was called and everything is written, or with an error
    /// that waiting can't heal.
    pub fn start_writer(
        &self,
        points: &[ResumePoint],
    ) -> tokio::task::JoinHandle<Result<(), StoreError>> {
        let writer = writer::Writer::new(
            self.writer.clone(),
            self.queue.clone(),
            self.progress.clone(),
            points,
        );
        tokio::spawn(writer.run())
    }

    /// Tells the writer that nothing comes any more.
    pub fn finish(&self) {
        self.queue.close();
    }

    pub(crate) fn strict(&self) -> &SqlitePool {
        &self.strict
    }
}

/// Finds out now, not at the first row, that a disk or a file can't be written.
async fn check_writable(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE resume SET seq = seq").execute(&mut *transaction).await?;
    transaction.commit().await
}
