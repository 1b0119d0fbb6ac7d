//! The auditor's eye on margin: what backs a position, and that nothing is missing.

use std::collections::BTreeMap;

use protocol::{
    CommandKind, Event,
    event::{HeldIssued, MarginMoved, OrderAccepted, PositionModeChanged, SettingsChanged, Trade},
    order::{MarginMode, PositionMode, PositionSide, Side},
};

use crate::auditor::{Auditor, Leg, Position};

/// What accounts chose, by symbol.
#[derive(Clone, Default)]
pub struct Modes {
    leverage: BTreeMap<(u32, u16), u8>,
    isolated: BTreeMap<(u32, u16), bool>,
    /// Accounts in hedge mode, and those that are held.
    hedge: BTreeMap<u32, bool>,
    held: BTreeMap<u32, bool>,
    /// Changes of the position mode, to know that a flow has some.
    pub changed: usize,
    /// Margin moved into wallets and out of them, to know that a flow does it.
    pub moved: [usize; 2],
}

const fn div_ceil(dividend: i128, divisor: i128) -> i128 {
    -(-dividend).div_euclid(divisor)
}

impl Auditor {
    pub fn hear_settings(&mut self, set: &SettingsChanged) {
        let key = (set.account.0, set.symbol.0);
        self.modes.leverage.insert(key, set.leverage);
        let isolated = set.margin_mode == MarginMode::Isolated;
        let before = self.modes.isolated.insert(key, isolated).unwrap_or(false);
        let mut legs = self.positions.range((key.0, key.1, 0)..=(key.0, key.1, u8::MAX));
        let flat = legs.all(|(_, held)| held.qty == 0);
        assert!(before == isolated || flat, "a margin mode changes without a position: {set:?}");
    }

    pub fn hear_mode(&mut self, change: &PositionModeChanged) {
        let account = change.account.0;
        let mut orders = self.orders.values();
        let open = orders.any(|order| order.account == account && !order.ended);
        let legs = self.positions.range((account, 0, 0)..=(account, u16::MAX, u8::MAX));
        let flat = legs.into_iter().all(|(_, held)| held.qty == 0);
        let hedge = change.mode == PositionMode::Hedge;
        let before = self.modes.hedge.insert(account, hedge).unwrap_or(false);
        let was_held = self.modes.held.insert(account, change.held).unwrap_or(false);
        let may_change = was_held && flat && !open;
        assert!(before == hedge || may_change, "only out of a hold and clean: {change:?}");
        self.modes.changed += usize::from(before != hedge);
    }

    /// Accounts that are held take no orders but those that fire.
    pub fn check_held(&self, events: &[Event]) {
        let Some(Event::Outcome(outcome)) = events.last() else { return };
        if outcome.command != CommandKind::Place as u16 || !outcome.reject.is_none() {
            return;
        }
        let placed = events.iter().rev().find_map(|event| match event {
            Event::OrderAccepted(order) => Some(order),
            _ => None,
        });
        let held = placed.and_then(|order| self.modes.held.get(&order.account.0));
        assert_ne!(held, Some(&true), "{placed:?}");
    }

    /// Legs are of hedge mode, and each has its sign.
    pub fn check_leg(&self, order: &OrderAccepted) {
        let of = |map: &BTreeMap<u32, bool>| map.get(&order.account.0).copied().unwrap_or(false);
        let both = order.position_side == PositionSide::Both;
        assert_ne!(of(&self.modes.hedge), both, "{order:?}");
        let closes = order.position_side.closed_by(order.side);
        assert!(order.reduce_only || !closes, "what closes a leg only reduces: {order:?}");
    }

    pub fn hear_margin(&mut self, moved: &MarginMoved) {
        let leg = (moved.account.0, moved.symbol.0, moved.position_side as u8);
        assert!(self.is_isolated(leg) && moved.delta != 0, "{moved:?}");
        let mut held = self.position(leg);
        assert_ne!(held.qty, 0, "only a position has a wallet: {moved:?}");
        held.wallet += moved.delta;
        assert_eq!((held.wallet, self.cash[&leg.0]), (moved.isolated_wallet, moved.cash));
        self.positions.insert(leg, held);
        self.modes.moved[usize::from(moved.delta < 0)] += 1;
        if moved.delta > 0 {
            assert!(self.available(leg.0) >= 0, "only what is available goes in: {moved:?}");
        } else {
            let value = self.value(leg, held);
            let worth = i128::from(held.wallet) + value - i128::from(held.entry);
            let least = div_ceil(value.abs(), self.leverage(leg));
            assert!(held.wallet >= 0 && worth >= least, "what must stay stays: {moved:?}");
        }
    }

    /// A wallet follows its position: its part of what closes goes, what opens brings its margin.
    pub fn check_wallet(&self, leg: Leg, before: Position, after: Position, lot: i128) {
        let sign = [0, 1, -1][usize::from(leg.2)];
        assert!(sign == 0 || after.qty * sign >= 0, "a leg on its side: {leg:?} {}", after.qty);
        if !self.is_isolated(leg) {
            assert_eq!(after.wallet, 0, "a cross position has no wallet: {leg:?}");
            return;
        }
        let kept = match before.qty.signum() == after.qty.signum() {
            true => before.qty.abs().min(after.qty.abs()),
            false => 0,
        };
        let held = i128::from(before.qty.abs()).max(1);
        let stays = div_ceil(i128::from(before.wallet) * i128::from(kept), held);
        let comes = div_ceil(i128::from(after.qty.abs() - kept) * lot, self.leverage(leg));
        assert_eq!(i128::from(after.wallet), stays + comes, "{leg:?}: {} lots", after.qty);
    }

