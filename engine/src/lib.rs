//! One shard's mind: a pure function from its log to events.
//!
//! [`Engine::apply`] takes the frames of the log one by one and says what happened. It knows no
//! clock, no file and no thread: time is what the frames say, so the same log gives the same
//! events and the same state on every machine. Shard 0 is the ledger, the others trade.
//!
//! ```text
//!   frame ─▶ decode ─▶ sessions ─▶ ┬ shard  ─▶ orders ─▶ matching ─▶ book
//!                 (once, in order) │        │               └─▶ accounts, reduce_only
//!                                  │        └ algos ─▶ triggers ─▶ work ─▶ firing ─▶ orders
//!                                  └ ledger ─▶ links
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod accounts;
mod algos;
mod amend;
mod bands;
pub mod book;
mod calls;
mod checks;
mod client_ids;
mod countdowns;
mod dated;
mod deadlines;
mod desk;
mod due;
mod engine;
mod firing;
mod forced;
mod foresight;
mod funding;
mod guard;
mod hash;
mod ledger;
pub mod limits;
mod links;
mod matching;
mod open_ids;
#[cfg(test)]
mod open_ids_test;
mod orders;
mod output;
mod pricing;
mod reduce_only;
mod saved;
mod sessions;
mod settings;
mod settling;
mod shard;
mod solvency;
mod sweeps;
mod symbols;
mod trails;
#[cfg(test)]
mod trails_test;
mod triggers;
mod verdict;
mod work;

pub use crate::{
    engine::{Capacity, Engine},
    output::Sink,
    saved::LoadError,
    shard::ahead::LOOK_AHEAD,
};
