//! What a healthy driver carries: everything that is offered, whole, in order, byte by byte.

use std::net::UdpSocket;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use transport::{Error, MESSAGE_BYTES_GUARANTEED, Offer, StreamId, Transport};

use crate::harness::{Driver, PATIENCE, receive, send, until};
use crate::roles::{Actor, Role};

/// What fits into one packet of Aeron's default 1,408 bytes.
const FRAGMENT_BYTES: usize = 1376;

#[test]
fn a_message_goes_there_and_back() {
    let driver = Driver::start();
    let (mut here, mut there) = (driver.transport(), driver.transport());
    let (request, reply) = (StreamId::fresh(), StreamId::fresh());
    let mut requests = here.publication(&driver.channel(), request).unwrap();
    let mut replies = here.subscription(&driver.channel(), reply).unwrap();
    assert_eq!(requests.offer(b"nobody listens"), Offer::NotConnected);

    let mut served = there.subscription(&driver.channel(), request).unwrap();
    let mut answers = there.publication(&driver.channel(), reply).unwrap();
    until("all are connected", PATIENCE, || {
        requests.is_connected()
            && answers.is_connected()
            && served.is_connected()
            && replies.is_connected()
    });
    for number in 0..1000_u32 {
        send(requests.as_mut(), &number.to_le_bytes());
        let question = receive(served.as_mut(), 1);
        send(answers.as_mut(), &question[0]);
        assert_eq!(receive(replies.as_mut(), 1), [number.to_le_bytes().to_vec()]);
    }
    assert!(here.healthy() && there.healthy());
}

#[test]
fn messages_of_every_length_arrive_whole() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    let longest = publication.max_message_bytes();
    assert!(longest >= MESSAGE_BYTES_GUARANTEED);
    assert_eq!(publication.offer(&vec![0; longest + 1]), Offer::TooLong);

    let mut random = StdRng::seed_from_u64(1);
    let edges = [0, 1, 31, 32, 33, FRAGMENT_BYTES - 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1];
    let long = [2 * FRAGMENT_BYTES, 60 * 1024, MESSAGE_BYTES_GUARANTEED, longest - 1, longest];
    let drawn: Vec<usize> = (0..100).map(|_| random.random_range(0..longest)).collect();
    for length in edges.into_iter().chain(long).chain(drawn) {
        let mut message = vec![0; length];
        random.fill_bytes(&mut message);
        send(publication.as_mut(), &message);
        let received = receive(subscription.as_mut(), 1);
        assert!(received == [message], "a message of {length} bytes");
    }
}

#[test]
fn bytes_that_look_like_frames_are_only_bytes() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication("aeron:ipc", stream).unwrap();
    let mut subscription = transport.subscription("aeron:ipc", stream).unwrap();
    // A data frame as Aeron has them, then cut off at every byte and with every bit turned.
    let mut frame = vec![0u8; 64];
    frame[..8].copy_from_slice(&[64, 0, 0, 0, 0, 0xc0, 1, 0]);
    let cut = (0..frame.len()).map(|length| frame[..length].to_vec());
    let turned = (0..8 * frame.len()).map(|bit| {
        let mut message = frame.clone();
        message[bit / 8] ^= 1 << (bit % 8);
        message
    });
    for message in cut.chain(turned) {
        send(publication.as_mut(), &message);
        assert_eq!(receive(subscription.as_mut(), 1), [message]);
    }
}

#[test]
fn publishers_in_processes_share_a_stream_in_their_own_orders() {
    const ENOUGH: u32 = 2000;
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    let _actors = [0, 1].map(|number| Actor::start(Role::Publisher(number), &driver, stream));
    let mut next = [0u32; 2];
    until("both have sent enough", PATIENCE, || {
        let mut on_message = |message: &[u8]| {
            let (number, count) = message.split_at(4);
            let number = u32::from_le_bytes(number.try_into().unwrap()) as usize;
            assert_eq!(u32::from_le_bytes(count.try_into().unwrap()), next[number]);
            next[number] += 1;
        };
        subscription.poll(&mut on_message, 64);
        next.iter().all(|count| *count >= ENOUGH)
    });
}

#[test]
fn one_port_serves_many_streams_apart() {
    const STREAMS: u8 = 8;
    let driver = Driver::start();
    let (mut here, mut there) = (driver.transport(), driver.transport());
    let channel = driver.channel();
    let streams: Vec<StreamId> = (0..STREAMS).map(|_| StreamId::fresh()).collect();
    let mut pairs: Vec<_> = streams
        .iter()
        .map(|stream| {
            let subscription = there.subscription(&channel, *stream).unwrap();
            (here.publication(&channel, *stream).unwrap(), subscription)
        })
        .collect();
    for round in 0..100_u8 {
        for (index, (publication, _)) in pairs.iter_mut().enumerate() {
            send(publication.as_mut(), &[index as u8, round]);
        }
        for (index, (_, subscription)) in pairs.iter_mut().enumerate() {
            assert_eq!(receive(subscription.as_mut(), 1), [vec![index as u8, round]]);
        }
    }
}

