//! What a run did, read from the events it left behind.

use std::path::Path;

use journal::Reader;
use protocol::{Event, Reject, event::decode_next};
use serde::Serialize;

use crate::error::PerfError;

/// Commands that may be refused: one in so many. A move to the price where an order stands
/// already is among them.
const REFUSED_ONE_IN: u64 = 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deeds {
    pub frames: u64,
    pub events: u64,
    pub accepted: u64,
    pub trades: u64,
    /// Amends that change nothing.
    pub unchanged: u64,
    pub refused: u64,
}

impl Deeds {
    /// Reads an output journal from its beginning.
    pub fn read(dir: &Path) -> Result<Self, PerfError> {
        let mut reader = Reader::open(dir, 1).map_err(node::Error::from)?;
        let mut deeds = Self::default();
        while let Some(record) = reader.next().map_err(node::Error::from)? {
            deeds.frames += 1;
            let mut events = record.frame;
            while !events.is_empty() {
                let (_, event, rest) = decode_next(events)
                    .map_err(|error| PerfError::Shard(format!("seq {}: {error}", record.seq)))?;
                deeds.add(&event);
                events = rest;
            }
        }
        Ok(deeds)
    }

    /// A shard that refuses its commands has measured nothing.
    pub fn check(&self) -> Result<(), PerfError> {
        let refused = self.refused + self.unchanged;
        if self.trades == 0 || self.accepted == 0 || refused > self.frames / REFUSED_ONE_IN {
            return Err(PerfError::Shard(format!("this is not the flow: {self:?}")));
        }
        Ok(())
    }

    fn add(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::Trade(_) => self.trades += 1,
            Event::OrderAccepted(_) => self.accepted += 1,
            Event::Outcome(outcome) if outcome.reject == Reject::Unchanged => self.unchanged += 1,
            Event::Outcome(outcome) if !outcome.reject.is_none() => self.refused += 1,
            _ => {}
        }
    }
}
