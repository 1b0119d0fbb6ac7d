//! Which accounts are short of what they must keep, and margin calls for them.
//!
//! An account is in need when its cross equity is below 1.15 times its maintenance margin. Looked
//! at are those whose bands the marks of a frame have left, and those that have changed since they
//! were looked at.

use protocol::{
    AccountId, Micros, SymbolId, Ticks,
    limits::{CALL_LINE, CALL_TARGET},
    order::{CallKind, MarginMode},
};
use rules::{
    liquidation::Solvency,
    money::{cash, div_ceil},
};

use super::Shard;
use crate::{
    accounts::Holding,
    output::{Output, Sink},
    work::Unit,
};

impl Shard {
    /// Looks at the accounts that the frame's marks may have brought into need, or out of it.
    #[cold]
    pub(super) fn look_for_need(&mut self) {
        for symbol in 0..self.symbols.len() {
            let mark = self.symbols.quotes()[usize::from(symbol)].mark;
            while let Some(at) = self.bands.take_left(symbol, mark) {
                let account = self.accounts.holding(at).account;
                self.accounts.touch(account);
            }
        }
        while let Some(account) = self.accounts.take_touched() {
            self.look_at(account);
        }
    }

    fn look_at(&mut self, place: u32) {
        let pool = self.cross_pool(place);
        let above = above_line(&pool);
        let account = self.accounts.account_mut(place);
        let in_need = pool.maintenance > 0 && above < 0;
        account.warned &= in_need;
        if in_need && !account.warned && account.call == 0 {
            self.work.add(SymbolId::NONE, Unit::Need { account: account.id });
        }
        self.set_bands(place, above.unsigned_abs());
    }

    /// Divides what an account is away from the line among its positions.
    fn set_bands(&mut self, place: u32, away: u128) {
        let counts = |at| {
            let exposure = &self.accounts.holding(at).exposure;
            exposure.mode == MarginMode::Cross && exposure.position.qty != 0
        };
        let mut positions = 0;
        let mut next = self.accounts.first_holding(place);
        while let Some(at) = next {
            positions += u128::from(counts(at));
            next = self.accounts.next_holding(at);
        }
        let mut next = self.accounts.first_holding(place);
        while let Some(at) = next {
            let holding = self.accounts.holding(at);
            let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
            let band = counts(at).then(|| {
                // a tick moves equity by a lot's value, and the line by no more than its part
                let lots = holding.exposure.position.qty.unsigned_abs();
                let tick = u128::from(lots) * u128::from(quote.mult.unsigned_abs());
                let ticks = away / positions / (tick * (CALL_LINE.1 + CALL_LINE.0) as u128);
                let ticks =
                    Ticks::try_from(ticks).unwrap_or(Ticks::MAX / 2).clamp(1, Ticks::MAX / 2);
                (quote.mark - ticks, quote.mark + ticks)
            });
            let symbol = holding.symbol;
            self.bands.set(at, symbol, band);
            next = self.accounts.next_holding(at);
        }
    }

    /// An account in need gets a margin call, unless it has come out of it or has one.
    pub(super) fn call_for_need<S: Sink>(
        &mut self,
        now: Micros,
        account: AccountId,
        out: &mut Output<'_, S>,
    ) {
        let Some(place) = self.accounts.find(account) else { return };
        self.pools.book_all(&mut self.accounts, account, self.symbols.quotes(), out);
        let pool = self.cross_pool(place);
        let known = self.accounts.account(place);
        let in_need = pool.maintenance > 0 && above_line(&pool) < 0;
        if !in_need || known.warned || known.call != 0 {
            return;
        }
        if !self.ledger.has_room() {
            // the next mark is the next try
            self.accounts.touch(place);
            return;
        }
        let target = div_ceil(pool.maintenance * CALL_TARGET.0, CALL_TARGET.1);
        let amount = cash((target - pool.equity).min(i64::MAX.into()));
        self.accounts.account_mut(place).warned = true;
        self.call(now, place, CallKind::Need, amount, out);
    }

    /// Without funding that has not been booked.
    pub(super) fn cross_pool(&self, place: u32) -> Solvency {
        let quotes = self.symbols.quotes();
        let owed = |holding: &Holding| quotes[usize::from(holding.symbol)].owed(holding);
        let pending = self.accounts.holdings_of(place).map(|(_, holding)| owed(holding)).sum();
        self.accounts.cross_pool(place, quotes, |_, holding| holding.exposure, pending)
    }
}

/// Equity less 1.15 times maintenance margin, in twentieths.
fn above_line(pool: &Solvency) -> i128 {
    pool.equity * CALL_LINE.1 - pool.maintenance * CALL_LINE.0
}
