//! Margin calls that are open, by when their grace ends.

use alloc::collections::VecDeque;

use protocol::{Micros, order::CallKind};

/// Open calls that there is room for before it allocates.
const OPEN_WARM: usize = 1_024;

/// In the order of their ends, which is that of their numbers.
pub(crate) struct Calls(VecDeque<Call>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub until: Micros,
    /// The account's place in this shard.
    pub account: u32,
    /// Its place in the shard's stream to the ledger.
    pub number: u64,
    pub kind: CallKind,
}

impl Calls {
    pub fn new() -> Self {
        Self(VecDeque::with_capacity(OPEN_WARM))
    }

    pub fn push(&mut self, call: Call) {
        self.0.push_back(call);
    }

    /// When the grace of the oldest ends.
    #[inline]
    pub fn next_at(&self) -> Option<Micros> {
        self.0.front().map(|call| call.until)
    }

    /// Takes the oldest if its grace has ended.
    pub fn take_ended(&mut self, now: Micros) -> Option<Call> {
        self.0.front().filter(|call| call.until <= now)?;
        self.0.pop_front()
    }

    /// Forgets one that has been answered.
    pub fn remove(&mut self, number: u64) {
        if let Ok(at) = self.0.binary_search_by_key(&number, |call| call.number) {
            self.0.remove(at);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.0.iter()
    }
}
