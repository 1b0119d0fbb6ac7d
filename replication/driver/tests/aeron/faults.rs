//! What dies, stops or lies must not take others with it, and must be seen to be gone.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use transport::aeron::{AeronTransport, DRIVER_LIVENESS};
use transport::{Error, Offer, StreamId, Transport};

use crate::harness::{Driver, PATIENCE, driver_command, full, receive, send, signal, until};
use crate::roles::{Actor, CLOSED_STATUS, Role};

/// Beyond a timeout of Aeron's own, on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

#[test]
fn a_killed_subscriber_holds_back_its_own_stream_alone() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let (doomed, other) = (StreamId::fresh(), StreamId::fresh());
    let mut to_doomed = transport.publication(&driver.channel(), doomed).unwrap();
    let mut to_other = transport.publication(&driver.channel(), other).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), other).unwrap();
    let mut actor = Actor::start(Role::Subscriber, &driver, doomed);
    until("both are connected", PATIENCE, || to_doomed.is_connected() && to_other.is_connected());
    actor.kill();
    let killed = Instant::now();

    let message = vec![7; 8 * 1024];
    while to_doomed.offer(&message) == Offer::Sent {}
    assert_eq!(to_doomed.offer(&message), Offer::BackPressured);
    // Many times what a stream can hold passes beside it, before Aeron notices the kill.
    for _ in 0..500 {
        send(to_other.as_mut(), &message);
        assert_eq!(receive(subscription.as_mut(), 1).len(), 1);
    }
    assert!(killed.elapsed() < DRIVER_LIVENESS, "it was too slow to show anything");
    assert!(transport.healthy());

    // A stream of its own for the successor is served at once.
    let fresh = StreamId::fresh();
    let mut to_successor = transport.publication(&driver.channel(), fresh).unwrap();
    let _successor = Actor::start(Role::Subscriber, &driver, fresh);
    send(to_successor.as_mut(), &message);
}

#[test]
fn a_killed_publisher_does_not_hinder_another_on_its_stream() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut actor = Actor::start(Role::Publisher(1), &driver, stream);
    receive(subscription.as_mut(), 1000);
    actor.kill();
    for number in 0..1000_u16 {
        let message = number.to_le_bytes();
        send(publication.as_mut(), &message);
        until("it comes among what the dead one left", PATIENCE, || {
            let mut seen = false;
            subscription.poll(&mut |received| seen |= received == message, 16);
            seen
        });
    }
}

#[test]
fn a_replaced_driver_closes_its_clients_and_serves_new_ones() {
    let mut driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    send(publication.as_mut(), b"before");
    receive(subscription.as_mut(), 1);
    driver.kill();
    driver.restart();
    until("the client is closed", PATIENCE, || publication.offer(b"lost") == Offer::Closed);
    assert!(!publication.is_connected() && !subscription.is_connected());
    assert_eq!(subscription.poll(&mut |_| {}, 16), 0);
    let error = transport.check().unwrap_err();
    assert!(matches!(error, Error::Closed { .. }));
    assert_eq!(transport.publication(&driver.channel(), stream).err(), Some(error.clone()));
    assert_eq!(transport.subscription(&driver.channel(), stream).err(), Some(error));

    // A new client works beside what is left of the old one, and after that is gone.
    let mut rebuilt = driver.transport();
    let mut publication_again = rebuilt.publication(&driver.channel(), stream).unwrap();
    let mut subscription_again = rebuilt.subscription(&driver.channel(), stream).unwrap();
    send(publication_again.as_mut(), b"after");
    drop((publication, subscription, transport));
    assert_eq!(receive(subscription_again.as_mut(), 1), [b"after".to_vec()]);
    send(publication_again.as_mut(), b"later");
    assert_eq!(receive(subscription_again.as_mut(), 1), [b"later".to_vec()]);
}

