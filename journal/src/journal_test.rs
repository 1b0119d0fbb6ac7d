use std::{fs, path::Path, thread, time::Duration};

use proptest::prelude::*;

use crate::{
    AppendError, Config, Error, Journal, Reader, Recovered, SEGMENT_HEADER_BYTES, Sync, TailReport,
    chain_after,
    config::Limits,
    journal::open_limited,
    open,
    record::{FRAME_BYTES_MAX, record_bytes},
    segment::segment_path,
    verify,
};

pub(crate) const SMALL: Limits = Limits { segment_bytes_min: 8192, frame_bytes_max: 4000 };
pub(crate) const SMALL_SEGMENT_BYTES: u64 = 16 << 10;

/// A journal of small segments, so that a short test crosses many.
pub(crate) fn small(dir: &Path, sync: Sync) -> Config {
    Config {
        dir: dir.to_owned(),
        shard: 3,
        segment_bytes: SMALL_SEGMENT_BYTES,
        sync,
        spare_segments: 2,
    }
}

pub(crate) fn open_small(dir: &Path) -> Recovered {
    open_limited(small(dir, Sync::Thread), SMALL).expect("the journal opens")
}

/// The frame that tests put at a seq: its size and bytes follow from the seq alone.
pub(crate) fn frame_of(seq: u64) -> Vec<u8> {
    let hash = chain_after(seq, b"frame");
    let len = 8 * (hash % 45) as usize;
    (0..len).map(|at| (hash.rotate_left(at as u32 % 64) as u8) ^ at as u8).collect()
}

pub(crate) fn append_patiently(journal: &mut Journal, seq: u64, epoch: u32, frame: &[u8]) {
    loop {
        match journal.append(seq, epoch, frame) {
            Ok(()) => return,
            Err(AppendError::NoSegmentReady) => thread::sleep(Duration::from_micros(200)),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn append_range(journal: &mut Journal, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        append_patiently(journal, seq, 1, &frame_of(seq));
    }
    journal.commit_batch();
}

pub(crate) fn wait_durable(journal: &Journal, seq: u64) {
    let durable = journal.durable();
    while durable.seq() < seq {
        thread::sleep(Duration::from_micros(200));
    }
}

/// Everything a reader gets from the beginning, checked against what tests append.
pub(crate) fn read_all(dir: &Path) -> Result<u64, Error> {
    let mut reader = Reader::open(dir, 0)?;
    let mut last = 0;
    let mut chain = 0;
    while let Some(record) = reader.next()? {
        assert_eq!(record.seq, last + 1);
        assert_eq!(record.prev_chain, chain);
        assert!(record.durable_seq < record.seq);
        assert_eq!(record.frame, frame_of(record.seq));
        last = record.seq;
        chain = chain_after(chain, record.frame);
    }
    Ok(last)
}

#[test]
fn a_new_journal_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let found = open_small(dir.path());
    assert_eq!((found.first_seq, found.last_seq, found.last_epoch, found.chain), (1, 0, 0, 0));
    assert_eq!(found.repaired, None);
    assert_eq!(found.journal.durable().seq(), 0);
    assert_eq!(read_all(dir.path()).unwrap(), 0);
}

#[test]
fn what_was_appended_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=500);
    wait_durable(&journal, 500);
    let chain = journal.chain();
    journal.close().unwrap();

    let found = open_small(dir.path());
    assert_eq!((found.first_seq, found.last_seq, found.last_epoch), (1, 500, 1));
    assert_eq!(found.chain, chain);
    assert_eq!(found.repaired, None);
    assert_eq!(found.journal.durable().seq(), 500);
    assert_eq!(read_all(dir.path()).unwrap(), 500);
    let mut journal = found.journal;
    append_range(&mut journal, 501..=900);
    drop(journal);
    assert_eq!(read_all(dir.path()).unwrap(), 900);
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.last_seq, report.durable_seq), (900, 900));
    assert_eq!(report.tail, TailReport::Clean);
    assert!(report.segments.len() > 3);
}

#[test]
fn a_frame_of_the_greatest_size_fits_and_a_larger_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config { segment_bytes: crate::SEGMENT_BYTES_MIN, ..small(dir.path(), Sync::Thread) };
    let mut journal = open(config).unwrap().journal;
    let error = journal.append(1, 0, &vec![7; FRAME_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, AppendError::FrameTooLarge { .. }), "{error}");
    assert_eq!(journal.last_seq(), 0);
    for seq in 1..=3 {
        append_patiently(&mut journal, seq, 0, &vec![seq as u8; FRAME_BYTES_MAX]);
    }
    journal.close().unwrap();
    let mut reader = Reader::open(dir.path(), 2).unwrap();
    for seq in 2..=3 {
        let record = reader.next().unwrap().unwrap();
        assert_eq!(record.frame, vec![seq as u8; FRAME_BYTES_MAX]);
    }
    assert_eq!(reader.next().unwrap(), None);
}

