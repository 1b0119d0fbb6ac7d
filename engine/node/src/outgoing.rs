//! A message of events under construction, for whoever sends events out.

use protocol::{
    Seq, ShardId,
    event::{EVENT_HEADER_BYTES, EventHeader},
    limits::MESSAGE_BYTES_MAX,
    wire::{EventsHeader, HEADER_BYTES, MAGIC, MessageHeader, MessageKind, VERSION},
};
use zerocopy::{FromBytes, IntoBytes};

const EMPTY_BYTES: usize = HEADER_BYTES + size_of::<EventsHeader>();

/// A place in a shard's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub seq: Seq,
    pub index: u32,
}

impl Place {
    /// Of the first event of a frame.
    pub fn start(seq: Seq) -> Self {
        Self { seq, index: 0 }
    }
}

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: u64,
    pub shard: ShardId,
    pub epoch: u32,
    pub incarnation: u64,
}

/// One Events message: begun once, filled and sent many times.
pub struct EventsMessage {
    bytes: Vec<u8>,
    header: EventsHeader,
    first: Option<Place>,
    last: Option<EventHeader>,
}

impl EventsMessage {
    pub fn new(identity: &Identity) -> Self {
        let Identity { cluster, shard, epoch, incarnation } = *identity;
        let envelope =
            MessageHeader { magic: MAGIC, version: VERSION, kind: MessageKind::Events, cluster };
        let header = EventsHeader { shard, _pad: [0; 3], epoch, incarnation, committed: 0 };
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        bytes.extend_from_slice(envelope.as_bytes());
        bytes.extend_from_slice(header.as_bytes());
        Self { bytes, header, first: None, last: None }
    }

    pub fn clear(&mut self) {
        self.bytes.truncate(EMPTY_BYTES);
        (self.first, self.last) = (None, None);
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Of its first event.
    pub fn first(&self) -> Option<Place> {
        self.first
    }

    /// Adds whole events from the front of `events` as far as they fit; returns their bytes.
    ///
    /// # Panics
    /// When `events` is not a sequence of whole events: they come from the own output.
    pub fn fill(&mut self, events: &[u8]) -> usize {
        let room = MESSAGE_BYTES_MAX - self.bytes.len();
        let taken = whole_events(events, room);
        if let Some((first, last)) = taken.ends {
            self.bytes.extend_from_slice(&events[..taken.bytes]);
            self.first.get_or_insert(Place { seq: first.seq, index: first.index });
            self.last = Some(last);
        }
        taken.bytes
    }

    /// The message as it is to be sent; `committed` is the last seq whose events are out.
    pub fn seal(&mut self, committed: Seq) -> &[u8] {
        self.header.committed = committed;
        self.bytes[HEADER_BYTES..EMPTY_BYTES].copy_from_slice(self.header.as_bytes());
        &self.bytes
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

struct Taken {
    bytes: usize,
    ends: Option<(EventHeader, EventHeader)>,
}

/// How many whole events stand in the first `room` bytes, and the first and last of them.
fn whole_events(events: &[u8], room: usize) -> Taken {
    let mut taken = Taken { bytes: 0, ends: None };
    while taken.bytes < events.len() {
        let (header, len) = head(&events[taken.bytes..]);
        if taken.bytes + len > room {
            break;
        }
        taken.bytes += len;
        let first = taken.ends.map_or(header, |(first, _)| first);
        taken.ends = Some((first, header));
    }
    taken
}

/// The first event's header, and the bytes of the whole event.
pub fn head(events: &[u8]) -> (EventHeader, usize) {
    let Ok((header, rest)) = EventHeader::read_from_prefix(events) else {
        panic!("own events are whole: {} bytes are left", events.len());
    };
    let body = usize::from(header.len);
    assert!(body <= rest.len(), "own events are whole: {body} bytes of {}", rest.len());
    (header, EVENT_HEADER_BYTES + body)
}

#[cfg(test)]
pub(crate) fn event(seq: Seq, index: u32, body: &[u8]) -> Vec<u8> {
    let header = EventHeader { seq, ts: 0, index, kind: 1, len: body.len() as u16 };
    [header.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::wire;

    const IDENTITY: Identity = Identity { cluster: 9, shard: ShardId(2), epoch: 3, incarnation: 4 };

    #[test]
    fn a_message_says_whose_events_it_holds() {
        let mut message = EventsMessage::new(&IDENTITY);
        assert!(message.is_empty());
        let events = [event(5, 1, &[1; 8]), event(5, 2, &[2; 16])].concat();
        assert_eq!(message.fill(&events), events.len());
        assert_eq!(message.first(), Some(Place { seq: 5, index: 1 }));
        let (kind, body) = wire::open(message.seal(5), 9).unwrap();
        assert_eq!(kind, MessageKind::Events);
        let (header, rest) = wire::events(body).unwrap();
        assert_eq!(
            (header.shard, header.epoch, header.incarnation, header.committed),
            (ShardId(2), 3, 4, 5)
        );
        assert_eq!(rest, events);
        message.clear();
        assert!(message.is_empty() && message.as_bytes().len() == EMPTY_BYTES);
    }

    #[test]
    fn what_does_not_fit_is_cut_between_events() {
        let mut message = EventsMessage::new(&IDENTITY);
        let events: Vec<u8> = (0..300).flat_map(|index| event(1, index, &[7; 248])).collect();
        let first = message.fill(&events);
        assert!(first.is_multiple_of(EVENT_HEADER_BYTES + 248) && first < events.len());
        assert!(message.as_bytes().len() <= MESSAGE_BYTES_MAX);
        assert_eq!(message.fill(&events[first..]), 0);
        message.clear();
        assert!(message.fill(&events[first..]) > 0);
        let index = (first / (EVENT_HEADER_BYTES + 248)) as u32;
        assert_eq!(message.first(), Some(Place { seq: 1, index }));
    }
}
