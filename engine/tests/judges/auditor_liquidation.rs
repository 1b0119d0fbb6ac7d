//! Liquidation as the auditor sees it: only what is due, after its call, never more than it has,
//! and against those who are first in rank.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    Event,
    event::{CashChanged, DebtIssued, LiquidationFeePaid, OrderAccepted, Trade},
    limits::MARGIN_CALL_GRACE_US,
    order::{OrderOrigin, TradeKind},
};

use crate::{
    auditor::{Auditor, Leg},
    auditor_solvency::Worth,
};

const FUND: u32 = 0;
/// An account may owe for so long, and over so many marks, before it is lifted.
const DEBT_US: u64 = 5_000_000;
const DEBT_MARKS: usize = 40;

/// 100,000 of the asset: of what is worth more a quarter goes at each of its marks.
const LARGE: i128 = 100_000 * 100_000_000;

/// What there was of each.
#[derive(Clone, Default)]
pub struct LiquidationBooks {
    /// When an account's last call was made that was not an order's, and after how many messages
    /// of the ledger.
    pub calls: BTreeMap<u32, (u64, u64)>,
    /// An earlier call of the fund's has been closed.
    pub fund_was_refused: bool,
    pub debt_calls: usize,
    pub orders: usize,
    pub takeovers: usize,
    pub deleverages: usize,
    pub unwound: usize,
    pub fees: usize,
    pub advances: usize,
    /// Quarters of large positions: on the book, taken over, and deleveraged.
    pub quarters: [usize; 3],
    /// Parts of isolated positions that were closed: against their owners' will, and by them.
    pub isolated: [usize; 2],
    /// Of which positions one has gone since their symbols' last marks; and of which one goes now.
    parted: BTreeSet<Leg>,
    parts: Option<Leg>,
    /// The last advance that has not been told to the ledger.
    advanced: Option<(u32, i64)>,
    /// Accounts that owe: since when, and over how many marks.
    owing: BTreeMap<u32, (u64, usize)>,
}

impl Auditor {
    /// Some pool is due, or the fund may sell: there can be work in any frame.
    pub fn expects_liquidation(&self) -> bool {
        let works = |leg: &Leg| leg.0 == FUND || is_due(&self.pool_of(*leg));
        let held = self.positions.iter().filter(|(_, held)| held.qty != 0);
        let owes = |account: &u32| is_due(&self.cross_worth(*account));
        held.map(|(leg, _)| leg).any(works) || self.cash.keys().any(owes)
    }

    fn pool_of(&self, leg: Leg) -> Worth {
        if !self.is_isolated(leg) {
            return self.cross_worth(leg.0);
        }
        let held = self.position(leg);
        let equity = i128::from(held.wallet) + self.value(leg, held) - i128::from(held.entry);
        Worth { equity, maintenance: self.maintenance(leg), beside: None }
    }

    /// Whoever is closed against his will is due, and his call was in an earlier frame.
    pub fn hear_forced(&mut self, order: &OrderAccepted) {
        let leg = (order.account.0, order.symbol.0, order.position_side as u8);
        match order.origin {
            OrderOrigin::Owner | OrderOrigin::Settlement | OrderOrigin::Deleverage => {}
            OrderOrigin::Liquidation => {
                let pool = self.pool_of(leg);
                assert!(is_due(&pool) && order.reduce_only, "{pool:?} {order:?}");
                assert!(self.is_isolated(leg) || self.was_called(leg.0), "not called: {order:?}");
                self.liquidation.orders += 1;
                self.hear_part(leg, order, &pool);
            }
            OrderOrigin::Takeover => assert_eq!((leg.0, order.reduce_only), (FUND, false)),
            OrderOrigin::Unwind => {
                assert_eq!((leg.0, order.reduce_only), (FUND, true));
                assert_eq!(order.price, self.symbols[&leg.1].mark);
                self.liquidation.unwound += 1;
            }
        }
    }

