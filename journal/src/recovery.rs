//! Brings a directory back to a state that can be appended to, after any kind of stop.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf};

use crate::{
    Error, TornTail,
    config::Limits,
    files::{State, StateFile, Volume},
    record::Tip,
    scan::{Survey, Verdict},
    segment::segment_path,
};

const ZERO_CHUNK_BYTES: usize = 64 << 10;
static ZEROS: [u8; ZERO_CHUNK_BYTES] = [0; ZERO_CHUNK_BYTES];

/// A directory fit to be appended to.
pub(crate) struct Restored {
    pub tip: Tip,
    pub first_seq: u64,
    /// The segment to go on in, and the offset.
    pub current: Option<(u64, u64)>,
    /// Empty segments behind it.
    pub spares: Vec<u64>,
    /// The number after all of them.
    pub next_number: u64,
    pub repaired: Option<TornTail>,
}

/// Finds the end of the log, zeroes what lies behind it, and makes the rest durable.
///
/// Only segments from the known durable seq on are read: what is before was judged when it was
/// written to the state, and readers check every record they return.
pub(crate) fn recover(
    dir: PathBuf,
    volume: Volume,
    limits: Limits,
    state_file: &StateFile,
    state: State,
) -> Result<Restored, Error> {
    let survey = Survey::take(&dir, volume, limits)?;
    let start = survey.file_of(state.keep.unwrap_or(u64::MAX).min(state.durable_seq));
    let end = survey.find_end(start, state.keep, &mut |_, _, _| {})?;
    let Verdict { end, dirty } = survey.judge(end, state)?;

    let repaired = match (dirty.first(), state.keep == Some(end.tip.seq)) {
        (Some((index, offset)), false) => Some(TornTail {
            segment: segment_path(&dir, survey.files[*index].number),
            offset: *offset,
            seq: end.tip.seq + 1,
        }),
        (Some(_), true) | (None, _) => None,
    };
    // In any order: a crash in the middle leaves the same first bad record to be found again.
    for (index, from) in &dirty {
        zero_from(segment_path(&dir, survey.files[*index].number), *from, volume.segment_bytes)?;
    }
    // A killed process leaves records that only the page cache has.
    let kept = end.resume.map_or(0, |(index, _)| index + 1);
    for file in &survey.files[start.min(kept)..kept] {
        let path = segment_path(&dir, file.number);
        File::open(&path).and_then(|file| file.sync_data()).map_err(Error::io("sync", &path))?;
    }
    let durable = State { durable_seq: end.tip.seq, keep: None };
    if durable != state {
        state_file.write(durable)?;
    }
    Ok(Restored {
        tip: end.tip,
        first_seq: if kept == 0 { end.tip.seq + 1 } else { survey.first_seq() },
        current: end.resume.map(|(index, offset)| (survey.files[index].number, offset)),
        spares: survey.files[kept..].iter().map(|file| file.number).collect(),
        next_number: survey.files.last().map_or(1, |file| file.number + 1),
        repaired,
    })
}

/// Writes zeros from `from` to the end of a segment, only where something else stands, and gives
/// a file that was cut short its size back.
fn zero_from(path: PathBuf, from: u64, segment_bytes: u64) -> Result<(), Error> {
    let file =
        File::options().read(true).write(true).open(&path).map_err(Error::io("open", &path))?;
    let file_bytes = file.metadata().map_err(Error::io("inspect", &path))?.len();
    let rest = usize::try_from(segment_bytes - from).unwrap_or(usize::MAX);
    let mut chunk = vec![0; ZERO_CHUNK_BYTES.min(rest)];
    let mut offset = from;
    while offset < segment_bytes {
        let len = ZERO_CHUNK_BYTES.min((segment_bytes - offset) as usize);
        let mut write = offset + len as u64 > file_bytes;
        if !write {
            file.read_exact_at(&mut chunk[..len], offset).map_err(Error::io("read", &path))?;
            write = chunk[..len] != ZEROS[..len];
        }
        if write {
            file.write_all_at(&ZEROS[..len], offset).map_err(Error::io("write", &path))?;
        }
        offset += len as u64;
    }
    file.sync_data().map_err(Error::io("sync", &path))
}
