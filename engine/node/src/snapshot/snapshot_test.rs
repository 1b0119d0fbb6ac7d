//! A shard that starts from a snapshot is the one that replays its whole log.

use std::{fs, path::Path};

use engine::Engine;
use protocol::{
    AccountId, Command, Envelope, FrameHeader, Name, SessionId, ShardId,
    command::{Deposit, Genesis, Open},
    limits::COMMAND_BYTES_MAX,
    order::SessionKind,
};
use zerocopy::IntoBytes;

use super::*;
use crate::{
    client::CLUSTER,
    offline::rebuild,
    recovery::{Recovered, Store, recover},
};

/// A ledger's log that grows: a session and deposits.
struct Log {
    store: Store,
    seq: Seq,
}

impl Log {
    fn new(dir: &Path) -> Self {
        Self { store: Store::for_tests(dir), seq: 0 }
    }

    /// Adds deposits, and with the first ones what stands before them. The log is closed after
    /// it, so all of it is durable.
    fn grow(&mut self, deposits: u64) {
        let mut journal = journal::open(journal::Config {
            dir: self.store.dirs.journal.clone(),
            shard: 0,
            segment_bytes: self.store.segment_bytes,
            sync: journal::Sync::Thread,
            spare_segments: 1,
        })
        .unwrap()
        .journal;
        if self.seq == 0 {
            let (shard, shards) = (ShardId::LEDGER, 2);
            let secret = [7; 16];
            let genesis = Genesis { cluster: CLUSTER, secret, shard, shards, _pad: [0; 6] };
            self.append(&mut journal, Envelope::default(), &Command::Genesis(genesis));
            let (kind, name) = (SessionKind::Gateway, Name::new("test").unwrap());
            let open = Open { nonce: 1, kind, _pad: [0; 7], name };
            self.append(&mut journal, Envelope::default(), &Command::Open(open));
        }
        for _ in 0..deposits {
            let number = self.seq - 1;
            let envelope =
                Envelope { session: SessionId(2), prev: number - 1, number, ..Envelope::default() };
            let account = AccountId(1 + (number % 5) as u32);
            let deposit = Deposit { account, _pad: 0, transfer: number, amount: 10 };
            self.append(&mut journal, envelope, &Command::Deposit(deposit));
        }
        journal.close().unwrap();
    }

    fn append(&mut self, journal: &mut journal::Journal, envelope: Envelope, command: &Command) {
        self.seq += 1;
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut payload);
        let (seq, ts, kind) = (self.seq, 1_000 * self.seq, command.kind() as u16);
        let header = FrameHeader { seq, ts, epoch: 1, kind, flags: 0, len: len as u32, _pad: 0 };
        journal.append(seq, 1, &[header.as_bytes(), &payload[..len]].concat()).unwrap();
    }

    fn recover(&self) -> Recovered<Engine> {
        recover(&self.store, Engine::new(CAPACITY)).unwrap()
    }
}

/// Starts the shard, from a snapshot of this seq, and holds it against its whole log.
fn check(dir: &Path, log: &Log, snapshot: Seq) {
    let recovered = log.recover();
    assert_eq!(recovered.snapshot, snapshot);
    let replayed = rebuild(dir).unwrap();
    assert_eq!(recovered.mind.state_hash(), replayed.state_hash);
    assert_eq!((recovered.tail.last_seq, recovered.mind.last_seq()), (log.seq, log.seq));
    assert_eq!(recovered.events.last_seq(), log.seq, "all events are there");
    assert_eq!(recovered.tail.last_ts, 1_000 * log.seq);
}

