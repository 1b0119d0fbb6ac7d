//! What only whole processes can show: kills, full and read-only disks, failing syncs.
//!
//! The children are this test binary again, told by the environment what to do.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Write},
    os::fd::{AsFd, FromRawFd, OwnedFd, RawFd},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    AppendError, Config, Error, Journal, Reader, SEGMENT_BYTES_MIN, Sync, TailReport,
    journal_test::{append_patiently, append_range, frame_of, read_all, wait_durable},
    open, verify,
};

const CHILD_DIR: &str = "JOURNAL_TEST_CHILD_DIR";
const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;

fn standard(dir: &Path) -> Config {
    Config {
        dir: dir.to_owned(),
        shard: 1,
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: Sync::Thread,
        spare_segments: 1,
    }
}

/// Runs one test of this binary as a process of its own. SIGXFSZ is ignored in it, so that a file
/// size limit is met as an error.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir);
    command
}

fn child_dir() -> Option<std::path::PathBuf> {
    env::var_os(CHILD_DIR).map(Into::into)
}

#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(dir) = child_dir() else { return };
    let mut journal = open(standard(&dir)).unwrap().journal;
    let durable = journal.durable();
    let mut said = 0;
    for seq in journal.last_seq() + 1.. {
        append_patiently(&mut journal, seq, 1, &frame_of(seq));
        if seq % 32 == 0 {
            journal.commit_batch();
        }
        if durable.seq() > said {
            said = durable.seq();
            // An acknowledgement: from here on the seq must survive.
            println!("durable {said}");
        }
    }
}

#[test]
fn what_a_killed_process_said_was_durable_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for _ in 0..4 {
        let mut process = child("process_test::child_that_appends_until_it_is_killed", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut durable = || {
            let line = lines.next()?.unwrap();
            line.split_once("durable ").map_or(Some(0), |(_, seq)| seq.trim().parse().ok())
        };
        let enough = acknowledged + 5_000;
        while acknowledged < enough {
            acknowledged = acknowledged.max(durable().expect("the child goes on"));
        }
        let mut reader = Reader::open(dir.path(), acknowledged).unwrap();
        let mut last = acknowledged;
        assert_eq!(reader.next().unwrap().unwrap().seq, last);
        assert!(matches!(open(standard(dir.path())), Err(Error::Locked { .. })));
        process.kill().unwrap();
        while let Some(seq) = durable() {
            acknowledged = acknowledged.max(seq);
        }
        assert_eq!(process.wait().unwrap().signal(), Some(SIGKILL));

        while let Some(record) = reader.next().unwrap() {
            assert_eq!((record.seq, record.frame), (last + 1, &frame_of(last + 1)[..]));
            last = record.seq;
        }
        let found = open(standard(dir.path())).unwrap();
        assert!(found.last_seq >= last && last >= acknowledged);
        assert_eq!(found.journal.durable().seq(), found.last_seq);
        assert_eq!(read_all(dir.path()).unwrap(), found.last_seq);
        drop(found);
        assert_eq!(verify(dir.path()).unwrap().tail, TailReport::Clean);
    }
}

#[test]
fn child_whose_disk_stops_syncing() {
    let Some(dir) = child_dir() else { return };
    let mut journal = open(standard(&dir)).unwrap().journal;
    append_range(&mut journal, 1..=10);
    wait_durable(&journal, 10);
    while journal.spares_ready() == 0 {
        thread::sleep(Duration::from_millis(1));
    }
    // A device that knows no sync takes the place of every segment's file.
    let null = fs::File::open("/dev/null").unwrap();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let path = entry.unwrap().path();
        let is_segment = fs::read_link(&path)
            .is_ok_and(|target| target.extension().is_some_and(|extension| extension == "segment"));
        if is_segment {
            let number: RawFd = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            // SAFETY: the descriptor is open, and `forget` below leaves it to its owner.
            let mut place = unsafe { OwnedFd::from_raw_fd(number) };
            rustix::io::dup2(null.as_fd(), &mut place).unwrap();
            std::mem::forget(place);
        }
    }
    append_range(&mut journal, 11..=20);
    wait_durable(&journal, 20);
    println!("a failed sync was reported as durable");
}

