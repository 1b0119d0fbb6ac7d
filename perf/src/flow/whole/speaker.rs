//! Says commands in one session, each as the frame that a log would hold.

use protocol::{
    Command, CommandKind, Envelope, FrameHeader, Name, SessionId, ShardId,
    command::{Genesis, Open},
    limits::COMMAND_BYTES_MAX,
    order::SessionKind,
};

/// So much log time lies between two frames: 500,000 of them are an hour.
const FRAME_US: u64 = 7_200;
/// Log time of the first frame: the beginning of an hour.
const START_US: u64 = 1_700_002_800_000_000;

pub const SHARD: ShardId = ShardId(1);

#[derive(Debug, Default)]
pub struct Speaker {
    seq: u64,
    session: SessionId,
    number: u64,
}

/// A frame and its payload, as it lies in a ring.
#[derive(Debug)]
pub struct Frame {
    pub header: FrameHeader,
    payload: [u8; COMMAND_BYTES_MAX],
}

impl Frame {
    pub fn payload(&self) -> &[u8] {
        &self.payload[..self.header.len as usize]
    }
}

impl Speaker {
    /// What has to be said before anything else: whose log it is, and that a session speaks.
    pub fn greet(&mut self) -> [Frame; 2] {
        let genesis = Genesis {
            cluster: 1,
            secret: *b"measured in perf",
            shard: SHARD,
            shards: 2,
            _pad: [0; 6],
        };
        let (kind, name) = (SessionKind::Gateway, Name::new("perf").unwrap_or_default());
        let open = Open { nonce: 1, kind, _pad: [0; 7], name };
        let greeting = [Command::Genesis(genesis), Command::Open(open)];
        let frames = greeting.map(|command| self.say(&command));
        self.session = SessionId(frames[1].header.seq);
        frames
    }

    pub fn say(&mut self, command: &Command) -> Frame {
        self.seq += 1;
        let mut envelope = Envelope::default();
        if !of_the_cluster(command.kind()) {
            envelope.session = self.session;
            (envelope.prev, envelope.number) = (self.number, self.number + 1);
            self.number += 1;
        }
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut payload) as u32;
        let (seq, ts, kind) = (self.seq, START_US + self.seq * FRAME_US, command.kind() as u16);
        Frame { header: FrameHeader { seq, ts, epoch: 1, kind, flags: 0, len, _pad: 0 }, payload }
    }
}

const fn of_the_cluster(kind: CommandKind) -> bool {
    kind.is_link() || matches!(kind, CommandKind::Open | CommandKind::Genesis | CommandKind::Tick)
}
