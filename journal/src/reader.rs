//! Reads the log from any seq on, while it is being written, from this process or another.
//!
//! By plain reads into a buffer of its own: what it hands out was checked in that buffer and can
//! no longer change, and nothing that happens to the files can fault the process.

use std::path::PathBuf;

use crate::{
    Corruption, Error, FRAME_BYTES_MAX, Flaw,
    config::{Limits, SEGMENT_BYTES_MIN},
    files::{Volume, read_state, segment_numbers},
    record::{RECORD_HEAD_BYTES, RecordHead, Tip, record_bytes},
    scan::{Found, record_at},
    segment::{HeaderPage, SEGMENT_HEADER_BYTES, SegmentHeader, record_seed, segment_path},
    window::Window,
};

/// A record may be met half in the page cache's eyes; its length was there, so the second look
/// sees all of it.
const LOOKS_MAX: u32 = 3;
const LIMITS: Limits =
    Limits { segment_bytes_min: SEGMENT_BYTES_MIN, frame_bytes_max: FRAME_BYTES_MAX };

/// One frame and what the journal keeps with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub seq: u64,
    pub epoch: u32,
    /// The chain before this frame; [`crate::chain_after`] gives the one after it.
    pub prev_chain: u64,
    /// What the writer knew to be durable when it wrote this.
    pub durable_seq: u64,
    pub frame: &'a [u8],
}

/// An independent, read-only cursor.
pub struct Reader {
    dir: PathBuf,
    volume: Volume,
    /// The next seq to hand out; records before it are checked and passed over.
    from: u64,
    place: Option<Place>,
}

/// Where in the log the reader stands.
struct Place {
    number: u64,
    window: Window,
    seed: u32,
    offset: u64,
    tip: Tip,
    /// The file after this one, once it is there.
    next: Option<Window>,
}

enum Step {
    Record(RecordHead, u64),
    Nothing,
    Flaw(Flaw),
}

impl Reader {
    /// Stands before the record `from_seq`, which need not be written yet; 0 means the first one
    /// that is kept.
    pub fn open(dir: impl Into<PathBuf>, from_seq: u64) -> Result<Self, Error> {
        let dir = dir.into();
        let Some(volume) = Volume::read(&dir)? else {
            return Err(Error::NoJournal { dir });
        };
        let mut reader = Self { dir, volume, from: from_seq, place: None };
        reader.find_place()?;
        Ok(reader)
    }

