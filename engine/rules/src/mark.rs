//! The mark price: what a position is worth, taken from an index, the book and the last trade, so
//! that neither a thin book nor a single trade moves it far.

use protocol::{RATE_ONE, Rate, Ticks, limits::PRICE_MAX};

use crate::{instrument::to_ticks, money::div_floor};

/// How far from the index the mark can be, as a part of the index: 5 %.
pub const MARK_BAND: Rate = 5_000_000;

/// What a mark is made of. Prices in quote units of 1e-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkTerms {
    pub index_e8: i64,
    pub tick_e8: i64,
    /// The rate of the last funding, the time until the next and between two, in seconds.
    pub rate: Rate,
    pub left_s: u64,
    pub interval_s: u64,
    /// How far the middle of the book has been from the index, on average.
    pub basis_e8: i64,
    /// The last trade; 0: there was none, and the index stands for it.
    pub last: Ticks,
}

impl MarkTerms {
    /// The median of three: the index with the part of the last funding that is still to come, the
    /// index with the average basis, and the last trade. It is kept within [`MARK_BAND`] of the
    /// index; bounds and median are rounded to the nearest tick, halves up. `None`: the index is
    /// outside the prices there are.
    ///
    /// Shape: a price is below 2^63, a rate below 2^27 and a time below 2^20, so products fit.
    pub fn mark(&self) -> Option<Ticks> {
        to_ticks(self.index_e8, self.tick_e8)?;
        let index = i128::from(self.index_e8);
        let left = i128::from(self.left_s.min(self.interval_s));
        let whole = i128::from(self.interval_s) * i128::from(RATE_ONE);
        let by_funding = match self.rate {
            0 => index,
            rate => index + div_floor(index * i128::from(rate) * left, whole),
        };
        let by_basis = index + i128::from(self.basis_e8);
        let last = match self.last {
            0 => index,
            last => i128::from(last) * i128::from(self.tick_e8),
        };
        let reach = i128::from(band_e8(self.index_e8));
        let price = median(by_funding, by_basis, last).clamp(index - reach, index + reach);
        let ticks = div_floor(2 * price + i128::from(self.tick_e8), 2 * i128::from(self.tick_e8));
        Some(ticks.clamp(1, i128::from(PRICE_MAX)) as Ticks)
    }
}

/// Half the width of the mark's band, rounded down, in units of 1e-8.
pub fn band_e8(index_e8: i64) -> i64 {
    // a part of it, so it fits
    div_floor(i128::from(index_e8) * i128::from(MARK_BAND), i128::from(RATE_ONE)) as i64
}

/// The basis of this moment: the middle of best bid and ask less the index, rounded down and kept
/// within the mark's band, so that one wild quote weighs no more than it could move the mark.
pub fn basis_e8(bid: Ticks, ask: Ticks, tick_e8: i64, index_e8: i64) -> i64 {
    let twice = (i128::from(bid) + i128::from(ask)) * i128::from(tick_e8);
    let reach = i128::from(band_e8(index_e8));
    (div_floor(twice, 2) - i128::from(index_e8)).clamp(-reach, reach) as i64
}

fn median(a: i128, b: i128, c: i128) -> i128 {
    a.min(b).max(a.max(b).min(c))
}