#[test]
fn a_failed_sync_ends_the_process_and_marks_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        child("process_test::child_whose_disk_stops_syncing", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(SIGABRT), "{said}");
    assert!(said.contains("cannot sync"), "{said}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("reported as durable"));
    let error = open(standard(dir.path())).unwrap_err();
    assert!(matches!(error, Error::Suspect { .. }), "{error}");
}

/// Appends large frames until no segment can be made; gives the reason.
fn fill(journal: &mut Journal) -> AppendError {
    let frame = vec![0xab; 1 << 20];
    loop {
        match journal.append(journal.last_seq() + 1, 1, &frame) {
            Ok(()) => journal.commit_batch(),
            Err(AppendError::NoSegmentReady) => thread::sleep(Duration::from_millis(1)),
            Err(error) => return error,
        }
    }
}

fn is_disk_full(error: &AppendError) -> bool {
    matches!(error, AppendError::Preallocation(cause) if cause.is_disk_full())
}

#[test]
fn child_whose_files_may_not_grow() {
    let Some(dir) = child_dir() else { return };
    let mut journal = open(standard(&dir)).unwrap().journal;
    let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    limit(Some(1 << 20));
    let error = fill(&mut journal);
    assert!(is_disk_full(&error), "{error}");
    assert!(journal.preallocation_failure().is_some());
    let last = journal.last_seq();
    wait_durable(&journal, last);

    limit(None);
    let frame = vec![0xcd; 1 << 20];
    while journal.append(last + 1, 1, &frame).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
    journal.close().unwrap();
    println!("went on after {last}");
}

#[test]
fn without_room_an_append_fails_and_goes_on_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        child("process_test::child_whose_files_may_not_grow", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let last: u64 = said
        .lines()
        .find_map(|line| line.split_once("went on after ")?.1.trim().parse().ok())
        .expect("the child reports");
    assert!(last > 0);
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.last_seq, report.tail), (last + 1, TailReport::Clean));
}

/// A small disk of its own, where the sandbox lets us have one.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let done = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], dir.path());
        if done {
            return Some(Self { dir });
        }
        let full = env::var("EXCHANGE_FULL").is_ok_and(|value| value == "1");
        assert!(!full, "the full form needs the right to mount a tmpfs");
        let skipped = "skipped: no right to mount a small disk here";
        writeln!(io::stderr(), "{skipped}").unwrap();
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[], self.dir.path());
    }
}

fn run(program: &str, args: &[&str], dir: &Path) -> bool {
    Command::new(program).args(args).arg(dir).output().is_ok_and(|it| it.status.success())
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(3 * SEGMENT_BYTES_MIN) else { return };
    let mut journal = open(standard(disk.dir.path())).unwrap().journal;
    let error = fill(&mut journal);
    assert!(is_disk_full(&error), "{error}");
    let last = journal.last_seq();
    assert!(last >= 2 * 4, "{last}");
    journal.close().unwrap();

    let found = open(standard(disk.dir.path())).unwrap();
    assert_eq!((found.last_seq, found.repaired.as_ref()), (last, None));
    drop(found);
    assert_eq!(verify(disk.dir.path()).unwrap().tail, TailReport::Clean);
}

#[test]
fn a_disk_without_room_for_the_first_segment_is_an_error_at_open() {
    let Some(disk) = SmallDisk::mount(SEGMENT_BYTES_MIN / 2) else { return };
    let error = open(standard(disk.dir.path())).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    let names: Vec<_> =
        fs::read_dir(disk.dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{names:?}");
}

#[test]
fn a_read_only_disk_is_refused_for_appending_and_can_be_read() {
    let Some(disk) = SmallDisk::mount(4 * SEGMENT_BYTES_MIN) else { return };
    let dir = disk.dir.path();
    let mut journal = open(standard(dir)).unwrap().journal;
    append_range(&mut journal, 1..=100);
    journal.close().unwrap();
    assert!(run("mount", &["-o", "remount,ro"], dir));
    let error = open(standard(dir)).unwrap_err();
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    assert_eq!(read_all(dir).unwrap(), 100);
    assert_eq!(verify(dir).unwrap().tail, TailReport::Clean);
}
