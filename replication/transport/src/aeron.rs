//! Streams between processes, carried by Aeron through a media driver.
//!
//! This module is the only one that names aeron-rs. It keeps that library's dangers inside:
//!
//! * Its client is driven, asked and taken apart by one thread of ours alone ([`conductor`]).
//!   The library takes its locks in changing order and would stop for good if a publication were
//!   dropped at the wrong moment; a publication or subscription that is dropped here is therefore
//!   sent to that thread, and the client's shared memory stays mapped until the last came back.
//! * Its default answer to a lost driver is a panic. Here the client is marked as failed, every
//!   offer says [`Offer::Closed`], and [`Transport::check`] says why.
//! * A client that was suspended for long may own counters that the driver has given to another.
//!   It reads nothing before the conductor has found out.
//!
//! Publications are exclusive ones: each has a log of its own, so a publisher that dies in the
//! middle of a message hinders nobody else on the stream.
//!
//! ```text
//!   owner's threads                 conductor thread              media driver
//!   AeronTransport ── Request ────▶ Aeron client ◀── cnc.dat ───▶ conductor
//!   AeronPublication ─ offer ─────────▶ log ─────────────────────▶ sender
//!   AeronSubscription ◀ poll ────────── image ◀─────────────────── receiver
//! ```

use std::cell::Cell;
use std::ffi::CString;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aeron_rs::channel_uri::ChannelUri;
use aeron_rs::concurrent::atomic_buffer::AtomicBuffer;
use aeron_rs::concurrent::logbuffer::header::Header;
use aeron_rs::exclusive_publication::ExclusivePublication;
use aeron_rs::utils::errors::AeronError;

use crate::{Error, Offer, Publication, StreamId, Subscription, Transport};

mod conductor;
mod directory;
mod reassembly;

use conductor::{Request, Shared};
use reassembly::Reassembly;

/// How long [`AeronTransport::connect`] waits for a driver to show up and show life.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a new publication or subscription waits for the driver's answer.
pub const CREATE_TIMEOUT: Duration = Duration::from_secs(5);

/// A driver that has been silent for so long is dead. Aeron's own timeout, and long enough that a
/// stalled machine does not tear a healthy cluster apart.
pub const DRIVER_LIVENESS: Duration = Duration::from_secs(10);

/// The longest channel; aeron-rs writes it into a buffer of 512 bytes.
pub const CHANNEL_BYTES_MAX: usize = 400;

/// How long dropping a transport waits for what was dropped before it to reach the driver.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(250);

/// What a lost conductor thread may take longer than its own timeout before that is noticed.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// After the end of a term an offer has to be repeated, once; more often means it was not that.
const TERM_ROTATIONS_MAX: usize = 2;

/// A client of the media driver that serves a directory.
pub struct AeronTransport {
    requests: Sender<Request>,
    shared: Arc<Shared>,
}

impl AeronTransport {
    /// Connects to the driver that serves `directory`, waiting for it to come up if need be.
    ///
    /// A driver that was killed within its last seconds is not told from a live one yet: what is
    /// created then fails, and [`Transport::check`] follows within [`DRIVER_LIVENESS`].
    pub fn connect(directory: &Path) -> Result<AeronTransport, Error> {
        Self::connect_within(directory, CONNECT_TIMEOUT)
    }

    /// The same with a patience of the caller's: zero looks once.
    pub fn connect_within(directory: &Path, patience: Duration) -> Result<AeronTransport, Error> {
        directory::await_driver(directory, patience)?;
        let (requests, inbox) = mpsc::channel();
        let shared = Arc::new(Shared::new());
        conductor::spawn(directory, inbox, shared.clone())?;
        Ok(AeronTransport { requests, shared })
    }

