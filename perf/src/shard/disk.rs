//! What the disk takes for a sync by itself, to set a shard's latencies against.

use std::{fs::File, io::Write, path::Path, time::Instant};

use hdrhistogram::Histogram;

use crate::error::PerfError;

const SYNCS: usize = 200;
/// About what a busy shard has written between two syncs.
const BYTES_PER_SYNC: usize = 128 * 1024;
const LATENCY_MAX_US: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
pub struct SyncLatency {
    pub us_p50: u64,
    pub us_p99: u64,
}

/// Measures fdatasync over a file that is there already, as journal segments are.
pub fn sync_latency(dir: &Path) -> Result<SyncLatency, PerfError> {
    let path = tempfile::NamedTempFile::new_in(dir)?;
    let mut file = File::create(path.path())?;
    let block = vec![0x5A; BYTES_PER_SYNC];
    for _ in 0..SYNCS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX_US, 3)
        .map_err(|error| PerfError::Shard(error.to_string()))?;
    let mut file = File::options().write(true).open(path.path())?;
    for _ in 0..SYNCS {
        file.write_all(&block)?;
        let start = Instant::now();
        file.sync_data()?;
        latencies.saturating_record(start.elapsed().as_micros() as u64);
    }
    let [us_p50, us_p99] = [0.5, 0.99].map(|quantile| latencies.value_at_quantile(quantile));
    Ok(SyncLatency { us_p50, us_p99 })
}
