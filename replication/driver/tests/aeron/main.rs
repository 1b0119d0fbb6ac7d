//! The transport over Aeron, against the driver built here: what works, and what must not break.
//!
//! Speed is measured elsewhere. The tests that wait for Aeron's ten-second timeouts run where
//! `EXCHANGE_FULL=1` asks for them.

mod faults;
mod harness;
mod roles;
mod streams;
