//! Prints what an append costs and how long the disk takes to sync, here.
//!
//! `cargo run --release -p journal --example append_cost -- DIR`, where DIR is an empty directory
//! on the disk in question.

use std::{
    env,
    error::Error,
    fs,
    hint::black_box,
    os::unix::fs::FileExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use journal::{AppendError, Config, Journal, SEGMENT_BYTES_STANDARD, Sync, open};

const FRAME_BYTES: usize = 150;
const BATCH: u64 = 64;
const APPENDS: u64 = 4_000_000;
const SYNCS: u64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = env::args().nth(1).ok_or("usage: append_cost DIR")?;
    for (name, sync) in [("sync thread", Sync::Thread), ("on seal", Sync::OnSeal)] {
        let place = Path::new(&dir).join(name.replace(' ', "-"));
        fs::create_dir(&place)?;
        appends(name, &place, sync)?;
        fs::remove_dir_all(&place)?;
    }
    syncs(Path::new(&dir))
}

fn appends(name: &str, dir: &Path, sync: Sync) -> Result<(), Box<dyn Error>> {
    let config = Config {
        dir: dir.to_owned(),
        shard: 0,
        segment_bytes: SEGMENT_BYTES_STANDARD,
        sync,
        spare_segments: 4,
    };
    let mut journal = open(config.clone())?.journal;
    while journal.spares_ready() < 4 {
        thread::sleep(Duration::from_millis(10));
    }
    let frame = [0x5a; FRAME_BYTES];
    let mut batches = Histogram::<u64>::new(3)?;
    let mut waited = Duration::ZERO;
    let (cpu_before, faults_before) = (cpu_time()?, page_faults()?);
    for _ in 0..APPENDS / BATCH {
        let begun = Instant::now();
        let mut slept = Duration::ZERO;
        for _ in 0..BATCH {
            slept += append(&mut journal, &frame)?;
        }
        journal.commit_batch();
        batches.record((begun.elapsed() - slept).as_nanos() as u64)?;
        waited += slept;
    }
    let (cpu, faults) = (cpu_time()? - cpu_before, page_faults()? - faults_before);
    let durable = journal.durable();
    let last = journal.last_seq();
    println!(
        "{name}: {APPENDS} appends of {FRAME_BYTES} bytes: {:.1} ns of CPU each, {faults} page \
         faults; batches of {BATCH}: p50 {} p99 {} p99.9 {} max {} ns; durable lag at the end {}; \
         waited for segments {waited:?}",
        cpu.as_nanos() as f64 / APPENDS as f64,
        batches.value_at_quantile(0.5),
        batches.value_at_quantile(0.99),
        batches.value_at_quantile(0.999),
        batches.max(),
        last - durable.seq(),
    );
    journal.close()?;
    let begun = Instant::now();
    let found = open(config)?;
    println!("{name}: opened again at seq {} in {:?}", found.last_seq, begun.elapsed());
    Ok(found.journal.close()?)
}

fn append(journal: &mut Journal, frame: &[u8]) -> Result<Duration, AppendError> {
    let seq = journal.last_seq() + 1;
    let mut slept = Duration::ZERO;
    loop {
        match journal.append(seq, 1, black_box(frame)) {
            Ok(()) => return Ok(slept),
            Err(AppendError::NoSegmentReady) => {
                let begun = Instant::now();
                thread::sleep(Duration::from_micros(100));
                slept += begun.elapsed();
            }
            Err(error) => return Err(error),
        }
    }
}

/// Of this thread, in user and kernel.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

/// Of this thread, those without IO.
fn page_faults() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/stat")?;
    let (_, fields) = text.rsplit_once(')').ok_or("stat has no name")?;
    Ok(fields.split_whitespace().nth(7).ok_or("stat is short")?.parse()?)
}

/// One small write and one fdatasync at a time into a file that is allocated in full.
fn syncs(dir: &Path) -> Result<(), Box<dyn Error>> {
    let path = dir.join("syncs");
    let file = fs::File::create(&path)?;
    file.write_all_at(&vec![0; 16 << 20], 0)?;
    file.sync_all()?;
    let mut times = Histogram::<u64>::new(3)?;
    for turn in 0..SYNCS {
        file.write_all_at(&[turn as u8; FRAME_BYTES], turn * 192)?;
        let begun = Instant::now();
        file.sync_data()?;
        times.record(begun.elapsed().as_micros() as u64)?;
    }
    fs::remove_file(path)?;
    println!(
        "fdatasync of one page: p50 {} p99 {} max {} us",
        times.value_at_quantile(0.5),
        times.value_at_quantile(0.99),
        times.max()
    );
    Ok(())
}
