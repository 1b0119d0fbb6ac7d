//! Leverage brackets: how much position a leverage allows and what must stay behind it.

use protocol::{
    Cash, RATE_ONE, Rate,
    instrument::{Bracket, Brackets},
    limits::{BRACKETS_MAX, LEVERAGE_MAX, NOTIONAL_MAX},
};

use crate::money::{share_ceil, unscale_ceil};

/// A checked bracket table with the constants that make maintenance margin continuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BracketTable {
    count: usize,
    rows: [Bracket; BRACKETS_MAX],
    /// `cum_0 = 0, cum_i = cum_(i-1) + floor_i * (mmr_i - mmr_(i-1))`, times [`RATE_ONE`].
    cum: [i128; BRACKETS_MAX],
}

impl BracketTable {
    /// `None` when the table contradicts itself: no rows, gaps, a falling maintenance rate, a
    /// rising leverage, or a leverage whose initial margin is below the maintenance margin.
    pub fn new(brackets: &Brackets) -> Option<Self> {
        let count = usize::from(brackets.count);
        let rows = brackets.rows.get(..count)?;
        let first = rows.first()?;
        if first.floor != 0 || first.max_leverage > u32::from(LEVERAGE_MAX) {
            return None;
        }
        let each = rows.iter().all(|row| {
            row.cap > row.floor
                && row.cap <= NOTIONAL_MAX
                && row.max_leverage >= 1
                && row.maintenance >= 1
                && u64::from(row.maintenance) * u64::from(row.max_leverage) <= RATE_ONE as u64
        });
        let ascending = rows.windows(2).all(|pair| {
            pair[1].floor == pair[0].cap
                && pair[1].maintenance >= pair[0].maintenance
                && pair[1].max_leverage <= pair[0].max_leverage
        });
        if !each || !ascending {
            return None;
        }
        let mut table =
            Self { count, rows: [Bracket::default(); BRACKETS_MAX], cum: [0; BRACKETS_MAX] };
        table.rows[..count].copy_from_slice(rows);
        for i in 1..count {
            let step = i128::from(rows[i].maintenance) - i128::from(rows[i - 1].maintenance);
            table.cum[i] = table.cum[i - 1] + i128::from(rows[i].floor) * step;
        }
        Some(table)
    }

    pub fn rows(&self) -> &[Bracket] {
        &self.rows[..self.count]
    }

    /// The bracket of a position value: its place from 0. Values beyond the last cap are in the
    /// last bracket, where a moving mark can carry a position.
    pub fn bracket_of(&self, value: i128) -> usize {
        // caps are 64 bits wide, and beyond those is beyond the last
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let inside = |row: &Bracket| value <= row.cap;
        self.rows().iter().position(inside).unwrap_or(self.count - 1)
    }

    /// Maintenance margin of a position value: `max(0, ceil(value * mmr) - cum)`, with cum's
    /// fraction kept until the one rounding up.
    pub fn maintenance(&self, value: i128) -> i128 {
        let i = self.bracket_of(value);
        let exact = value * i128::from(self.rows[i].maintenance) - self.cum[i];
        unscale_ceil(exact).max(0)
    }

    /// Rate and constant of a bracket: `maintenance = (value * rate - cum) / RATE_ONE`.
    pub fn terms(&self, bracket: usize) -> (i128, i128) {
        (i128::from(self.rows[bracket].maintenance), self.cum[bracket])
    }

    /// What a maintenance margin takes at the most of each unit of value that is added: the last
    /// bracket's rate, in parts of so many, rounded up.
    pub const fn steepest(&self, parts: u32) -> u32 {
        (self.steepest_rate() as u64 * parts as u64).div_ceil(RATE_ONE as u64) as u32
    }

    /// As [`Self::steepest`], as a rate.
    pub const fn steepest_rate(&self) -> Rate {
        self.rows[self.count - 1].maintenance as Rate
    }

    /// A bracket's constant in cash units, as clients are told it.
    pub fn cum_shown(&self, bracket: usize) -> Cash {
        crate::money::cash(share_ceil(self.cum[bracket], 1))
    }

    /// The highest leverage of any bracket.
    pub fn leverage_max(&self) -> u8 {
        self.rows[0].max_leverage as u8
    }

    /// The most position value that a leverage allows; 0 when no bracket allows the leverage.
    pub fn value_max(&self, leverage: u8) -> Cash {
        let allows = |row: &&Bracket| row.max_leverage >= u32::from(leverage);
        self.rows().iter().take_while(allows).last().map_or(0, |row| row.cap)
    }

    /// The leverage of an account that has not chosen one.
    pub fn default_leverage(&self, of_symbol: u8) -> u8 {
        of_symbol.min(self.leverage_max())
    }
}
