//! `gateway` serves traders by REST and WebSocket; `gateway --role feed` sends index prices.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use gateway::{
    config::{self, Config},
    feed::{FeedConfig, Plan},
    run,
};
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
    /// Says what is wrong with the configuration, and starts nothing.
    #[arg(long)]
    check: bool,
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
    if options.check {
        return match read(&options) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                error.exit_code()
            }
        };
    }
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

/// A configuration that was read and checked.
enum Ready {
    Gateway(Config),
    Feed(FeedConfig, Plan),
}

fn read(options: &Options) -> Result<Ready, run::Error> {
    Ok(match options.role {
        Role::Gateway => Ready::Gateway(Config::read(&options.config)?),
        Role::Feed => {
            let config: FeedConfig = config::read(&options.config)?;
            let plan = config.check()?;
            Ready::Feed(config, plan)
        }
    })
}

#[tokio::main]
async fn start(options: &Options) -> Result<(), run::Error> {
    match read(options)? {
        Ready::Gateway(config) => run::gateway(config).await,
        Ready::Feed(config, plan) => run::feed(config, plan, &options.config).await,
    }
}
