//! Cuts and flips bytes of a journal and compares what recovery does with what the rule demands.

use std::{
    env,
    fs::{self, File},
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use zerocopy::{
    IntoBytes,
    little_endian::{U32, U64},
};

use crate::{
    Error, Reader, Sync, TailReport, chain_after,
    files::{State, StateFile, Volume, read_state, segment_numbers},
    journal::open_limited,
    journal_test::{SMALL, SMALL_SEGMENT_BYTES, append_range, frame_of, open_small, small},
    record::{RECORD_HEAD_BYTES, RecordHead, Tip, record_bytes},
    recovery::{Restored, recover},
    segment::{SEGMENT_HEADER_BYTES, SegmentHeader, record_seed, segment_path},
    verify,
};

/// Of the journal that is damaged, in all.
const LOG_BYTES: u64 = 1 << 20;
/// Between the places that the short form damages; a prime, so that it meets every field.
const SHORT_STRIDE: usize = 211;
/// The writer's view of what is durable moves in steps of so many records.
const DURABLE_STEP: u64 = 40;

fn full() -> bool {
    env::var("EXCHANGE_FULL").is_ok_and(|value| value == "1")
}

/// Tests that sync thousands of times do it in memory where there is such a place.
fn fast_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    tempfile::tempdir_in(parent).unwrap()
}

/// One record of the log under test, and where it lies.
#[derive(Clone, Copy)]
struct Spot {
    seq: u64,
    durable_seq: u64,
    segment: usize,
    from: usize,
    /// Without padding.
    to: usize,
}

/// A log as bytes, written by the format's own types but not by the appender.
struct Log {
    volume: Volume,
    segments: Vec<Vec<u8>>,
    spots: Vec<Spot>,
}

impl Log {
    fn build(volume: Volume, log_bytes: u64) -> Self {
        let mut log = Self { volume, segments: Vec::new(), spots: Vec::new() };
        let mut tip = Tip::EMPTY;
        let mut offset = usize::MAX;
        while (log.segments.len() as u64) * SMALL_SEGMENT_BYTES <= log_bytes {
            let seq = tip.seq + 1;
            let frame = frame_of(seq);
            let durable_seq = (seq - 1) / DURABLE_STEP * DURABLE_STEP;
            if offset.saturating_add(record_bytes(frame.len())) > SMALL_SEGMENT_BYTES as usize {
                let number = log.segments.len() as u64 + 1;
                let header = SegmentHeader::new(&volume, number, tip, 1, durable_seq);
                let mut bytes = vec![0; SMALL_SEGMENT_BYTES as usize];
                bytes[..size_of_val(&header)].copy_from_slice(header.as_bytes());
                log.segments.push(bytes);
                offset = SEGMENT_HEADER_BYTES as usize;
            }
            let number = log.segments.len() as u64;
            let record = record(&volume, number, tip, durable_seq, &frame);
            let (segment, from) = (log.segments.len() - 1, offset);
            let to = from + record.len();
            log.segments[segment][from..to].copy_from_slice(&record);
            log.spots.push(Spot { seq, durable_seq, segment, from, to });
            tip = Tip { seq, epoch: 1, chain: chain_after(tip.chain, &frame) };
            offset += record_bytes(frame.len());
        }
        log
    }

    fn first_of(&self, segment: usize) -> u64 {
        self.spots[self.spots.partition_point(|spot| spot.segment < segment)].seq
    }

    fn spots_of(&self, segments: &RangeInclusive<usize>) -> &[Spot] {
        let from = self.spots.partition_point(|spot| spot.segment < *segments.start());
        let to = self.spots.partition_point(|spot| spot.segment <= *segments.end());
        &self.spots[from..to]
    }
}

/// A record with everything right.
fn record(volume: &Volume, number: u64, tip: Tip, durable_seq: u64, frame: &[u8]) -> Vec<u8> {
    let mut head = RecordHead {
        len: U32::new((RECORD_HEAD_BYTES + frame.len()) as u32),
        crc: U32::ZERO,
        seq: U64::new(tip.seq + 1),
        durable_seq: U64::new(durable_seq),
        prev_chain: U64::new(tip.chain),
        epoch: U32::new(1),
        reserved: U32::ZERO,
    };
    head.crc = U32::new(head.checksum(record_seed(volume, number), frame));
    [head.as_bytes(), frame].concat()
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    /// The file ends here.
    Cut,
    /// Bits of this byte are turned.
    Flip(u8),
}

/// The state file's word, relative to the damage.
#[derive(Clone, Copy, Debug)]
enum Known {
    Nothing,
    UpToDamage,
    Damaged,
}

