//! The binary `engine`: see [`node::cli`].

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use node::cli::Cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    node::ask_for_huge_pages();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match Cli::parse().execute() {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:?}", miette::Report::msg(error.to_string()));
            ExitCode::from(code as u8)
        }
    }
}