#[test]
fn a_killed_driver_is_noticed_by_its_silence() {
    let mut driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    send(publication.as_mut(), b"before");
    receive(subscription.as_mut(), 1);
    driver.kill();

    // Its directory tells a newcomer in time, with a reason.
    let patience = DRIVER_LIVENESS + SLACK;
    let mut refusal = None;
    until("newcomers are turned away", patience, || {
        refusal = AeronTransport::connect_within(driver.directory(), Duration::ZERO).err();
        refusal.is_some()
    });
    let refusal = refusal.unwrap();
    assert!(refusal.to_string().contains("last alive"), "{refusal}");

    until("the client is closed", patience, || publication.offer(b"lost") == Offer::Closed);
    assert!(matches!(transport.check(), Err(Error::Closed { .. })));
    drop((publication, subscription, transport));
    driver.restart();
    let mut rebuilt = driver.transport();
    let mut publication = rebuilt.publication(&driver.channel(), stream).unwrap();
    let mut subscription = rebuilt.subscription(&driver.channel(), stream).unwrap();
    send(publication.as_mut(), b"after");
    assert_eq!(receive(subscription.as_mut(), 1), [b"after".to_vec()]);
}

#[test]
fn a_driver_ends_cleanly_when_it_is_told_to() {
    let mut driver = Driver::start();
    let mut transport = driver.transport();
    let mut publication = transport.publication(&driver.channel(), StreamId::fresh()).unwrap();
    assert!(driver.terminate());
    assert!(!driver.directory().exists());
    until("the client is closed", PATIENCE, || publication.offer(b"lost") == Offer::Closed);
    let error = AeronTransport::connect_within(driver.directory(), Duration::ZERO).err().unwrap();
    assert!(matches!(error, Error::DriverUnavailable { .. }), "{error}");
}

#[test]
fn a_client_that_was_stopped_for_too_long_knows_that_it_is_closed() {
    if !full() {
        return;
    }
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut actor = Actor::start(Role::Subscriber, &driver, stream);
    until("it is connected", PATIENCE, || publication.is_connected());
    signal(&actor.process, "STOP");
    std::thread::sleep(DRIVER_LIVENESS + SLACK);
    signal(&actor.process, "CONT");
    let status = actor.process.wait().unwrap();
    assert_eq!(status.code(), Some(CLOSED_STATUS));
    until("nobody subscribes", PATIENCE, || publication.offer(b"?") == Offer::NotConnected);
    assert!(transport.healthy());
}

#[test]
fn garbage_datagrams_do_no_harm() {
    const DATAGRAMS: usize = 20_000;
    const DATAGRAM_BYTES_MAX: usize = 1472;
    let mut driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    send(publication.as_mut(), b"before");
    assert_eq!(receive(subscription.as_mut(), 1), [b"before".to_vec()]);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = StdRng::seed_from_u64(2);
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    for round in 0..DATAGRAMS {
        random.fill_bytes(&mut datagram);
        let length = random.random_range(0..=datagram.len());
        // Half of them have a header that Aeron takes for its own: a length, a version, a type.
        if round % 2 == 0 {
            let claimed = if random.random() { length as i32 } else { random.random() };
            datagram[..4].copy_from_slice(&claimed.to_le_bytes());
            datagram[4] = 0;
            datagram[6..8].copy_from_slice(&random.random_range(0_u16..8).to_le_bytes());
            datagram[12..16].copy_from_slice(&stream.0.to_le_bytes());
        }
        socket.send_to(&datagram[..length], ("127.0.0.1", driver.port())).unwrap();
        if round % 100 == 0 {
            send(publication.as_mut(), &round.to_le_bytes());
            assert_eq!(receive(subscription.as_mut(), 1), [round.to_le_bytes().to_vec()]);
        }
    }
    assert!(driver.is_running() && transport.healthy());
    let fresh = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), fresh).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), fresh).unwrap();
    send(publication.as_mut(), b"after");
    assert_eq!(receive(subscription.as_mut(), 1), [b"after".to_vec()]);
}

#[test]
fn a_driver_that_cannot_start_says_why() {
    let driver = Driver::start();
    let said = |directory: &Path, more: &[&str]| {
        let output = driver_command(directory).args(more).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(driver.directory(), &[]).contains("in use by a live driver"));
    // A driver that does not lock is seen by its heartbeat.
    std::fs::remove_file(driver.directory().with_extension("lock")).unwrap();
    assert!(said(driver.directory(), &[]).contains("in use by a live driver"));
    assert!(said(Path::new("/proc/no/such"), &[]).contains("cannot be used"));
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("letter.txt"), "dear").unwrap();
    assert!(said(temp.path(), &[]).contains("letter.txt"));
    assert!(said(&temp.path().join("d"), &["--term-length", "3m"]).contains("power of two"));
    assert!(temp.path().join("letter.txt").exists());
}
