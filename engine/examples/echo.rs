//! Plays a log to an engine and says everything that comes of it: the judges hold what two builds
//! of the engine make of one log against each other.
//!
//! Takes frames, one behind the other, from the standard input; gives the events, each with its
//! kind and length (little-endian, 16 bits each) before it, and then the state hash.

use std::io::{self, Read, Write};

use engine::{Capacity, Engine, Sink};
use protocol::{EventBody, FrameHeader, frame::FRAME_HEADER_BYTES};
use zerocopy::FromBytes;

struct Said(Vec<u8>);

impl Sink for Said {
    fn emit<E: EventBody>(&mut self, event: &E) {
        let body = event.as_bytes();
        self.0.extend((E::KIND as u16).to_le_bytes());
        self.0.extend((body.len() as u16).to_le_bytes());
        self.0.extend(body);
    }
}

fn main() -> io::Result<()> {
    let mut log = Vec::new();
    io::stdin().lock().read_to_end(&mut log)?;
    let mut engine = Engine::new(Capacity { accounts: 64, orders: 1_024 });
    let mut said = Said(Vec::new());
    let mut rest = &log[..];
    while !rest.is_empty() {
        let ill = |_| io::Error::new(io::ErrorKind::InvalidData, "the log ends within a frame");
        let (header, _) = FrameHeader::read_from_prefix(rest).map_err(|_| ill(()))?;
        let len = FRAME_HEADER_BYTES + header.len as usize;
        let frame = rest.get(..len).ok_or_else(|| ill(()))?;
        engine.apply(&header, &frame[FRAME_HEADER_BYTES..], &mut said);
        rest = &rest[len..];
    }
    said.0.extend(engine.state_hash().to_le_bytes());
    io::stdout().lock().write_all(&said.0)
}
