//! Pending work: what a price move has made due, in one queue that each frame shortens before its
//! command.
//!
//! However much comes due at once, a frame does a bounded part of it, so a cascade can't starve
//! the orders behind it. What came due in one frame is ordered by symbol and id, never by the way
//! it was found, and joins the queue when the frame ends.

use alloc::{collections::VecDeque, vec::Vec};

use protocol::{AccountId, SymbolId, order::PositionSide};

use crate::{
    hash::Digest,
    limits::ADL_SLICE_WEIGHT,
    saved::{LoadError, Saved},
};

/// Units that the queue has room for before it allocates.
const QUEUE_WARM: usize = 1_024;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// The account's position has gone: so do the conditional orders that were to close it, up to
    /// this count of the symbol.
    Gone { account: AccountId, leg: PositionSide, through: u64 },
    /// The condition of the symbol's `count`th conditional order has come true.
    Fire { count: u64 },
    /// The account, of no symbol, is in need of a margin call.
    Need { account: AccountId },
    /// The symbol's open funding has not been booked of the accounts from this id on.
    Fund { from: u32 },
    /// The symbol is being settled: what the accounts from this id on have open is not cancelled.
    Clear { from: u32 },
    /// Nothing is open on it any more: the positions of the accounts from this id on are not closed.
    Settle { from: u32 },
    /// The next step of a liquidation: of an isolated position on the symbol, or of all that is
    /// cross, of no symbol and with [`PositionSide::Both`].
    Liquidate { account: AccountId, leg: PositionSide },
    /// A counterparty is sought for the account's position on the symbol, of its isolated pool or
    /// of its cross one, among the accounts from this id on; `best` was the first in rank so far.
    Deleverage {
        account: AccountId,
        leg: PositionSide,
        isolated: bool,
        from: u32,
        best: Option<(AccountId, PositionSide)>,
    },
    /// The insurance fund sells what it has taken over on the symbol.
    Unwind,
}

impl Unit {
    /// How many units of a frame's bound it counts for: by far the longest is a slice of a search.
    pub const fn weight(&self) -> usize {
        match self {
            Self::Deleverage { .. } => ADL_SLICE_WEIGHT,
            _ => 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Job {
    pub symbol: SymbolId,
    pub unit: Unit,
}

#[derive(Default)]
pub(crate) struct Work {
    queue: VecDeque<Job>,
    /// Of this frame, in no order yet.
    fresh: Vec<Job>,
}

impl Work {
    pub fn new() -> Self {
        Self { queue: VecDeque::with_capacity(QUEUE_WARM), fresh: Vec::with_capacity(QUEUE_WARM) }
    }

    pub fn add(&mut self, symbol: SymbolId, unit: Unit) {
        self.fresh.push(Job { symbol, unit });
    }

    /// The oldest job of earlier frames.
    pub fn next(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    /// Ends a frame: what came due in it queues up.
    #[inline]
    pub fn close_frame(&mut self) {
        if !self.fresh.is_empty() {
            self.queue_up();
        }
    }

    #[cold]
    fn queue_up(&mut self) {
        self.fresh.sort_unstable();
        self.fresh.dedup();
        self.queue.extend(self.fresh.drain(..));
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn digest(&self, into: &mut Digest) {
        into.add_len(self.queue.len());
        for job in &self.queue {
            into.add(job.symbol.0);
            match job.unit {
                Unit::Gone { account, leg, through } => {
                    into.add(0u8).add(account.0).add(leg as u8).add(through)
                }
                Unit::Fire { count } => into.add(1u8).add(count),
                Unit::Need { account } => into.add(3u8).add(account.0),
                Unit::Fund { from } => into.add(2u8).add(from),
                Unit::Clear { from } => into.add(4u8).add(from),
                Unit::Settle { from } => into.add(5u8).add(from),
                Unit::Liquidate { account, leg } => into.add(8u8).add(account.0).add(leg as u8),
                Unit::Deleverage { account, leg, isolated, from, best } => {
                    into.add(if best.is_some() { 6u8 } else { 9 }).add(account.0).add(leg as u8);
                    into.add_flag(isolated).add(from);
                    if let Some((best, of)) = best {
                        into.add(best.0).add(of as u8);
                    }
                    &mut *into
                }
                Unit::Unwind => into.add(7u8),
            };
        }
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut work = Self::new();
        for _ in 0..saved.len()? {
            let symbol = SymbolId(saved.take()?);
            let unit = match saved.take()? {
                0u8 => Unit::Gone {
                    account: AccountId(saved.take()?),
                    leg: saved.word(PositionSide::from_u8)?,
                    through: saved.take()?,
                },
                1 => Unit::Fire { count: saved.take()? },
                2 => Unit::Fund { from: saved.take()? },
                3 => Unit::Need { account: AccountId(saved.take()?) },
                4 => Unit::Clear { from: saved.take()? },
                5 => Unit::Settle { from: saved.take()? },
                8 => Unit::Liquidate {
                    account: AccountId(saved.take()?),
                    leg: saved.word(PositionSide::from_u8)?,
                },
                kind @ (9 | 6) => Unit::Deleverage {
                    account: AccountId(saved.take()?),
                    leg: saved.word(PositionSide::from_u8)?,
                    isolated: saved.flag()?,
                    from: saved.take()?,
                    best: match kind {
                        9 => None,
                        _ => Some((AccountId(saved.take()?), saved.word(PositionSide::from_u8)?)),
                    },
                },
                7 => Unit::Unwind,
                _ => return Err(LoadError::Damaged),
            };
            work.queue.push_back(Job { symbol, unit });
        }
        Ok(work)
    }

    /// The accounts whose need waits to be looked at.
    pub fn needs(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.queue.iter().filter_map(|job| match job.unit {
            Unit::Need { account } => Some(account),
            _ => None,
        })
    }

    /// The symbols that there is work on.
    pub fn symbols(&self) -> impl Iterator<Item = SymbolId> + '_ {
        let of_symbol = |job: &&Job| !job.symbol.is_none();
        self.queue.iter().filter(of_symbol).map(|job| job.symbol)
    }
}
