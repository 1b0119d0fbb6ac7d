//! Command sessions: each command of a speaker is applied once and in order, or not at all.
//!
//! A session is opened by a frame whose seq becomes its id. Its commands are numbered; one is
//! applied iff it names the session's last number as the one before it, so a gap is seen and a
//! resend changes nothing.

use alloc::vec::Vec;
use core::hash::BuildHasherDefault;

use hashbrown::HashMap;
use protocol::{
    Envelope, Name, Reject, Seq, SessionId, command::Open, limits::SESSIONS_MAX, order::SessionKind,
};

use crate::{
    hash::{Digest, IntHasher},
    saved::{LoadError, Saved, sound},
    verdict::{Refusal, require},
};

#[derive(Clone, Copy, Debug)]
struct Session {
    id: SessionId,
    kind: SessionKind,
    name: Name<32>,
    /// The last command that was applied.
    number: u64,
    /// Its frame.
    used: Seq,
}

/// Where a session is, until another is opened.
#[derive(Clone, Copy)]
pub(crate) struct SessionAt(u16);

pub(crate) struct Sessions {
    list: Vec<Session>,
    index: HashMap<u64, u16, BuildHasherDefault<IntHasher>>,
}

const _: () = assert!(SESSIONS_MAX <= u16::MAX as usize);

impl Sessions {
    pub fn new() -> Self {
        let mut index = HashMap::default();
        index.reserve(2 * SESSIONS_MAX);
        Self { list: Vec::with_capacity(SESSIONS_MAX), index }
    }

    /// Opens a session; a Kafka stream goes on with the one of its name.
    ///
    /// When there are too many the least recently used goes, a gateway's before others and never
    /// a Kafka stream's, which is all that knows how far its topic has been read.
    pub fn open(&mut self, seq: Seq, open: &Open) -> Result<SessionId, Reject> {
        if open.kind == SessionKind::Kafka {
            let same = |known: &&mut Session| known.kind == open.kind && known.name == open.name;
            if let Some(known) = self.list.iter_mut().find(same) {
                known.used = seq;
                return Ok(known.id);
            }
        }
        if self.list.len() == SESSIONS_MAX {
            self.evict()?;
        }
        let id = SessionId(seq);
        self.index.insert(seq, self.list.len() as u16);
        let (kind, name) = (open.kind, open.name);
        self.list.push(Session { id, kind, name, number: 0, used: seq });
        Ok(id)
    }

    /// Passes the next command of a session and no other; returns the session's place.
    pub fn check(&self, envelope: &Envelope) -> Result<SessionAt, Refusal> {
        let at = self.index.get(&envelope.session.0).ok_or(Reject::SessionUnknown)?;
        let session = &self.list[usize::from(*at)];
        require(envelope.number > session.number, Reject::Duplicate)?;
        if envelope.prev == session.number {
            return Ok(SessionAt(*at));
        }
        let amount = i64::try_from(session.number).unwrap_or(i64::MAX);
        Err(Refusal { reject: Reject::SessionGap, amount })
    }

    /// Counts a command that has passed [`Self::check`].
    pub fn advance(&mut self, at: SessionAt, number: u64, seq: Seq) {
        let session = &mut self.list[usize::from(at.0)];
        (session.number, session.used) = (number, seq);
    }

    /// A Kafka stream reads on only when its command has been carried out, so being short of
    /// margin does not use its number up.
    pub fn keeps_number_without_margin(&self, at: SessionAt) -> bool {
        self.list[usize::from(at.0)].kind == SessionKind::Kafka
    }

    pub fn digest(&self, into: &mut Digest) {
        let mut sessions: Vec<&Session> = self.list.iter().collect();
        sessions.sort_by_key(|session| session.id);
        into.add_len(sessions.len());
        for session in sessions {
            into.add(session.id.0).add(session.kind as u8);
            into.add_len(session.name.as_bytes().len()).add_bytes(session.name.as_bytes());
            into.add(session.number).add(session.used);
        }
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut sessions = Self::new();
        for _ in 0..saved.len()? {
            let id = SessionId(saved.take()?);
            let kind = saved.word(SessionKind::from_u8)?;
            let (name, number, used) = (saved.name()?, saved.take()?, saved.take()?);
            sound(sessions.list.len() < SESSIONS_MAX && !sessions.index.contains_key(&id.0))?;
            sessions.index.insert(id.0, sessions.list.len() as u16);
            sessions.list.push(Session { id, kind, name, number, used });
        }
        Ok(sessions)
    }

    fn evict(&mut self) -> Result<(), Reject> {
        let evictable = self.list.iter().enumerate();
        let evictable = evictable.filter(|(_, session)| session.kind != SessionKind::Kafka);
        let oldest = evictable
            .min_by_key(|(_, session)| (session.kind != SessionKind::Gateway, session.used))
            .map(|(at, _)| at)
            .ok_or(Reject::ShardFull)?;
        let gone = self.list.swap_remove(oldest);
        self.index.remove(&gone.id.0);
        if let Some(moved) = self.list.get(oldest) {
            self.index.insert(moved.id.0, oldest as u16);
        }
        Ok(())
    }
}
