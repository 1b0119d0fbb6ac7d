//! Nodes over an in-process transport: commands in, events out, starts and stops in between.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use protocol::{
    Command, Envelope, Event, Reject, ShardId,
    command::{Genesis, LinkState, Tick},
    event::Outcome,
    wire::{self, Message, MessageKind},
};
use transport::{
    Error, Publication, StreamId, Subscription, Transport,
    local::{LocalNetwork, LocalTransport},
};

use crate::{
    DataDir, Layout, Node, Owner, Setup,
    client::{CHANNEL, CLUSTER, Client, deposit},
    outgoing::Place,
    pipeline::Dirs,
    recovery::replay,
    ring::{INPUT_SLOTS_DEFAULT, OUTPUT_SLOTS_MIN},
    tally::{LOUD_ABOVE, Tally},
};

const SEGMENT_BYTES: u64 = 8 << 20;
const FIRST: Place = Place { seq: 1, index: 0 };

fn setup() -> Setup {
    Setup {
        cluster: CLUSTER,
        shard: ShardId::LEDGER,
        shards: 2,
        replica: 0,
        segment_bytes: SEGMENT_BYTES,
        spare_segments: 1,
        input_slots: INPUT_SLOTS_DEFAULT,
        output_slots: OUTPUT_SLOTS_MIN,
        layout: Layout::Compact,
        channel: CHANNEL.into(),
        discovery_channel: CHANNEL.into(),
    }
}

fn start(network: &LocalNetwork, dir: &Path) -> Node {
    start_shard(network, dir, ShardId::LEDGER)
}

fn start_shard(network: &LocalNetwork, dir: &Path, shard: ShardId) -> Node {
    let owner = Owner { cluster: CLUSTER, shard: shard.0, replica: 0 };
    let data_dir = DataDir::take(dir, owner).unwrap();
    let setup = Setup { shard, ..setup() };
    Node::start(&setup, data_dir, Tally::default(), Box::new(network.transport())).unwrap()
}

fn outcomes(client: &Client) -> Vec<&Outcome> {
    let outcomes = client.events.iter().filter_map(|(_, event)| match event {
        Event::Outcome(outcome) => Some(outcome),
        _ => None,
    });
    outcomes.collect()
}

/// What the session's commands came to, in order.
fn settled(client: &Client, session: protocol::SessionId) -> Vec<(u64, Reject)> {
    outcomes(client)
        .into_iter()
        .filter(|outcome| outcome.session == session)
        .map(|outcome| (outcome.number, outcome.reject))
        .collect()
}

fn applied(numbers: std::ops::RangeInclusive<u64>) -> Vec<(u64, Reject)> {
    numbers.map(|number| (number, Reject::None)).collect()
}

#[test]
fn commands_come_back_as_events_in_order() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let session = client.open();
    for number in 1..=1_000 {
        client.until("submit", |client| client.submit(&[deposit(session, number, 5)]));
    }
    client.until("outcomes", |client| settled(client, session).len() == 1_000);
    assert_eq!(settled(&client, session), applied(1..=1_000));
    assert_eq!(client.events[0].0.seq, 1);
    assert_eq!(outcomes(&client)[0].command, protocol::CommandKind::Genesis as u16);
    node.stop().unwrap();

    // What was sent is what a replay gives.
    let mut mind = Tally::default();
    let mut replayed = 0;
    replay(&Dirs::under(temp.path()).journal, &mut mind, |header, _| {
        replayed = header.seq;
        Ok(())
    })
    .unwrap();
    assert!(replayed >= client.next.seq - 1);
    assert_eq!(mind.cash[&1], 5_000);
}

#[test]
fn a_session_is_applied_once_whatever_is_sent_twice() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let session = client.open();
    let batch: Vec<_> = (1..=20).map(|number| deposit(session, number, 1)).collect();
    for part in [&batch[..], &batch[5..15], &batch[..1], &batch[..]] {
        client.until("submit", |client| client.submit(part));
    }
    client.until("outcomes", |client| settled(client, session).len() == 51);
    let done: Vec<_> =
        settled(&client, session).into_iter().filter(|(_, reject)| reject.is_none()).collect();
    assert_eq!(done, applied(1..=20));
    node.stop().unwrap();
}

