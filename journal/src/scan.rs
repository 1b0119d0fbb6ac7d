//! Finds where a log on disk ends, without changing anything.
//!
//! Two questions are kept apart: how far does the valid prefix reach, and does anything behind it
//! prove that more was once durable? Pages that were never synced reach the disk in any order, so
//! valid records behind a hole are normal after a power loss and prove nothing by themselves; only
//! their word on what was durable when they were written does.

use std::path::{Path, PathBuf};

use zerocopy::FromBytes;

use crate::{
    Corruption, Error, Flaw,
    config::Limits,
    files::{State, Volume, segment_numbers},
    record::{RECORD_ALIGN_BYTES, RECORD_HEAD_BYTES, RecordHead, Tip, record_bytes},
    segment::{HeaderPage, SEGMENT_HEADER_BYTES, SegmentHeader, record_seed, segment_path},
    window::Window,
};

const PAGE_BYTES: u64 = 4096;
static ZERO_PAGE: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];

/// What stands at one place of a segment.
pub(crate) enum Found<'a> {
    Record(RecordHead, &'a [u8]),
    /// The length is zero, or no record fits any more.
    Nothing,
    Flaw(Flaw),
}

/// Reads and checks the record at `offset`; whether it belongs there is for [`Tip::follow`].
pub(crate) fn record_at(
    window: &mut Window,
    offset: u64,
    seed: u32,
    limits: Limits,
) -> Result<Found<'_>, Error> {
    let Some(head) = head_at(window, offset)? else {
        return Ok(Found::Nothing);
    };
    if head.len.get() == 0 {
        return Ok(Found::Nothing);
    }
    if !head.fits(window.bytes() - offset, limits.frame_bytes_max) {
        return Ok(Found::Flaw(Flaw::Length));
    }
    let frame = window.view(offset + RECORD_HEAD_BYTES as u64, head.frame_bytes())?;
    if head.crc.get() != head.checksum(seed, frame) {
        return Ok(Found::Flaw(Flaw::Checksum));
    }
    Ok(Found::Record(head, frame))
}

fn head_at(window: &mut Window, offset: u64) -> Result<Option<RecordHead>, Error> {
    if window.bytes() - offset < RECORD_HEAD_BYTES as u64 {
        return Ok(None);
    }
    let bytes = window.view(offset, RECORD_HEAD_BYTES)?;
    Ok(RecordHead::read_from_bytes(bytes).ok())
}

/// A log on disk: its files, and which of them have begun.
pub(crate) struct Survey {
    pub dir: PathBuf,
    pub volume: Volume,
    pub limits: Limits,
    pub files: Vec<SegmentFile>,
    /// So many of the files, from the first on, have a sound header.
    pub begun: usize,
}

pub(crate) struct SegmentFile {
    pub number: u64,
    pub header: HeaderPage,
}

/// Where the valid prefix ends, and why.
pub(crate) struct End {
    pub tip: Tip,
    /// Where to go on writing: index of the file, and the offset; `None` before the first record.
    pub resume: Option<(usize, u64)>,
    /// What stopped the scan, and where.
    flaw: Flaw,
    flaw_at: (usize, u64),
}

/// What is to be done about whatever lies behind the end.
pub(crate) struct Verdict {
    pub end: End,
    /// Files that hold anything behind the end: index, and from where to zero them.
    pub dirty: Vec<(usize, u64)>,
}

impl Survey {
    pub fn take(dir: &Path, volume: Volume, limits: Limits) -> Result<Self, Error> {
        let mut files = Vec::new();
        for number in segment_numbers(dir)? {
            let mut window = Window::open(segment_path(dir, number), volume.segment_bytes)?;
            let page = window.view(0, SEGMENT_HEADER_BYTES as usize)?.to_vec();
            let header = SegmentHeader::decode(&page, &volume, number, &window.path)?;
            files.push(SegmentFile { number, header });
        }
        let begun = files.iter().take_while(|file| file.begins().is_some()).count();
        Ok(Self { dir: dir.to_owned(), volume, limits, files, begun })
    }

