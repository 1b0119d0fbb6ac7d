//! Streams between the threads of one process, in memory, without a driver.
//!
//! Tests and simulations use it in Aeron's place, so it behaves alike where a caller can tell:
//! a publication is connected once somebody subscribes, a subscriber sees only what is published
//! after it came, the slowest subscriber holds back the stream, and a queue is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Offer, Publication, StreamId, Subscription, Transport};

/// The longest message; what Aeron takes with terms of the default length.
pub const LOCAL_MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// What one subscription holds before it presses back: half a default term, as with Aeron.
pub const LOCAL_QUEUE_BYTES_MAX: usize = 512 * 1024;

/// What a message costs a queue beside its bytes, so that empty messages are bounded as well.
const MESSAGE_OVERHEAD_BYTES: usize = 32;

/// A set of streams; transports of one network reach each other and nobody else.
#[derive(Clone, Default)]
pub struct LocalNetwork {
    streams: Arc<Mutex<BTreeMap<StreamKey, Arc<Mutex<Stream>>>>>,
}

/// One process's, or one thread's, way into a [`LocalNetwork`].
pub struct LocalTransport {
    network: LocalNetwork,
    open: Arc<AtomicBool>,
}

impl LocalNetwork {
    pub fn new() -> LocalNetwork {
        LocalNetwork::default()
    }

    pub fn transport(&self) -> LocalTransport {
        LocalTransport { network: self.clone(), open: Arc::new(AtomicBool::new(true)) }
    }

    /// How many streams anybody publishes or subscribes to.
    pub fn stream_count(&self) -> usize {
        lock(&self.streams).len()
    }

    fn attach<T>(&self, key: &StreamKey, change: impl FnOnce(&mut Stream) -> T) -> (Seat, T) {
        let mut streams = lock(&self.streams);
        let stream = streams.entry(key.clone()).or_default().clone();
        let outcome = change(&mut lock(&stream));
        (Seat { network: self.clone(), key: key.clone(), stream }, outcome)
    }
}

impl LocalTransport {
    /// Closes it as a dead driver closes an Aeron client: at once, for good, with all its ends.
    pub fn close(&self) {
        self.open.store(false, Ordering::Release);
    }
}