#[test]
fn a_restarted_node_goes_on_where_it_was() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let mut number = 0;
    let mut session = None;
    for round in 1..=3u64 {
        let node = start(&network, temp.path());
        client
            .until("hello", |client| client.hello.is_some_and(|hello| hello.incarnation == round));
        let session = *session.get_or_insert_with(|| client.open());
        for _ in 0..100 {
            number += 1;
            client.until("submit", |client| client.submit(&[deposit(session, number, 1)]));
        }
        client.until("outcomes", |client| settled(client, session).len() == number as usize);
        node.stop().unwrap();
    }
    assert_eq!(settled(&client, session.unwrap()), applied(1..=300));
    let seqs: Vec<u64> = client.events.iter().map(|(header, _)| header.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] - pair[0] <= 1), "one contiguous sequence");
}

#[test]
fn a_late_follower_gets_everything_and_a_rewound_one_again() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let session = client.open();
    // Loud frames, so that the tail is far out of the kept messages, and one longer than any
    // message.
    for number in 1..=3_000 {
        let amount = if number % 500 == 0 { LOUD_ABOVE + 2_000 } else { LOUD_ABOVE + 20 };
        client.until("submit", |client| client.submit(&[deposit(session, number, amount)]));
    }
    client.until("outcomes", |client| settled(client, session).len() == 3_000);

    let mut late = Client::new(&network, Place { seq: 1, index: 0 });
    late.until("catch-up", |late| late.next >= client.next);
    assert_eq!(&late.events[..client.events.len()], &client.events[..]);

    let middle = client.events[client.events.len() / 2].0;
    let middle = Place { seq: middle.seq, index: middle.index };
    let end = late.next;
    late.rewind_to(middle);
    late.until("rewind", |late| late.next >= end);
    assert_eq!(&late.events[..client.events.len()], &client.events[..]);

    let mut from_middle = Client::new(&network, middle);
    from_middle.until("catch-up", |client| client.next >= end);
    let skipped = client.events.len() / 2;
    let rest = client.events.len() - skipped;
    assert_eq!(&from_middle.events[..rest], &client.events[skipped..]);
    node.stop().unwrap();
}

#[test]
fn a_follower_that_does_not_read_holds_up_nobody() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let session = client.open();
    let mut stuck = Client::new(&network, FIRST);
    stuck.until("live", |stuck| stuck.next.seq >= session.0);
    let before = stuck.events.len();
    // Far beyond what its queue and the kept messages hold.
    for number in 1..=4_000 {
        let amount = LOUD_ABOVE + 100;
        client.until("submit", |client| client.submit(&[deposit(session, number, amount)]));
    }
    client.until("outcomes", |client| settled(client, session).len() == 4_000);
    assert_eq!(stuck.events.len(), before);
    stuck.until("catch-up", |stuck| stuck.next >= client.next);
    assert_eq!(&stuck.events[..client.events.len()], &client.events[..]);
    node.stop().unwrap();
}

#[test]
fn noise_is_counted_and_ignored() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let session = client.open();

    let mut foreign = Message::default();
    wire::begin(&mut foreign, CLUSTER + 1, MessageKind::Submit);
    let mut truncated = Message::default();
    wire::begin(&mut truncated, CLUSTER, MessageKind::Submit);
    truncated.push(&[10, 0, 255]);
    let mut hello = Message::default();
    wire::begin(&mut hello, CLUSTER, MessageKind::Hello);
    let mut follow = Message::default();
    wire::begin(&mut follow, CLUSTER, MessageKind::Follow);
    follow.push(&[1; 8]);
    let too_long = vec![0; protocol::limits::MESSAGE_BYTES_MAX + 1];
    let noise: [&[u8]; 7] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        foreign.as_bytes(),
        truncated.as_bytes(),
        hello.as_bytes(),
        follow.as_bytes(),
        &too_long,
    ];
    for bytes in noise {
        client.until("noise", |client| client.send(bytes));
    }
    let genesis =
        Genesis { cluster: 1, secret: [0; 16], shard: ShardId(0), shards: 1, _pad: [0; 6] };
    let link = LinkState { peer: ShardId::LEDGER, up: false, _pad: [0; 6] };
    let own = [
        (Envelope::default(), Command::Tick(Tick { _reserved: 0 })),
        (Envelope::default(), Command::Genesis(genesis)),
        (Envelope::default(), Command::LinkState(link)),
        deposit(session, 1, 3),
    ];
    client.until("forbidden", |client| client.submit(&own));
    client.until("outcome", |client| settled(client, session).len() == 1);
    let count =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(count(&node.refusals.foreign), 5);
    assert_eq!(count(&node.refusals.malformed), 2);
    assert_eq!(count(&node.refusals.forbidden), 3);
    let genesis_count = outcomes(&client)
        .iter()
        .filter(|outcome| outcome.command == protocol::CommandKind::Genesis as u16)
        .count();
    assert_eq!(genesis_count, 1);
    node.stop().unwrap();
}

