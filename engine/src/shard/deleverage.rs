//! Deleveraging: what neither the book nor the insurance fund takes is closed against those on the
//! other side, the first in rank first.
//!
//! All accounts are gone through in slices, one a frame, to find the first in rank; so a
//! counterparty that would be left with less than nothing is passed over. What the book or the
//! fund would take when all have been seen goes to them.

use protocol::{
    AccountId, Lots, Micros, SymbolId,
    order::{MarginMode, OrderOrigin, PositionSide, TradeKind},
};
use rules::{adl, liquidation::Solvency, money::value};

use super::{
    Shard,
    liquidation::{Step, Target, work_frame},
};
use crate::{
    accounts::{Holding, HoldingAt},
    due::PoolAt,
    engine::Frame,
    forced::Forced,
    foresight::Foresight,
    limits::{ADL_RANKED_MAX, ADL_SLICE},
    output::{Output, Sink},
    work::Unit,
};

/// A leg of an account that could be a counterparty.
type Leg = (AccountId, PositionSide);

/// What is sought for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub symbol: SymbolId,
    /// Whose position is due.
    pub due: Leg,
    /// It is due by itself; else with all that is cross.
    pub isolated: bool,
    /// The next account id to look at, and the first in rank among those before it.
    pub from: u32,
    pub best: Option<Leg>,
}

impl Shard {
    /// Begins to seek a counterparty.
    pub(super) fn deleverage(&mut self, pool: PoolAt, target: &Target) -> Step {
        let holding = self.accounts.holding(target.holding);
        let symbol = self.symbols.symbol(holding.symbol).spec.symbol;
        let (account, leg) = (self.accounts.account(holding.account).id, holding.side);
        let isolated = matches!(pool, PoolAt::Isolated(_));
        self.accounts.due_mut(pool).queued = true;
        self.work.add(symbol, Unit::Deleverage { account, leg, isolated, from: 1, best: None });
        Step::Wait
    }

    /// Looks at the next accounts; after the last, closes against the first in rank, unless others
    /// go before him by now.
    pub(super) fn seek_counterparty<S: Sink>(
        &mut self,
        now: Micros,
        search: &Search,
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) {
        let Search { symbol, due: (account, leg), isolated, from, mut best } = *search;
        let at = self.symbols.find(symbol).expect("work is on listed symbols");
        let Some(holding) = self.accounts.find_holding(account, at, leg) else { return };
        let pool = match isolated {
            false => PoolAt::Cross(self.accounts.holding(holding).account),
            true => PoolAt::Isolated(holding),
        };
        self.accounts.due_mut(pool).queued = false;
        if isolated != (self.accounts.holding(holding).exposure.mode == MarginMode::Isolated) {
            // its owner has closed it meanwhile, and its margin is another now
            return self.queue_liquidation(pool);
        }
        if let PoolAt::Cross(place) = pool
            && self.accounts.account(place).call != 0
        {
            // one was opened meanwhile; its end goes on with the liquidation
            return;
        }
        let solvency = self.solvency(pool);
        let target = self.target_at(holding, &solvency);
        let stands = solvency.is_due() && self.is_open(holding);
        let Some(target) = target.filter(|_| stands) else { return self.queue_liquidation(pool) };
        let end;
        (best, end) = self.first_in_rank(at, &target, best, from);
        if end < self.accounts.ids_end() {
            self.accounts.due_mut(pool).queued = true;
            self.work.add(symbol, Unit::Deleverage { account, leg, isolated, from: end, best });
            return;
        }
        let frame = &work_frame(now, out);
        self.pools.book_all(&mut self.accounts, account, self.symbols.quotes(), out);
        // what was paid may have changed all of it
        let solvency = self.solvency(pool);
        let target = self.target_at(holding, &solvency).filter(|_| solvency.is_due());
        let Some(target) = target else { return self.queue_liquidation(pool) };
        if self.is_taken_before_others(frame, pool, &target, scratch, out) {
            let step = self.after_part(&target);
            return self.follow(pool, step);
        }
        let Some((counterparty, side)) = best else {
            return self.follow(pool, Step::Pause);
        };
        self.pools.book_all(&mut self.accounts, counterparty, self.symbols.quotes(), out);
        let other = self.accounts.find_holding(counterparty, at, side);
        if let Some(other) = other
            && let Some((_, lots)) = self.rank_of(&target, other)
        {
            let order = Forced { lots, ..target.order };
            let counter = Forced {
                holding: other,
                side: order.side.opposite(),
                origin: OrderOrigin::Deleverage,
                ..order
            };
            self.desk_at(frame, at).force_trade(TradeKind::Deleverage, &order, &counter, out);
            let step = self.after_part(&target);
            return self.follow(pool, step);
        }
        self.queue_liquidation(pool);
    }

