//! Which accounts are short of what they must keep, and margin calls for them.
//!
//! An account is in need when its cross equity is below 1.15 times its maintenance margin, and due
//! for liquidation when it is no more than that margin; so is an isolated position by itself.
//! Looked at are those whose bands the marks of a frame have left, and those that have changed and
//! were not well then: who is well is given his bands by the frame that changes him, which leaves
//! little for a mark to look at.
//!
//! What is due and waits for nothing else is looked at again at each mark.

use protocol::{
    AccountId, Micros, SymbolId,
    limits::{CALL_LINE, CALL_TARGET},
    order::{CallKind, MarginMode, PositionSide},
};
use rules::{
    liquidation::Solvency,
    money::{cash, div_ceil},
};

use super::Shard;
use crate::{
    accounts::{Holding, HoldingAt},
    bands::{Band, Leeway},
    due::{Due, PoolAt, Stage},
    output::{Output, Sink},
    symbols::Quote,
    work::Unit,
};

impl Shard {
    /// Ends a frame without a move: accounts that have changed and are well are guarded at once, so
    /// that a mark finds little to look at. All others wait for it, as it decides.
    #[inline]
    pub(super) fn guard_touched(&mut self) {
        while let Some(account) = self.accounts.take_touched() {
            if !self.guard_if_well(account) {
                self.accounts.await_mark(account);
            }
        }
    }

    /// Looks at the accounts that the frame's marks may have brought into need, or out of it.
    #[cold]
    pub(super) fn look_for_need(&mut self) {
        for symbol in 0..self.symbols.len() {
            let mark = self.symbols.quotes()[usize::from(symbol)].mark;
            while let Some(at) = self.bands.take_left(symbol, mark) {
                let holding = self.accounts.holding_mut(at);
                holding.band = Band::NONE;
                let account = holding.account;
                self.accounts.touch(account);
            }
        }
        while let Some(account) = self.accounts.take_for_mark() {
            self.look_at(account);
        }
        while let Some(account) = self.accounts.take_touched() {
            self.look_at(account);
        }
        self.look_for_unwinding();
    }

    fn look_at(&mut self, place: u32) {
        let pool = self.cross_pool(place);
        self.look_at_pool(PoolAt::Cross(place), &pool);
        let account = self.accounts.account_mut(place);
        let in_need = pool.maintenance > 0 && above_line(&pool) < 0;
        account.warned &= in_need;
        let waits = account.warned || account.need_queued || account.call != 0;
        if in_need && !waits && !pool.is_due() {
            account.need_queued = true;
            self.work.add(SymbolId::NONE, Unit::Need { account: account.id });
        }
        let mut next = self.accounts.first_holding(place);
        while let Some(at) = next {
            if self.accounts.holding(at).exposure.mode == MarginMode::Isolated {
                let pool = self.isolated_pool(at);
                self.look_at_pool(PoolAt::Isolated(at), &pool);
            }
            next = self.accounts.next_holding(at);
        }
        self.set_bands(place, to_line(&pool));
    }

    /// Guards an account of which a look at a mark would change nothing else: all its pools are
    /// above their lines, and none has been below since it was looked at.
    #[inline]
    fn guard_if_well(&mut self, place: u32) -> bool {
        let account = self.accounts.account(place);
        if account.warned || account.due != Due::default() {
            return false;
        }
        let pool = self.cross_pool(place);
        let above = above_line(&pool);
        if above < 0 || pool.is_due() {
            return false;
        }
        let isolated_well = |(at, holding): (HoldingAt, &Holding)| {
            holding.exposure.mode == MarginMode::Cross
                || holding.due == Due::default() && !self.isolated_pool(at).is_due()
        };
        if !self.accounts.holdings_of(place).all(isolated_well) {
            return false;
        }
        self.set_bands(place, above.unsigned_abs());
        true
    }

