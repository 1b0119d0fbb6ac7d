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
    AccountId, Lots, Micros, SymbolId,
    limits::{CALL_LINE, CALL_TARGET, SYMBOLS_MAX},
    order::{CallKind, MarginMode, PositionSide},
};
use rules::{
    liquidation::Solvency,
    money::{cash, div_ceil, value},
};

use super::Shard;
use crate::{
    accounts::{Holding, HoldingAt},
    bands::{Bands, Leeway},
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
            while let Some(at) = self.bands.left(symbol, mark) {
                // which guards it anew, around this mark
                self.look_at(self.accounts.holding(at).account);
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
        let mut positions = 0;
        let mut next = self.accounts.first_holding(place);
        while let Some(at) = next {
            let holding = self.accounts.holding(at);
            next = holding.next();
            let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
            let held = holding.exposure.position.qty != 0;
            let leeway = if holding.exposure.mode == MarginMode::Isolated {
                let pool = isolated_pool(holding, quote);
                let leeway = held.then(|| isolated_leeway(holding, quote, &pool));
                self.look_at_pool(PoolAt::Isolated(at), &pool);
                leeway
            } else if held {
                positions += 1;
                continue;
            } else {
                None
            };
            let holding = self.accounts.holding_mut(at);
            holding.band = self.bands.renew(at, holding.symbol, holding.band, leeway);
        }
        self.set_bands(place, to_line(&pool), positions);
    }

    /// Guards an account of which a look at a mark would change nothing else: all its pools are
    /// above their lines, and none has been below since it was looked at.
    fn guard_if_well(&mut self, place: u32) -> bool {
        let Self { accounts, symbols, bands, .. } = self;
        let account = accounts.account(place);
        if account.warned || account.due != Due::default() {
            return false;
        }
        let mut pool = Solvency { equity: account.cash.into(), maintenance: 0 };
        let mut positions = 0;
        let mut next = accounts.first_holding(place);
        while let Some(at) = next {
            let holding = accounts.holding_mut(at);
            next = holding.next();
            let quote = &symbols.quotes()[usize::from(holding.symbol)];
            let exposure = &holding.exposure;
            let held = exposure.position.qty != 0;
            if exposure.mode == MarginMode::Isolated {
                pool.equity -= i128::from(exposure.wallet);
                if !guard_isolated(holding, at, quote, bands) {
                    return false;
                }
            } else if held {
                pool.equity += exposure.position.pnl(quote.mark, quote.mult);
                pool.maintenance += quote.maintenance(exposure);
                positions += 1;
            } else {
                holding.band = bands.renew(at, holding.symbol, holding.band, None);
            }
        }
        let above = above_line(&pool);
        if above < 0 || pool.is_due() {
            return false;
        }
        self.set_bands(place, above.unsigned_abs(), positions);
        true
    }

    /// Divides what an account is away from the next line among its cross positions.
    fn set_bands(&mut self, place: u32, away: u128, positions: u128) {
        let Self { accounts, symbols, bands, .. } = self;
        let mut spare = away * u128::from(PARTS);
        let mut next = accounts.first_holding(place);
        while let Some(at) = next {
            let holding = accounts.holding_mut(at);
            next = holding.next();
            if holding.exposure.mode == MarginMode::Cross && holding.exposure.position.qty != 0 {
                let quote = &symbols.quotes()[usize::from(holding.symbol)];
                let tick = tick_of(holding, quote, cross_moves(quote));
                let leeway = leeway(quote, tick * positions, away);
                holding.band = bands.renew(at, holding.symbol, holding.band, Some(leeway));
                let taken = u128::from(holding.band.far(quote.mark).unsigned_abs()) * tick;
                spare = spare.saturating_sub(taken);
            }
        }
        accounts.account_mut(place).spare = spare;
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

    /// As [`isolated_pool`].
    pub(super) fn isolated_pool(&self, at: HoldingAt) -> Solvency {
        let holding = self.accounts.holding(at);
        isolated_pool(holding, &self.symbols.quotes()[usize::from(holding.symbol)])
    }

    /// Without funding that has not been booked.
    pub(super) fn cross_pool(&self, place: u32) -> Solvency {
        self.accounts.booked_pool(place, self.symbols.quotes())
    }
}

/// What backs an isolated position, without funding that has not been booked.
fn isolated_pool(holding: &Holding, quote: &Quote) -> Solvency {
    Solvency {
        equity: holding.exposure.isolated_equity(quote.mark, quote.mult),
        maintenance: quote.maintenance(&holding.exposure),
    }
}

/// Guards an isolated position, and what there is no position of not. False: it is due, or has been.
pub(crate) fn guard_isolated(
    holding: &mut Holding,
    at: HoldingAt,
    quote: &Quote,
    bands: &mut Bands,
) -> bool {
    let own = isolated_pool(holding, quote);
    if holding.due != Due::default() || own.is_due() {
        return false;
    }
    let held = holding.exposure.position.qty != 0;
    let leeway = held.then(|| isolated_leeway(holding, quote, &own));
    holding.band = bands.renew(at, holding.symbol, holding.band, leeway);
    true
}

/// Amounts and what a tick takes of them are compared in so many parts of a cash unit: fine enough
/// for a maintenance rate, and coarse enough for the products to fit.
const PARTS: u32 = 64;

/// An isolated position has all that its own pool is away from being due: its value moves its
/// equity whole, and its maintenance margin by a rate.
fn isolated_leeway(holding: &Holding, quote: &Quote, pool: &Solvency) -> Leeway {
    let moves = u128::from(PARTS + quote.steepest(PARTS));
    let away = (pool.equity - pool.maintenance).unsigned_abs();
    leeway(quote, tick_of(holding, quote, moves), away)
}

/// What a unit of value takes at the most of a cross pool's way to its line, in twentieths.
fn cross_moves(quote: &Quote) -> u128 {
    let (per_maintenance, per_equity) = (CALL_LINE.0.unsigned_abs(), CALL_LINE.1.unsigned_abs());
    per_equity * u128::from(PARTS) + per_maintenance * u128::from(quote.steepest(PARTS))
}

/// What one tick takes of it, by all lots of a position.
fn tick_of(holding: &Holding, quote: &Quote, moves: u128) -> u128 {
    let lots = holding.exposure.position.qty.unsigned_abs();
    u128::from(lots) * u128::from(quote.mult.unsigned_abs()) * moves
}

/// How far a mark may go before its pool meets a line that is `away`.
fn leeway(quote: &Quote, tick: u128, away: u128) -> Leeway {
    Leeway { mark: quote.mark, tick, away: away * u128::from(PARTS) }
}

/// An amount in the parts of [`spare`](crate::accounts::Account::spare).
pub(crate) fn amount_takes(amount: i128) -> i128 {
    amount * CALL_LINE.1 * i128::from(PARTS)
}

/// What of its account's [`spare`](crate::accounts::Account::spare) a fill takes: what it loses
/// against the mark, a fee included, and, when it adds to the position, what more must stay
/// wherever the mark goes inside the band, and loses on the way. Negative: it gains.
///
/// What only reduces a position leaves less to lose on the way, and what it would have gained was
/// not counted on. `None`: that can't be said of a maintenance rate so steep.
pub(crate) fn fill_takes(
    holding: &Holding,
    quote: &Quote,
    added: Lots,
    lost: i128,
) -> Option<i128> {
    let parts = i128::from(PARTS);
    let steepest = i128::from(quote.steepest(PARTS));
    if CALL_LINE.0 * steepest >= CALL_LINE.1 * parts {
        return None;
    }
    let taken = amount_takes(lost);
    if added <= 0 {
        return Some(taken);
    }
    let far = holding.band.far(quote.mark);
    let on_the_way = value(far, added, quote.mult) * CALL_LINE.1 * parts;
    let kept = value(quote.mark + far, added, quote.mult) * CALL_LINE.0 * steepest;
    Some(taken + on_the_way + kept)
}

// What lots are worth at a price is below 2^100, so what a tick takes times ticks has room.
const _: () = assert!(
    (CALL_LINE.0 + CALL_LINE.1) as u128 * PARTS as u128 * (2 * SYMBOLS_MAX as u128) * 4 < 1 << 28
);

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
