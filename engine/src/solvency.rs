//! What stands behind positions, and how much of it must stay.

use protocol::{Lots, order::MarginMode};
use rules::{Exposure, liquidation::Solvency};

use crate::{
    accounts::{Accounts, Holding, HoldingAt},
    shard::need::fill_takes,
    symbols::Quote,
};

impl Quote {
    /// As [`rules::BracketTable::steepest`]; all of it before the brackets are known.
    pub fn steepest(&self, parts: u32) -> u32 {
        self.brackets.as_ref().map_or(parts, |table| table.steepest(parts))
    }

    /// What must stay behind a position at the mark; nothing before the brackets are known, when
    /// there is none.
    pub fn maintenance(&self, exposure: &Exposure) -> i128 {
        let brackets = self.brackets.as_ref();
        brackets.map_or(0, |table| exposure.maintenance_margin(self.mark, self.mult, table))
    }
}

impl Accounts {
    /// Takes what a fill of a cross position may cost out of what its account has to spare inside
    /// its bands, which then guard it as before. False: it has to be looked at.
    pub fn bears_fill(&mut self, at: HoldingAt, quote: &Quote, before: Lots, lost: i128) -> bool {
        let holding = self.holding(at);
        let Exposure { mode, position, .. } = holding.exposure;
        let stays = position.qty.signum() == before.signum() && before != 0;
        let place = holding.account;
        let known = self.account(place);
        if mode != MarginMode::Cross || !stays || !known.is_well_guarded() {
            return false;
        }
        let added = position.qty.abs() - before.abs();
        let taken = fill_takes(holding, quote, added, lost);
        let left = taken.and_then(|taken| known.spare.checked_add_signed(-taken));
        let Some(left) = left else { return false };
        self.account_mut(place).spare = left;
        true
    }

    /// Equity and maintenance margin of all of an account's cross positions, without funding that
    /// has not been booked.
    pub fn booked_pool(&self, account: u32, quotes: &[Quote]) -> Solvency {
        let cash = i128::from(self.account(account).cash);
        let mut pool = Solvency { equity: cash, maintenance: 0 };
        for (_, holding) in self.holdings_of(account) {
            let (exposure, quote) = (&holding.exposure, &quotes[usize::from(holding.symbol)]);
            pool.equity += exposure.cross_equity(quote.mark, quote.mult);
            if exposure.mode == MarginMode::Cross && exposure.position.qty != 0 {
                pool.maintenance += quote.maintenance(exposure);
            }
        }
        pool
    }

    /// Equity and maintenance margin of all of an account's cross positions, were its exposures
    /// what `exposure_of` says, its cash `gained` more, and its funding paid.
    pub fn cross_pool(
        &self,
        account: u32,
        quotes: &[Quote],
        exposure_of: impl Fn(HoldingAt, &Holding) -> Exposure,
        gained: i128,
    ) -> Solvency {
        let cash = i128::from(self.account(account).cash) + gained;
        let mut pool = Solvency { equity: cash, maintenance: 0 };
        for (at, holding) in self.holdings_of(account) {
            let exposure = exposure_of(at, holding);
            let quote = &quotes[usize::from(holding.symbol)];
            pool.equity -= quote.owed(holding);
            if exposure.position.qty == 0 {
                // an isolated wallet goes with its position
                continue;
            }
            pool.equity += exposure.cross_equity(quote.mark, quote.mult);
            pool.maintenance += match exposure.mode {
                MarginMode::Cross => quote.maintenance(&exposure),
                MarginMode::Isolated => 0,
            };
        }
        pool
    }
}
