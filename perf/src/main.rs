//! Benchmarks of the exchange, one subcommand a topology.
//!
//! Each run first proves that what it measures gives the right answers, then measures it next to
//! a baseline. How and on which machine: README.md.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod book;
mod engine;
mod error;
mod flow;
mod machine;
mod shard;
mod timing;

#[derive(Debug, Parser)]
#[command(name = "perf", version, about = "Measures the exchange, and checks what it measures")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The order book alone, on one thread, beside its naive twin.
    Book(book::Args),
    /// The engine whole, on one thread.
    Engine(engine::Args),
    /// A whole shard in one process: ring, journal, engine, output.
    Shard(shard::Args),
}

fn main() -> ExitCode {
    // as an engine of a cluster does
    node::ask_for_huge_pages();
    let done = match Cli::parse().what {
        What::Book(args) => book::run(&args),
        What::Engine(args) => engine::run(&args),
        What::Shard(args) => shard::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perf: {error}");
            ExitCode::FAILURE
        }
    }
}
