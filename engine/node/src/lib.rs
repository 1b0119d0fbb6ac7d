//! A node: one replica of one shard, from the network to the disk and back.
//!
//! The engine decides and knows no threads, files or clocks; everything here exists to feed it
//! the log in order, to make that log durable first, and to tell the world what came out.
//! [`pipeline`] is the map.

mod agent;
mod apply;
mod catchup;
mod clerk;
pub mod cli;
pub mod clock;
mod config;
mod control;
mod data_dir;
mod egress;
mod error;
mod fanout;
mod huge_pages;
mod idle;
mod ingress;
mod intake;
mod layout;
mod links;
mod mind;
mod node;
pub mod offline;
mod outgoing;
mod pipeline;
mod progress;
mod recovery;
mod ring;
mod shortage;
mod silence;
pub mod snapshot;
mod stages;

pub use agent::Agent;
pub use clock::{Clock, Now};
pub use config::{Config, LayoutName};
pub use control::{Control, Phase};
pub use data_dir::{DataDir, Owner};
pub use egress::{NoTap, Tap};
pub use error::{Error, ExitCode};
pub use huge_pages::ask_for_huge_pages;
pub use ingress::{Source, Tail, Taker};
pub use intake::{Refusal, Refusals, admit};
pub use layout::{Layout, Running};
pub use mind::{CAPACITY, Mind, Sink};
pub use node::{Node, Setup};
pub use pipeline::{Dirs, Parts, Pipeline};
pub use progress::Progress;
pub use recovery::{End, Recovered, Store, genesis, recover, replay};
pub use ring::{INPUT_SLOTS_DEFAULT, INPUT_SLOTS_MIN, OUTPUT_SLOTS_DEFAULT, SLOTS_MAX};

#[cfg(test)]
mod client;
#[cfg(test)]
mod kill_test;
#[cfg(test)]
mod node_test;
#[cfg(test)]
mod tally;
