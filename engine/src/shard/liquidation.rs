//! Liquidation: a pool that is due is closed step by step, one step a frame, until it is no longer
//! due.
//!
//! ```text
//!   due ─▶ orders that reserve margin ─▶ margin call ─▶ the position with the largest maintenance
//!          are closed                    (cross only)   margin, largest first:
//!                                             │            an order at its bankruptcy price
//!                                 without a position       the insurance fund takes it over
//!                                 the fund advances        others are deleveraged
//! ```
//!
//! Each step judges anew, so what becomes solvent meanwhile, by a grant or by a mark, is left in
//! peace. A step that can't go on rests until the next mark, of any symbol; only what is large goes
//! by parts, and no more than one of them at a mark of its own.

use protocol::{
    AccountId, Micros, SymbolId,
    event::LiquidationFeePaid,
    limits::CALL_TARGET,
    order::{CallKind, MarginMode, OrderOrigin, PositionSide, Side},
};
use rules::{
    liquidation::{self, Portion, Solvency},
    money::{cash, div_ceil},
};

use super::Shard;
use crate::{
    accounts::HoldingAt,
    desk::Desk,
    due::{Due, PoolAt, Stage},
    engine::Frame,
    forced::Forced,
    foresight::Foresight,
    limits::UNIT_EVENTS_MAX,
    output::{Output, Sink},
};

/// How a step leaves a pool.
pub(super) enum Step {
    /// The next one comes in the next frame.
    Again,
    /// At the next mark it is looked at again.
    Pause,
    /// It waits for an answer, or another unit of work goes on with it.
    Wait,
    /// It is over.
    End,
}

/// A position of a pool that is to be closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub holding: HoldingAt,
    pub portion: Portion,
    /// As an order that closes the portion at the bankruptcy price.
    pub order: Forced,
}

impl Shard {
    /// Does the next step of a pool's liquidation.
    pub(super) fn liquidate<S: Sink>(
        &mut self,
        now: Micros,
        (symbol, account, leg): (SymbolId, AccountId, PositionSide),
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) {
        let Some(pool) = self.pool_of(symbol, account, leg) else { return };
        if let PoolAt::Isolated(at) = pool
            && self.accounts.holding(at).exposure.mode == MarginMode::Cross
        {
            // its position has been closed, and its margin is another now
            *self.accounts.due_mut(pool) = Due::default();
            return;
        }
        let frame = &work_frame(now, out);
        self.accounts.due_mut(pool).queued = false;
        self.pools.book_all(&mut self.accounts, account, self.symbols.quotes(), out);
        let step = self.liquidation_step(frame, pool, scratch, out);
        self.follow(pool, step);
    }

    pub(super) fn follow(&mut self, pool: PoolAt, step: Step) {
        match step {
            Step::Again => self.queue_liquidation(pool),
            Step::Wait => {}
            Step::Pause => self.accounts.touch(self.accounts.owner_of(pool)),
            Step::End => {
                self.accounts.due_mut(pool).stage = Stage::None;
                self.accounts.touch(self.accounts.owner_of(pool));
            }
        }
    }

    /// The pool that a unit of work names, if there still is one.
    pub(super) fn pool_of(
        &self,
        symbol: SymbolId,
        account: AccountId,
        leg: PositionSide,
    ) -> Option<PoolAt> {
        if symbol.is_none() {
            return self.accounts.find(account).map(PoolAt::Cross);
        }
        let at = self.symbols.find(symbol).ok()?;
        self.accounts.find_holding(account, at, leg).map(PoolAt::Isolated)
    }

    pub(super) fn solvency(&self, pool: PoolAt) -> Solvency {
        match pool {
            PoolAt::Cross(place) => self.cross_pool(place),
            PoolAt::Isolated(at) => self.isolated_pool(at),
        }
    }