    fn ask<T>(
        &self,
        channel: &str,
        stream: StreamId,
        request: impl FnOnce(CString, SyncSender<Result<T, Error>>) -> Request,
    ) -> Result<T, Error> {
        if InHandler::is_entered() {
            return Err(Error::InsideHandler);
        }
        self.check()?;
        let channel_name = parse_channel(channel)?;
        let (reply, answer) = mpsc::sync_channel(1);
        let lost = || Error::Closed { reason: "its conductor has ended".into() };
        self.requests.send(request(channel_name, reply)).map_err(|_| lost())?;
        let patience = CREATE_TIMEOUT + ANSWER_SLACK;
        answer.recv_timeout(patience).unwrap_or_else(|error| match error {
            RecvTimeoutError::Disconnected => Err(lost()),
            RecvTimeoutError::Timeout => Err(Error::Unanswered {
                channel: channel.into(),
                stream,
                waited_ms: patience.as_millis() as u64,
            }),
        })
    }
}

impl Transport for AeronTransport {
    fn publication(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Publication>, Error> {
        let handle = self.ask(channel, stream, |channel, reply| Request::Publish {
            channel,
            stream,
            reply,
        })?;
        let max_message_bytes = handle.max_message_bytes();
        Ok(Box::new(AeronPublication {
            handle: Some(handle),
            max_message_bytes,
            requests: self.requests.clone(),
            shared: self.shared.clone(),
        }))
    }

    fn subscription(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Subscription>, Error> {
        let handle = self.ask(channel, stream, |channel, reply| Request::Subscribe {
            channel,
            stream,
            reply,
        })?;
        Ok(Box::new(AeronSubscription {
            handle: Some(handle),
            reassembly: Reassembly::default(),
            requests: self.requests.clone(),
            shared: self.shared.clone(),
        }))
    }

    fn check(&self) -> Result<(), Error> {
        self.shared.check()
    }
}

impl Drop for AeronTransport {
    fn drop(&mut self) {
        // The process may end right after this: then the driver should know what was dropped.
        let (reply, answer) = mpsc::sync_channel(1);
        if self.requests.send(Request::Flush { reply }).is_ok() {
            let _late_or_lost = answer.recv_timeout(RELEASE_TIMEOUT);
        }
    }
}

/// An exclusive publication on its way between threads.
pub(crate) struct PublicationHandle(Arc<Mutex<ExclusivePublication>>);

// SAFETY: what keeps it from being Send are raw pointers into its log and into the counters. It
// holds the log itself; the counters stay mapped until the conductor thread has got back every
// handle; and it is only used under its mutex, by one thread at a time.
unsafe impl Send for PublicationHandle {}

impl PublicationHandle {
    fn max_message_bytes(&self) -> usize {
        self.0.lock().map_or(0, |publication| publication.max_message_length().max(0) as usize)
    }
}

/// A subscription on its way between threads.
pub(crate) type SubscriptionHandle = Arc<Mutex<aeron_rs::subscription::Subscription>>;

struct AeronPublication {
    /// Taken by drop alone.
    handle: Option<PublicationHandle>,
    max_message_bytes: usize,
    requests: Sender<Request>,
    shared: Arc<Shared>,
}

impl Publication for AeronPublication {
    fn offer(&mut self, message: &[u8]) -> Offer {
        if self.shared.has_failed() {
            return Offer::Closed;
        }
        if message.len() > self.max_message_bytes {
            return Offer::TooLong;
        }
        // A poisoned lock means that the conductor failed in the middle of closing it.
        let Some(Ok(mut publication)) = self.handle.as_ref().map(|handle| handle.0.lock()) else {
            return Offer::Closed;
        };
        // aeron-rs has one buffer type for reading and writing; offering only reads from it, and
        // is done with it when it returns.
        let buffer = AtomicBuffer::wrap_raw_slice(std::ptr::from_ref(message).cast_mut());
        for _ in 0..TERM_ROTATIONS_MAX {
            match publication.offer(buffer) {
                Ok(_position) => return Offer::Sent,
                Err(AeronError::AdminAction) => {}
                Err(AeronError::BackPressured) => return Offer::BackPressured,
                Err(AeronError::NotConnected) => return Offer::NotConnected,
                Err(AeronError::IllegalArgument(_)) => return Offer::TooLong,
                Err(_) => return Offer::Closed,
            }
        }
        Offer::BackPressured
    }

    fn is_connected(&self) -> bool {
        !self.shared.has_failed()
            && self.handle.as_ref().is_some_and(|handle| {
                handle.0.lock().is_ok_and(|publication| publication.is_connected())
            })
    }

    fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }
}

impl Drop for AeronPublication {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            give_back(&self.requests, Request::ReleasePublication(handle));
        }
    }
}