    /// While two thirds of what must stay are there, no more of a large position goes at a mark of
    /// its symbol than a quarter; without an index there are none.
    fn hear_part(&mut self, leg: Leg, order: &OrderAccepted, pool: &Worth) {
        let (held, symbol) = (self.position(leg), &self.symbols[&leg.1]);
        let (worth, table) = (self.value(leg, held).abs(), symbol.brackets.unwrap());
        let lowest = table.count == 1 || worth <= i128::from(table.rows[1].floor);
        if 3 * pool.equity < 2 * pool.maintenance || worth <= LARGE || !lowest {
            return;
        }
        assert!(4 * (order.qty - 1) < held.qty.abs(), "of {}: {order:?}", held.qty);
        let again = !self.liquidation.parted.insert(leg);
        assert!(!again || self.funding.is_away(leg.1), "twice at one mark: {order:?}");
        self.liquidation.parts = Some(leg);
    }

    /// A mark of the symbol has been told.
    pub fn let_parts_go(&mut self, symbol: u16) {
        self.liquidation.parted.retain(|leg| leg.1 != symbol);
    }

    /// How a part of a large position has gone.
    pub fn count_part(&mut self, trade: &Trade) {
        let leg = (trade.taker.account.0, trade.symbol.0, trade.taker.position_side as u8);
        if self.liquidation.parts.take() == Some(leg) {
            self.liquidation.quarters[trade.kind as usize] += 1;
        }
    }

    /// The account's last call has been answered, or its grace is over.
    pub fn was_called(&self, account: u32) -> bool {
        let call = self.liquidation.calls.get(&account);
        call.is_some_and(|(at, heard)| {
            self.links.applied > *heard || self.now >= at + MARGIN_CALL_GRACE_US
        })
    }

    /// Before a trade beside the book: the fund takes it, or who is first in rank.
    pub fn check_counterparty(&mut self, trade: &Trade) {
        let maker = trade.maker.account.0;
        if trade.kind == TradeKind::Takeover {
            self.liquidation.takeovers += 1;
            assert_eq!(maker, FUND);
            return;
        }
        self.liquidation.deleverages += 1;
        assert_ne!(maker, FUND);
        // a search may have begun before the call that is open now
        let refused = self.liquidation.fund_was_refused || self.was_called(FUND);
        let asked = trade.taker.account.0 == FUND || refused;
        assert!(asked, "the fund has had a call first: {trade:?}");
        if self.funding.is_open() {
            // whoever has not been booked yet stood elsewhere when the ranks were taken
            return;
        }
        let leg = (maker, trade.symbol.0, trade.maker.position_side as u8);
        let (taken, _) = self.rank(leg, trade).expect("it had a position");
        for (other, _) in self.positions.iter().filter(|(other, _)| other.1 == leg.1) {
            let outside = [FUND, trade.taker.account.0].contains(&other.0);
            if let (false, Some((rank, true))) = (outside, self.rank(*other, trade)) {
                let behind = rank < taken || rank == taken && (other.0, other.2) >= (leg.0, leg.2);
                assert!(
                    behind,
                    "the first in rank goes first: {other:?} has {rank}, {leg:?} {taken}: {trade:?}"
                );
            }
        }
    }

    /// Profit times leverage, or by it, of a position on the other side; and whether it bears the
    /// price for all that could be closed; of an isolated position for all of it.
    pub fn rank(&self, leg: Leg, trade: &Trade) -> Option<(i128, bool)> {
        let held = self.position(leg);
        if held.qty.signum() != trade.taker_side.sign() {
            return None;
        }
        let (pool, symbol) = (self.pool_of(leg), &self.symbols[&leg.1]);
        let share = (pool.equity * self.maintenance(leg)).div_euclid(pool.maintenance.max(1));
        let due = (trade.taker.account.0, leg.1, trade.taker.position_side as u8);
        let lots = match self.is_isolated(leg) {
            true => held.qty.abs(),
            false => held.qty.abs().min(self.position(due).qty.abs()),
        };
        let lots = i128::from(lots);
        let gain = i128::from(trade.price - symbol.mark) * lots * i128::from(symbol.mult);
        if share <= 0 {
            return None;
        }
        let bears = pool.equity + gain * i128::from(held.qty.signum()) >= 0;
        let e8 = 100_000_000;
        let bound = |factor: i128| factor.clamp(-(1 << 60), 1 << 60);
        let entry = i128::from(held.entry);
        let profit = bound((self.value(leg, held) - entry) * e8 / entry.abs());
        let leverage = bound(self.value(leg, held).abs() * e8 / share).max(1);
        let rank = if profit > 0 { profit * leverage / e8 } else { profit * e8 / leverage };
        Some((rank, bears))
    }

