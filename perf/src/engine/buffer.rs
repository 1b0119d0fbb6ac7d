//! Where a measured engine's events go: encoded behind each other, as an output ring takes them.

use engine::Sink;
use protocol::{
    Event, EventBody, FrameHeader,
    event::{EVENT_HEADER_BYTES, EventHeader, decode_next},
    limits::{EVENT_BYTES_MAX, EVENTS_PER_COMMAND_MAX},
};
use zerocopy::IntoBytes;

/// Written round and round, a frame never across the end. It is larger than a core's own caches,
/// as a ring is.
const BYTES: usize = 4 << 20;

const FRAME_MAX: usize = EVENTS_PER_COMMAND_MAX * (EVENT_HEADER_BYTES + EVENT_BYTES_MAX);
const _: () = assert!(FRAME_MAX <= BYTES);

#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    /// Of the frame that was begun last.
    from: usize,
    to: usize,
    header: EventHeader,
}

impl Buffer {
    pub fn new() -> Self {
        let bytes = vec![0; BYTES].into_boxed_slice();
        Self { bytes, from: 0, to: 0, header: EventHeader::default() }
    }

    #[inline]
    pub fn begin(&mut self, frame: &FrameHeader) {
        if BYTES - self.to < FRAME_MAX {
            self.to = 0;
        }
        self.from = self.to;
        let FrameHeader { seq, ts, .. } = *frame;
        self.header = EventHeader { seq, ts, ..EventHeader::default() };
    }

    /// The last frame's events.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let mut rest = &self.bytes[self.from..self.to];
        std::iter::from_fn(move || {
            let (_, event, behind) = decode_next(rest).ok()?;
            rest = behind;
            Some(event)
        })
    }
}

impl Sink for Buffer {
    #[inline]
    fn emit<E: EventBody>(&mut self, event: &E) {
        let body = event.as_bytes();
        let header = EventHeader { kind: E::KIND as u16, len: body.len() as u16, ..self.header };
        self.header.index += 1;
        let room = &mut self.bytes[self.to..self.to + EVENT_HEADER_BYTES + body.len()];
        let (head, rest) = room.split_at_mut(EVENT_HEADER_BYTES);
        head.copy_from_slice(header.as_bytes());
        rest.copy_from_slice(body);
        self.to += EVENT_HEADER_BYTES + body.len();
    }
}