#[test]
fn time_goes_on_without_clients() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let ticks = |client: &Client| {
        outcomes(client)
            .iter()
            .filter(|outcome| outcome.command == protocol::CommandKind::Tick as u16)
            .count()
    };
    client.until("ticks", |client| ticks(client) >= 3);
    node.stop().unwrap();
}

/// A log hears that its ledger can't answer, and that it can again.
#[test]
fn a_shard_tells_its_log_of_the_ledger() {
    let network = LocalNetwork::new();
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let shard = start_shard(&network, first.path(), ShardId(1));
    let told = |client: &Client| {
        let kind = protocol::CommandKind::LinkState as u16;
        outcomes(client).iter().filter(|outcome| outcome.command == kind).count()
    };
    client.until("the shard waits, and then no more", |client| told(client) == 2);
    let ledger = start(&network, second.path());
    client.until("the ledger is there", |client| told(client) == 3);
    ledger.stop().unwrap();
    shard.stop().unwrap();
}

#[test]
fn a_lost_driver_ends_the_node() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let owner = Owner { cluster: CLUSTER, shard: 0, replica: 0 };
    let data_dir = DataDir::take(temp.path(), owner).unwrap();
    let driver = Arc::new(Mutex::new(network.transport()));
    let transport = Box::new(Shared(driver.clone()));
    let node = Node::start(&setup(), data_dir, Tally::default(), transport).unwrap();
    driver.lock().unwrap().close();
    let start = std::time::Instant::now();
    while node.control().is_running() {
        assert!(start.elapsed() < crate::client::PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    let error = node.stop().unwrap_err();
    assert_eq!(error.exit_code(), crate::ExitCode::DriverLost);
}

#[test]
fn missing_events_are_made_again_and_equal_the_first_ones() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let mut client = Client::new(&network, FIRST);
    let node = start(&network, temp.path());
    let session = client.open();
    for number in 1..=200 {
        client.until("submit", |client| client.submit(&[deposit(session, number, 7)]));
    }
    client.until("outcomes", |client| settled(client, session).len() == 200);
    node.stop().unwrap();

    let events = Dirs::under(temp.path()).events;
    let config = journal::Config {
        dir: events.clone(),
        shard: 0,
        segment_bytes: SEGMENT_BYTES,
        sync: journal::Sync::OnSeal,
        spare_segments: 1,
    };
    for keep in [100, 0] {
        let mut opened = journal::open(config.clone()).unwrap().journal;
        opened.truncate_after(keep).unwrap();
        drop(opened);
        let node = start(&network, temp.path());
        let mut late = Client::new(&network, FIRST);
        late.until("catch-up", |late| late.next >= client.next);
        assert_eq!(&late.events[..client.events.len()], &client.events[..]);
        node.stop().unwrap();
    }
}

#[test]
fn events_that_differ_from_a_replay_are_not_served() {
    let (network, temp) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
    let node = start(&network, temp.path());
    let mut client = Client::new(&network, FIRST);
    client.until("genesis", |client| client.next.seq > 1);
    node.stop().unwrap();
    let dirs = Dirs::under(temp.path());
    std::fs::remove_dir_all(&dirs.events).unwrap();
    std::fs::create_dir(&dirs.events).unwrap();
    let config = journal::Config {
        dir: dirs.events,
        shard: 0,
        segment_bytes: SEGMENT_BYTES,
        sync: journal::Sync::OnSeal,
        spare_segments: 1,
    };
    let mut forged = journal::open(config).unwrap().journal;
    forged.append(1, 1, b"something else").unwrap();
    forged.close().unwrap();
    let owner = Owner { cluster: CLUSTER, shard: 0, replica: 0 };
    let data_dir = DataDir::take(temp.path(), owner).unwrap();
    let transport = Box::new(network.transport());
    let refused = Node::start(&setup(), data_dir, Tally::default(), transport);
    assert!(matches!(refused, Err(crate::Error::Diverged { seq: 1, .. })));
}

/// A transport that the test can close behind the node's back.
struct Shared(Arc<Mutex<LocalTransport>>);

impl Transport for Shared {
    fn publication(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Publication>, Error> {
        self.0.lock().unwrap().publication(channel, stream)
    }

    fn subscription(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Subscription>, Error> {
        self.0.lock().unwrap().subscription(channel, stream)
    }

    fn check(&self) -> Result<(), Error> {
        self.0.lock().unwrap().check()
    }
}
