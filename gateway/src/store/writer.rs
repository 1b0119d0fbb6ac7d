//! The writer: takes rows in order and commits them in batches of whole frames.
//!
//! Each transaction first moves the resume points from what this writer knows to the last frame
//! of the batch, by compare-and-set. If another writer of the same file was faster, nothing is
//! written; the frames that it wrote are dropped, and the rest is tried again. So two gateways on
//! one file write each frame once, whoever is first.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocol::{Micros, Seq, ShardId};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use super::{
    ResumePoint, StoreError,
    convert::{signed, unsigned},
    queue::Queue,
    row::Row,
    write,
};
use crate::views::accounts::recent::Progress;

/// Rows of one transaction; a frame more may go over it.
const BATCH_ROWS_MAX: usize = 8_192;
/// How long a batch waits for company, so that states that change often are written less often.
const LINGER: Duration = Duration::from_millis(50);
/// How often resume points are moved when no frame has a row.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Waits between tries while the database fails.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    pool: SqlitePool,
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    /// Where the database stands, as far as this writer knows.
    points: BTreeMap<ShardId, Seq>,
}

/// What one command's events left behind.
#[derive(Debug)]
struct Frame {
    shard: ShardId,
    seq: Seq,
    ts: Micros,
    rows: Vec<Row>,
}

/// What became of a transaction.
enum Commit {
    Done,
    /// Another writer has moved these shards' points meanwhile.
    Overtaken(BTreeMap<ShardId, Seq>),
}

impl Writer {
    pub fn new(
        pool: SqlitePool,
        queue: Arc<Queue>,
        progress: Arc<Progress>,
        points: &[ResumePoint],
    ) -> Self {
        for point in points {
            progress.advance(point.shard, point.seq);
        }
        let points = points.iter().map(|point| (point.shard, point.seq)).collect();
        Self { pool, queue, progress, points }
    }

    /// Writes until the queue is closed and empty.
    pub async fn run(mut self) -> Result<(), StoreError> {
        loop {
            let closed = self.queue.is_closed();
            let rows = self.next_batch().await;
            if rows.is_empty() && closed {
                return Ok(());
            }
            if !rows.is_empty() {
                self.write_batch(rows).await?;
            }
        }
    }

    /// Waits for rows; a batch without any but resume points waits for more of them.
    async fn next_batch(&self) -> Vec<Row> {
        if self.queue.is_empty() && !self.queue.is_closed() {
            self.queue.wait().await;
        }
        if self.queue.rows() < BATCH_ROWS_MAX && !self.queue.is_closed() {
            tokio::time::sleep(LINGER).await;
        }
        let mut rows = self.queue.take(BATCH_ROWS_MAX);
        let deadline = tokio::time::Instant::now() + IDLE_EVERY;
        while rows.iter().all(|row| matches!(row, Row::Boundary { .. }))
            && rows.len() < BATCH_ROWS_MAX
            && !self.queue.is_closed()
        {
            if tokio::time::timeout_at(deadline, self.queue.wait()).await.is_err() {
                break;
            }
            rows.append(&mut self.queue.take(BATCH_ROWS_MAX));
        }
        rows
    }

    /// Commits a batch however long it takes; only what waiting can't heal is an error.
    async fn write_batch(&mut self, rows: Vec<Row>) -> Result<(), StoreError> {
        let count = rows.len();
        let mut frames = frames(rows);
        let mut wait = RETRY_FIRST;
        loop {
            frames.retain(|frame| frame.seq > self.point(frame.shard));
            match self.commit(&frames).await {
                Ok(Commit::Done) => break,
                Ok(Commit::Overtaken(points)) => {
                    self.catch_up(points)?;
                }
                Err(error) => {
                    if self.queue.failed(error.to_string()) {
                        tracing::error!(%error, "the database takes no rows; trying again");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_LAST);
                }
            }
        }
        for frame in &frames {
            self.points.insert(frame.shard, frame.seq);
        }
        for (shard, seq) in &self.points {
            self.progress.advance(*shard, *seq);
        }
        self.queue.done(count);
        Ok(())
    }

    fn point(&self, shard: ShardId) -> Seq {
        self.points.get(&shard).copied().unwrap_or(0)
    }

    /// Accepts what another writer has done; a database that has less than was written is not
    /// the one that this writer began with.
    fn catch_up(&mut self, points: BTreeMap<ShardId, Seq>) -> Result<(), StoreError> {
        for (shard, stored) in points {
            let written = self.point(shard);
            if stored < written {
                return Err(StoreError::Replaced { shard, stored, written });
            }
            self.points.insert(shard, stored);
        }
        Ok(())
    }

    async fn commit(&self, frames: &[Frame]) -> Result<Commit, sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut last: BTreeMap<ShardId, (Seq, Micros)> = BTreeMap::new();
        for frame in frames {
            last.insert(frame.shard, (frame.seq, frame.ts));
        }
        for (shard, (seq, ts)) in &last {
            if !advance(&mut transaction, *shard, self.point(*shard), *seq, *ts).await? {
                transaction.rollback().await?;
                let mut connection = self.pool.acquire().await?;
                return Ok(Commit::Overtaken(stored(&mut connection, last.keys()).await?));
            }
        }
        write::rows(&mut transaction, frames.iter().flat_map(|frame| &frame.rows)).await?;
        transaction.commit().await?;
        Ok(Commit::Done)
    }
}

/// Cuts rows at their boundaries. Views hand on whole frames only, so nothing is left over.
fn frames(rows: Vec<Row>) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut open = Vec::new();
    for row in rows {
        match row {
            Row::Boundary { shard, seq, ts } => {
                frames.push(Frame { shard, seq, ts, rows: std::mem::take(&mut open) });
            }
            Row::Order(_)
            | Row::Algo(_)
            | Row::Amendment(_)
            | Row::Fill(_)
            | Row::Income(_)
            | Row::Slot(_)
            | Row::Cash(_)
            | Row::Lent(_)
            | Row::Mode(_)
            | Row::Margin(_)
            | Row::Market(_) => open.push(row),
        }
    }
    assert!(open.is_empty(), "rows come with the boundary of their frame");
    frames
}

/// Moves a shard's resume point iff it is where the caller thinks.
async fn advance(
    connection: &mut SqliteConnection,
    shard: ShardId,
    from: Seq,
    to: Seq,
    ts: Micros,
) -> Result<bool, sqlx::Error> {
    if from == 0 {
        sqlx::query("INSERT OR IGNORE INTO resume (shard, seq, ts) VALUES (?, 0, 0)")
            .bind(shard.0)
            .execute(&mut *connection)
            .await?;
    }
    let moved = sqlx::query("UPDATE resume SET seq = ?, ts = ? WHERE shard = ? AND seq = ?")
        .bind(signed(to))
        .bind(signed(ts))
        .bind(shard.0)
        .bind(signed(from))
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Where the database stands in these shards' logs.
async fn stored<'a>(
    connection: &mut SqliteConnection,
    shards: impl Iterator<Item = &'a ShardId>,
) -> Result<BTreeMap<ShardId, Seq>, sqlx::Error> {
    let mut points: BTreeMap<ShardId, Seq> = shards.map(|shard| (*shard, 0)).collect();
    for row in sqlx::query("SELECT shard, seq FROM resume").fetch_all(connection).await? {
        let shard = ShardId(row.try_get("shard")?);
        if let Some(point) = points.get_mut(&shard) {
            *point = unsigned(&row, "seq")?;
        }
    }
    Ok(points)
}
