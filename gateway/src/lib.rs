//! The gateway: what traders, operators and feeds talk to, and all it knows it learned from events.
//!
//! It speaks [`protocol`] over [`transport`] to the nodes and Binance's futures API to its
//! clients. A dedicated thread ([`link`]) receives what the shards say and writes it into the
//! [`views`]; REST handlers ([`rest`]) and sockets ([`stream`]) only read them. Nothing here
//! decides about orders or money, so gateways scale and restart freely.

pub mod admin;
pub mod app;
pub mod clock;
pub mod config;
pub mod credential;
pub mod feed;
pub mod keys;
pub mod limits;
pub mod link;
pub mod listener;
pub mod rest;
pub mod run;
pub mod scribe;
#[cfg(test)]
mod stage;
pub mod store;
pub mod stream;
pub mod text;
pub mod views;
pub mod words;
pub mod ws_api;
