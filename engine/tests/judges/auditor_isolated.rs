//! What an isolated position may cost, as the auditor sees it close: its own wallet, and no more.

use protocol::{event::Fill, order::OrderOrigin};
use rules::money::div_ceil;

use crate::auditor::{Auditor, Leg, Position};

/// A wallet's part and an entry's round once each.
const ROUNDED: i128 = 2;

impl Auditor {
    /// The part that closes takes its part of the wallet with it, and loses no more than that:
    /// whoever is closed against his will, at whatever price. So does an owner who only reduces,
    /// and takes, as far as the mark itself has left something of it: his limit is cut to that.
    ///
    /// Not so what turns a position round, or rests: its loss against the mark is held back, or
    /// must leave the pool and what is beside it solvent. An end is at one price for all.
    pub fn check_isolated_loss(&mut self, leg: Leg, before: Position, fill: &Fill, takes: bool) {
        let stays = before.qty.signum() == fill.position.signum();
        let kept = if stays { before.qty.abs().min(fill.position.abs()) } else { 0 };
        let closed = i128::from(before.qty.abs() - kept);
        if closed == 0 || !self.is_isolated(leg) {
            return;
        }
        let (held, kept) = (i128::from(before.qty.abs()), i128::from(kept));
        let wallet = i128::from(before.wallet);
        let released = wallet - div_ceil(wallet * kept, held);
        let left = released + i128::from(fill.pnl);
        let symbol = &self.symbols[&leg.1];
        let value = i128::from(before.qty.signum()) * i128::from(symbol.mark) * closed;
        let at_mark = value * i128::from(symbol.mult)
            - div_ceil(i128::from(before.entry) * closed, held)
            + released;
        let origin = self.orders[&(leg.1, fill.order.0)].origin;
        let least = match origin {
            OrderOrigin::Liquidation | OrderOrigin::Deleverage => 0,
            OrderOrigin::Owner if fill.reduce_only && takes => at_mark.min(0),
            OrderOrigin::Owner | OrderOrigin::Settlement => return,
            OrderOrigin::Takeover | OrderOrigin::Unwind => panic!("the fund is cross: {fill:?}"),
        };
        let costs_more = || format!("costs more than its wallet: {before:?} {fill:?} {origin:?}");
        assert!(left >= least - ROUNDED, "{left} of {least} left, {}", costs_more());
        self.liquidation.isolated[usize::from(origin == OrderOrigin::Owner)] += 1;
    }
}