    /// Nobody pays a fee, and nobody is left with less than nothing who had something.
    pub fn check_forced_trade(&self, trade: &Trade, before: [Worth; 2]) {
        let fills = [&trade.taker, &trade.maker];
        assert!(fills.iter().all(|fill| fill.fee == 0), "{trade:?}");
        let [due, other] = fills.map(|fill| self.worth(trade.symbol.0, fill));
        assert!(due.equity >= before[0].equity.min(0), "{before:?} {due:?}: {trade:?}");
        match trade.kind {
            TradeKind::Takeover => assert!(other.equity >= other.maintenance, "{trade:?}"),
            _ => assert!(other.equity >= 0, "{before:?} {other:?}: {trade:?}"),
        }
    }

    pub fn hear_liquidation_fee(&mut self, fee: &LiquidationFeePaid) {
        assert!(fee.amount > 0 && !fee.account.is_insurance(), "{fee:?}");
        self.liquidation.fees += 1;
        let leg = (fee.account.0, fee.symbol.0, fee.position_side as u8);
        let wallet = self.position(leg).wallet;
        let cash = self.cash.get_mut(&fee.account.0).unwrap();
        *cash -= fee.amount;
        assert_eq!(*cash, fee.cash);
        assert_eq!(wallet, fee.isolated_wallet, "it is of what came out of the wallet");
    }

    /// An advance lifts to nothing whom nothing is left to close of.
    pub fn hear_advance(&mut self, advance: &CashChanged) {
        let worth = self.cross_worth(advance.account.0);
        assert_eq!((worth.equity, worth.maintenance), (0, 0), "{advance:?}");
        assert!(advance.delta > 0 && !advance.account.is_insurance(), "{advance:?}");
        assert!(self.was_called(advance.account.0), "not called: {advance:?}");
        self.liquidation.advances += 1;
        let open = self.liquidation.advanced.replace((advance.account.0, advance.delta));
        assert_eq!(open, None, "each is told");
    }

    pub fn hear_debt(&mut self, debt: &DebtIssued) {
        let told = self.liquidation.advanced.take();
        assert_eq!(told, Some((debt.account.0, debt.amount)));
    }

    /// Nobody owes for long.
    pub fn check_debts(&mut self, events: &[Event]) {
        assert_eq!(self.liquidation.advanced, None, "each advance is told");
        let marked = events.iter().any(|event| matches!(event, Event::Mark(_)));
        let owes = |account: &u32| {
            let worth = self.cross_worth(*account);
            worth.maintenance == 0 && worth.equity < 0 && *account != FUND
        };
        let owing: Vec<u32> = self.cash.keys().copied().filter(owes).collect();
        self.liquidation.owing.retain(|account, _| owing.contains(account));
        for account in owing {
            let entry = self.liquidation.owing.entry(account).or_insert((self.now, 0));
            entry.1 += usize::from(marked);
            let over = self.now - entry.0 > DEBT_US && entry.1 > DEBT_MARKS;
            assert!(!over, "{account} owes since {}", entry.0);
        }
    }
}

fn is_due(pool: &Worth) -> bool {
    match pool.maintenance {
        0 => pool.equity < 0,
        least => pool.equity <= least,
    }
}
