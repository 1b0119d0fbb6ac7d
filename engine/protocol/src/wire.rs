//! Messages between processes: what a gateway, a feed or another shard says to a node, and back.
//!
//! Every message starts with a [`MessageHeader`] that names the cluster, so that strangers on the
//! same port are told apart. Commands and events travel in batches, each 8-byte aligned.

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::{
    DecodeError, Seq, ShardId,
    ids::Name,
    layout::{layout, read},
    limits::{COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX},
};

pub const MAGIC: u32 = u32::from_le_bytes(*b"XCHG");
pub const VERSION: u16 = 1;

/// The kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(u16)]
pub enum MessageKind {
    /// Node to all, on the discovery stream: where I take commands. Body: [`Hello`].
    Hello = 1,
    /// To a node's ingress: commands. Body: [`SubmitHeader`] and payload, repeated.
    Submit = 2,
    /// To a node's ingress: send me your events. Body: [`Follow`].
    Follow = 3,
    /// Node to one follower: events. Body: [`EventsHeader`], then events as in `event.rs`.
    Events = 4,
}

layout!(MessageHeader { magic: u32, version: u16, kind: MessageKind, cluster: u64 });

#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(u8)]
pub enum NodeRole {
    Recovering = 0,
    Primary = 1,
    Standby = 2,
}

layout!(
/// A node's place and how to reach it, said each 100 ms.
Hello {
    shard: ShardId,
    replica: u8,
    role: NodeRole,
    _pad: u8,
    epoch: u32,
    /// Counts the node's starts; a greater one replaces a smaller one of the same replica.
    incarnation: u64,
    ingress_stream: i32,
    _pad2: u32,
    committed: Seq,
    /// The channel its ingress listens on.
    ingress_channel: Name<120>,
});

layout!(
/// Stands before each command of a Submit. The payload is padded with zeros to 8 bytes.
SubmitHeader { kind: u16, len: u16, _pad: u32 });

layout!(
/// Asks for events from (`seq`, `index`) on, and says every 100 ms that somebody still listens.
/// A node that has sent more than the follower names goes on; `rewind` makes it send again.
Follow {
    /// Drawn at each start of the follower.
    follower: u64,
    seq: Seq,
    index: u32,
    /// 1: what was sent from here on got lost.
    rewind: u32,
    stream: i32,
    _pad: u32,
    channel: Name<120>,
});

layout!(EventsHeader {
    shard: ShardId,
    _pad: [u8; 3],
    epoch: u32,
    incarnation: u64,
    /// The last seq whose events are out; a follower behind it has events to come.
    committed: Seq,
});

pub const HEADER_BYTES: usize = size_of::<MessageHeader>();
const SUBMIT_BYTES: usize = size_of::<SubmitHeader>();

/// Starts a message of one kind in `out`, emptied first.
pub fn begin(out: &mut Message, cluster: u64, kind: MessageKind) {
    out.len = 0;
    out.push(MessageHeader { magic: MAGIC, version: VERSION, kind, cluster }.as_bytes());
}

/// A message under construction: a fixed buffer, no allocation.
pub struct Message {
    bytes: [u8; MESSAGE_BYTES_MAX],
    len: usize,
}

impl Default for Message {
    fn default() -> Self {
        Self { bytes: [0; MESSAGE_BYTES_MAX], len: 0 }
    }
}

impl Message {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn room(&self) -> usize {
        MESSAGE_BYTES_MAX - self.len
    }

    /// Appends bytes; panics when there is no room, which callers ask for first.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends one command to a Submit; false, with nothing changed, when there is no room.
    pub fn push_command(&mut self, kind: u16, payload: &[u8]) -> bool {
        let padded = payload.len().next_multiple_of(8);
        if payload.len() > COMMAND_BYTES_MAX || SUBMIT_BYTES + padded > self.room() {
            return false;
        }
        let len = payload.len() as u16;
        self.push(SubmitHeader { kind, len, _pad: 0 }.as_bytes());
        self.push(payload);
        self.push(&[0; 8][..padded - payload.len()]);
        true
    }
}

/// Checks magic, version and cluster; returns the kind and the body.
pub fn open(bytes: &[u8], cluster: u64) -> Result<(MessageKind, &[u8]), DecodeError> {
    let (head, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(DecodeError::Truncated)?;
    let header = MessageHeader::try_read_from_bytes(head).map_err(|_| DecodeError::Unknown)?;
    if header.magic != MAGIC || header.version != VERSION || header.cluster != cluster {
        return Err(DecodeError::Unknown);
    }
    Ok((header.kind, body))
}

/// Reads a body that is exactly one `T`.
pub fn body<T: TryFromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<T, DecodeError> {
    read(bytes)
}

/// Splits an Events body into its header and the events behind it.
pub fn events(bytes: &[u8]) -> Result<(EventsHeader, &[u8]), DecodeError> {
    let (head, rest) =
        bytes.split_at_checked(size_of::<EventsHeader>()).ok_or(DecodeError::Truncated)?;
    Ok((body(head)?, rest))
}

/// The commands of a Submit body: (kind, payload) each. Ends at the first that is cut short.
pub fn commands(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), DecodeError>> {
    core::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let next = split_command(bytes);
        bytes = next.map_or(&[][..], |(_, rest)| rest);
        Some(next.map(|(command, _)| command))
    })
}

type SplitCommand<'a> = ((u16, &'a [u8]), &'a [u8]);

fn split_command(bytes: &[u8]) -> Result<SplitCommand<'_>, DecodeError> {
    let (header, rest) =
        SubmitHeader::read_from_prefix_checked(bytes).ok_or(DecodeError::Truncated)?;
    let len = usize::from(header.len);
    if len > COMMAND_BYTES_MAX {
        return Err(DecodeError::Oversized);
    }
    let (padded, rest) =
        rest.split_at_checked(len.next_multiple_of(8)).ok_or(DecodeError::Truncated)?;
    Ok(((header.kind, &padded[..len]), rest))
}

impl SubmitHeader {
    fn read_from_prefix_checked(bytes: &[u8]) -> Option<(Self, &[u8])> {
        Self::try_read_from_prefix(bytes).ok()
    }
}
