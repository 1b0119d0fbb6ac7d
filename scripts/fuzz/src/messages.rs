//! Messages between processes: commands, requests for events, events, greetings.

use protocol::{
    Command, Envelope, Event, Name, ShardId,
    event::{self, EventHeader},
    limits::COMMAND_BYTES_MAX,
    wire::{self, EventsHeader, Follow, Hello, Message, MessageKind, NodeRole},
};
use zerocopy::IntoBytes;

use crate::{commands, venue};

const CLUSTER: u64 = 7;

/// A message, as a node or a gateway gets it.
pub fn run(bytes: &[u8]) {
    let Ok((kind, body)) = wire::open(bytes, CLUSTER) else { return };
    match kind {
        MessageKind::Hello => {
            if let Ok(hello) = wire::body::<Hello>(body) {
                assert_eq!(hello.as_bytes(), body);
            }
        }
        MessageKind::Follow => {
            if let Ok(follow) = wire::body::<Follow>(body) {
                assert_eq!(follow.as_bytes(), body);
            }
        }
        MessageKind::Submit => submitted(body),
        MessageKind::Events => told(body),
    }
}

fn submitted(body: &[u8]) {
    let mut room = body.len();
    for split in wire::commands(body) {
        let Ok((kind, payload)) = split else { return };
        assert!(payload.len() < room, "commands lie behind each other");
        room -= payload.len();
        assert!(payload.len() <= COMMAND_BYTES_MAX);
        if let Ok((envelope, command)) = Command::decode(kind, payload) {
            let mut again = [0; COMMAND_BYTES_MAX];
            let len = command.encode(&envelope, &mut again);
            assert_eq!(&again[..len], payload, "{command:?}");
        }
    }
}

fn told(body: &[u8]) {
    let Ok((_, mut rest)) = wire::events(body) else { return };
    while let Ok((header, event, behind)) = event::decode_next(rest) {
        let len = size_of::<EventHeader>() + event.body().len();
        assert_eq!(rest.len() - behind.len(), len);
        assert_eq!(header.as_bytes(), &rest[..size_of::<EventHeader>()]);
        assert_eq!(event.body(), &rest[size_of::<EventHeader>()..len], "{event:?}");
        rest = behind;
    }
}

/// One message of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let channel = Name::new("aeron:udp?endpoint=localhost:40123").unwrap_or_default();
    let hello = Hello {
        shard: ShardId(1),
        replica: 0,
        role: NodeRole::Primary,
        _pad: 0,
        epoch: 1,
        incarnation: 3,
        ingress_stream: 1_001,
        _pad2: 0,
        committed: 99,
        ingress_channel: channel,
    };
    let (follower, stream) = (4_711, 2_001);
    let follow = Follow { follower, seq: 7, index: 2, rewind: 0, stream, _pad: 0, channel };
    let (shard, _pad) = (ShardId(1), [0; 3]);
    let events = EventsHeader { shard, _pad, epoch: 1, incarnation: 3, committed: 99 };
    vec![
        message(MessageKind::Hello, |out| out.push(hello.as_bytes())),
        message(MessageKind::Follow, |out| out.push(follow.as_bytes())),
        message(MessageKind::Submit, submit_all),
        message(MessageKind::Events, |out| {
            out.push(events.as_bytes());
            let told = [
                Event::SymbolListed(venue::spec(1)),
                Event::BracketsSet(venue::brackets(1)),
                Event::SymbolListed(venue::spec(2)),
            ];
            for (event, index) in told.iter().zip(0..) {
                let (kind, len) = (event.kind() as u16, event.body().len() as u16);
                out.push(EventHeader { seq: 8, ts: 9, index, kind, len }.as_bytes());
                out.push(event.body());
            }
        }),
    ]
}

fn submit_all(out: &mut Message) {
    for command in commands::samples() {
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&Envelope::default(), &mut payload);
        assert!(out.push_command(command.kind() as u16, &payload[..len]));
    }
}

fn message(kind: MessageKind, fill: impl Fn(&mut Message)) -> Vec<u8> {
    let mut out = Message::default();
    wire::begin(&mut out, CLUSTER, kind);
    fill(&mut out);
    out.as_bytes().to_vec()
}