    pub fn window(&self, index: usize) -> Result<Window, Error> {
        let path = segment_path(&self.dir, self.files[index].number);
        Window::open(path, self.volume.segment_bytes)
    }

    /// The seq the log begins with.
    pub fn first_seq(&self) -> u64 {
        self.files.first().and_then(SegmentFile::begins).map_or(1, SegmentHeader::first_seq)
    }

    /// The last file that begins at or before `seq`; the first one when none does.
    pub fn file_of(&self, seq: u64) -> usize {
        self.files[..self.begun]
            .iter()
            .rposition(|file| file.begins().is_some_and(|header| header.first_seq() <= seq))
            .unwrap_or(0)
    }

    /// Follows the log from the beginning of file `start` as far as it is valid, at most to seq
    /// `keep`. `each` sees every record's file and tip.
    pub fn find_end(
        &self,
        start: usize,
        keep: Option<u64>,
        each: &mut dyn FnMut(usize, &RecordHead, Tip),
    ) -> Result<End, Error> {
        let first = self.files.get(start).and_then(SegmentFile::begins);
        // An epoch counts once a record has it.
        let tip = first.map_or(Tip::EMPTY, |header| Tip { epoch: 0, ..header.tip_before() });
        let mut end =
            End { tip, resume: None, flaw: self.flaw_of_header(start), flaw_at: (start, 0) };
        for index in start..self.begun {
            let Some(header) = self.files[index].begins() else { break };
            if index > start && !header.continues(end.tip) {
                break;
            }
            if keep == Some(end.tip.seq) {
                break;
            }
            let before = end.tip.seq;
            let after = self.follow_segment(index, end.tip, keep, each)?;
            end.flaw = after.flaw;
            end.flaw_at = after.flaw_at;
            // A segment without one record never became the current one: it is a spare again.
            if after.tip.seq == before {
                return Ok(end);
            }
            end.tip = after.tip;
            end.resume = after.resume;
            if end.flaw == Flaw::Missing && index + 1 < self.files.len() {
                let flaw = self.flaw_of_header(index + 1);
                if flaw == Flaw::Header {
                    (end.flaw, end.flaw_at) = (flaw, (index + 1, 0));
                }
            }
        }
        Ok(end)
    }

    /// Looks behind the end for proof that more was durable. With such proof the log is corrupt;
    /// without it, nothing from the end on was ever counted, and all of it may be zeroed.
    pub fn judge(&self, end: End, state: State) -> Result<Verdict, Error> {
        let cut_here = state.keep == Some(end.tip.seq);
        let mut durable_seq = state.durable_seq;
        let mut dirty = Vec::new();
        let (resume, offset) = end.resume.unwrap_or((0, 0));
        for index in resume..self.files.len() {
            let from = if index == resume { offset } else { 0 };
            let (is_dirty, claim) = self.search(index, from, end.tip)?;
            if is_dirty {
                dirty.push((index, from));
            }
            if !cut_here {
                durable_seq = durable_seq.max(claim);
            }
        }
        // Without its first record a log that does not begin at 1 would lose where it stands.
        let lost_start = end.resume.is_none() && end.tip.seq > 0;
        if durable_seq > end.tip.seq || lost_start {
            let durable_seq = durable_seq.max(end.tip.seq);
            let (index, offset) = end.flaw_at;
            let path = match self.files.get(index) {
                Some(file) => segment_path(&self.dir, file.number),
                None => self.dir.clone(),
            };
            return Err(Error::Corrupt(Box::new(Corruption {
                path,
                offset,
                seq: Some(end.tip.seq + 1),
                flaw: end.flaw,
                durable_seq: Some(durable_seq),
            })));
        }
        Ok(Verdict { end, dirty })
    }

