//! A mind that decides nothing: what the pipeline costs without the engine.

use node::{Mind, Sink};
use protocol::{Command, FrameHeader, Micros, OrderId, Reject, SessionId, ShardId, event::Outcome};

#[derive(Debug, Default)]
pub struct IdleMind {
    frames: u64,
}

impl Mind for IdleMind {
    fn apply<S: Sink>(&mut self, header: &FrameHeader, _payload: &[u8], sink: &mut S) {
        self.frames += 1;
        sink.emit(&Outcome {
            session: SessionId::NONE,
            number: 0,
            order: OrderId::NONE,
            amount: 0,
            reject: Reject::None,
            command: header.kind,
            _pad: 0,
        });
    }

    fn wake_at(&self) -> Option<Micros> {
        None
    }

    fn state_hash(&self) -> u64 {
        self.frames
    }

    fn unacknowledged(&self, _visit: &mut dyn FnMut(ShardId, u64, Command)) {}
}