#[test]
fn what_is_dropped_is_released_at_the_driver_and_unmapped_here() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let subscription = transport.subscription(&driver.channel(), stream).unwrap();
    until("they are connected", PATIENCE, || subscription.is_connected());
    send(publication.as_mut(), b"x");
    assert_eq!((logs(&driver, "publications"), logs(&driver, "images")), (1, 1));

    drop(subscription);
    until("nobody subscribes", PATIENCE, || !publication.is_connected());
    assert_eq!(publication.offer(b"y"), Offer::NotConnected);
    drop(publication);
    // The driver lingers for five seconds over what a late receiver may ask for again.
    until("its logs are gone", 2 * PATIENCE, || {
        logs(&driver, "publications") + logs(&driver, "images") == 0
    });
    until("they are unmapped", PATIENCE, || mapped_logs(&driver) == 0);
    assert!(transport.healthy());
}

fn logs(driver: &Driver, kind: &str) -> usize {
    std::fs::read_dir(driver.directory().join(kind)).unwrap().count()
}

fn mapped_logs(driver: &Driver) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let directory = driver.directory().to_str().unwrap();
    maps.lines().filter(|line| line.contains(directory) && line.contains("logbuffer")).count()
}

#[test]
fn what_cannot_be_created_is_refused_with_a_reason() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let stream = StreamId::fresh();
    for channel in ["", "aeron:tcp", "udp://127.0.0.1:1", "aeron:udp?endpoint"] {
        let error = transport.publication(channel, stream).err().unwrap();
        assert!(matches!(error, Error::InvalidChannel { .. }), "{channel}: {error}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = transport::udp_loopback(socket.local_addr().unwrap().port(), 65536);
    let odd = transport::udp_loopback(driver.port(), 3000);
    assert_refused(transport.subscription(&taken, stream).err());
    assert_refused(transport.publication(&odd, stream).err());
    assert_refused(transport.publication("aeron:udp?interface=nowhere", stream).err());
    assert_refused(transport.publication("aeron:tcp?endpoint=127.0.0.1:1", stream).err());
    assert_refused(transport.subscription("aeron:udp?endpoint=256.0.0.1:1", stream).err());

    assert!(transport.healthy());
    transport.publication(&driver.channel(), stream).unwrap();
}

fn assert_refused(error: Option<Error>) {
    match error {
        Some(Error::Refused { reason, .. }) => assert!(reason.len() > 20, "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_may_send_and_drop_but_not_create() {
    let driver = Driver::start();
    let mut transport = driver.transport();
    let (stream, other) = (StreamId::fresh(), StreamId::fresh());
    let mut publication = transport.publication(&driver.channel(), stream).unwrap();
    let mut subscription = transport.subscription(&driver.channel(), stream).unwrap();
    let mut dropped = Some(transport.publication(&driver.channel(), other).unwrap());
    send(publication.as_mut(), b"1");
    let mut created = None;
    until("the message comes", PATIENCE, || {
        let mut on_message = |_: &[u8]| {
            drop(dropped.take());
            created = transport.publication("aeron:ipc", other).err();
            send(publication.as_mut(), b"2");
        };
        subscription.poll(&mut on_message, 1) == 1
    });
    assert_eq!(created, Some(Error::InsideHandler));
    assert_eq!(receive(subscription.as_mut(), 1), [b"2".to_vec()]);
    transport.publication("aeron:ipc", other).unwrap();
}

#[test]
fn ends_may_be_used_and_dropped_by_any_thread() {
    const PAIRS: u32 = 60;
    let driver = Driver::start();
    let mut transport = driver.transport();
    let shared = StreamId::fresh();
    let threads: Vec<_> = (0..PAIRS)
        .map(|number| {
            // All are on one stream, so that each one that comes or goes concerns the others.
            let mut subscription = transport.subscription(&driver.channel(), shared).unwrap();
            let mut publication = transport.publication(&driver.channel(), shared).unwrap();
            std::thread::spawn(move || {
                let own = number.to_le_bytes();
                until("its own message comes", PATIENCE, || {
                    let sent = publication.offer(&own);
                    assert!(!matches!(sent, Offer::Closed | Offer::TooLong), "{sent:?}");
                    let mut seen = false;
                    subscription.poll(&mut |message| seen |= message == own, 16);
                    seen
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(transport.healthy());
    let fresh = StreamId::fresh();
    let mut subscription = transport.subscription(&driver.channel(), fresh).unwrap();
    let mut publication = transport.publication(&driver.channel(), fresh).unwrap();
    drop(transport);
    send(publication.as_mut(), b"without its transport");
    assert_eq!(receive(subscription.as_mut(), 1), [b"without its transport".to_vec()]);
}