#[test]
fn an_empty_frame_and_one_that_fills_the_segment_to_the_last_byte_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { frame_bytes_max: 12288 - 40, ..SMALL };
    let mut journal = open_limited(small(dir.path(), Sync::Thread), limits).unwrap().journal;
    let whole = vec![9; (SMALL_SEGMENT_BYTES - SEGMENT_HEADER_BYTES) as usize - record_bytes(0)];
    for (seq, frame) in [(1, &[][..]), (2, &whole), (3, &[1, 2, 3]), (4, &whole), (5, &[])] {
        append_patiently(&mut journal, seq, 0, frame);
    }
    drop(journal);
    let found = open_limited(small(dir.path(), Sync::Thread), limits).unwrap();
    assert_eq!(found.last_seq, 5);
    let mut reader = Reader::open(dir.path(), 4).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().frame, whole);
    assert_eq!(reader.next().unwrap().unwrap().frame, []);
}

#[test]
#[should_panic(expected = "seqs are dense")]
fn a_gap_in_the_seqs_is_a_broken_invariant() {
    let dir = tempfile::tempdir().unwrap();
    let _ = open_small(dir.path()).journal.append(2, 0, b"x");
}

#[test]
#[should_panic(expected = "epochs never go back")]
fn an_epoch_that_goes_back_is_a_broken_invariant() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_patiently(&mut journal, 1, 5, b"x");
    let _ = journal.append(2, 4, b"x");
}

#[test]
fn sealed_segments_alone_become_durable_on_seal() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), Sync::OnSeal);
    let mut journal = open_limited(config.clone(), SMALL).unwrap().journal;
    append_range(&mut journal, 1..=10);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(journal.durable().seq(), 0);
    append_range(&mut journal, 11..=200);
    let second = Reader::open(dir.path(), 200).unwrap();
    assert!(second.segment().unwrap() > 1);
    let sealed = verify(dir.path()).unwrap().segments;
    let sealed_seq = sealed[sealed.len() - 2].last_seq;
    wait_durable(&journal, sealed_seq);
    assert_eq!(journal.durable().seq(), sealed_seq);
    journal.close().unwrap();
    assert_eq!(open_limited(config, SMALL).unwrap().journal.durable().seq(), 200);
}

#[test]
fn a_cut_discards_exactly_the_suffix_and_the_log_goes_on() {
    for keep in [0, 1, 57, 150, 299, 300] {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open_small(dir.path()).journal;
        append_range(&mut journal, 1..=300);
        let durable = journal.durable();
        journal.truncate_after(keep).unwrap();
        assert_eq!(journal.last_seq(), keep);
        assert_eq!(read_all(dir.path()).unwrap(), keep);
        wait_durable(&journal, keep);
        assert_eq!(durable.seq(), keep);
        append_range(&mut journal, keep + 1..=400);
        wait_durable(&journal, 400);
        assert_eq!(durable.seq(), 400);
        assert_eq!(read_all(dir.path()).unwrap(), 400);
        drop(journal);
        assert_eq!(open_small(dir.path()).last_seq, 400);
    }
}

#[test]
fn a_cut_at_each_end_of_a_segment_leaves_a_log_that_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=300);
    let segments = verify(dir.path()).unwrap().segments;
    for segment in segments.iter().rev() {
        for keep in [segment.last_seq, segment.first_seq] {
            journal.truncate_after(keep).unwrap();
            // An epoch below that of what was cut: headers of cut segments must be gone as well.
            append_patiently(&mut journal, keep + 1, 1, &frame_of(keep + 1));
            assert_eq!(read_all(dir.path()).unwrap(), keep + 1);
        }
    }
}

#[test]
fn a_cut_out_of_range_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=3);
    let error = journal.truncate_after(4).unwrap_err();
    assert!(matches!(error, Error::TruncateRange { asked: 4, .. }), "{error}");
    append_range(&mut journal, 4..=5);
    assert_eq!(read_all(dir.path()).unwrap(), 5);
}

#[test]
fn a_cut_that_a_crash_interrupted_is_finished_by_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=300);
    drop(journal);
    let volume = crate::files::Volume::read(dir.path()).unwrap().unwrap();
    let (state_file, state) = crate::files::StateFile::open(dir.path(), volume).unwrap();
    assert_eq!(state.durable_seq, 300);
    state_file.write(crate::files::State { durable_seq: 120, keep: Some(120) }).unwrap();
    let found = open_small(dir.path());
    assert_eq!((found.last_seq, &found.repaired), (120, &None));
    drop(found);
    assert_eq!(open_small(dir.path()).last_seq, 120);
}

