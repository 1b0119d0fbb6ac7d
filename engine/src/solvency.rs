//! What stands behind positions, and how much of it must stay.

use protocol::{Lots, order::MarginMode};
use rules::{Exposure, liquidation::Solvency};

use crate::{
    accounts::{Accounts, Holding, HoldingAt},
    bands::Bands,
    shard::need::{amount_takes, fill_takes, guard_isolated},
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
    /// Takes what a fill may cost out of what its account has to spare inside its bands, which then
    /// guard it as before; an isolated position gets a band of its own. `lost` is what all that is
    /// cross has lost by it at the marks. False: the account has to be looked at.
    pub fn bears_fill(
        &mut self,
        at: HoldingAt,
        quote: &Quote,
        before: Lots,
        lost: i128,
        bands: &mut Bands,
    ) -> bool {
        let holding = self.holding(at);
        let place = holding.account;
        let known = self.account(place);
        if !known.is_well_guarded() {
            return false;
        }
        let Exposure { mode, position, .. } = holding.exposure;
        let is_cross = mode == MarginMode::Cross;
        let stays = position.qty.signum() == before.signum() && before != 0;
        let taken = match is_cross {
            true if !stays => return false,
            true => fill_takes(holding, quote, position.qty.abs() - before.abs(), lost),
            false => Some(amount_takes(lost)),
        };
        let left = taken.and_then(|taken| known.spare.checked_add_signed(-taken));
        let Some(left) = left else { return false };
        if !is_cross && !guard_isolated(self.holding_mut(at), at, quote, bands) {
            return false;
        }
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
