//! Messages between processes: publications and subscriptions on numbered streams.
//!
//! Nodes, gateways and tests code against the three traits below and never learn what carries
//! their bytes. [`aeron`] carries them between processes over UDP or shared memory by way of a
//! media driver; [`local`] carries them between threads of one process, so that a node, a gateway
//! or a simulation runs without a driver.
//!
//! Both promise the same: nothing here blocks except the two creating calls (and those for a
//! named time at most), a message arrives whole or not at all, messages of one publication arrive
//! in their order, and bytes are opaque. Neither promises delivery: whoever needs that counts its
//! messages and asks again.

use std::fmt;

use thiserror::Error;

pub mod aeron;
pub mod local;

/// A message of this size passes over every stream whose terms are [`TERM_BYTES_DEFAULT`] long.
///
/// A stream with shorter terms carries less: ask [`Publication::max_message_bytes`].
pub const MESSAGE_BYTES_GUARANTEED: usize = 64 * 1024;

/// The length of one of a stream's three buffers, where the channel does not say otherwise.
pub const TERM_BYTES_DEFAULT: usize = 1024 * 1024;

/// The term length of streams that carry a few small messages a second, such as discovery.
pub const TERM_BYTES_SMALL: usize = 64 * 1024;

/// The number of a stream within a channel.
///
/// Every start of a process takes numbers of its own for what it receives, because a stream whose
/// subscriber was killed holds back its publishers until the driver notices, seconds later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub i32);

impl StreamId {
    /// The one stream with a fixed number, on which processes announce the numbers of the others.
    pub const DISCOVERY: StreamId = StreamId(1);

    /// Numbers from here up are drawn at random; those below are assigned by hand.
    pub const FIRST_FRESH: StreamId = StreamId(1 << 16);

    /// A number that no living process uses: among 2^31, a hundred drawn at a time meet with a
    /// probability of one in 400,000.
    pub fn fresh() -> StreamId {
        StreamId(rand::random_range(Self::FIRST_FRESH.0..=i32::MAX))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of a message that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message that was not sent has to be offered again or given up"]
pub enum Offer {
    /// It is on its way. It may still be lost with a process or a driver.
    Sent,
    /// A subscriber is behind: offer it again later.
    BackPressured,
    /// Nobody subscribes, or nobody has been seen yet: offer it again later.
    NotConnected,
    /// Longer than [`Publication::max_message_bytes`]: it will never pass.
    TooLong,
    /// The publication is gone for good: [`Transport::check`] tells whether only this
    /// publication or the whole transport has to be built anew.
    Closed,
}

/// Why something could not be created, or why a transport is of no more use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    #[error("no media driver serves {directory}: {reason}")]
    DriverUnavailable { directory: String, reason: String },
    #[error("the transport is closed and has to be built anew: {reason}")]
    Closed { reason: String },
    #[error("{channel:?} is not a channel: {reason}")]
    InvalidChannel { channel: String, reason: String },
    #[error("stream {stream} of {channel} was refused: {reason}")]
    Refused { channel: String, stream: StreamId, reason: String },
    #[error("stream {stream} of {channel} was not answered in {waited_ms} ms")]
    Unanswered { channel: String, stream: StreamId, waited_ms: u64 },
    #[error("publications and subscriptions cannot be created by a handler of poll")]
    InsideHandler,
}

/// Makes publications and subscriptions; one per process, or one per thread that wants its own.
pub trait Transport: Send {
    /// Publishes on a stream. Publications on one stream, of one process or many, are separate:
    /// each has its own order and its own buffers. Waits for the driver's answer.
    fn publication(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Publication>, Error>;

    /// Receives what is published on a stream from now on. Waits for the driver's answer.
    fn subscription(
        &mut self,
        channel: &str,
        stream: StreamId,
    ) -> Result<Box<dyn Subscription>, Error>;

    /// Tells why the transport is closed, if it is. A closed transport never recovers: drop its
    /// publications and subscriptions and it, and build another.
    fn check(&self) -> Result<(), Error>;

    /// Whether the transport still works, as far as it knows.
    fn healthy(&self) -> bool {
        self.check().is_ok()
    }
}

/// The sending end of a stream. Dropping it ends the stream for its subscribers.
pub trait Publication: Send {
    /// Takes the whole message or nothing of it. Never blocks.
    fn offer(&mut self, message: &[u8]) -> Offer;

    /// Whether a subscriber is known to be there.
    fn is_connected(&self) -> bool;

    /// The longest message that [`offer`](Publication::offer) takes.
    fn max_message_bytes(&self) -> usize;
}

/// The receiving end of a stream, of all its publications. Dropping it frees their flow.
pub trait Subscription: Send {
    /// Hands over whole messages, reassembled where they were cut, reading at most `limit`
    /// fragments. Returns the number of messages. Never blocks.
    fn poll(&mut self, handler: &mut dyn FnMut(&[u8]), limit: usize) -> usize;

    /// Whether a publication is known to be there.
    fn is_connected(&self) -> bool;
}

/// The channel of a UDP port on this machine: one port serves any number of streams.
pub fn udp_loopback(port: u16, term_bytes: usize) -> String {
    format!("aeron:udp?endpoint=127.0.0.1:{port}|term-length={term_bytes}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn fresh_streams_stay_clear_of_the_assigned_ones_and_of_each_other() {
        let drawn: HashSet<StreamId> = (0..64).map(|_| StreamId::fresh()).collect();
        assert_eq!(drawn.len(), 64);
        assert!(drawn.iter().all(|stream| *stream >= StreamId::FIRST_FRESH));
        assert!(StreamId::DISCOVERY < StreamId::FIRST_FRESH);
    }

    #[test]
    fn transports_and_their_ends_can_move_to_a_thread() {
        fn moves<T: Send + ?Sized>() {}
        moves::<Box<dyn Transport>>();
        moves::<Box<dyn Publication>>();
        moves::<Box<dyn Subscription>>();
    }
}
