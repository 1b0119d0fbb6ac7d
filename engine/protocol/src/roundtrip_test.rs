//! Every kind survives encoding; random and mutated bytes are refused or are a value, never a panic.

extern crate std;

use proptest::prelude::*;
use std::vec::Vec;

use crate::{
    Command, CommandKind, Envelope, Event, EventKind, FrameHeader, event,
    limits::COMMAND_BYTES_MAX,
    wire::{self, Message, MessageKind},
};

const CLUSTER: u64 = 0x00C0_FFEE;

/// Bytes of zeros decode as each kind, because 0 is a value of every enum: so each kind's size is
/// found by growing a buffer until it fits.
fn zeroed(kind: CommandKind) -> (Envelope, Command) {
    let buffer = [0u8; COMMAND_BYTES_MAX];
    (0..=COMMAND_BYTES_MAX)
        .find_map(|len| Command::decode(kind as u16, &buffer[..len]).ok())
        .expect("each kind fits COMMAND_BYTES_MAX")
}

#[test]
fn each_command_kind_survives_encoding() {
    for kind in CommandKind::ALL {
        let (envelope, command) = zeroed(*kind);
        let mut out = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut out);
        assert_eq!(Command::decode(*kind as u16, &out[..len]), Ok((envelope, command)));
        assert!(Command::decode(*kind as u16, &out[..len - 1]).is_err());
    }
}

/// A message that a shard issues is one that its node sends.
#[test]
fn whatever_is_issued_is_of_a_link() {
    let issued = |kind: &EventKind| std::format!("{kind:?}").ends_with("Issued");
    let links = |kind: &EventKind| kind.is_link();
    let count = EventKind::ALL.iter().filter(|kind| issued(kind)).count();
    assert!(count >= 7);
    assert!(EventKind::ALL.iter().filter(|kind| issued(kind)).all(links));
    // to each of them there is the command that it becomes; acknowledgements are of no event
    assert_eq!(CommandKind::ALL.iter().filter(|kind| kind.is_link()).count(), count + 1);
}

#[test]
fn a_submit_carries_its_commands() {
    let mut message = Message::default();
    wire::begin(&mut message, CLUSTER, MessageKind::Submit);
    assert!(message.push_command(10, b"first"));
    assert!(message.push_command(11, b""));
    assert!(!message.push_command(12, &[0; COMMAND_BYTES_MAX + 1]));
    let (kind, body) = wire::open(message.as_bytes(), CLUSTER).unwrap();
    assert_eq!(kind, MessageKind::Submit);
    let commands: Result<Vec<_>, _> = wire::commands(body).collect();
    assert_eq!(commands.unwrap(), [(10, &b"first"[..]), (11, &b""[..])]);
    assert!(wire::open(message.as_bytes(), CLUSTER + 1).is_err());
}

proptest! {
    #[test]
    fn random_bytes_never_panic(kind: u16, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Command::decode(kind, &bytes);
        let _ = Event::decode(kind, &bytes);
        let _ = event::decode_next(&bytes);
        let _ = FrameHeader::decode(&bytes);
        if let Ok((_, body)) = wire::open(&bytes, CLUSTER) {
            let _ = wire::commands(body).count();
        }
        let _ = wire::commands(&bytes).count();
        let _ = wire::events(&bytes);
        let _ = wire::body::<wire::Hello>(&bytes);
        let _ = wire::body::<wire::Follow>(&bytes);
    }

    #[test]
    fn a_mutated_command_is_refused_or_encodes_to_itself(
        pick in 0..CommandKind::ALL.len(), at in 0..COMMAND_BYTES_MAX, byte: u8,
    ) {
        let kind = CommandKind::ALL[pick];
        let (envelope, command) = zeroed(kind);
        let mut bytes = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut bytes);
        bytes[at % len] = byte;
        if let Ok((envelope, command)) = Command::decode(kind as u16, &bytes[..len]) {
            let mut again = [0; COMMAND_BYTES_MAX];
            prop_assert_eq!(command.encode(&envelope, &mut again), len);
            prop_assert_eq!(&again[..len], &bytes[..len]);
        }
    }

    #[test]
    fn an_event_is_its_bytes(pick in 0..EventKind::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 256)) {
        let kind = EventKind::ALL[pick];
        for len in (0..=256).step_by(8) {
            if let Ok(event) = Event::decode(kind as u16, &bytes[..len]) {
                prop_assert_eq!(event.body(), &bytes[..len]);
                prop_assert_eq!(event.kind(), kind);
            }
        }
    }
}