    fn liquidation_step<S: Sink>(
        &mut self,
        frame: &Frame,
        pool: PoolAt,
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) -> Step {
        let solvency = self.solvency(pool);
        if !self.is_due(pool, &solvency) {
            return Step::End;
        }
        if let PoolAt::Cross(place) = pool
            && self.accounts.account(place).call != 0
        {
            return Step::Wait;
        }
        if let Some(at) = self.reserving(pool) {
            let symbol = self.accounts.holding(at).symbol;
            self.desk_at(frame, symbol).close_reserving(at, out);
            return Step::Again;
        }
        if let PoolAt::Cross(place) = pool {
            if self.accounts.account(place).due.stage == Stage::None {
                return self.call_last(frame.now, place, &solvency, out);
            }
            if solvency.maintenance == 0 {
                return self.advance(place, -solvency.equity, out);
            }
        }
        let target = self.target(pool, &solvency).filter(|target| !self.has_parted(target));
        let Some(target) = target else { return Step::Pause };
        if self.close_at_book(frame, &target, &solvency, scratch, out) {
            return self.after_part(&target);
        }
        self.hand_over(frame, pool, &target, out)
    }

    /// Closes of a position what the book takes of it now; below two thirds of what must stay
    /// there is no time for that.
    pub(super) fn close_at_book<S: Sink>(
        &mut self,
        frame: &Frame,
        target: &Target,
        solvency: &Solvency,
        scratch: &mut Foresight,
        out: &mut Output<'_, S>,
    ) -> bool {
        if solvency.is_lost() || !self.desk_of(frame, target).would_fill(&target.order, scratch) {
            return false;
        }
        let (lots, quote) = self.desk_of(frame, target).force(&target.order, out);
        self.take_liquidation_fee(target, (quote, lots), out);
        true
    }

    /// How it goes on after a part of a position has been closed, by whomever: of a large one the
    /// next part is for the next mark of its symbol.
    pub(super) fn after_part(&mut self, target: &Target) -> Step {
        if !target.portion.large {
            return Step::Again;
        }
        let symbol = self.accounts.holding(target.holding).symbol;
        let marks = self.symbols.symbol(symbol).pricing.marks;
        self.accounts.holding_mut(target.holding).parted = marks;
        Step::Pause
    }

    /// A part of it has been closed at this mark of its symbol, and a next mark is to come.
    fn has_parted(&self, target: &Target) -> bool {
        let holding = self.accounts.holding(target.holding);
        let pricing = &self.symbols.symbol(holding.symbol).pricing;
        target.portion.large && holding.parted == pricing.marks && !pricing.is_stale
    }

    /// The first holding of a pool with orders that reserve margin. All of an account's are
    /// covered by what is cross.
    fn reserving(&self, pool: PoolAt) -> Option<HoldingAt> {
        match pool {
            PoolAt::Cross(place) => self.accounts.first_reserving(place),
            PoolAt::Isolated(at) => {
                let orders = &self.accounts.holding(at).orders;
                (orders.count > orders.reducing).then_some(at)
            }
        }
    }

    /// Asks the ledger once more, for what the account needs now.
    fn call_last<S: Sink>(
        &mut self,
        now: Micros,
        place: u32,
        pool: &Solvency,
        out: &mut Output<'_, S>,
    ) -> Step {
        if !self.ledger.has_room() {
            return Step::Pause;
        }
        let account = self.accounts.account_mut(place);
        account.due.stage = Stage::Called;
        let kind = if pool.maintenance > 0 { CallKind::Need } else { CallKind::Debt };
        account.warned |= kind == CallKind::Need;
        let target = div_ceil(pool.maintenance * CALL_TARGET.0, CALL_TARGET.1);
        let amount = cash((target - pool.equity).min(i64::MAX.into()));
        self.call(now, place, kind, amount, out);
        Step::Wait
    }

