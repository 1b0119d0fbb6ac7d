//! The fundings of a symbol.

use std::collections::VecDeque;

use protocol::{Micros, Rate, SymbolId, Ticks, event};

/// Fundings that memory keeps of a symbol: more than the store can be behind.
const KEPT_MAX: usize = 64;

/// One funding: longs paid this part of their position's value at the mark to shorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Funding {
    pub symbol: SymbolId,
    pub time: Micros,
    pub rate: Rate,
    pub mark: Ticks,
}

impl From<&event::Funding> for Funding {
    fn from(funding: &event::Funding) -> Self {
        let &event::Funding { symbol, time, rate, mark, .. } = funding;
        Self { symbol, time, rate, mark }
    }
}

/// The last fundings, oldest first; all of them are in the store.
#[derive(Clone, Debug, Default)]
pub struct Fundings(VecDeque<Funding>);

impl Fundings {
    pub(super) fn push(&mut self, funding: Funding) {
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(funding);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Funding> {
        self.0.iter()
    }
}
