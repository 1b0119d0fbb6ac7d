//! The dry run: what a match would do now, foreseen without changing anything.

use alloc::vec::Vec;

use protocol::{
    AccountId, Lots, Ticks,
    limits::FILLS_MAX,
    order::{MarginMode, SelfTradePrevention, Side},
};
use rules::Exposure;

use crate::{
    accounts::{Holding, HoldingAt},
    book::Order,
    desk::Desk,
    limits::EVENTS_RESERVE,
    symbols::{Quote, Terms},
};

/// What a match would do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub lots: Lots,
    /// The worst price it would trade at.
    pub worst: Option<Ticks>,
    /// Makers met: traded with or expired.
    met: usize,
    /// Reduce-only orders of those makers, which their fills may clip.
    reducing: usize,
}

impl Outlook {
    /// The match fits into so many events: to each maker a funding, a trade or a close, the end of
    /// a conditional order, a clipped order, a level and a reservation; to each clipped order a
    /// close, the end of a conditional order and a level.
    pub const fn fits(&self, room: usize) -> bool {
        1 + 6 * self.met + 3 * self.reducing <= room - EVENTS_RESERVE
    }
}

/// What some makers would be left with, as a dry run goes on: those whose orders its fills may
/// clip, and those who are met beyond the mark.
pub(crate) struct Foresight(Vec<Seen>);

struct Seen {
    at: HoldingAt,
    account: u32,
    exposure: Exposure,
    /// Lots of its reduce-only orders that are neither filled, clipped nor expired.
    reducing: Lots,
    /// What its fills have done to the account's cash.
    gained: i128,
}

impl Foresight {
    /// Of nothing: everything is as it is now.
    pub const EMPTY: Self = Self(Vec::new());

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn with_capacity(makers: usize) -> Self {
        Self(Vec::with_capacity(makers))
    }

    /// A holding's exposure, its funding paid.
    pub fn exposure(&self, at: HoldingAt, holding: &Holding, quotes: &[Quote]) -> Exposure {
        match self.0.iter().find(|seen| seen.at == at) {
            Some(seen) => seen.exposure,
            None => quotes[usize::from(holding.symbol)].settled(holding),
        }
    }

    /// What an account's cash would have gained.
    pub fn gained(&self, account: u32) -> i128 {
        let own = self.0.iter().filter(|seen| seen.account == account);
        own.map(|seen| seen.gained).sum()
    }

    fn of(&mut self, at: HoldingAt) -> Option<&mut Seen> {
        self.0.iter_mut().find(|seen| seen.at == at)
    }
}

impl Default for Foresight {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Desk<'_> {
    /// What [`Self::run`] would do with an order, changing nothing.
    pub fn dry_run(
        &self,
        account: AccountId,
        side: Side,
        limit: Ticks,
        qty: Lots,
        self_trade: SelfTradePrevention,
        foresight: &mut Foresight,
    ) -> Outlook {
        foresight.0.clear();
        let mut outlook = Outlook::default();
        for (_, maker) in self.symbol.book.makers(side.opposite()) {
            let within = match side {
                Side::Buy => maker.price() <= limit,
                Side::Sell => maker.price() >= limit,
            };
            if !within || outlook.lots == qty || outlook.met == FILLS_MAX as usize {
                break;
            }
            if maker.data.is_over(self.now) {
                outlook.met += 1;
            } else if maker.account() != account {
                self.foresee(&mut outlook, maker, qty, foresight);
            } else if self_trade == SelfTradePrevention::ExpireMaker {
                outlook.met += 1;
            } else {
                break;
            }
        }
        outlook
    }

    fn foresee(
        &self,
        outlook: &mut Outlook,
        maker: &Order<Terms>,
        qty: Lots,
        foresight: &mut Foresight,
    ) {
        let holding = self.accounts.holding(maker.data.holding);
        let wanted = qty - outlook.lots;
        let judged = self.is_beyond_mark(maker.side(), maker.price())
            || holding.exposure.mode == MarginMode::Isolated;
        let lots = match judged || holding.orders.reducing > 0 {
            false => {
                outlook.met += 1;
                maker.remaining().min(wanted)
            }
            true => self.foresee_watched(outlook, maker, wanted, foresight),
        };
        if lots > 0 {
            outlook.lots += lots;
            outlook.worst = Some(maker.price());
        }
    }

    /// The lots of a fill that has an effect on what its maker does later.
    fn foresee_watched(
        &self,
        outlook: &mut Outlook,
        maker: &Order<Terms>,
        wanted: Lots,
        foresight: &mut Foresight,
    ) -> Lots {
        let at = maker.data.holding;
        let holding = self.accounts.holding(at);
        if foresight.of(at).is_none() {
            outlook.reducing += holding.orders.reducing as usize;
            foresight.0.push(Seen {
                at,
                account: holding.account,
                exposure: self.quote().settled(holding),
                reducing: holding.orders.reducing_lots,
                gained: 0,
            });
        }
        let reduces = maker.data.reduce_only;
        let reducing = foresight.of(at).map_or(0, |seen| seen.reducing);
        let there = if reduces { maker.remaining().min(reducing) } else { maker.remaining() };
        if there == 0 {
            // by then it has been clipped away
            return 0;
        }
        outlook.met += 1;
        let mut lots = there.min(wanted);
        let mut gone = lots;
        if !self.is_bearable(maker, lots, foresight) {
            (lots, gone) = (0, there);
        }
        let (exposure, gained) = self.filled(maker, lots, foresight);
        if let Some(seen) = foresight.of(at) {
            (seen.exposure, seen.gained) = (exposure, seen.gained + gained);
            if reduces {
                seen.reducing -= gone;
            }
            let closable = exposure.position.closable(maker.side().sign());
            seen.reducing = seen.reducing.min(closable);
        }
        lots
    }
}
