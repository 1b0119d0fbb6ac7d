//! The operator's tool: a whole cluster on one machine, started, seeded, watched and stopped.
//!
//! `exchange up` is a supervisor. It writes the configuration of every process, starts them in
//! the order driver, engines, gateway, feed, bots, keeps `cluster.json` true and restarts what
//! dies. Everything else here is a client of what it started.

pub mod admin;
pub mod bots;
pub mod cluster;
pub mod config;
pub mod drill;
pub mod error;
pub mod feed;
pub mod layout;
pub mod load;
pub mod process;
pub mod rest;
pub mod secrets;
pub mod snapshots;
pub mod status;
pub mod supervisor;
pub mod symbol;
pub mod transfer;
pub mod up;

pub use error::Error;
