//! Fuzz targets: functions from bytes that a stranger may send, or a disk may hold, to nothing.
//!
//! A target panics when what it tries breaks a promise. libFuzzer looks for such bytes for as long
//! as one likes (`./run`); the tests of this crate try each target's seeds, what was found before
//! (`found/`), and a bounded number of mutations of them.

pub mod commands;
pub mod frames;
pub mod journals;
pub mod messages;
pub mod mutate;
pub mod requests;
mod venue;

/// Something to throw bytes at.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Bytes that get far, to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Mutations that the tests try.
    pub tries: u32,
}

pub const TARGETS: &[Target] = &[
    Target { name: "commands", run: commands::run, seeds: commands::seeds, tries: 300 },
    Target { name: "frames", run: frames::run, seeds: frames::seeds, tries: 20_000 },
    Target { name: "journals", run: journals::run, seeds: journals::seeds, tries: 100 },
    Target { name: "messages", run: messages::run, seeds: messages::seeds, tries: 20_000 },
    Target { name: "requests", run: requests::run, seeds: requests::seeds, tries: 5_000 },
];
