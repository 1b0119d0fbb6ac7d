//! From the journals on disk to an engine that stands where the last process stood.
//!
//! Every frame goes through the engine again. What comes out must be what the output journal
//! holds already; where that ends before the log does, it is made whole on the way. So a receiver
//! that asks for any event finds it, and nothing is ever told in two ways.

use std::{path::Path, thread, time::Duration};

use journal::{AppendError, Journal, Reader, chain_after};
use protocol::{
    Command, DecodeError, EventBody, EventKind, FrameHeader, Micros, Seq, ShardId,
    command::Genesis, event::EventHeader,
};
use replication::Epoch;
use zerocopy::IntoBytes;

use crate::{
    Error,
    ingress::Tail,
    mind::{Mind, Sink},
    pipeline::Dirs,
    snapshot::{Found, newest},
    stages::is_transient,
};

/// How long to wait for a segment while events are made again.
const SEGMENT_PAUSE: Duration = Duration::from_millis(1);
/// A disk that gives none for so long gives none.
const SEGMENT_PATIENCE: Duration = Duration::from_secs(30);

/// What both journals need to know to be opened.
#[derive(Clone, Debug)]
pub struct Store {
    pub dirs: Dirs,
    pub cluster: u64,
    pub shard: ShardId,
    pub shards: u8,
    pub segment_bytes: u64,
    pub spare_segments: usize,
}

/// A shard as its log left it.
pub struct Recovered<M> {
    pub mind: M,
    pub journal: Journal,
    pub events: Journal,
    pub tail: Tail,
    /// Frames whose events had to be made again.
    pub regenerated: u64,
    /// The snapshot that the replay began at; 0: there was none to begin at.
    pub snapshot: Seq,
}

/// Opens both journals and replays the log into `mind`, which has seen nothing yet, or from the
/// newest snapshot on that both journals reach to.
pub fn recover<M: Mind>(store: &Store, mut mind: M) -> Result<Recovered<M>, Error> {
    let log = journal::open(store.config(&store.dirs.journal, journal::Sync::Thread))?;
    let bad_events = |source| Error::Events { dir: store.dirs.events.clone(), source };
    let opened = journal::open(store.config(&store.dirs.events, journal::Sync::OnSeal));
    let mut events = opened.map_err(bad_events)?.journal;
    for torn in log.repaired.iter() {
        tracing::info!(seq = torn.seq, "an unfinished end of the journal was cut off");
    }
    if events.last_seq() > log.last_seq {
        // Only what is committed leaves the process, so nobody has seen these.
        tracing::warn!(events = events.last_seq(), log = log.last_seq, "events without a log");
        events.truncate_after(log.last_seq).map_err(bad_events)?;
    }

    let held = events.last_seq();
    check_genesis(store)?;
    let mut start = End::default();
    let mut check = Check { held, chain: 0 };
    if let Some(found) = snapshot_of(store, held)? {
        start =
            End { last_seq: found.stand.seq, last_ts: found.stand.ts, chain: found.stand.chain };
        check.chain = found.stand.event_chain;
        mind = found.mind;
    }
    let last_ts = replay_from(&store.dirs.journal, start, &mut mind, |frame, record| {
        if frame.seq <= held {
            check.follow(frame.seq, record, &events, &store.dirs.events)
        } else {
            append(&mut events, frame, record, &store.dirs.events)
        }
    })?
    .last_ts;
    let epoch = Epoch(log.last_epoch.max(Epoch::FIRST.0));
    let tail = Tail { last_seq: log.last_seq, last_ts, epoch, genesis: None };
    let regenerated = log.last_seq - held;
    let snapshot = start.last_seq;
    Ok(Recovered { mind, journal: log.journal, events, tail, regenerated, snapshot })
}

/// Where a replay ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub last_seq: Seq,
    pub last_ts: Micros,
    /// Of the log.
    pub chain: u64,
}

/// Applies every frame of a journal; `each` gets the frame's header and its events.
pub fn replay<M: Mind>(
    dir: &Path,
    mind: &mut M,
    each: impl FnMut(&FrameHeader, &[u8]) -> Result<(), Error>,
) -> Result<End, Error> {
    replay_from(dir, End::default(), mind, each)
}

/// As [`replay`], for a mind that has come so far already.
fn replay_from<M: Mind>(
    dir: &Path,
    start: End,
    mind: &mut M,
    mut each: impl FnMut(&FrameHeader, &[u8]) -> Result<(), Error>,
) -> Result<End, Error> {
    let mut reader = Reader::open(dir, start.last_seq + 1)?;
    let mut end = start;
    let mut record = Vec::new();
    while let Some(found) = reader.next()? {
        let header = apply_frame(mind, found.seq, found.frame, &mut record)?;
        each(&header, &record)?;
        end = End {
            last_seq: header.seq,
            last_ts: header.ts,
            chain: chain_after(found.prev_chain, found.frame),
        };
    }
    Ok(end)
}

/// Applies one frame of a log; `events` become what comes of it, as the output journal keeps them.
pub(crate) fn apply_frame<M: Mind>(
    mind: &mut M,
    seq: Seq,
    frame: &[u8],
    events: &mut Vec<u8>,
) -> Result<FrameHeader, Error> {
    let (header, payload) =
        FrameHeader::decode(frame).map_err(|source| Error::BadFrame { seq, source })?;
    events.clear();
    let mut sink = RecordSink { record: events, frame: &header, index: 0, last: None };
    mind.apply(&header, payload, &mut sink);
    assert_eq!(sink.last, Some(EventKind::Outcome), "each frame ends with its outcome");
    Ok(header)
}