    /// The position of a pool that must keep most, on a symbol that trades.
    pub(super) fn target(&self, pool: PoolAt, solvency: &Solvency) -> Option<Target> {
        let at = match pool {
            PoolAt::Isolated(at) => self.is_open(at).then_some(at)?,
            PoolAt::Cross(place) => {
                let cross = |at: &HoldingAt| {
                    self.accounts.holding(*at).exposure.mode == MarginMode::Cross
                        && self.is_open(*at)
                };
                let all = self.accounts.holdings_of(place).map(|(at, _)| at).filter(cross);
                all.max_by_key(|at| {
                    let holding = self.accounts.holding(*at);
                    let kept = self.symbols.quotes()[usize::from(holding.symbol)]
                        .maintenance(&holding.exposure);
                    (kept, core::cmp::Reverse((holding.symbol, holding.side as u8)))
                })?
            }
        };
        self.target_at(at, solvency)
    }

    /// A position as what is to be closed of it; `None` when there is none.
    pub(super) fn target_at(&self, at: HoldingAt, pool: &Solvency) -> Option<Target> {
        let holding = self.accounts.holding(at);
        let quote = &self.symbols.quotes()[usize::from(holding.symbol)];
        let (position, mark, mult) = (&holding.exposure.position, quote.mark, quote.mult);
        let kept = quote.maintenance(&holding.exposure);
        let price = liquidation::bankruptcy_price(position, mark, mult, kept, pool)?;
        let mut portion = liquidation::portion(position, mark, mult, quote.brackets.as_ref()?);
        if pool.is_lost() {
            portion = Portion { lots: position.qty.abs(), large: false };
        }
        let order = Forced {
            holding: at,
            side: if position.qty > 0 { Side::Sell } else { Side::Buy },
            limit: liquidation::closing_price(price),
            lots: portion.lots,
            origin: OrderOrigin::Liquidation,
        };
        Some(Target { holding: at, portion, order })
    }

    /// There is a position, and its symbol takes orders.
    pub(super) fn is_open(&self, at: HoldingAt) -> bool {
        let holding = self.accounts.holding(at);
        let symbol = self.symbols.symbol(holding.symbol);
        holding.exposure.position.qty != 0 && symbol.takes_orders()
    }

    /// Where a target is worked on.
    pub(super) fn desk_of(&mut self, frame: &Frame, target: &Target) -> Desk<'_> {
        let symbol = self.accounts.holding(target.holding).symbol;
        self.desk_at(frame, symbol)
    }

    /// Takes from the account, for the insurance fund, a part of what it got better than the
    /// bankruptcy price: that has come into its cash, also where the position is isolated. The fund
    /// pays itself nothing.
    fn take_liquidation_fee<S: Sink>(
        &mut self,
        target: &Target,
        got: (i128, i64),
        out: &mut Output<'_, S>,
    ) {
        let at = target.holding;
        let holding = self.accounts.holding(at);
        let (symbol, place) = (self.symbols.symbol(holding.symbol), holding.account);
        let spec = &symbol.spec;
        let (side, price) = (target.order.side, target.order.limit);
        let fee = liquidation::liquidation_fee(side, got, price, spec.mult, spec.liquidation_fee);
        if fee == 0 || place == self.fund() {
            return;
        }
        let (symbol, position_side) = (spec.symbol, holding.side);
        let isolated_wallet = holding.exposure.wallet;
        let account = self.accounts.account_mut(place);
        account.cash = cash(i128::from(account.cash) - fee);
        let (account, cash_now) = (account.id, account.cash);
        out.emit(&LiquidationFeePaid {
            account,
            symbol,
            position_side,
            _pad: 0,
            amount: cash(fee),
            cash: cash_now,
            isolated_wallet,
        });
        self.move_fund(fee, out);
    }
}

/// The frame of a unit of work that makes no more than its share of events.
pub(super) fn work_frame<S: Sink>(now: Micros, out: &Output<'_, S>) -> Frame {
    Frame {
        seq: 0,
        now,
        session: protocol::SessionId::NONE,
        number: 0,
        last_try: true,
        ceiling: out.events() + UNIT_EVENTS_MAX,
        room: UNIT_EVENTS_MAX,
    }
}