#[test]
fn wrong_configurations_and_directories_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = small(dir.path(), Sync::Thread);
    let refuse = |config: Config| open_limited(config, SMALL).unwrap_err();

    let error = refuse(Config { segment_bytes: 8192 + 1, ..good.clone() });
    assert!(matches!(error, Error::SegmentBytes { .. }), "{error}");
    let error = refuse(Config { segment_bytes: 4096, ..good.clone() });
    assert!(matches!(error, Error::SegmentBytes { .. }), "{error}");
    let error = refuse(Config { spare_segments: 0, ..good.clone() });
    assert!(matches!(error, Error::SpareSegments { .. }), "{error}");
    let error = refuse(Config { dir: dir.path().join("nowhere"), ..good.clone() });
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(matches!(verify(dir.path()), Err(Error::NoJournal { .. })));
    assert!(matches!(Reader::open(dir.path(), 0), Err(Error::NoJournal { .. })));

    drop(open_small(dir.path()));
    let error = refuse(Config { shard: 4, ..good.clone() });
    assert!(matches!(error, Error::Shard { found: 3, asked: 4, .. }), "{error}");
    let error = refuse(Config { segment_bytes: 32 << 10, ..good.clone() });
    assert!(matches!(error, Error::SegmentSize { .. }), "{error}");

    let volume = dir.path().join("volume");
    let sound = fs::read(&volume).unwrap();
    let mut other = sound.clone();
    other[8] = 2;
    fs::write(&volume, &other).unwrap();
    let error = refuse(good.clone());
    assert!(matches!(error, Error::Version { found: 2, ours: 1, .. }), "{error}");
    fs::write(&volume, b"something else").unwrap();
    assert!(matches!(refuse(good.clone()), Error::BadFile { .. }));
    fs::remove_file(&volume).unwrap();
    assert!(matches!(refuse(good.clone()), Error::VolumeMissing { .. }));
    fs::write(&volume, &sound).unwrap();
    drop(open_small(dir.path()));
}

#[test]
fn a_volume_of_impossible_segments_is_refused() {
    for segment_bytes in [0, 4096, 10_000, u64::MAX - 4095] {
        let dir = tempfile::tempdir().unwrap();
        crate::files::Volume::create(dir.path(), 3, segment_bytes).unwrap();
        assert!(matches!(verify(dir.path()), Err(Error::BadFile { .. })));
        assert!(matches!(Reader::open(dir.path(), 0), Err(Error::BadFile { .. })));
    }
}

#[test]
fn a_directory_in_use_is_refused_and_free_again_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=5);
    let error = open_limited(small(dir.path(), Sync::Thread), SMALL).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(verify(dir.path()).unwrap().tail, TailReport::InUse);
    journal.close().unwrap();
    assert_eq!(open_small(dir.path()).last_seq, 5);
}

#[test]
fn a_suspect_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open_small(dir.path()));
    crate::files::mark_suspect(dir.path(), "for a test");
    let error = open_limited(small(dir.path(), Sync::Thread), SMALL).unwrap_err();
    assert!(matches!(error, Error::Suspect { .. }), "{error}");
    assert!(matches!(verify(dir.path()), Err(Error::Suspect { .. })));
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=300);
    drop(journal);
    fs::remove_file(segment_path(dir.path(), 2)).unwrap();
    let error = open_limited(small(dir.path(), Sync::Thread), SMALL).unwrap_err();
    assert!(matches!(error, Error::SegmentMissing { number: 2, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_frames_come_back_as_they_were(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 1..200),
        reopen_at in 0_usize..200,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open_small(dir.path()).journal;
        let mut chain = 0;
        for (index, frame) in frames.iter().enumerate() {
            if index == reopen_at {
                drop(journal);
                let found = open_small(dir.path());
                prop_assert_eq!((found.last_seq, found.chain), (index as u64, chain));
                journal = found.journal;
            }
            append_patiently(&mut journal, index as u64 + 1, index as u32 / 7, frame);
            chain = chain_after(chain, frame);
            prop_assert_eq!(journal.chain(), chain);
        }
        journal.commit_batch();
        let mut reader = Reader::open(dir.path(), 1).unwrap();
        for (index, frame) in frames.iter().enumerate() {
            let record = reader.next().unwrap().unwrap();
            prop_assert_eq!(record.seq, index as u64 + 1);
            prop_assert_eq!(record.epoch, index as u32 / 7);
            prop_assert_eq!(record.frame, &frame[..]);
        }
        prop_assert_eq!(reader.next().unwrap(), None);
    }
}
