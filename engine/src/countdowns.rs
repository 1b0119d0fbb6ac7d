//! Dead-man switches: when an account's orders on a symbol are cancelled unless it speaks again.

use protocol::{AccountId, Micros, SymbolId};

use crate::{
    accounts::HoldingAt,
    deadlines::{Deadline, Deadlines},
    hash::Digest,
    saved::{LoadError, Saved, sound},
};

/// Of one account on one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Countdown {
    pub at: Micros,
    pub account: AccountId,
    pub symbol: SymbolId,
    pub holding: HoldingAt,
}

impl Deadline for Countdown {
    fn at(&self) -> Micros {
        self.at
    }

    fn owner(&self) -> (usize, usize) {
        Self::owner_of(self.holding)
    }
}

impl Countdown {
    pub const fn owner_of(holding: HoldingAt) -> (usize, usize) {
        (0, holding.index())
    }
}

pub(crate) type Countdowns = Deadlines<Countdown>;

impl Countdowns {
    pub fn digest(&self, into: &mut Digest) {
        into.add_len(self.len());
        for Countdown { at, account, symbol, .. } in self.in_order() {
            into.add(at).add(account.0).add(symbol.0);
        }
    }

    /// `holding_of` knows where an account's holding of a symbol is.
    pub fn load(
        saved: &mut Saved<'_>,
        holding_of: impl Fn(AccountId, SymbolId) -> Option<HoldingAt>,
    ) -> Result<Self, LoadError> {
        let mut countdowns = Self::default();
        for _ in 0..saved.len()? {
            let at = saved.take()?;
            let (account, symbol) = (AccountId(saved.take()?), SymbolId(saved.take()?));
            let holding = holding_of(account, symbol).ok_or(LoadError::Damaged)?;
            let before = countdowns.len();
            countdowns.set(Countdown { at, account, symbol, holding });
            sound(countdowns.len() > before)?;
        }
        Ok(countdowns)
    }
}
