//! One follower on its way up: events from the output journal, until it has caught up.

use std::path::PathBuf;

use journal::Reader;
use protocol::Seq;
use transport::{Offer, Publication};

use crate::outgoing::{EventsMessage, Identity, Place, head};

/// Messages in one round, so that others get their turn.
const MESSAGES_PER_ROUND: usize = 16;

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    Moved,
    /// Its stream takes nothing at the moment, or there is nothing yet of what it wants.
    Stuck,
    /// It has been sent everything up to the boundary.
    UpToDate,
    Closed,
    /// The journal could not be read; the reason is in the log.
    Unreadable,
}

pub struct Catchup {
    dir: PathBuf,
    publication: Box<dyn Publication>,
    reader: Option<Reader>,
    /// Everything before it has been sent.
    next: Place,
    /// Read ahead of `next`: the events of frame `seq` from `next.index` on, or none.
    record: Vec<u8>,
    offset: usize,
    message: EventsMessage,
    /// Where `next` will be once the message has been sent.
    after: Place,
}

impl Catchup {
    pub fn new(
        identity: &Identity,
        dir: PathBuf,
        publication: Box<dyn Publication>,
        next: Place,
    ) -> Self {
        Self {
            dir,
            publication,
            reader: None,
            next,
            record: Vec::new(),
            offset: 0,
            message: EventsMessage::new(identity),
            after: next,
        }
    }

    /// Sends on towards `boundary`, the last seq to be sent from here.
    pub fn serve(&mut self, boundary: Seq) -> Served {
        let mut moved = false;
        for _ in 0..MESSAGES_PER_ROUND {
            if self.message.is_empty()
                && let Err(error) = self.fill(boundary)
            {
                tracing::error!(%error, seq = self.next.seq, "cannot read events for a follower");
                return Served::Unreadable;
            }
            if self.message.is_empty() {
                // One that wants what is not there yet waits for it here.
                let is_at_the_end = self.next == Place::start(boundary + 1);
                return if is_at_the_end { Served::UpToDate } else { Served::Stuck };
            }
            match self.publication.offer(self.message.as_bytes()) {
                Offer::Sent => {
                    self.message.clear();
                    self.next = self.after;
                    moved = true;
                }
                Offer::BackPressured | Offer::NotConnected if moved => return Served::Moved,
                Offer::BackPressured | Offer::NotConnected => return Served::Stuck,
                Offer::TooLong | Offer::Closed => return Served::Closed,
            }
        }
        Served::Moved
    }

    /// Goes back, unless what is asked for has not been sent yet.
    pub fn rewind(&mut self, to: Place) {
        if to < self.next {
            self.next = to;
            self.after = to;
            self.reader = None;
            self.record.clear();
            self.offset = 0;
            self.message.clear();
        }
    }

    pub fn into_parts(self) -> (Box<dyn Publication>, Place) {
        (self.publication, self.next)
    }

    /// Fills the message with what comes next, up to the boundary.
    fn fill(&mut self, boundary: Seq) -> Result<(), journal::Error> {
        loop {
            if self.offset == self.record.len() && !self.read(boundary)? {
                break;
            }
            let rest = &self.record[self.offset..];
            let taken = self.message.fill(rest);
            self.offset += taken;
            if taken < rest.len() {
                let (header, _) = head(&self.record[self.offset..]);
                self.after = Place { seq: header.seq, index: header.index };
                break;
            }
            self.after = Place::start(self.after.seq + 1);
        }
        self.message.seal(boundary);
        Ok(())
    }

    /// Takes the next frame's events out of the journal; false when there is none to send.
    fn read(&mut self, boundary: Seq) -> Result<bool, journal::Error> {
        let wanted = self.after;
        if wanted.seq > boundary {
            return Ok(false);
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(&self.dir, wanted.seq)?),
        };
        let Some(found) = reader.next()? else { return Ok(false) };
        assert_eq!(found.seq, wanted.seq, "the output journal has no gaps");
        self.record.clear();
        self.record.extend_from_slice(found.frame);
        self.offset = 0;
        while self.offset < self.record.len() {
            let (header, len) = head(&self.record[self.offset..]);
            if header.index >= wanted.index {
                break;
            }
            self.offset += len;
        }
        Ok(true)
    }
}
