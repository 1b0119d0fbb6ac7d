//! Nobody trades away more than he has: a limit that closes a position is cut to what the account
//! can bear, and a resting order that has come to lie beyond the mark is judged when it is met.
//!
//! Without both, two accounts of one owner could trade far beyond the mark until one of them owes
//! what the other has won. A mark may move past any number of resting orders, so nothing is looked
//! at when it does.

use protocol::{
    Lots, Reject, Ticks,
    command::Place,
    limits::CALL_LINE,
    order::{MarginMode, Side, TimeInForce},
};
use rules::{
    Exposure,
    fees::fee,
    guard::Closing,
    liquidation::Solvency,
    money::{div_ceil, share_ceil, value},
};

use crate::{
    accounts::{Holding, HoldingAt},
    book::Order,
    desk::Desk,
    foresight::Foresight,
    orders::rests,
    symbols::Terms,
    verdict::{Refusal, require},
};

impl Desk<'_> {
    /// The limit of a new order that only closes: the worst price it would trade at or, where
    /// that is more than the account can bear, on its last try what the account can.
    pub fn guarded(
        &self,
        order: &Place,
        at: HoldingAt,
        (limit, qty): (Ticks, Lots),
        last_try: bool,
        foresight: &mut Foresight,
    ) -> Result<Ticks, Refusal> {
        if !self.is_beyond_mark(order.side, limit) {
            return Ok(limit);
        }
        let closing = self.closing(at, &Foresight::EMPTY);
        if closing.affords(limit) {
            return Ok(limit);
        }
        if !last_try {
            let amount = closing.lacking(limit);
            return Err(Refusal { reject: Reject::NeedMargin, amount });
        }
        let bound = closing.bound(limit);
        if rests(order.order_type, order.time_in_force) {
            return Ok(bound);
        }
        let (account, side) = (order.account, order.side);
        let outlook = self.dry_run(account, side, bound, qty, order.self_trade, foresight);
        let whole = order.time_in_force != TimeInForce::Fok || outlook.lots == qty;
        require(whole, Reject::WouldNotFill)?;
        outlook.worst.ok_or(Reject::BeyondMarketBound.into())
    }

    /// An amended order that only closes keeps to what the account can bear, or stays as it was.
    pub fn check_guard(
        &self,
        at: HoldingAt,
        side: Side,
        price: Ticks,
        last_try: bool,
    ) -> Result<(), Refusal> {
        if !self.is_beyond_mark(side, price) {
            return Ok(());
        }
        let amount = self.closing(at, &Foresight::EMPTY).lacking(price);
        match (amount, last_try) {
            (0, _) => Ok(()),
            (_, true) => Err(Reject::InsufficientMargin.into()),
            (_, false) => Err(Refusal { reject: Reject::NeedMargin, amount }),
        }
    }

    /// Refuses what would open an isolated position so far beyond the mark that its wallet, which
    /// is filled by its leverage alone, could not bear it: it would be due from the start.
    pub fn check_isolated(
        &self,
        holding: &Holding,
        side: Side,
        limit: Ticks,
        qty: Lots,
    ) -> Result<(), Reject> {
        let isolated = holding.exposure.mode == MarginMode::Isolated;
        if !isolated || !self.is_beyond_mark(side, limit) {
            return Ok(());
        }
        let (mut after, quote) = (holding.exposure, self.quote());
        after.trade(side.sign() * qty, limit, quote.mult, holding.leverage(quote));
        let left = after.isolated_equity(quote.mark, quote.mult);
        require(left > quote.maintenance(&after), Reject::BeyondMarketBound)
    }

    /// True when a fill at this price loses against the mark.
    pub fn is_beyond_mark(&self, side: Side, price: Ticks) -> bool {
        match side {
            Side::Buy => price > self.quote().mark,
            Side::Sell => price < self.quote().mark,
        }
    }

    /// True when a maker may fill so many lots, after what is foreseen: every one may that does
    /// not lose against the mark, unless it moves money into an isolated wallet.
    #[inline]
    pub fn is_bearable(&self, maker: &Order<Terms>, lots: Lots, foresight: &Foresight) -> bool {
        if self.is_beyond_mark(maker.side(), maker.price()) {
            return self.bears(maker, lots, foresight);
        }
        let mode = self.accounts.holding(maker.data.holding).exposure.mode;
        mode == MarginMode::Cross || self.backs(maker, lots, foresight)
    }

    /// What opens of an isolated position is backed out of what is beside it, and that must do
    /// afterwards: else an account that is due would save a part of what it owes.
    fn backs(&self, maker: &Order<Terms>, lots: Lots, foresight: &Foresight) -> bool {
        let holding = self.accounts.holding(maker.data.holding);
        let before = foresight.exposure(maker.data.holding, holding, self.quotes).position;
        let sign = maker.side().sign();
        if lots <= before.closable(sign) {
            return true;
        }
        if foresight.is_empty() && before.closable(sign) == 0 && self.pools.are_settled() {
            let quote = self.quote();
            let opened = value(maker.price(), lots, quote.mult);
            let moved = div_ceil(opened, holding.leverage(quote).into());
            let lost = moved + fee(opened, holding.fees(quote).maker.max(0));
            if self.accounts.account(holding.account).spares(lost) {
                return true;
            }
        }
        let beside = self.beside(maker, self.filled(maker, lots, foresight), foresight);
        beside.equity >= beside.maintenance
    }

    /// All that is cross of a maker's account after a fill.
    fn beside(
        &self,
        maker: &Order<Terms>,
        (after, gained): (Exposure, i128),
        foresight: &Foresight,
    ) -> Solvency {
        let at = maker.data.holding;
        let account = self.accounts.holding(at).account;
        let exposure_of = |of, other: &Holding| match of == at {
            true => after,
            false => foresight.exposure(of, other, self.quotes),
        };
        let gained = foresight.gained(account) + gained;
        self.accounts.cross_pool(account, self.quotes, exposure_of, gained)
    }

    /// The fill leaves the account above its maintenance margin, or it closes at a price that the
    /// account affords. An isolated wallet is filled out of what is beside it, so that must do.
    fn bears(&self, maker: &Order<Terms>, lots: Lots, foresight: &Foresight) -> bool {
        foresight.is_empty() && self.bears_clearly(maker, lots)
            || self.bears_exactly(maker, lots, foresight)
    }

    /// The guards of its position alone tell that its account bears the fill: at a guard, too, the
    /// account is above the line of a margin call, so here it is by what the ticks on the way there
    /// are worth, less what more must stay here. Most makers are known by this.
    fn bears_clearly(&self, maker: &Order<Terms>, lots: Lots) -> bool {
        let holding = self.accounts.holding(maker.data.holding);
        let quote = self.quote();
        let cross = holding.exposure.mode == MarginMode::Cross && self.pools.are_settled();
        let guarded = cross && self.accounts.account(holding.account).is_well_guarded();
        let Some(brackets) = quote.brackets.as_ref().filter(|_| guarded) else { return false };
        let (mark, price) = (quote.mark, maker.price());
        let qty = holding.exposure.position.qty.abs();
        let room = holding.band.room(mark);
        if room < 2 {
            // the narrowest band stands for no room at all
            return false;
        }
        let way = value(room, qty, quote.mult);
        let stays = share_ceil(way * CALL_LINE.0, brackets.steepest_rate());
        let beyond_line = way - div_ceil(stays, CALL_LINE.1);
        let lost = value((price - mark).abs(), lots, quote.mult);
        let rate = brackets.steepest_rate() + holding.fees(quote).maker.max(0);
        let kept = share_ceil(value(price.max(mark), lots, quote.mult), rate);
        beyond_line > lost + kept
    }

    #[cold]
    fn bears_exactly(&self, maker: &Order<Terms>, lots: Lots, foresight: &Foresight) -> bool {
        let at = maker.data.holding;
        let holding = self.accounts.holding(at);
        let filled = self.filled(maker, lots, foresight);
        let (after, quote) = (filled.0, self.quote());
        let beside = self.beside(maker, filled, foresight);
        let solvent = match after.mode {
            MarginMode::Cross => beside.equity > beside.maintenance,
            MarginMode::Isolated => {
                let own = after.isolated_equity(quote.mark, quote.mult);
                own > quote.maintenance(&after) && beside.equity >= beside.maintenance
            }
        };
        let before = foresight.exposure(at, holding, self.quotes).position;
        let reduces = lots <= before.closable(maker.side().sign());
        solvent || reduces && self.closing(at, foresight).affords(maker.price())
    }

    /// What a fill of a maker makes of its exposure, and what its account's cash gains.
    pub fn filled(
        &self,
        maker: &Order<Terms>,
        lots: Lots,
        foresight: &Foresight,
    ) -> (Exposure, i128) {
        let (at, quote) = (maker.data.holding, self.quote());
        let holding = self.accounts.holding(at);
        let mut after = foresight.exposure(at, holding, self.quotes);
        let (price, qty) = (maker.price(), maker.side().sign() * lots);
        let pnl = after.trade(qty, price, quote.mult, holding.leverage(quote));
        (after, pnl - fee(value(price, lots, quote.mult), holding.fees(quote).maker))
    }

    /// A holding's position as something to be closed, after what is foreseen.
    fn closing(&self, at: HoldingAt, foresight: &Foresight) -> Closing {
        let holding = self.accounts.holding(at);
        let (exposure, quote) = (foresight.exposure(at, holding, self.quotes), self.quote());
        Closing {
            position: exposure.position,
            mark: quote.mark,
            mult: quote.mult,
            maintenance: quote.maintenance(&exposure),
            pool: self.pool(at, foresight.gained(holding.account), |of, other| {
                foresight.exposure(of, other, self.quotes)
            }),
            taker_fee: holding.fees(quote).taker,
        }
    }

    /// What backs a holding: its own wallet when it is isolated, else all that is cross.
    fn pool(
        &self,
        at: HoldingAt,
        gained: i128,
        exposure_of: impl Fn(HoldingAt, &Holding) -> Exposure,
    ) -> Solvency {
        let holding = self.accounts.holding(at);
        let (exposure, quote) = (exposure_of(at, holding), self.quote());
        match exposure.mode {
            MarginMode::Cross => {
                self.accounts.cross_pool(holding.account, self.quotes, exposure_of, gained)
            }
            MarginMode::Isolated => Solvency {
                equity: exposure.isolated_equity(quote.mark, quote.mult),
                maintenance: quote.maintenance(&exposure),
            },
        }
    }
}