    fn flaw_of_header(&self, index: usize) -> Flaw {
        match self.files.get(index).map(|file| &file.header) {
            Some(HeaderPage::Bad) => Flaw::Header,
            Some(HeaderPage::Spare | HeaderPage::Begins(_)) | None => Flaw::Missing,
        }
    }

    fn follow_segment(
        &self,
        index: usize,
        mut tip: Tip,
        keep: Option<u64>,
        each: &mut dyn FnMut(usize, &RecordHead, Tip),
    ) -> Result<End, Error> {
        let mut window = self.window(index)?;
        let seed = record_seed(&self.volume, self.files[index].number);
        let mut offset = SEGMENT_HEADER_BYTES;
        let flaw = loop {
            if keep == Some(tip.seq) {
                break Flaw::Missing;
            }
            match record_at(&mut window, offset, seed, self.limits)? {
                Found::Nothing => break Flaw::Missing,
                Found::Flaw(flaw) => break flaw,
                Found::Record(head, frame) => match tip.follow(&head, frame) {
                    Err(flaw) => break flaw,
                    Ok(next) => {
                        tip = next;
                        offset += record_bytes(frame.len()) as u64;
                        each(index, &head, tip);
                    }
                },
            }
        };
        Ok(End { tip, resume: Some((index, offset)), flaw, flaw_at: (index, offset) })
    }

    /// Whether a file holds anything from `from` on, and the highest seq that a valid header or
    /// record there says was durable.
    fn search(&self, index: usize, from: u64, tip: Tip) -> Result<(bool, u64), Error> {
        let mut window = self.window(index)?;
        let mut dirty = window.file_bytes()? < window.bytes();
        let mut claim = 0;
        let mut offset = from;
        if offset < SEGMENT_HEADER_BYTES {
            dirty |= self.files[index].header != HeaderPage::Spare;
            claim = self.files[index].begins().map_or(0, SegmentHeader::durable_seq);
            offset = SEGMENT_HEADER_BYTES;
        }
        let seed = record_seed(&self.volume, self.files[index].number);
        // More records than this cannot lie behind the end.
        let reach = self.files.len() as u64 * window.bytes() / RECORD_HEAD_BYTES as u64;
        while offset < window.bytes() {
            let rest = PAGE_BYTES - offset % PAGE_BYTES;
            if window.view(offset, rest as usize)? == &ZERO_PAGE[..rest as usize] {
                offset += rest;
                continue;
            }
            dirty = true;
            let page_end = offset + rest;
            while offset < page_end {
                offset += match self.claim_at(&mut window, offset, seed, tip.seq, reach)? {
                    Some((durable_seq, bytes)) => {
                        claim = claim.max(durable_seq);
                        bytes
                    }
                    None => RECORD_ALIGN_BYTES,
                };
            }
        }
        Ok((dirty, claim))
    }

    /// The word of a valid record of a later seq at `offset`, and how long that record is.
    fn claim_at(
        &self,
        window: &mut Window,
        offset: u64,
        seed: u32,
        after: u64,
        reach: u64,
    ) -> Result<Option<(u64, u64)>, Error> {
        // Before any checksum, so that bytes made to look like a long record cost next to nothing.
        let likely = head_at(window, offset)?.is_some_and(|head| {
            let ahead = head.seq.get().saturating_sub(after);
            head.plausible() && (1..=reach).contains(&ahead)
        });
        if !likely {
            return Ok(None);
        }
        Ok(match record_at(window, offset, seed, self.limits)? {
            Found::Record(head, frame) => {
                Some((head.durable_seq.get(), record_bytes(frame.len()) as u64))
            }
            Found::Nothing | Found::Flaw(_) => None,
        })
    }
}

impl SegmentFile {
    pub fn begins(&self) -> Option<&SegmentHeader> {
        match &self.header {
            HeaderPage::Begins(header) => Some(header),
            HeaderPage::Spare | HeaderPage::Bad => None,
        }
    }
}
