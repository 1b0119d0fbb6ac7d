//! Streams of commands to a book, the same ones each time, with the sums they must lead to.
//!
//! A generator runs a naive book beside it, because whom it cancels or moves depends on who still
//! rests. The stream is made before anything is measured.

use std::fmt;

use clap::ValueEnum;
use protocol::{AccountId, Lots, OrderId, Ticks, order::Side};
use serde::Serialize;

mod exchange_core;
mod maker;
mod mirror;
mod random;
pub mod whole;

pub use mirror::{ACCOUNTS, apply_to_twin};

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowName {
    /// exchange-core's published generator: mostly moves.
    A,
    /// A perpetual's market makers: mostly place and cancel.
    B,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Good till cancelled.
    Place,
    /// Immediate or cancel.
    Take,
    Cancel,
    /// To another price, behind whoever is there; it takes what it meets on the way.
    Move,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    pub id: OrderId,
    pub price: Ticks,
    /// What is left of the order that is moved or cancelled; of a new one, all of it.
    pub qty: Lots,
    pub account: AccountId,
    pub side: Side,
    pub op: Op,
}

/// What a book must have done at the end of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub trades: u64,
    pub quantity: i64,
    /// The sum of price times quantity.
    pub notional: i64,
    pub resting: u64,
}

impl Sums {
    #[inline]
    pub fn trade(&mut self, price: Ticks, qty: Lots) {
        self.trades += 1;
        self.quantity += qty;
        self.notional += price * qty;
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trades, quantity, notional, resting } = self;
        write!(f, "trades {trades}, quantity {quantity}, notional {notional}, resting {resting}")
    }
}

/// A stream of commands.
#[derive(Debug)]
pub struct Flow {
    pub commands: Vec<Command>,
    /// The first so many fill the book and are not measured.
    pub warm: usize,
    pub golden: Sums,
}

impl Flow {
    /// Makes the stream; always the same one for a name.
    pub fn make(name: FlowName) -> Self {
        match name {
            FlowName::A => Self {
                commands: exchange_core::commands(),
                warm: exchange_core::WARM,
                golden: exchange_core::GOLDEN,
            },
            FlowName::B => Self {
                commands: maker::commands(maker::MEASURED),
                warm: maker::WARM,
                golden: maker::GOLDEN,
            },
        }
    }

    /// Flow B with so many measured commands, for whom there are no golden sums.
    pub fn makers(measured: usize) -> Self {
        let commands = maker::commands(measured);
        Self { commands, warm: maker::WARM, golden: Sums::default() }
    }
}

#[cfg(test)]
mod tests {
    use engine::book::twin::Twin;

    use super::*;

    #[test]
    fn flows_lead_to_their_golden_sums() {
        for name in [FlowName::A, FlowName::B] {
            let flow = Flow::make(name);
            let (mut twin, mut sums) = (Twin::default(), Sums::default());
            for command in &flow.commands {
                apply_to_twin(&mut twin, command, &mut sums);
            }
            sums.resting = twin.len() as u64;
            assert_eq!(sums, flow.golden, "flow {name:?}");
        }
    }
}