struct AeronSubscription {
    /// Taken by drop alone.
    handle: Option<SubscriptionHandle>,
    reassembly: Reassembly,
    requests: Sender<Request>,
    shared: Arc<Shared>,
}

impl Subscription for AeronSubscription {
    fn poll(&mut self, handler: &mut dyn FnMut(&[u8]), limit: usize) -> usize {
        if !self.shared.may_read() {
            return 0;
        }
        let Some(Ok(mut subscription)) = self.handle.as_ref().map(|handle| handle.lock()) else {
            return 0;
        };
        let _entered = InHandler::enter();
        let reassembly = &mut self.reassembly;
        let mut count = 0;
        let mut on_fragment = |buffer: &AtomicBuffer, offset: i32, length: i32, header: &Header| {
            let fragment = buffer.as_sub_slice(offset, length);
            if let Some(message) = reassembly.accept(header.session_id(), header.flags(), fragment)
            {
                handler(message);
                count += 1;
            }
        };
        subscription.poll(&mut on_fragment, i32::try_from(limit).unwrap_or(i32::MAX));
        if reassembly.pending() > subscription.image_count() {
            reassembly.retain(|session| subscription.image_by_session_id(session).is_some());
        }
        count
    }

    fn is_connected(&self) -> bool {
        !self.shared.has_failed()
            && self.handle.as_ref().is_some_and(|handle| {
                handle.lock().is_ok_and(|subscription| subscription.is_connected())
            })
    }
}

impl Drop for AeronSubscription {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            give_back(&self.requests, Request::ReleaseSubscription(handle));
        }
    }
}

/// Sends a handle to the conductor, where alone it may be dropped.
fn give_back(requests: &Sender<Request>, request: Request) {
    if let Err(unsent) = requests.send(request) {
        // The conductor panicked and its locks are poisoned: dropping would panic as well.
        std::mem::forget(unsent);
    }
}

fn parse_channel(channel: &str) -> Result<CString, Error> {
    let invalid = |reason: String| Error::InvalidChannel { channel: channel.into(), reason };
    if channel.len() > CHANNEL_BYTES_MAX {
        return Err(invalid(format!("it is longer than {CHANNEL_BYTES_MAX} bytes")));
    }
    ChannelUri::parse(channel).map_err(|error| invalid(error.to_string()))?;
    CString::new(channel).map_err(|error| invalid(error.to_string()))
}

/// Tells that this thread is inside a handler of poll, where the conductor may be waiting for it.
struct InHandler {
    outer: bool,
}

thread_local! {
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

impl InHandler {
    fn enter() -> InHandler {
        InHandler { outer: IN_HANDLER.replace(true) }
    }

    fn is_entered() -> bool {
        IN_HANDLER.get()
    }
}

impl Drop for InHandler {
    fn drop(&mut self) {
        IN_HANDLER.set(self.outer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_checked_before_the_driver_sees_them() {
        for channel in ["aeron:ipc", "aeron:udp?endpoint=127.0.0.1:9000|term-length=64k"] {
            assert_eq!(parse_channel(channel).unwrap().to_str(), Ok(channel));
        }
        assert!(parse_channel(&crate::udp_loopback(9000, crate::TERM_BYTES_SMALL)).is_ok());
        let long = format!("aeron:ipc?alias={}", "x".repeat(CHANNEL_BYTES_MAX));
        for channel in ["", "aeron:", "udp://127.0.0.1:9", "aeron:tcp", "aeron:ipc?a=\0", &long] {
            let refused = parse_channel(channel).unwrap_err();
            assert!(matches!(refused, Error::InvalidChannel { .. }), "{channel}: {refused}");
        }
    }

    #[test]
    fn handlers_within_handlers_are_told_apart() {
        assert!(!InHandler::is_entered());
        let outer = InHandler::enter();
        drop(InHandler::enter());
        assert!(InHandler::is_entered());
        drop(outer);
        assert!(!InHandler::is_entered());
    }
}