impl Transport for LocalTransport {
    fn publication(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Publication>, Error> {
        self.check()?;
        let key = StreamKey::new(channel, stream)?;
        let (seat, ()) = self.network.attach(&key, |stream| stream.publishers += 1);
        Ok(Box::new(LocalPublication { seat, open: self.open.clone() }))
    }

    fn subscription(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Subscription>, Error> {
        self.check()?;
        let key = StreamKey::new(channel, stream)?;
        let (seat, inbox) = self.network.attach(&key, |stream| stream.subscribe(self.open.clone()));
        Ok(Box::new(LocalSubscription { seat, inbox, open: self.open.clone() }))
    }

    fn check(&self) -> Result<(), Error> {
        if self.open.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(Error::Closed { reason: "it was closed".into() })
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct StreamKey {
    channel: String,
    stream: StreamId,
}

impl StreamKey {
    fn new(channel: &str, stream: StreamId) -> Result<StreamKey, Error> {
        if channel.is_empty() {
            let reason = "it is empty".into();
            return Err(Error::InvalidChannel { channel: channel.into(), reason });
        }
        Ok(StreamKey { channel: channel.into(), stream })
    }
}

#[derive(Default)]
struct Stream {
    publishers: usize,
    inboxes: BTreeMap<u64, Inbox>,
    next_inbox: u64,
}

struct Inbox {
    messages: VecDeque<Arc<[u8]>>,
    bytes: usize,
    open: Arc<AtomicBool>,
}

impl Stream {
    fn subscribe(&mut self, open: Arc<AtomicBool>) -> u64 {
        let number = self.next_inbox;
        self.next_inbox += 1;
        self.inboxes.insert(number, Inbox { messages: VecDeque::new(), bytes: 0, open });
        number
    }

    fn has_subscriber(&self) -> bool {
        self.inboxes.values().any(Inbox::is_open)
    }

    fn offer(&mut self, message: &[u8]) -> Offer {
        if !self.has_subscriber() {
            return Offer::NotConnected;
        }
        let cost = message.len() + MESSAGE_OVERHEAD_BYTES;
        if self.inboxes.values().any(|inbox| inbox.is_open() && !inbox.has_room(cost)) {
            return Offer::BackPressured;
        }
        let shared: Arc<[u8]> = message.into();
        for inbox in self.inboxes.values_mut().filter(|inbox| inbox.is_open()) {
            inbox.bytes += cost;
            inbox.messages.push_back(shared.clone());
        }
        Offer::Sent
    }

    fn take(&mut self, inbox: u64) -> Option<Arc<[u8]>> {
        let inbox = self.inboxes.get_mut(&inbox)?;
        let message = inbox.messages.pop_front()?;
        inbox.bytes -= message.len() + MESSAGE_OVERHEAD_BYTES;
        Some(message)
    }
}

impl Inbox {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    fn has_room(&self, cost: usize) -> bool {
        self.bytes + cost <= LOCAL_QUEUE_BYTES_MAX
    }
}

/// A hold on a stream; the last one to leave takes the stream out of the network.
struct Seat {
    network: LocalNetwork,
    key: StreamKey,
    stream: Arc<Mutex<Stream>>,
}

impl Seat {
    fn leave(&self, change: impl FnOnce(&mut Stream)) {
        let mut streams = lock(&self.network.streams);
        let mut stream = lock(&self.stream);
        change(&mut stream);
        if stream.publishers == 0 && stream.inboxes.is_empty() {
            streams.remove(&self.key);
        }
    }
}

struct LocalPublication {
    seat: Seat,
    open: Arc<AtomicBool>,
}

impl Publication for LocalPublication {
    fn offer(&mut self, message: &[u8]) -> Offer {
        if !self.open.load(Ordering::Acquire) {
            return Offer::Closed;
        }
        if message.len() > LOCAL_MESSAGE_BYTES_MAX {
            return Offer::TooLong;
        }
        lock(&self.seat.stream).offer(message)
    }

    fn is_connected(&self) -> bool {
        self.open.load(Ordering::Acquire) && lock(&self.seat.stream).has_subscriber()
    }

    fn max_message_bytes(&self) -> usize {
        LOCAL_MESSAGE_BYTES_MAX
    }
}

impl Drop for LocalPublication {
    fn drop(&mut self) {
        self.seat.leave(|stream| stream.publishers -= 1);
    }
}

struct LocalSubscription {
    seat: Seat,
    inbox: u64,
    open: Arc<AtomicBool>,
}

impl Subscription for LocalSubscription {
    fn poll(&mut self, handler: &mut dyn FnMut(&[u8]), limit: usize) -> usize {
        let mut count = 0;
        while count < limit && self.open.load(Ordering::Acquire) {
            // The lock is let go before the handler runs: it may offer on this very stream.
            let Some(message) = lock(&self.seat.stream).take(self.inbox) else { break };
            handler(&message);
            count += 1;
        }
        count
    }

    fn is_connected(&self) -> bool {
        self.open.load(Ordering::Acquire) && lock(&self.seat.stream).publishers > 0
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        self.seat.leave(|stream| drop(stream.inboxes.remove(&self.inbox)));
    }
}

/// A panic elsewhere leaves these maps whole: no handler runs and nothing fails under a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &str = "local";
    const STREAM: StreamId = StreamId(7);

    fn drain(subscription: &mut dyn Subscription) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        subscription.poll(&mut |message| messages.push(message.to_vec()), usize::MAX);
        messages
    }

    #[test]
    fn every_subscriber_sees_every_message_in_order() {
        let network = LocalNetwork::new();
        let mut here = network.transport();
        let mut there = network.transport();
        let mut publication = here.publication(CHANNEL, STREAM).unwrap();
        assert!(!publication.is_connected());
        assert_eq!(publication.offer(b"lost"), Offer::NotConnected);

        let mut first = there.subscription(CHANNEL, STREAM).unwrap();
        let mut second = here.subscription(CHANNEL, STREAM).unwrap();
        assert!(publication.is_connected() && first.is_connected());
        for message in [b"a".as_slice(), b"", b"ccc"] {
            assert_eq!(publication.offer(message), Offer::Sent);
        }
        let expected = vec![b"a".to_vec(), b"".to_vec(), b"ccc".to_vec()];
        assert_eq!(drain(first.as_mut()), expected);
        assert_eq!(drain(second.as_mut()), expected);
        assert_eq!(first.poll(&mut |_| panic!("nothing is left"), 8), 0);
    }

    #[test]
    fn streams_channels_and_networks_are_apart() {
        let network = LocalNetwork::new();
        let mut transport = network.transport();
        let mut publication = transport.publication(CHANNEL, STREAM).unwrap();
        let mut same = transport.subscription(CHANNEL, STREAM).unwrap();
        let mut others = [
            transport.subscription(CHANNEL, StreamId(8)).unwrap(),
            transport.subscription("elsewhere", STREAM).unwrap(),
            LocalNetwork::new().transport().subscription(CHANNEL, STREAM).unwrap(),
        ];
        assert_eq!(publication.offer(b"x"), Offer::Sent);
        assert_eq!(drain(same.as_mut()).len(), 1);
        for other in &mut others {
            assert!(!other.is_connected());
            assert!(drain(other.as_mut()).is_empty());
        }
    }

    #[test]
    fn the_slowest_subscriber_presses_back_until_it_reads_or_goes() {
        let network = LocalNetwork::new();
        let mut transport = network.transport();
        let mut publication = transport.publication(CHANNEL, STREAM).unwrap();
        let mut fast = transport.subscription(CHANNEL, STREAM).unwrap();
        let mut slow = transport.subscription(CHANNEL, STREAM).unwrap();
        let message = vec![1u8; 1024];
        let mut sent = 0;
        while publication.offer(&message) == Offer::Sent {
            sent += 1;
            assert_eq!(fast.poll(&mut |_| {}, 1), 1);
        }
        assert_eq!(sent, LOCAL_QUEUE_BYTES_MAX / (message.len() + MESSAGE_OVERHEAD_BYTES));
        assert_eq!(publication.offer(&message), Offer::BackPressured);
        assert_eq!(slow.poll(&mut |_| {}, 1), 1);
        assert_eq!(publication.offer(&message), Offer::Sent);
        assert_eq!(publication.offer(&message), Offer::BackPressured);
        drop(slow);
        assert_eq!(publication.offer(&message), Offer::Sent);
    }

    #[test]
    fn lengths_and_poll_limits_hold() {
        let mut transport = LocalNetwork::new().transport();
        let mut publication = transport.publication(CHANNEL, STREAM).unwrap();
        let mut subscription = transport.subscription(CHANNEL, STREAM).unwrap();
        assert!(publication.max_message_bytes() >= crate::MESSAGE_BYTES_GUARANTEED);
        let longest = vec![3u8; publication.max_message_bytes()];
        assert_eq!(publication.offer(&longest), Offer::Sent);
        let beyond = vec![3u8; publication.max_message_bytes() + 1];
        assert_eq!(publication.offer(&beyond), Offer::TooLong);
        assert_eq!(publication.offer(b"2"), Offer::Sent);
        assert_eq!(subscription.poll(&mut |_| {}, 0), 0);
        assert_eq!(subscription.poll(&mut |message| assert_eq!(message, longest), 1), 1);
        assert_eq!(drain(subscription.as_mut()), [b"2".to_vec()]);
    }

    #[test]
    fn a_closed_transport_is_closed_in_all_its_ends_and_in_no_others() {
        let network = LocalNetwork::new();
        let mut dying = network.transport();
        let mut living = network.transport();
        let mut lost = dying.publication(CHANNEL, STREAM).unwrap();
        let mut kept = living.publication(CHANNEL, STREAM).unwrap();
        let mut deaf = dying.subscription(CHANNEL, STREAM).unwrap();
        let mut hearing = living.subscription(CHANNEL, STREAM).unwrap();
        dying.close();
        assert!(!dying.healthy() && living.healthy());
        assert!(matches!(dying.publication(CHANNEL, STREAM), Err(Error::Closed { .. })));
        assert!(matches!(dying.subscription(CHANNEL, STREAM), Err(Error::Closed { .. })));
        assert_eq!(lost.offer(b"x"), Offer::Closed);
        assert_eq!(kept.offer(b"y"), Offer::Sent);
        assert!(drain(deaf.as_mut()).is_empty());
        assert_eq!(drain(hearing.as_mut()), [b"y".to_vec()]);
    }

    #[test]
    fn a_stream_without_ends_is_forgotten() {
        let network = LocalNetwork::new();
        let mut transport = network.transport();
        let publication = transport.publication(CHANNEL, STREAM).unwrap();
        let subscription = transport.subscription(CHANNEL, STREAM).unwrap();
        assert_eq!(network.stream_count(), 1);
        drop(publication);
        assert!(!subscription.is_connected());
        drop(subscription);
        assert_eq!(network.stream_count(), 0);
    }

    #[test]
    fn a_handler_may_offer_on_the_stream_it_reads() {
        let mut transport = LocalNetwork::new().transport();
        let mut publication = transport.publication(CHANNEL, STREAM).unwrap();
        let mut subscription = transport.subscription(CHANNEL, STREAM).unwrap();
        assert_eq!(publication.offer(&[3]), Offer::Sent);
        let mut seen = 0;
        let mut echo = |message: &[u8]| {
            seen += 1;
            if message[0] > 0 {
                assert_eq!(publication.offer(&[message[0] - 1]), Offer::Sent);
            }
        };
        subscription.poll(&mut echo, usize::MAX);
        assert_eq!(seen, 4);
    }

    #[test]
    fn an_empty_channel_is_refused() {
        let mut transport = LocalNetwork::new().transport();
        let refused = transport.publication("", STREAM).err();
        assert!(matches!(refused, Some(Error::InvalidChannel { .. })));
    }
}
