//! The last 24 hours of a symbol in one row, from its minutes.

use protocol::{Lots, Ticks};

use super::{SymbolMarket, interval::DAY_MS};

/// What happened in the 24 hours up to a time, to the minute. Without a trade in them it is flat
/// at the last price, and all zero before the first trade ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticker {
    pub open_ms: i64,
    pub close_ms: i64,
    pub open: Ticks,
    pub high: Ticks,
    pub low: Ticks,
    pub last: Ticks,
    pub last_qty: Lots,
    pub volume: Lots,
    /// In units of 1e-8.
    pub quote: i128,
    pub count: i64,
    /// Zero when there was no trade.
    pub first_id: u64,
    pub last_id: u64,
}

impl Ticker {
    pub fn of(market: &SymbolMarket, now_ms: i64) -> Self {
        let open_ms = now_ms - DAY_MS;
        let mut ticker = Self { open_ms, close_ms: now_ms, ..Self::default() };
        let Some(last) = market.tape.last() else { return ticker };
        (ticker.last, ticker.last_qty) = (last.price, last.qty);

        // newest first, because most of what is kept is older than a day only when it is idle
        for bar in market.candles.minutes().rev().take_while(|bar| bar.open_ms > open_ms) {
            if ticker.count == 0 {
                (ticker.high, ticker.low, ticker.last_id) = (bar.high, bar.low, bar.last_id);
            }
            ticker.high = ticker.high.max(bar.high);
            ticker.low = ticker.low.min(bar.low);
            ticker.open = bar.open;
            ticker.first_id = bar.first_id;
            ticker.volume = ticker.volume.saturating_add(bar.volume);
            ticker.quote += bar.quote;
            ticker.count += bar.count;
        }
        if ticker.count == 0 {
            (ticker.open, ticker.high, ticker.low) = (last.price, last.price, last.price);
        }
        ticker
    }

    pub const fn change(&self) -> Ticks {
        self.last - self.open
    }

    /// The change in hundredths of a percent of the opening price, cut toward zero.
    pub fn change_percent_e2(&self) -> i128 {
        if self.open == 0 {
            return 0;
        }
        i128::from(self.change()) * 10_000 / i128::from(self.open)
    }
}