/// Runs recovery over damaged copies of parts of a log, in one directory.
struct Bench {
    dir: tempfile::TempDir,
    log: Log,
    laid_out: Option<RangeInclusive<usize>>,
    tails_cut: u64,
    corruptions: u64,
    harmless: u64,
}

impl Bench {
    fn new() -> Self {
        let dir = fast_dir();
        let volume = Volume::create(dir.path(), 3, SMALL_SEGMENT_BYTES).unwrap();
        let log = Log::build(volume, LOG_BYTES);
        Self { dir, log, laid_out: None, tails_cut: 0, corruptions: 0, harmless: 0 }
    }

    /// Damages one byte of one segment, with the one before it and, where `more`, the one behind
    /// it in the directory, and checks the outcome against the rule.
    fn check(&mut self, segment: usize, offset: usize, damage: Damage, known: Known, more: bool) {
        let last = (segment + usize::from(more)).min(self.log.segments.len() - 1);
        let range = segment.saturating_sub(1)..=last;
        let first_seq = self.log.first_of(*range.start());
        let end_seq = self.log.spots_of(&range).last().map_or(0, |spot| spot.seq);

        let mut bytes = self.log.segments[segment].clone();
        match damage {
            Damage::Cut => bytes.truncate(offset),
            Damage::Flip(bits) => bytes[offset] ^= bits,
        }
        let bad = self.damaged(segment, &bytes);
        let bad_seq = bad.unwrap_or(end_seq + 1);
        let durable_seq = match known {
            Known::Nothing => first_seq - 1,
            Known::UpToDamage => bad_seq - 1,
            Known::Damaged => bad_seq.min(end_seq),
        };
        self.lay_out(&range, segment, &bytes, durable_seq);

        let proof = bad.is_some() && self.proof(&range, segment, &bytes, bad_seq) >= bad_seq;
        let must_halt = bad.is_some() && (durable_seq >= bad_seq || proof);
        let what = format!("{damage:?} at {segment}:{offset}, {known:?}, seq {bad:?}");
        match self.recover() {
            Err(Error::Corrupt(corruption)) => {
                assert!(must_halt, "halted without proof: {corruption}: {what}");
                assert!(self.unchanged(&range, segment, &bytes), "a halt changed files: {what}");
                self.corruptions += 1;
            }
            Err(error) => panic!("{error}: {what}"),
            Ok(restored) => {
                assert!(!must_halt, "dropped what was durable: {what}");
                assert_eq!(restored.tip.seq, bad_seq - 1, "{what}");
                self.check_kept(first_seq, bad_seq - 1, &what);
                let again = self.recover().unwrap();
                assert_eq!((again.tip, again.repaired), (restored.tip, None), "{what}");
                *(if bad.is_some() { &mut self.tails_cut } else { &mut self.harmless }) += 1;
            }
        }
    }

    /// The first seq that no longer stands as it was written.
    fn damaged(&self, segment: usize, bytes: &[u8]) -> Option<u64> {
        let at = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let same = |from: usize, to: usize| {
            (from..to).all(|index| at(index) == self.log.segments[segment][index])
        };
        if !same(0, SEGMENT_HEADER_BYTES as usize) {
            return Some(self.log.first_of(segment));
        }
        let spots = self.log.spots_of(&(segment..=segment));
        spots.iter().find(|spot| !same(spot.from, spot.to)).map(|spot| spot.seq)
    }

    /// What sound records and headers behind the damage say was durable.
    fn proof(
        &self,
        range: &RangeInclusive<usize>,
        segment: usize,
        bytes: &[u8],
        bad_seq: u64,
    ) -> u64 {
        let sound = |spot: &&Spot| {
            let whole = &self.log.segments[segment][spot.from..spot.to];
            spot.seq > bad_seq
                && (spot.segment != segment
                    || bytes.get(spot.from..spot.to).is_some_and(|now| now == whole)
                    || (bytes.len() > spot.from && padded(bytes, spot) == whole))
        };
        let records = self.log.spots_of(range).iter().filter(sound).map(|spot| spot.durable_seq);
        let behind = (segment + 1..=*range.end()).map(|later| {
            let first = self.log.first_of(later);
            (first - 1) / DURABLE_STEP * DURABLE_STEP
        });
        records.chain(behind).max().unwrap_or(0)
    }