    /// Divides what an account is away from the next line among its cross positions; an isolated
    /// one has all that its own pool is away.
    fn set_bands(&mut self, place: u32, away: u128) {
        let all = self.accounts.holdings_of(place);
        let is_cross = |holding: &Holding| holding.exposure.mode == MarginMode::Cross;
        let held = |holding: &Holding| holding.exposure.position.qty != 0;
        let positions = all.filter(|(_, holding)| held(holding) && is_cross(holding)).count();
        let mut next = self.accounts.first_holding(place);
        while let Some(at) = next {
            let holding = self.accounts.holding(at);
            let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
            let leeway = held(holding).then(|| match is_cross(holding) {
                true => leeway(holding, quote, away, LINE_MOVES * positions as u128),
                false => {
                    let pool = self.isolated_pool(at);
                    let away = (pool.equity - pool.maintenance).unsigned_abs();
                    leeway(holding, quote, away, 2)
                }
            });
            let band = self.bands.renew(at, holding.symbol, holding.band, leeway);
            self.accounts.holding_mut(at).band = band;
            next = self.accounts.next_holding(at);
        }
    }

    /// Queues the liquidation of a pool that is due, unless its account waits for a call.
    fn look_at_pool(&mut self, at: PoolAt, pool: &Solvency) {
        let known = self.accounts.account(self.accounts.owner_of(at));
        let waits = matches!(at, PoolAt::Cross(_)) && known.call != 0;
        let is_due = self.is_due(at, pool);
        let due = self.accounts.due_mut(at);
        if due.queued || waits {
            return;
        }
        match is_due {
            true => self.queue_liquidation(at),
            false => due.stage = Stage::None,
        }
    }

    /// It is due; but what the insurance fund lacks without positions is the venue's to pay in.
    pub(super) fn is_due(&self, at: PoolAt, pool: &Solvency) -> bool {
        let venue = pool.maintenance == 0 && self.accounts.owner_of(at) == self.fund();
        pool.is_due() && !venue
    }

    /// Queues a pool's next step.
    pub(super) fn queue_liquidation(&mut self, at: PoolAt) {
        self.accounts.due_mut(at).queued = true;
        let account = self.accounts.account(self.accounts.owner_of(at)).id;
        let (symbol, leg) = match at {
            PoolAt::Cross(_) => (SymbolId::NONE, PositionSide::Both),
            PoolAt::Isolated(at) => {
                let holding = self.accounts.holding(at);
                (self.symbols.symbol(holding.symbol).spec.symbol, holding.side)
            }
        };
        self.work.add(symbol, Unit::Liquidate { account, leg });
    }

    /// An account in need gets a margin call, unless it has come out of it or has one.
    pub(super) fn call_for_need<S: Sink>(
        &mut self,
        now: Micros,
        account: AccountId,
        out: &mut Output<'_, S>,
    ) {
        let Some(place) = self.accounts.find(account) else { return };
        self.accounts.account_mut(place).need_queued = false;
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

    /// What backs an isolated position, without funding that has not been booked.
    pub(super) fn isolated_pool(&self, at: HoldingAt) -> Solvency {
        let holding = self.accounts.holding(at);
        let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
        Solvency {
            equity: holding.exposure.isolated_equity(quote.mark, quote.mult),
            maintenance: quote.maintenance(&holding.exposure),
        }
    }

    /// Without funding that has not been booked.
    pub(super) fn cross_pool(&self, place: u32) -> Solvency {
        self.accounts.booked_pool(place, self.symbols.quotes())
    }
}

/// How far a position's mark may go before its pool meets a line that is `away`, of which a tick
/// takes no more than `moves` times the value of all its lots.
fn leeway(holding: &Holding, quote: &Quote, away: u128, moves: u128) -> Leeway {
    let lots = holding.exposure.position.qty.unsigned_abs();
    let tick = u128::from(lots) * u128::from(quote.mult.unsigned_abs()) * moves;
    Leeway { mark: quote.mark, tick, away }
}

/// What a move of one in value may take of what a cross pool is away from its line.
const LINE_MOVES: u128 = (CALL_LINE.1 + CALL_LINE.0) as u128;

/// How far a cross pool is from the next line on either side, in twentieths.
fn to_line(pool: &Solvency) -> u128 {
    let above = above_line(pool);
    if above >= 0 {
        return above.unsigned_abs();
    }
    let to_due = (pool.equity - pool.maintenance) * CALL_LINE.1;
    above.unsigned_abs().min(to_due.unsigned_abs())
}

/// Equity less 1.15 times maintenance margin, in twentieths.
fn above_line(pool: &Solvency) -> i128 {
    pool.equity * CALL_LINE.1 - pool.maintenance * CALL_LINE.0
}
