use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    Error, Reader,
    journal_test::{append_patiently, append_range, frame_of, open_small, read_all},
    segment::segment_path,
};

#[test]
fn a_reader_follows_the_writer_through_its_segments() {
    const LAST: u64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = [0, 1, 17, LAST]
            .into_iter()
            .map(|from| {
                let (dir, failed) = (dir.path(), &failed);
                scope.spawn(move || {
                    let mut reader = Reader::open(dir, from).unwrap();
                    let mut due = from.max(1);
                    while due <= LAST && !failed.load(Ordering::Relaxed) {
                        let Some(record) = reader.next().unwrap() else {
                            thread::yield_now();
                            continue;
                        };
                        assert_eq!((record.seq, record.frame), (due, &frame_of(due)[..]));
                        due += 1;
                    }
                    assert!(reader.next().unwrap().is_none());
                    due
                })
            })
            .collect();
        for seq in 1..=LAST {
            append_patiently(&mut journal, seq, 1, &frame_of(seq));
            if seq % 64 == 0 {
                journal.commit_batch();
            }
            if readers.iter().any(|reader| reader.is_finished() && seq < LAST) {
                failed.store(true, Ordering::Relaxed);
                break;
            }
        }
        for reader in readers {
            assert_eq!(reader.join().unwrap(), LAST + 1);
        }
    });
}

#[test]
fn a_reader_stands_before_any_seq_also_before_one_to_come() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=300);
    for from in 1..=300 {
        let mut reader = Reader::open(dir.path(), from).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().seq, from);
    }
    let mut early = Reader::open(dir.path(), 305).unwrap();
    assert_eq!(early.next().unwrap(), None);
    append_range(&mut journal, 301..=304);
    assert_eq!(early.next().unwrap(), None);
    append_range(&mut journal, 305..=600);
    assert_eq!(early.next().unwrap().unwrap().seq, 305);
}

#[test]
fn a_seq_before_the_first_one_kept_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    append_range(&mut journal, 1..=300);
    std::fs::remove_file(segment_path(dir.path(), 1)).unwrap();
    let error = Reader::open(dir.path(), 1).err().unwrap();
    let Error::Retired { asked: 1, first_seq } = error else { panic!("{error}") };
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().seq, first_seq);
    drop(journal);
    let found = open_small(dir.path());
    assert_eq!((found.first_seq, found.last_seq), (first_seq, 300));
}

#[test]
fn a_reader_sees_what_is_not_durable_yet() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_small(dir.path()).journal;
    for seq in 1..=40 {
        append_patiently(&mut journal, seq, 1, &frame_of(seq));
    }
    assert_eq!(journal.durable().seq(), 0);
    assert_eq!(read_all(dir.path()).unwrap(), 40);
}
