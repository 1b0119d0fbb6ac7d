//! Looking at what a shard has written, without serving it: replay and comparison.

use std::path::Path;

use engine::Engine;
use journal::Reader;
use protocol::Seq;
use serde::Serialize;

use crate::{CAPACITY, Error, pipeline::Dirs, recovery::replay};

/// Where a log ends, and what it makes of an engine that knew nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub seq: Seq,
    /// Of the log.
    pub chain: u64,
    pub state_hash: u64,
}

/// Rebuilds a shard from the first frame of its journal on. The directory may be in use.
pub fn rebuild(data_dir: &Path) -> Result<Replayed, Error> {
    let mut engine = Engine::new(CAPACITY);
    let end = replay(&Dirs::under(data_dir).journal, &mut engine, |_, _| Ok(()))?;
    Ok(Replayed { seq: end.last_seq, chain: end.chain, state_hash: engine.state_hash() })
}

/// How two journals compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Comparison {
    Equal {
        last_seq: Seq,
    },
    /// One is the beginning of the other.
    Prefix {
        last_seq_a: Seq,
        last_seq_b: Seq,
    },
    Differ {
        first_seq: Seq,
    },
}

impl Comparison {
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Differ { .. })
    }
}

/// Compares the logs, and what came of them, of two data directories.
pub fn compare(a: &Path, b: &Path) -> Result<(Comparison, Comparison), Error> {
    let (a, b) = (Dirs::under(a), Dirs::under(b));
    Ok((compare_journals(&a.journal, &b.journal)?, compare_journals(&a.events, &b.events)?))
}

fn compare_journals(a: &Path, b: &Path) -> Result<Comparison, Error> {
    let (mut a, mut b) = (Reader::open(a, 1)?, Reader::open(b, 1)?);
    let mut last_seq = 0;
    loop {
        match (a.next()?, b.next()?) {
            (Some(in_a), Some(in_b)) if in_a.frame == in_b.frame => last_seq = in_a.seq,
            (Some(in_a), Some(_)) => return Ok(Comparison::Differ { first_seq: in_a.seq }),
            (None, None) => return Ok(Comparison::Equal { last_seq }),
            (Some(more), None) => {
                let first = more.seq;
                let last_seq_a = last_of(&mut a, first)?;
                return Ok(Comparison::Prefix { last_seq_a, last_seq_b: last_seq });
            }
            (None, Some(more)) => {
                let first = more.seq;
                let last_seq_b = last_of(&mut b, first)?;
                return Ok(Comparison::Prefix { last_seq_a: last_seq, last_seq_b });
            }
        }
    }
}

fn last_of(reader: &mut Reader, mut last: Seq) -> Result<Seq, Error> {
    while let Some(record) = reader.next()? {
        last = record.seq;
    }
    Ok(last)
}
