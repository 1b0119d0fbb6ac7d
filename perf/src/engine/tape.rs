//! A flow as bytes, to be played to one engine after the other.

use engine::{Capacity, Engine};
use protocol::{Event, FrameHeader, frame::FRAME_HEADER_BYTES};

use super::{buffer::Buffer, deeds::Deeds};
use crate::flow::whole::{Frame, Generator, Scale, Speaker, Spread, setup};

/// A flow that has been made, and what it has to lead to.
#[derive(Debug)]
pub struct Tape {
    scale: Scale,
    /// Headers and payloads one behind the other, each from a multiple of 8 on.
    frames: Vec<u8>,
    pub commands: usize,
    pub deeds: Deeds,
    pub state_hash: u64,
}

impl Tape {
    /// Makes a flow of so many commands with an engine beside the generator.
    pub fn record(scale: Scale, spread: Spread, commands: usize) -> Self {
        let mut generator = Generator::new(scale, spread);
        let mut buffer = Buffer::new();
        let (mut engine, mut speaker) = prepare(&scale, &mut buffer, |events| {
            events.for_each(|event| generator.see(&event));
        });
        let (mut frames, mut deeds) = (Vec::new(), Deeds::default());
        for _ in 0..commands {
            let command = generator.next();
            let frame = speaker.say(&command);
            apply(&mut engine, &frame.header, frame.payload(), &mut buffer);
            deeds.begin(&command);
            for event in buffer.events() {
                generator.see(&event);
                deeds.add(&event);
            }
            push(&mut frames, &frame);
        }
        let state_hash = engine.state_hash();
        Self { scale, frames, commands, deeds, state_hash }
    }

    /// An engine that stands where the flow begins.
    pub fn prepare(&self, buffer: &mut Buffer) -> Engine {
        prepare(&self.scale, buffer, |_| {}).0
    }

    /// The frames: header and payload.
    pub fn frames(&self) -> impl Iterator<Item = (FrameHeader, &[u8])> {
        let mut rest = &self.frames[..];
        std::iter::from_fn(move || {
            let (header, behind) = read_header(rest)?;
            let len = header.len as usize;
            rest = &behind[len.next_multiple_of(8)..];
            Some((header, &behind[..len]))
        })
    }
}

/// Shows the engine the next frames that come, as a node does.
#[inline]
pub fn look_ahead<'a>(
    engine: &mut Engine,
    coming: &mut impl Iterator<Item = (FrameHeader, &'a [u8])>,
    frames: usize,
) {
    for (header, payload) in coming.take(frames) {
        engine.look_ahead(&header, payload);
    }
}

#[inline]
pub fn apply(engine: &mut Engine, header: &FrameHeader, payload: &[u8], buffer: &mut Buffer) {
    buffer.begin(header);
    engine.apply(header, payload, buffer);
}

fn prepare(
    scale: &Scale,
    buffer: &mut Buffer,
    mut seen: impl FnMut(&mut dyn Iterator<Item = Event>),
) -> (Engine, Speaker) {
    let (accounts, orders) = (scale.accounts as usize, scale.orders as usize);
    let mut engine = Engine::new(Capacity { accounts, orders });
    let mut speaker = Speaker::default();
    let mut say = |frame: &Frame| {
        apply(&mut engine, &frame.header, frame.payload(), buffer);
        seen(&mut buffer.events());
    };
    speaker.greet().iter().for_each(&mut say);
    setup::commands(scale).for_each(|command| say(&speaker.say(&command)));
    (engine, speaker)
}

fn push(frames: &mut Vec<u8>, frame: &Frame) {
    frames.extend_from_slice(zerocopy::IntoBytes::as_bytes(&frame.header));
    frames.extend_from_slice(frame.payload());
    frames.resize(frames.len().next_multiple_of(8), 0);
}

#[inline]
fn read_header(bytes: &[u8]) -> Option<(FrameHeader, &[u8])> {
    let (header, rest) = bytes.split_at_checked(FRAME_HEADER_BYTES)?;
    Some((zerocopy::FromBytes::read_from_bytes(header).ok()?, rest))
}
