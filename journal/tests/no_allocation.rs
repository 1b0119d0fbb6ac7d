//! An append never allocates, also where it goes on in the next segment.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    thread,
    time::Duration,
};

use journal::{Config, SEGMENT_BYTES_MIN, Sync, open};

thread_local! {
    /// Of this thread alone: the ones beside the appender may allocate.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything to the system's allocator unchanged; the counter is a plain cell that
// needs neither allocation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn appending_and_committing_allocate_nothing() {
    const SEGMENTS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        dir: dir.path().to_owned(),
        shard: 0,
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: Sync::Thread,
        spare_segments: SEGMENTS,
    };
    let mut journal = open(config).unwrap().journal;
    while journal.spares_ready() < SEGMENTS {
        thread::sleep(Duration::from_millis(1));
    }
    let frame = [7; 1000];
    // The list of unsynced segments takes its room with the first one.
    journal.append(1, 0, &frame).unwrap();
    journal.commit_batch();

    let before = ALLOCATIONS.get();
    assert!(before > 0, "the counter counts");
    let records = (SEGMENTS as u64 - 1) * SEGMENT_BYTES_MIN / 1040;
    for seq in 2..=records {
        journal.append(seq, 0, &frame).unwrap();
        if seq % 16 == 0 {
            journal.commit_batch();
        }
    }
    assert_eq!(ALLOCATIONS.get(), before);
    journal.close().unwrap();
    let segments = journal::verify(dir.path()).unwrap().segments.len();
    assert!(segments >= 3, "the test crosses segments: {segments}");
}
