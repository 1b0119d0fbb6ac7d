//! Frames and commands: what is read is what was written, or an error.

use protocol::{
    Command, Envelope, FrameHeader, SessionId, frame::FRAME_HEADER_BYTES, limits::COMMAND_BYTES_MAX,
};
use zerocopy::IntoBytes;

use crate::commands;

/// A frame, as it lies in a journal.
pub fn run(bytes: &[u8]) {
    let Ok((header, payload)) = FrameHeader::decode(bytes) else { return };
    assert_eq!(header.as_bytes(), &bytes[..FRAME_HEADER_BYTES]);
    assert_eq!(payload, &bytes[FRAME_HEADER_BYTES..]);
    let Ok((envelope, command)) = Command::decode(header.kind, payload) else { return };
    assert_eq!(command.kind() as u16, header.kind);
    let mut again = [0; COMMAND_BYTES_MAX];
    let len = command.encode(&envelope, &mut again);
    assert_eq!(&again[..len], payload, "{command:?}");
}

/// One frame of each kind of command.
pub fn seeds() -> Vec<Vec<u8>> {
    let envelope = Envelope { session: SessionId(2), number: 1, ..Envelope::default() };
    (1..).zip(commands::samples()).map(|(seq, command)| frame(seq, &envelope, &command)).collect()
}

pub(crate) fn frame(seq: u64, envelope: &Envelope, command: &Command) -> Vec<u8> {
    let mut payload = [0; COMMAND_BYTES_MAX];
    let len = command.encode(envelope, &mut payload);
    let kind = command.kind() as u16;
    let header =
        FrameHeader { seq, ts: 1_000 + seq, epoch: 1, kind, flags: 0, len: len as u32, _pad: 0 };
    [header.as_bytes(), &payload[..len]].concat()
}
