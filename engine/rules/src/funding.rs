//! Funding: what longs pay shorts, or get from them, so that a perpetual contract stays near its
//! index.

use protocol::{Cash, Lots, RATE_ONE, Rate, Ticks};

use crate::{
    mark::MARK_BAND,
    money::{div_ceil, div_floor, share_ceil, value},
};

/// The interest of eight hours: 0.01 %.
pub const INTEREST: Rate = 10_000;
/// How far interest pulls the premium at most, in eight hours: 0.05 %.
pub const INTEREST_PULL: Rate = 50_000;
/// The hours that [`INTEREST`] and a premium are of.
const RATE_HOURS: i128 = 8;
/// The value that an impact price is measured with, of a leverage of one: 200 units.
const IMPACT_NOTIONAL: Cash = 200 * RATE_ONE;

/// The value that impact prices of a symbol are measured with.
pub const fn impact_notional(leverage_max: u8) -> Cash {
    IMPACT_NOTIONAL * leverage_max as i64
}

/// An order's way through the levels of one side until it has traded a given value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impact {
    left: i128,
    /// Lots taken, times the symbol's mult.
    taken: i128,
}

impl Impact {
    pub const fn of(notional: Cash) -> Self {
        Self { left: notional as i128, taken: 0 }
    }

    /// Takes a level; the average price in units of 1e-8 once the value has been traded, as
    /// dividend and divisor.
    ///
    /// Shape: the notional is below 2^42 and a price in units of 1e-8 below 2^84.
    pub fn take(
        &mut self,
        notional: Cash,
        price: Ticks,
        qty: Lots,
        mult: i64,
        tick_e8: i64,
    ) -> Option<(i128, i128)> {
        let level = value(price, qty, mult);
        if level < self.left {
            self.left -= level;
            self.taken += i128::from(qty) * i128::from(mult);
            return None;
        }
        let price = i128::from(price);
        let dividend = i128::from(notional) * i128::from(tick_e8) * price;
        Some((dividend, self.taken * price + self.left))
    }
}

/// What an impact bid above the index adds to the premium: as a part of the index, rounded down,
/// at most [`MARK_BAND`].
pub fn bid_premium(impact: (i128, i128), index_e8: i64) -> Rate {
    premium(div_floor(impact.0, impact.1) - i128::from(index_e8), index_e8)
}

/// What an impact ask below the index takes from the premium, likewise.
pub fn ask_premium(impact: (i128, i128), index_e8: i64) -> Rate {
    premium(i128::from(index_e8) - div_ceil(impact.0, impact.1), index_e8)
}

fn premium(apart_e8: i128, index_e8: i64) -> Rate {
    let apart = apart_e8.clamp(0, i128::from(index_e8));
    let part = div_floor(apart * i128::from(RATE_ONE), i128::from(index_e8));
    part.min(i128::from(MARK_BAND)) as Rate
}

/// The premiums of an interval, the later ones weighing more: the nth counts n times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Premiums {
    pub count: u64,
    /// Sum of premium times weight.
    pub sum: i128,
}

impl Premiums {
    pub fn add(&mut self, premium: Rate) {
        self.count += 1;
        self.sum += i128::from(premium) * i128::from(self.count);
    }

    /// The weighted average, rounded toward zero; 0 without samples.
    pub fn average(&self) -> Rate {
        let weights = i128::from(self.count) * (i128::from(self.count) + 1) / 2;
        if weights == 0 { 0 } else { (self.sum / weights) as Rate }
    }
}

/// The highest funding rate: three quarters of the first bracket's maintenance rate, rounded
/// down; the lowest is its negative.
pub const fn cap(maintenance: u32) -> Rate {
    maintenance as Rate * 3 / 4
}

/// The rate of an interval: the average premium, drawn towards the interest by at most
/// [`INTEREST_PULL`], scaled from eight hours to the interval, rounded toward zero and capped.
pub fn rate(average_premium: Rate, interval_hours: u8, cap: Rate) -> Rate {
    let pull = (INTEREST - average_premium).clamp(-INTEREST_PULL, INTEREST_PULL);
    let whole = i128::from(average_premium + pull) * i128::from(interval_hours) / RATE_HOURS;
    whole.clamp(-i128::from(cap), i128::from(cap)) as Rate
}

/// What a position pays at a funding; negative: what it gets. A payment is rounded up, a receipt
/// down.
pub fn charge(qty: Lots, mark: Ticks, mult: i64, rate: Rate) -> i128 {
    share_ceil(value(mark, qty, mult), rate)
}

/// The first funding time after `now_us`: all are whole multiples of the interval.
pub const fn next_time(now_us: u64, interval_hours: u8) -> u64 {
    let interval = interval_us(interval_hours);
    now_us - now_us % interval + interval
}

pub const fn interval_us(interval_hours: u8) -> u64 {
    interval_hours as u64 * 3_600_000_000
}
