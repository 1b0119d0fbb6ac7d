//! The binary, as an operator meets it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use journal::{Config, SEGMENT_BYTES_MIN, SEGMENT_HEADER_BYTES, Sync, open};

const RECORDS: u64 = 20;

fn make_journal(dir: &Path) {
    let config = Config {
        dir: dir.to_owned(),
        shard: 7,
        segment_bytes: SEGMENT_BYTES_MIN,
        sync: Sync::Thread,
        spare_segments: 1,
    };
    let mut journal = open(config).unwrap().journal;
    for seq in 1..=RECORDS {
        journal.append(seq, 2, &[seq as u8; 3]).unwrap();
    }
    journal.close().unwrap();
}

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_journal")).args(args).arg(dir).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn verify_prints_what_is_there_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    make_journal(dir.path());
    let said = stdout(&run(dir.path(), &["verify"]));
    assert!(said.contains("shard 7"), "{said}");
    assert!(said.contains("seq 1..20 epoch 2"), "{said}");
    assert!(said.contains("known durable to 20"), "{said}");
    assert!(said.ends_with("sound\n"), "{said}");
}

#[test]
fn verify_exits_with_1_and_says_where_when_a_byte_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    make_journal(dir.path());
    let path = dir.path().join("0000000000000001.segment");
    let mut bytes = fs::read(&path).unwrap();
    bytes[SEGMENT_HEADER_BYTES as usize + 41] ^= 4;
    fs::write(&path, bytes).unwrap();
    for command in ["verify", "dump"] {
        let output = run(dir.path(), &[command]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("0000000000000001.segment is corrupt at byte 4096"), "{said}");
        assert!(said.contains("seq 1"), "{said}");
    }
}

#[test]
fn dump_prints_the_range_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    make_journal(dir.path());
    let said = stdout(&run(dir.path(), &["dump"]));
    assert_eq!(said.lines().count() as u64, RECORDS);
    assert!(said.starts_with("1 2 0000000000000000 0 010101\n"), "{said}");

    let said = stdout(&run(dir.path(), &["dump", "--from", "18", "--limit", "2", "--json"]));
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["seq"], 18);
    assert_eq!(lines[1]["frame"], "131313");
    assert_eq!(lines[1]["epoch"], 2);
}

#[test]
fn a_directory_without_a_journal_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["verify", "dump"] {
        for path in [dir.path().to_owned(), dir.path().join("nowhere")] {
            let output = run(&path, &[command]);
            assert_eq!(output.status.code(), Some(1));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("holds no journal"), "{said}");
        }
    }
}