    /// While a counterparty was sought, orders may have come into the book and money to the fund:
    /// they have the position before the others do, at once, so that nobody can make the search
    /// begin anew for ever.
    fn is_taken_before_others<S: Sink>(
        &mut self,
        frame: &Frame,
        pool: PoolAt,
        target: &Target,
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) -> bool {
        let solvency = self.solvency(pool);
        self.close_at_book(frame, target, &solvency, scratch, out)
            || self.accounts.owner_of(pool) != self.fund()
                && self.take_over(frame, target, out).is_ok()
    }

    /// The first in rank of a slice of those from an id on and of who was so far, of equals the
    /// first; and where the next slice begins.
    fn first_in_rank(
        &self,
        symbol: u16,
        target: &Target,
        best: Option<Leg>,
        from: u32,
    ) -> (Option<Leg>, u32) {
        let rank = |at| self.rank_of(target, at).map(|(rank, _)| rank);
        let known = best.and_then(|(id, side)| self.accounts.find_holding(id, symbol, side));
        let mut first = best.zip(known.and_then(rank));
        let end = from.saturating_add(ADL_SLICE).min(self.accounts.ids_end());
        let (mut next, mut ranked) = (from, 0);
        while next < end && ranked < ADL_RANKED_MAX {
            for (at, holding) in self.accounts.legs(AccountId(next), symbol) {
                let best = first.map(|(_, rank)| rank);
                if !self.may_rank(target, holding, best) {
                    continue;
                }
                ranked += 1;
                let Some(rank) = rank(at) else { continue };
                if best.is_none_or(|best| rank > best) {
                    first = Some(((AccountId(next), holding.side), rank));
                }
            }
            next += 1;
        }
        // who has no rank now may have one again when all have been seen
        (first.map(|(leg, _)| leg).or(best), next)
    }

    /// It is on the other side, and it has won if the best so far has: who has not is behind.
    fn may_rank(&self, target: &Target, holding: &Holding, best: Option<i128>) -> bool {
        let position = &holding.exposure.position;
        if position.closable(target.order.side.opposite().sign()) == 0 {
            return false;
        }
        let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
        best.is_none_or(|best| best < 0) || position.pnl(quote.mark, quote.mult) > 0
    }

    /// The rank of a counterparty and the lots it would close, if it would still have what it owes
    /// afterwards: an isolated position also if all of it were closed so, as a part of it must not
    /// lose more than its part of the wallet. Funding counts as paid, whether or not it is booked.
    fn rank_of(&self, target: &Target, at: HoldingAt) -> Option<(i128, Lots)> {
        let holding = self.accounts.holding(at);
        let due = self.accounts.holding(target.holding);
        let position = &holding.exposure.position;
        let lots = position.closable(target.order.side.opposite().sign()).min(target.order.lots);
        if lots == 0 || holding.account == due.account {
            return None;
        }
        let quotes = self.symbols.quotes();
        let settled = |holding: &Holding| quotes[usize::from(holding.symbol)].settled(holding);
        let quote = &quotes[usize::from(holding.symbol)];
        let kept = quote.maintenance(&holding.exposure);
        let (pool, closed) = match holding.exposure.mode {
            MarginMode::Cross => {
                let exposure_of = |_, other: &Holding| settled(other);
                (self.accounts.cross_pool(holding.account, quotes, exposure_of, 0), lots)
            }
            MarginMode::Isolated => {
                let equity = settled(holding).isolated_equity(quote.mark, quote.mult);
                (Solvency { equity, maintenance: kept }, position.qty.abs())
            }
        };
        let rank = adl::rank(position, quote.mark, quote.mult, kept, &pool)?;
        // a long gives its lots at the price instead of at the mark
        let gain = value(target.order.limit - quote.mark, closed, quote.mult);
        let after = pool.equity + gain * i128::from(position.qty.signum());
        (after >= 0).then_some((rank, lots))
    }
}
