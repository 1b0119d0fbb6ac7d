//! Reads a whole journal and says what is in it, without changing anything.

use std::path::{Path, PathBuf};

use crate::{
    Error, Reader, TornTail,
    config::Limits,
    files::{Lock, Volume, check_suspect, read_state},
    record::Tip,
    scan::Survey,
    segment::segment_path,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    pub volume_id: u128,
    pub shard: u8,
    pub segment_bytes: u64,
    /// The segments that hold records.
    pub segments: Vec<SegmentReport>,
    /// 0 in an empty journal, as are all that follow.
    pub last_seq: u64,
    pub last_epoch: u32,
    pub chain: u64,
    /// What the state file says was durable.
    pub durable_seq: u64,
    pub tail: TailReport,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    pub path: PathBuf,
    pub first_seq: u64,
    pub last_seq: u64,
    pub first_epoch: u32,
    pub last_epoch: u32,
    /// The chain after its last record.
    pub chain: u64,
}

/// How the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailReport {
    Clean,
    /// Unfinished writes that the next open zeroes; nothing in them was ever durable.
    Torn(TornTail),
    /// A running process is writing, so the end cannot be judged.
    InUse,
}

/// Checks every record of every segment: checksum, seq, epoch and chain.
pub fn verify(dir: impl AsRef<Path>) -> Result<VerifyReport, Error> {
    let dir = dir.as_ref();
    check_suspect(dir)?;
    let volume = Volume::read(dir)?.ok_or_else(|| Error::NoJournal { dir: dir.to_owned() })?;
    match Lock::take_to_read(dir) {
        Ok(_lock) => verify_at_rest(dir, volume),
        Err(Error::Locked { .. }) => verify_in_use(dir),
        Err(error) => Err(error),
    }
}

fn verify_at_rest(dir: &Path, volume: Volume) -> Result<VerifyReport, Error> {
    let state = read_state(dir, &volume)?;
    let survey = Survey::take(dir, volume, Limits::STANDARD)?;
    let mut segments = Vec::new();
    let end = survey.find_end(0, state.keep, &mut |index, _, tip| {
        note(&mut segments, segment_path(dir, survey.files[index].number), tip);
    })?;
    let verdict = survey.judge(end, state)?;
    let tail = match verdict.dirty.first() {
        None => TailReport::Clean,
        Some((index, offset)) => TailReport::Torn(TornTail {
            segment: segment_path(dir, survey.files[*index].number),
            offset: *offset,
            seq: verdict.end.tip.seq + 1,
        }),
    };
    Ok(report(&volume, segments, verdict.end.tip, state.durable_seq, tail))
}

fn verify_in_use(dir: &Path) -> Result<VerifyReport, Error> {
    let mut reader = Reader::open(dir, 0)?;
    let volume = *reader.volume();
    let mut segments = Vec::new();
    let mut tip = Tip::EMPTY;
    while let Some(record) = reader.next()? {
        let chain = crate::chain_after(record.prev_chain, record.frame);
        tip = Tip { seq: record.seq, epoch: record.epoch, chain };
        if let Some(number) = reader.segment() {
            note(&mut segments, segment_path(dir, number), tip);
        }
    }
    let durable_seq = read_state(dir, &volume)?.durable_seq;
    Ok(report(&volume, segments, tip, durable_seq, TailReport::InUse))
}

fn note(segments: &mut Vec<SegmentReport>, path: PathBuf, tip: Tip) {
    match segments.last_mut() {
        Some(last) if last.path == path => {
            (last.last_seq, last.last_epoch, last.chain) = (tip.seq, tip.epoch, tip.chain);
        }
        Some(_) | None => segments.push(SegmentReport {
            path,
            first_seq: tip.seq,
            last_seq: tip.seq,
            first_epoch: tip.epoch,
            last_epoch: tip.epoch,
            chain: tip.chain,
        }),
    }
}

fn report(
    volume: &Volume,
    segments: Vec<SegmentReport>,
    tip: Tip,
    durable_seq: u64,
    tail: TailReport,
) -> VerifyReport {
    VerifyReport {
        volume_id: volume.id,
        shard: volume.shard,
        segment_bytes: volume.segment_bytes,
        segments,
        last_seq: tip.seq,
        last_epoch: tip.epoch,
        chain: tip.chain,
        durable_seq,
        tail,
    }
}
