//! The auditor's eye on the ends of symbols: first nothing is open, then nothing is held, and each
//! position is closed once, whole, at one price.

use protocol::{
    event::{OrderAccepted, PositionSettled, SymbolStateChanged},
    order::{OrderOrigin, SymbolState},
};

use crate::auditor::Auditor;

impl Auditor {
    pub fn hear_state(&mut self, change: &SymbolStateChanged) {
        let id = change.symbol.0;
        let settles = change.state == SymbolState::Settling;
        assert_eq!(settles, change.settlement > 0, "{change:?}");
        let symbol = self.symbols.get_mut(&id).unwrap();
        let before = std::mem::replace(&mut symbol.settlement, change.settlement);
        if before == 0 {
            return;
        }
        if settles {
            assert_eq!(before, change.settlement, "one price for all");
            return;
        }
        assert_eq!(change.state, SymbolState::Halted, "it ends in a halt");
        let held = self.positions.iter().filter(|((_, of, _), held)| *of == id && held.qty != 0);
        assert_eq!(held.count(), 0, "nothing is held");
        self.settled += 1;
        self.check_cleared(id);
    }

    /// Positions are closed after all that was open has ended.
    pub fn check_settling(&self, order: &OrderAccepted) {
        if order.origin == OrderOrigin::Settlement {
            let settles = self.symbols[&order.symbol.0].settlement != 0;
            assert!(settles, "only while it is being settled: {order:?}");
            self.check_cleared(order.symbol.0);
        }
    }

    pub fn hear_settled(&mut self, settled: &PositionSettled) {
        let PositionSettled { symbol, side, price, qty, fill, .. } = *settled;
        let known = self.symbols.get_mut(&symbol.0).unwrap();
        known.trades += 1;
        assert_eq!(settled.trade.0, known.trades, "trade ids are dense");
        assert_eq!(price, known.settlement, "{settled:?}");
        assert_eq!((fill.position, fill.entry, fill.fee), (0, 0, 0), "{settled:?}");
        let value = i128::from(price) * i128::from(qty) * i128::from(known.mult);
        let moved = self.hear_fill(symbol.0, &fill, side, qty, value);
        let worth = -i128::from(side.sign()) * value;
        assert_eq!(i128::from(fill.pnl), worth + moved, "worth less its entry: {settled:?}");
    }

    /// Nothing is open on a symbol, and nothing waits to be.
    fn check_cleared(&self, symbol: u16) {
        let mut orders = self.orders.iter();
        let open = orders.any(|((of, _), order)| *of == symbol && !order.ended);
        assert!(!open, "orders of a symbol without a future");
        assert!(!self.algos.waits_on(symbol), "conditional orders of a symbol without a future");
    }
}