/// The chain of a journal up to a seq; `None` when it does not reach so far.
pub(crate) fn chain_at(dir: &Path, seq: Seq) -> Result<Option<u64>, Error> {
    let mut reader = Reader::open(dir, seq)?;
    let found = reader.next()?.filter(|record| record.seq == seq);
    Ok(found.map(|record| chain_after(record.prev_chain, record.frame)))
}

/// The first frame of a new log, with a secret of its own.
pub fn genesis(cluster: u64, shard: ShardId, shards: u8) -> Result<Genesis, Error> {
    use rand::{TryRngCore, rngs::OsRng};

    let mut secret = [0; 16];
    OsRng.try_fill_bytes(&mut secret).map_err(|error| Error::Randomness(error.to_string()))?;
    Ok(Genesis { cluster, secret, shard, shards, _pad: [0; 6] })
}

impl Store {
    /// A ledger's journals with small segments.
    #[cfg(test)]
    pub fn for_tests(data_dir: &Path) -> Self {
        let dirs = Dirs::under(data_dir);
        for dir in [&dirs.journal, &dirs.events] {
            std::fs::create_dir(dir).unwrap();
        }
        Self {
            dirs,
            cluster: crate::client::CLUSTER,
            shard: ShardId::LEDGER,
            shards: 2,
            segment_bytes: 8 << 20,
            spare_segments: 1,
        }
    }

    fn config(&self, dir: &Path, sync: journal::Sync) -> journal::Config {
        journal::Config {
            dir: dir.into(),
            shard: self.shard.0,
            segment_bytes: self.segment_bytes,
            sync,
            spare_segments: self.spare_segments,
        }
    }
}

/// The newest snapshot of this log, and of the events that are held.
fn snapshot_of<M: Mind>(store: &Store, held: Seq) -> Result<Option<Found<M>>, Error> {
    let Some(found) = newest::<M>(&store.dirs, held)? else { return Ok(None) };
    let events = chain_at(&store.dirs.events, found.stand.seq)?;
    if events != Some(found.stand.event_chain) {
        let (dir, seq) = (store.dirs.events.clone(), found.stand.seq);
        return Err(Error::Diverged { dir, seq });
    }
    tracing::info!(seq = found.stand.seq, "a snapshot to begin at");
    Ok(Some(found))
}

/// The log says itself whose it is; a configuration that says otherwise is not for it.
fn check_genesis(store: &Store) -> Result<(), Error> {
    let mut reader = Reader::open(&store.dirs.journal, 1)?;
    let Some(first) = reader.next()? else { return Ok(()) };
    let bad = |source| Error::BadFrame { seq: first.seq, source };
    let (header, payload) = FrameHeader::decode(first.frame).map_err(bad)?;
    let (_, command) = Command::decode(header.kind, payload).map_err(bad)?;
    let Command::Genesis(genesis) = command else { return Err(bad(DecodeError::Unknown)) };
    let pairs = [
        ("cluster", genesis.cluster, store.cluster),
        ("shard", genesis.shard.0.into(), store.shard.0.into()),
        ("a number of shards of", genesis.shards.into(), store.shards.into()),
    ];
    for (what, found, asked) in pairs {
        if found != asked {
            return Err(Error::Genesis { what, found, asked });
        }
    }
    Ok(())
}

/// Compares what is held with what comes out, by the chain over all of it.
struct Check {
    held: Seq,
    chain: u64,
}

impl Check {
    fn follow(
        &mut self,
        seq: Seq,
        record: &[u8],
        events: &Journal,
        dir: &Path,
    ) -> Result<(), Error> {
        self.chain = chain_after(self.chain, record);
        if seq == self.held && self.chain != events.chain() {
            return Err(Error::Diverged { dir: dir.into(), seq });
        }
        Ok(())
    }
}

fn append(
    events: &mut Journal,
    frame: &FrameHeader,
    record: &[u8],
    dir: &Path,
) -> Result<(), Error> {
    let mut waited = Duration::ZERO;
    loop {
        match events.append(frame.seq, frame.epoch, record) {
            Ok(()) => return Ok(()),
            Err(error) if may_wait(&error, waited) => {
                thread::sleep(SEGMENT_PAUSE);
                waited += SEGMENT_PAUSE;
            }
            Err(source) => return Err(Error::Append { dir: dir.into(), source }),
        }
    }
}

fn may_wait(error: &AppendError, waited: Duration) -> bool {
    is_transient(error) && waited < SEGMENT_PATIENCE
}

/// Puts a frame's events behind each other, as the output journal keeps them.
struct RecordSink<'a> {
    record: &'a mut Vec<u8>,
    frame: &'a FrameHeader,
    index: u32,
    last: Option<EventKind>,
}

impl Sink for RecordSink<'_> {
    fn emit<B: EventBody>(&mut self, body: &B) {
        let bytes = body.as_bytes();
        let header = EventHeader {
            seq: self.frame.seq,
            ts: self.frame.ts,
            index: self.index,
            kind: B::KIND as u16,
            len: bytes.len() as u16,
        };
        self.record.extend_from_slice(header.as_bytes());
        self.record.extend_from_slice(bytes);
        self.index += 1;
        self.last = Some(B::KIND);
    }
}
