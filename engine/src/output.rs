//! Where events go: the sink of the caller, counted.

use protocol::EventBody;

/// Takes the events of a frame in their order.
pub trait Sink {
    fn emit<E: EventBody>(&mut self, event: &E);
}

/// A sink that knows how many events the frame has made.
pub(crate) struct Output<'a, S> {
    sink: &'a mut S,
    events: usize,
}

impl<'a, S: Sink> Output<'a, S> {
    pub fn new(sink: &'a mut S) -> Self {
        Self { sink, events: 0 }
    }

    pub fn emit<E: EventBody>(&mut self, event: &E) {
        self.events += 1;
        self.sink.emit(event);
    }

    pub const fn events(&self) -> usize {
        self.events
    }
}