#[test]
fn a_start_from_a_snapshot_is_a_start_from_the_log() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = Log::new(temp.path());
    log.grow(20);
    check(temp.path(), &log, 0);
    let first = take(temp.path()).unwrap().unwrap();
    assert_eq!((first.stand.seq, first.frames), (22, 22));
    check(temp.path(), &log, 22);
    log.grow(30);
    check(temp.path(), &log, 22);
    let second = take(temp.path()).unwrap().unwrap();
    assert_eq!((second.stand.seq, second.frames), (52, 30), "the first one is gone on from");
    assert_eq!(second.stand.state_hash, rebuild(temp.path()).unwrap().state_hash);
    check(temp.path(), &log, 52);
    let again = take(temp.path()).unwrap().unwrap();
    assert_eq!((again.frames, again.path), (0, second.path));
}

#[test]
fn an_empty_log_gives_none() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = Log::new(temp.path());
    log.grow(0);
    assert_eq!(take(temp.path()).unwrap().map(|taken| taken.stand.seq), Some(2));
    let other = tempfile::tempdir().unwrap();
    let nothing = Log::new(other.path());
    drop(nothing.recover());
    assert_eq!(take(other.path()).unwrap(), None);
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = Log::new(temp.path());
    log.grow(5);
    let older = take(temp.path()).unwrap().unwrap();
    log.grow(5);
    let newer = take(temp.path()).unwrap().unwrap();
    drop(log.recover());
    let mut bytes = fs::read(&newer.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newer.path, &bytes).unwrap();
    check(temp.path(), &log, older.stand.seq);
    fs::write(&older.path, "nothing").unwrap();
    check(temp.path(), &log, 0);
    // The next one begins at the first frame again, and takes the damaged one's name.
    let repaired = take(temp.path()).unwrap().unwrap();
    assert_eq!((repaired.frames, &repaired.path), (12, &newer.path));
    check(temp.path(), &log, 12);
}

#[test]
fn a_snapshot_of_another_log_is_passed_over() {
    let (temp, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut log, mut others) = (Log::new(temp.path()), Log::new(other.path()));
    log.grow(9);
    others.grow(3);
    let taken = take(other.path()).unwrap().unwrap();
    drop(log.recover());
    let dir = &log.store.dirs.snapshots;
    fs::create_dir(dir).unwrap();
    // As long as the other log is the beginning of this one, so is its state.
    fs::copy(&taken.path, dir.join(taken.path.file_name().unwrap())).unwrap();
    check(temp.path(), &log, 5);
    let (mut stand, state) = read(&taken.path).unwrap();
    stand.chain ^= 1;
    file::write(dir, &stand, &state).unwrap();
    check(temp.path(), &log, 0);
}

#[test]
fn a_snapshot_beyond_the_events_waits_until_these_are_made() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = Log::new(temp.path());
    log.grow(8);
    take(temp.path()).unwrap().unwrap();
    check(temp.path(), &log, 0);
    check(temp.path(), &log, 10);
    fs::remove_dir_all(&log.store.dirs.events).unwrap();
    fs::create_dir(&log.store.dirs.events).unwrap();
    check(temp.path(), &log, 0);
}

#[test]
fn events_that_are_not_those_of_the_snapshot_are_told() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = Log::new(temp.path());
    log.grow(4);
    let taken = take(temp.path()).unwrap().unwrap();
    drop(log.recover());
    let (mut stand, state) = read(&taken.path).unwrap();
    stand.event_chain ^= 1;
    file::write(&log.store.dirs.snapshots, &stand, &state).unwrap();
    let refused = recover(&log.store, Engine::new(CAPACITY));
    assert!(matches!(refused, Err(Error::Diverged { seq: 6, .. })));
}

#[test]
fn one_process_at_a_time_makes_them() {
    let temp = tempfile::tempdir().unwrap();
    let mut log = Log::new(temp.path());
    log.grow(1);
    fs::create_dir(&log.store.dirs.snapshots).unwrap();
    let held = lock(&log.store.dirs.snapshots).unwrap();
    assert!(matches!(take(temp.path()), Err(Error::InUse { .. })));
    drop(held);
    assert!(take(temp.path()).unwrap().is_some());
}