    /// Puts the files of `range` in place. Recovery never touches what lies before the damage, so
    /// in the same range only the rest is written again.
    fn lay_out(
        &mut self,
        range: &RangeInclusive<usize>,
        damaged: usize,
        bytes: &[u8],
        durable_seq: u64,
    ) {
        let dir = self.dir.path();
        let mut from = damaged;
        if self.laid_out.as_ref() != Some(range) {
            for number in segment_numbers(dir).unwrap() {
                fs::remove_file(segment_path(dir, number)).unwrap();
            }
            from = *range.start();
            self.laid_out = Some(range.clone());
        }
        for segment in from..=*range.end() {
            let sound = &self.log.segments[segment][..];
            let content = if segment == damaged { bytes } else { sound };
            let path = segment_path(dir, segment as u64 + 1);
            let file = File::options().write(true).create(true).truncate(false).open(path).unwrap();
            file.write_all_at(content, 0).unwrap();
            file.set_len(content.len() as u64).unwrap();
        }
        let (state_file, _) = StateFile::open(dir, self.log.volume).unwrap();
        state_file.write(State { durable_seq, keep: None }).unwrap();
    }

    fn recover(&self) -> Result<Restored, Error> {
        let dir = self.dir.path();
        let (state_file, state) = StateFile::open(dir, self.log.volume)?;
        recover(dir.to_owned(), self.log.volume, SMALL, &state_file, state)
    }

    /// Whether all files are as they were laid out.
    fn unchanged(&self, range: &RangeInclusive<usize>, damaged: usize, bytes: &[u8]) -> bool {
        range.clone().all(|segment| {
            let now = fs::read(segment_path(self.dir.path(), segment as u64 + 1)).unwrap();
            now == if segment == damaged { bytes } else { &self.log.segments[segment][..] }
        })
    }

    fn check_kept(&self, first_seq: u64, last_seq: u64, what: &str) {
        let mut reader = Reader::open(self.dir.path(), 0).unwrap();
        for seq in first_seq..=last_seq {
            let record = reader.next().unwrap().unwrap_or_else(|| panic!("{seq} is lost: {what}"));
            assert_eq!((record.seq, record.frame), (seq, &frame_of(seq)[..]), "{what}");
        }
        assert_eq!(reader.next().unwrap(), None, "{what}");
    }

    /// Every place of the log, or a sample of them.
    fn sweep(&mut self, damage: impl Fn(usize) -> Damage) {
        let stride = if full() { 1 } else { SHORT_STRIDE };
        let all = self.log.segments.len() * SMALL_SEGMENT_BYTES as usize;
        for (turn, place) in (0..all).step_by(stride).enumerate() {
            let segment = place / SMALL_SEGMENT_BYTES as usize;
            let offset = place % SMALL_SEGMENT_BYTES as usize;
            let known = [Known::Nothing, Known::UpToDamage, Known::Damaged][turn % 3];
            // Per page, so that the files around the damage rarely change.
            let more = (segment + offset / 4096).is_multiple_of(2);
            self.check(segment, offset, damage(turn), known, more);
        }
        assert!(self.tails_cut > 0 && self.corruptions > 0 && self.harmless > 0);
    }
}

fn padded(bytes: &[u8], spot: &Spot) -> Vec<u8> {
    let mut record = bytes[spot.from..bytes.len().min(spot.to)].to_vec();
    record.resize(spot.to - spot.from, 0);
    record
}

#[test]
fn a_cut_at_any_byte_is_recovered_or_halts_as_the_rule_demands() {
    Bench::new().sweep(|_| Damage::Cut);
}

#[test]
fn a_flip_of_any_byte_is_recovered_or_halts_as_the_rule_demands() {
    Bench::new().sweep(|turn| Damage::Flip([0x01, 0xff, 0x80, 0x10][turn % 4]));
}

/// A log whose last record is missing, and the directory it lies in.
fn log_without_its_end(dir: &Path) -> (Volume, Tip, PathBuf, u64) {
    let mut journal = open_small(dir).journal;
    append_range(&mut journal, 1..=200);
    drop(journal);
    let report = verify(dir).unwrap();
    let volume = Volume::read(dir).unwrap().unwrap();
    let tip = Tip { seq: 200, epoch: report.last_epoch, chain: report.chain };
    let segment = report.segments.last().unwrap();
    let used: usize =
        (segment.first_seq..=segment.last_seq).map(|seq| record_bytes(frame_of(seq).len())).sum();
    (volume, tip, segment.path.clone(), SEGMENT_HEADER_BYTES + used as u64)
}

fn paste(path: &Path, offset: u64, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

#[test]
fn a_record_left_over_from_another_segment_or_volume_never_validates() {
    for (foreign_volume, foreign_segment, kept) in
        [(false, false, 201), (true, false, 200), (false, true, 200)]
    {
        let dir = tempfile::tempdir().unwrap();
        let (volume, tip, path, offset) = log_without_its_end(dir.path());
        let number = verify(dir.path()).unwrap().segments.len() as u64;
        let writer = Volume { id: volume.id ^ u128::from(foreign_volume), ..volume };
        let written_in = number - u64::from(foreign_segment);
        let next = record(&writer, written_in, tip, 200, &frame_of(201));
        paste(&path, offset, &next);

        let found = open_small(dir.path());
        assert_eq!(found.last_seq, kept);
        assert_eq!(found.repaired.is_some(), kept == 200);
        drop(found);
        assert_eq!(verify(dir.path()).unwrap().tail, TailReport::Clean);
    }
}

#[test]
fn a_segment_of_another_volume_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        let mut journal = open_small(dir.path()).journal;
        append_range(&mut journal, 1..=200);
    }
    fs::copy(segment_path(other.path(), 2), segment_path(dir.path(), 2)).unwrap();
    let error = open_limited(small(dir.path(), Sync::Thread), SMALL).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
}

