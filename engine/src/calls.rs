//! Margin calls that are open, by when their grace ends.
//!
//! While the shard hears nothing of the ledger no answer can come, so the grace is longer. When it
//! hears of it again each call has a whole short grace left, for its answer to come.

use alloc::collections::VecDeque;

use protocol::{
    Micros,
    limits::{MARGIN_CALL_GRACE_DOWN_US, MARGIN_CALL_GRACE_US},
    order::CallKind,
};

use crate::{
    hash::Digest,
    saved::{LoadError, Saved},
};

/// Open calls that there is room for before it allocates.
const OPEN_WARM: usize = 1_024;

pub(crate) struct Calls {
    /// In the order of their opening, which is that of their ends and numbers.
    open: VecDeque<Call>,
    link: Link,
}

/// Whether the shard hears of the ledger.
#[derive(Clone, Copy, Debug)]
enum Link {
    /// The log has not said.
    Unsaid,
    /// Since this log time.
    Up(Micros),
    Down,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub opened: Micros,
    /// The account's place in this shard.
    pub account: u32,
    /// Its place in the shard's stream to the ledger.
    pub number: u64,
    pub kind: CallKind,
}

impl Link {
    const fn end_of(self, call: &Call) -> Micros {
        let longest = call.opened + MARGIN_CALL_GRACE_DOWN_US;
        let since = match self {
            Self::Unsaid => 0,
            Self::Up(since) => since,
            Self::Down => return longest,
        };
        let heard = if call.opened > since { call.opened } else { since };
        let end = heard + MARGIN_CALL_GRACE_US;
        if end < longest { end } else { longest }
    }
}

impl Calls {
    pub fn new() -> Self {
        Self { open: VecDeque::with_capacity(OPEN_WARM), link: Link::Unsaid }
    }

    pub fn set_link(&mut self, up: bool, now: Micros) {
        self.link = match (self.link, up) {
            (_, false) => Link::Down,
            (Link::Unsaid | Link::Down, true) => Link::Up(now),
            (Link::Up(since), true) => Link::Up(since),
        };
    }

    /// The log says that the ledger answers.
    pub const fn hears_ledger(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub fn push(&mut self, call: Call) {
        self.open.push_back(call);
    }

    /// When the grace of the oldest ends.
    #[inline]
    pub fn next_at(&self) -> Option<Micros> {
        self.open.front().map(|call| self.link.end_of(call))
    }

    /// Takes the oldest if its grace has ended.
    pub fn take_ended(&mut self, now: Micros) -> Option<Call> {
        self.next_at().filter(|end| *end <= now)?;
        self.open.pop_front()
    }

    /// Forgets one that has been answered.
    pub fn remove(&mut self, number: u64) {
        if let Ok(at) = self.open.binary_search_by_key(&number, |call| call.number) {
            self.open.remove(at);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.open.iter()
    }

    pub fn digest_link(&self, into: &mut Digest) {
        match self.link {
            Link::Unsaid => into.add(0u8),
            Link::Up(since) => into.add(1u8).add(since),
            Link::Down => into.add(2u8),
        };
    }

    pub fn load_link(&mut self, saved: &mut Saved<'_>) -> Result<(), LoadError> {
        self.link = match saved.take()? {
            0u8 => Link::Unsaid,
            1 => Link::Up(saved.take()?),
            2 => Link::Down,
            _ => return Err(LoadError::Damaged),
        };
        Ok(())
    }
}