    /// An isolated position that is worth less than nothing: closing it costs cross money.
    pub fn is_lost(&self, leg: Leg) -> bool {
        let held = self.position(leg);
        let profit = self.value(leg, held) - i128::from(held.entry);
        self.is_isolated(leg) && i128::from(held.wallet) + profit < 0
    }

    /// What a fill may take of an isolated account beyond what its orders held back: the larger of
    /// both sides is held back, so who sells above the mark while his bids hold back more sets
    /// aside, out of what is available, the margin of what he was paid above the mark. That is
    /// profit, which his wallet has from then on.
    pub fn beyond_reserve(&self, account: u32, trade: &Trade) -> i128 {
        let sides = [(&trade.taker, trade.taker_side), (&trade.maker, trade.taker_side.opposite())];
        let beyond = sides.map(|(fill, side)| {
            let leg = (fill.account.0, trade.symbol.0, fill.position_side as u8);
            let symbol = &self.symbols[&trade.symbol.0];
            let above = (trade.price - symbol.mark).max(0);
            if side == Side::Buy || fill.account.0 != account || !self.is_isolated(leg) {
                return 0;
            }
            let value = i128::from(above) * i128::from(trade.qty) * i128::from(symbol.mult);
            div_ceil(value, self.leverage(leg))
        });
        beyond.iter().sum()
    }

    /// What was accepted is reserved: at the mark of its accept no margin is lacking, but for a
    /// fee's rounding at each fill, and what [`Self::beyond_reserve`] says.
    pub fn check_margin(&self, events: &[Event]) {
        let Some((account, fills, beyond)) = self.accepted else { return };
        let available = self.available(account);
        // a fee at each fill, the margin's own division, and a wallet's two round once each
        let enough = available >= -(4 * fills as i128) - beyond;
        assert!(enough, "an accepted order of {account} lacks {available}: {events:?}");
    }

    /// What a held account is said to spare leaves its margin whole and its profit in.
    pub fn hear_held(&self, held: &HeldIssued) {
        assert_eq!(i128::from(held.spare), self.spare(held.account.0), "{held:?}");
    }

    /// What is available without profit that is not realised.
    pub fn spare(&self, account: u32) -> i128 {
        let legs = self.positions.range((account, 0, 0)..=(account, u16::MAX, u8::MAX));
        let profits = legs.filter(|(leg, _)| !self.is_isolated(**leg));
        let profits = profits.map(|(leg, of)| self.value(*leg, *of) - i128::from(of.entry));
        self.available(account) - profits.sum::<i128>().max(0)
    }

    /// Cross equity less what must be covered by it.
    pub fn available(&self, account: u32) -> i128 {
        let legs = (account, 0, 0)..=(account, u16::MAX, u8::MAX);
        let mut known: Vec<Leg> = self.positions.range(legs.clone()).map(|(leg, _)| *leg).collect();
        known.extend(self.reserved.range(legs).map(|(leg, _)| *leg));
        known.sort_unstable();
        known.dedup();
        let mut available = i128::from(self.cash.get(&account).copied().unwrap_or(0));
        for leg in known {
            let held = self.position(leg);
            available += match self.is_isolated(leg) {
                true => -i128::from(held.wallet),
                false => self.value(leg, held) - i128::from(held.entry),
            };
            let sums = self.reserved_sums(leg);
            available -= self.initial_margin(leg, sums, self.leverage(leg));
        }
        available
    }

    /// What was told last of a leg's orders: bids, asks, losses against the mark, and fees.
    pub fn reserved_sums(&self, leg: Leg) -> [i128; 4] {
        self.reserved.get(&leg).copied().unwrap_or([0; 4]).map(i128::from)
    }

    /// What cross equity must cover of a leg with orders of these sums.
    pub fn initial_margin(&self, leg: Leg, sums: [i128; 4], leverage: i128) -> i128 {
        let value = self.value(leg, self.position(leg));
        let [buy, sell] = [value + sums[0], value - sums[1]];
        let worst = match (self.is_isolated(leg), value) {
            (false, _) => buy.abs().max(sell.abs()),
            (true, 0..) => sums[0].max(-sell).max(0),
            (true, _) => sums[1].max(buy).max(0),
        };
        div_ceil(worst, leverage) + sums[2] + sums[3]
    }

    pub fn value(&self, leg: Leg, held: Position) -> i128 {
        let symbol = &self.symbols[&leg.1];
        i128::from(held.qty) * i128::from(symbol.mark) * i128::from(symbol.mult)
    }

    pub fn leverage(&self, (account, symbol, _): Leg) -> i128 {
        let chosen = self.modes.leverage.get(&(account, symbol)).copied().unwrap_or(0);
        let symbol = &self.symbols[&symbol];
        let default = symbol.default_leverage.min(symbol.top_leverage);
        if chosen == 0 { default.into() } else { chosen.into() }
    }

    pub fn is_isolated(&self, (account, symbol, _): Leg) -> bool {
        self.modes.isolated.get(&(account, symbol)).copied().unwrap_or(false)
    }
}
