//! The arithmetic of margin trading: what an order reserves, what a position is worth, when it
//! is too much.
//!
//! Engines decide with these functions and gateways show what they return, so a trader never sees
//! a figure that the engine would compute differently. Everything is exact: amounts are integers,
//! products are i128, and the one rounding policy is that a user pays rounded up and receives
//! rounded down.
#![no_std]

extern crate alloc;

pub mod adl;
pub mod brackets;
pub mod fees;
pub mod funding;
pub mod guard;
pub mod instrument;
pub mod liquidation;
pub mod margin;
pub mod mark;
pub mod money;
pub mod order;
pub mod position;

pub use brackets::BracketTable;
pub use margin::{Exposure, Reserved};
pub use order::{OrderTerms, Reservation};
pub use position::Position;

#[cfg(test)]
mod adl_test;
#[cfg(test)]
mod funding_test;
#[cfg(test)]
mod guard_test;
#[cfg(test)]
mod liquidation_test;
#[cfg(test)]
mod rules_test;