#[test]
fn damage_far_behind_the_known_durable_seq_is_met_by_the_reader_and_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=300);
    drop(journal);
    paste(&segment_path(dir.path(), 1), SEGMENT_HEADER_BYTES + 60, &[0xaa; 3]);
    assert_eq!(open_small(dir.path()).last_seq, 300);
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let error = loop {
        match reader.next() {
            Ok(record) => assert!(record.is_some(), "the damage was not met"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Corrupt(_)), "{error}");
    assert!(matches!(verify(dir.path()), Err(Error::Corrupt(_))));
}

#[test]
fn one_copy_of_the_state_is_enough_and_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=30);
    drop(journal);
    let volume = Volume::read(dir.path()).unwrap().unwrap();
    let path = dir.path().join("state");
    let sound = fs::read(&path).unwrap();
    for copy in [0, 4096] {
        for byte in 0..56 {
            let mut bytes = sound.clone();
            bytes[copy + byte] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read_state(dir.path(), &volume).unwrap().durable_seq, 30);
        }
    }
    let mut bytes = sound;
    (bytes[20], bytes[4096 + 20]) = (0xff, 0xff);
    fs::write(&path, &bytes).unwrap();
    let error = open_limited(small(dir.path(), Sync::Thread), SMALL).unwrap_err();
    assert!(matches!(error, Error::BadFile { .. }), "{error}");
}

/// Opens, reads and verifies whatever is there; only clear errors may come of it.
fn survive(dir: &Path, last_seq: u64) -> Result<(), TestCaseError> {
    // Only so that it runs: it also judges what lies before the durable seq, which open does not.
    let _ = verify(dir);
    let state = Volume::read(dir).ok().flatten().and_then(|it| read_state(dir, &it).ok());
    match open_limited(small(dir, Sync::Thread), SMALL) {
        Err(_) => {}
        Ok(found) => {
            prop_assert!(found.last_seq <= last_seq);
            prop_assert!(state.is_some_and(|state| found.last_seq >= state.durable_seq));
        }
    }
    let Ok(mut reader) = Reader::open(dir, 0) else { return Ok(()) };
    while let Ok(Some(record)) = reader.next() {
        prop_assert!(record.seq <= last_seq);
        prop_assert_eq!(record.frame, &frame_of(record.seq)[..]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if full() { 5_000 } else { 60 }))]

    #[test]
    fn any_garbage_written_over_any_file_is_survived(
        hits in prop::collection::vec(
            (0_usize..6, any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..300)),
            1..6,
        ),
    ) {
        let dir = fast_dir();
        let mut journal = open_small(dir.path()).journal;
        append_range(&mut journal, 1..=120);
        drop(journal);
        let mut paths = vec![dir.path().join("volume"), dir.path().join("state")];
        paths.extend((1..=4).map(|number| segment_path(dir.path(), number)));
        for (file, place, garbage) in hits {
            let Ok(mut content) = fs::read(&paths[file]) else { continue };
            let from = place.index(content.len());
            for (byte, garbage) in content[from..].iter_mut().zip(&garbage) {
                *byte = *garbage;
            }
            fs::write(&paths[file], content).unwrap();
        }
        survive(dir.path(), 120)?;
    }

    #[test]
    fn files_of_any_bytes_are_survived(
        contents in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..SMALL_SEGMENT_BYTES as usize + 99), 1..4,
        ),
        with_header in any::<bool>(),
    ) {
        let dir = fast_dir();
        let volume = Volume::create(dir.path(), 3, SMALL_SEGMENT_BYTES).unwrap();
        for (index, mut content) in contents.into_iter().enumerate() {
            let number = index as u64 + 1;
            let header = SegmentHeader::new(&volume, number, Tip::EMPTY, 0, 0);
            if with_header && index == 0 && content.len() > SEGMENT_HEADER_BYTES as usize {
                content[..SEGMENT_HEADER_BYTES as usize].fill(0);
                content[..size_of_val(&header)].copy_from_slice(header.as_bytes());
            }
            fs::write(segment_path(dir.path(), number), content).unwrap();
        }
        survive(dir.path(), 0)?;
    }
}