    /// The next record; `None` when nothing more is written yet. After an error the reader stays
    /// where it is.
    // Not an iterator: a record borrows the reader's buffer, and `None` is not the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, Error> {
        let Some((head, offset)) = self.step()? else { return Ok(None) };
        let Some(place) = &mut self.place else { return Ok(None) };
        let frame = place.window.view(offset + RECORD_HEAD_BYTES as u64, head.frame_bytes())?;
        Ok(Some(Record {
            seq: head.seq.get(),
            epoch: head.epoch.get(),
            prev_chain: head.prev_chain.get(),
            durable_seq: head.durable_seq.get(),
            frame,
        }))
    }

    pub fn shard(&self) -> u8 {
        self.volume.shard
    }

    /// Up to here the log is certainly durable. Noted at each seal and close, so it lags behind.
    pub fn durable_mark(&self) -> Result<u64, Error> {
        Ok(read_state(&self.dir, &self.volume)?.durable_seq)
    }

    pub fn volume_id(&self) -> u128 {
        self.volume.id
    }

    pub(crate) fn volume(&self) -> &Volume {
        &self.volume
    }

    /// The number of the segment the last record came from.
    pub(crate) fn segment(&self) -> Option<u64> {
        self.place.as_ref().map(|place| place.number)
    }

    /// Steps over the next record that is asked for; gives its head and where it stands.
    fn step(&mut self) -> Result<Option<(RecordHead, u64)>, Error> {
        loop {
            if self.place.is_none() && !self.find_place()? {
                return Ok(None);
            }
            let Some(place) = &mut self.place else { return Ok(None) };
            let step = place.advance()?;
            match step {
                Step::Record(head, offset) if head.seq.get() >= self.from => {
                    return Ok(Some((head, offset)));
                }
                Step::Record(..) => {}
                Step::Nothing | Step::Flaw(_) => {
                    let flaw = if let Step::Flaw(flaw) = step { Some(flaw) } else { None };
                    if !self.pass_end(flaw)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Finds the segment that holds `from`; false when there is none with a record yet.
    fn find_place(&mut self) -> Result<bool, Error> {
        let mut earliest = None;
        for number in segment_numbers(&self.dir)?.into_iter().rev() {
            let Some(window) = self.window_of(number)? else { continue };
            let Some(header) = begun(&window, &self.volume, number)? else { continue };
            let holds = header.first_seq() <= self.from;
            earliest = Some((number, window, header));
            if holds {
                break;
            }
        }
        let Some((number, window, header)) = earliest else { return Ok(false) };
        if self.from != 0 && header.first_seq() > self.from {
            return Err(Error::Retired { asked: self.from, first_seq: header.first_seq() });
        }
        self.place = Some(self.place_at(number, window, header.tip_before()));
        Ok(true)
    }

    /// At the end of what can be read here: true when there is more after all, in the next segment
    /// or here. A flaw is an error unless the next segment goes on exactly from here, for then it
    /// lies in bytes that belong to no record.
    fn pass_end(&mut self, flaw: Option<Flaw>) -> Result<bool, Error> {
        let Some(place) = &mut self.place else { return Ok(false) };
        let number = place.number + 1;
        if place.next.is_none() {
            let path = segment_path(&self.dir, number);
            place.next = open_existing(path, &self.volume)?;
        }
        let header = match &place.next {
            Some(window) => begun(window, &self.volume, number)?,
            None => None,
        };
        match (header, flaw) {
            (Some(header), _) if header.continues(place.tip) => {
                let (tip, window) = (place.tip, place.next.take());
                self.place = window.map(|window| self.place_at(number, window, tip));
                Ok(true)
            }
            (_, Some(flaw)) => Err(place.error(flaw)),
            // Between the look at this segment and the one at the next, more may have come.
            (Some(_), None) if place.written()? => Ok(true),
            (Some(_), None) => Err(place.error(Flaw::Missing)),
            (None, None) => Ok(false),
        }
    }

    fn place_at(&self, number: u64, window: Window, tip: Tip) -> Place {
        let seed = record_seed(&self.volume, number);
        Place { number, window, seed, offset: SEGMENT_HEADER_BYTES, tip, next: None }
    }

    fn window_of(&self, number: u64) -> Result<Option<Window>, Error> {
        open_existing(segment_path(&self.dir, number), &self.volume)
    }
}

impl Place {
    /// Checks the record here and steps over it.
    fn advance(&mut self) -> Result<Step, Error> {
        let mut looks = 1;
        loop {
            let offset = self.offset;
            let step = match record_at(&mut self.window, offset, self.seed, LIMITS)? {
                Found::Nothing => Step::Nothing,
                Found::Flaw(flaw) => Step::Flaw(flaw),
                Found::Record(head, frame) => match self.tip.follow(&head, frame) {
                    Err(flaw) => Step::Flaw(flaw),
                    Ok(tip) => {
                        self.offset += record_bytes(frame.len()) as u64;
                        self.tip = tip;
                        Step::Record(head, offset)
                    }
                },
            };
            let flaw = match step {
                Step::Record(..) => return Ok(step),
                Step::Nothing if !self.written()? => return Ok(step),
                Step::Nothing => Flaw::Missing,
                Step::Flaw(flaw) => flaw,
            };
            // The buffer may be older than the record.
            self.window.forget();
            if looks == LOOKS_MAX {
                return Ok(Step::Flaw(flaw));
            }
            looks += 1;
        }
    }

    /// Whether a length stands here now, whatever the buffer says.
    fn written(&self) -> Result<bool, Error> {
        if self.window.bytes() - self.offset < RECORD_HEAD_BYTES as u64 {
            return Ok(false);
        }
        Ok(u32::from_le_bytes(self.window.peek(self.offset)?) != 0)
    }

    fn error(&self, flaw: Flaw) -> Error {
        corrupt(&self.window, self.offset, self.tip.seq + 1, flaw)
    }
}

/// The header of a segment that has at least one record; `None` for a spare.
fn begun(window: &Window, volume: &Volume, number: u64) -> Result<Option<SegmentHeader>, Error> {
    let mut looks = 1;
    loop {
        if u32::from_le_bytes(window.peek(SEGMENT_HEADER_BYTES)?) == 0 {
            return Ok(None);
        }
        let page: [u8; SEGMENT_HEADER_BYTES as usize] = window.peek(0)?;
        match SegmentHeader::decode(&page, volume, number, &window.path)? {
            HeaderPage::Begins(header) => return Ok(Some(header)),
            // The header is written before the first record, so the next look must show it.
            HeaderPage::Spare | HeaderPage::Bad if looks < LOOKS_MAX => looks += 1,
            HeaderPage::Spare | HeaderPage::Bad => {
                return Err(Error::Corrupt(Box::new(Corruption {
                    path: window.path.clone(),
                    offset: 0,
                    seq: None,
                    flaw: Flaw::Header,
                    durable_seq: None,
                })));
            }
        }
    }
}

fn corrupt(window: &Window, offset: u64, seq: u64, flaw: Flaw) -> Error {
    let path = window.path.clone();
    Error::Corrupt(Box::new(Corruption { path, offset, seq: Some(seq), flaw, durable_seq: None }))
}

fn open_existing(path: PathBuf, volume: &Volume) -> Result<Option<Window>, Error> {
    if path.try_exists().map_err(Error::io("inspect", &path))? {
        Window::open(path, volume.segment_bytes).map(Some)
    } else {
        Ok(None)
    }
}
