//! `gateway` serves traders by REST and WebSocket; `gateway --role feed` sends index prices.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use gateway::{config, run};
use tracing_subscriber::EnvFilter;

/// Bridges traders to the shards of an exchange.
#[derive(Debug, Parser)]
struct Options {
    /// The configuration file, TOML.
    #[arg(long, default_value = "gateway.toml")]
    config: PathBuf,
    /// What this process is to be.
    #[arg(long, value_enum, default_value_t = Role::Gateway)]
    role: Role,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// Serves the API.
    Gateway,
    /// Sends index prices.
    Feed,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            error.exit_code()
        }
    }
}

#[tokio::main]
async fn start(options: &Options) -> Result<(), run::Error> {
    match options.role {
        Role::Gateway => run::gateway(config::Config::read(&options.config)?).await,
        Role::Feed => run::feed(config::read(&options.config)?).await,
    }
}
