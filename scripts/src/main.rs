//! `exchange`, the operator's tool.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use exchange::{
    Error,
    admin::Admin,
    bots,
    cluster::ClusterFile,
    drill::{self, KillOptions, Target},
    feed,
    layout::Layout,
    load::{self, Account, Seed},
    secrets::Secrets,
    snapshots, status, symbol,
    transfer::{self, To},
    up::{self, UpOptions},
};

/// Starts, watches, seeds and stops a cluster on one machine.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start a whole cluster and keep it running
    Up {
        /// Where the cluster keeps its journals, its database and its logs
        #[arg(long, default_value = "data")]
        data: PathBuf,
        /// The REST and WebSocket port on 127.0.0.1
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// No market makers: a seeded book that stands still
        #[arg(long)]
        no_bots: bool,
        /// Return once the cluster serves, and leave it running
        #[arg(long)]
        detach: bool,
        /// Instruments and accounts of a new cluster, instead of the built-in ones
        #[arg(long)]
        seed: Option<PathBuf>,
        /// Seconds from one snapshot of each shard to the next; 0: none
        #[arg(
            long,
            value_name = "SECONDS",
            default_value_t = snapshots::EVERY_S,
            value_parser = clap::value_parser!(u64).range(..=snapshots::EVERY_MAX_S)
        )]
        snapshots: u64,
        #[arg(long, hide = true)]
        quiet: bool,
    },
    /// Stop a running cluster
    Down {
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
    /// What runs, and how far each shard is
    Status {
        #[arg(long, default_value = "data")]
        data: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// List symbols, or change them, and set brackets, open accounts and book deposits from a file
    Load {
        file: PathBuf,
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
    /// What is listed, and what it accepts
    Symbol {
        #[command(subcommand)]
        action: SymbolAction,
    },
    /// Accounts of the venue
    Account {
        #[command(subcommand)]
        action: AccountAction,
    },
    /// The insurance fund
    Insurance {
        #[command(subcommand)]
        action: InsuranceAction,
    },
    /// Prove on a running cluster what it promises
    Drill {
        #[command(subcommand)]
        action: DrillAction,
    },
    /// The market makers of a local cluster (started by `up`)
    #[command(hide = true)]
    Bots {
        #[arg(long)]
        base: String,
        #[arg(long)]
        data: PathBuf,
    },
}

#[derive(Subcommand)]
enum SymbolAction {
    /// Show every symbol
    List {
        #[arg(long, default_value = "data")]
        data: PathBuf,
        #[arg(long)]
        json: bool,
    },
    /// Bring a symbol into a state
    State {
        symbol: String,
        /// TRADING, REDUCE_ONLY, CANCEL_ONLY, HALT; or SETTLING: cancel all orders, close all positions, halt
        state: String,
        /// With SETTLING: what its positions are closed at, instead of at the mark
        #[arg(long)]
        price: Option<String>,
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
}

#[derive(Subcommand)]
enum AccountAction {
    /// Open an account, or find it by its name, and print an API key and its secret
    Add {
        name: String,
        /// In units of the margin asset, as text: 10000 or 250.50
        #[arg(long)]
        deposit: Option<String>,
        /// PEM of an Ed25519 or RSA public key to sign with, instead of a secret
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
    /// Book money from outside
    Deposit {
        #[command(flatten)]
        transfer: TransferOptions,
    },
    /// Pay out what no position and no order needs
    Withdraw {
        #[command(flatten)]
        transfer: TransferOptions,
    },
}

#[derive(Subcommand)]
enum InsuranceAction {
    /// What there is of it, and where
    Show {
        #[arg(long, default_value = "data")]
        data: PathBuf,
    },
    /// Book money from outside
    Deposit {
        #[command(flatten)]
        sum: SumOptions,
    },
}

#[derive(Args)]
struct TransferOptions {
    name: String,
    #[command(flatten)]
    sum: SumOptions,
}

#[derive(Args)]
struct SumOptions {
    /// In units of the margin asset, as text: 10000 or 250.50
    #[arg(long)]
    amount: String,
    /// A number that grows from transfer to transfer: one that was booked is not booked again.
    /// Without it the microseconds since 1970
    #[arg(long)]
    transfer: Option<u64>,
    #[arg(long, default_value = "data")]
    data: PathBuf,
}

#[derive(Subcommand)]
enum DrillAction {
    /// Kill processes under load; afterwards every answered order must be there, once
    Kills {
        #[arg(long, default_value = "data")]
        data: PathBuf,
        /// How many kills
        #[arg(long, default_value_t = 25)]
        count: u32,
        /// Orders a second through REST
        #[arg(long, default_value_t = 2_000)]
        rate: u32,
        #[arg(long, value_enum, default_value_t = Target::Engines)]
        target: Target,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(act(cli.command)),
        Err(e) => Err(Error::file("the async runtime")(e)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exchange: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn act(action: Action) -> Result<(), Error> {
    match action {
        Action::Up { data, port, no_bots, detach, seed, snapshots: snapshots_s, quiet } => {
            let options = UpOptions { data, port, bots: !no_bots, seed, snapshots_s, quiet };
            if detach { up::detach(&options).await } else { up::up(&options).await }
        }
        Action::Down { data } => up::down(&Layout::new(&data)?).await,
        Action::Status { data, json } => {
            let status = status::read(&Layout::new(&data)?).await?;
            if json {
                println!("{status:#}")
            } else {
                print!("{}", status::show(&status))
            }
            Ok(())
        }
        Action::Load { file, data } => {
            let seed = Seed::read(&file)?;
            let accounts = seed.send(&admin(&data)?).await?;
            for account in &accounts {
                println!("{account}");
            }
            feed::teach(&Layout::new(&data)?, &seed).await?;
            println!("{} instruments, {} accounts", seed.instruments.len(), accounts.len());
            Ok(())
        }
        Action::Symbol { action: SymbolAction::List { data, json } } => {
            let symbols = symbol::list(&admin(&data)?).await?;
            if json {
                println!("{symbols:#}")
            } else {
                print!("{}", symbol::show(&symbols))
            }
            Ok(())
        }
        Action::Symbol { action: SymbolAction::State { symbol, state, price, data } } => {
            let admin = admin(&data)?;
            let said = symbol::set_state(&admin, &symbol, &state, price.as_deref()).await?;
            println!("{said:#}");
            Ok(())
        }
        Action::Account { action: AccountAction::Add { name, deposit, public_key, data } } => {
            let read = |path: PathBuf| fs::read_to_string(&path).map_err(Error::file(path));
            let public_key = public_key.map(read).transpose()?;
            let account = Account { name, deposit, key: None, public_key };
            println!("{:#}", load::send_account(&admin(&data)?, &account).await?);
            Ok(())
        }
        Action::Account { action: AccountAction::Deposit { transfer } } => {
            send_sum("/admin/deposits", To::Account(transfer.name), transfer.sum).await
        }
        Action::Account { action: AccountAction::Withdraw { transfer } } => {
            send_sum("/admin/withdrawals", To::Account(transfer.name), transfer.sum).await
        }
        Action::Insurance { action: InsuranceAction::Show { data } } => {
            let status = admin(&data)?.get("/admin/status").await?;
            println!("{:#}", status["insurance"]);
            Ok(())
        }
        Action::Insurance { action: InsuranceAction::Deposit { sum } } => {
            send_sum("/admin/deposits", To::Insurance, sum).await
        }
        Action::Drill { action: DrillAction::Kills { data, count, rate, target } } => {
            let report = drill::kills(&data, KillOptions { count, rate, target }).await?;
            println!("{report:#}");
            if report["passed"] == true { Ok(()) } else { Err(Error::DrillFailed) }
        }
        Action::Bots { base, data } => {
            let secrets = Secrets::load_or_draw(&Layout::new(&data)?)?;
            bots::run(&base, &secrets).await
        }
    }
}

/// Says its number first, so that whoever sees no answer can ask for the same transfer again.
async fn send_sum(path: &str, to: To, sum: SumOptions) -> Result<(), Error> {
    let number = sum.transfer.unwrap_or_else(transfer::number_of_now);
    eprintln!("transfer {number}");
    let admin = admin(&sum.data)?;
    let booked = transfer::send(&admin, path, &to, number, &sum.amount).await?;
    println!("{booked:#}");
    Ok(())
}

fn admin(data: &std::path::Path) -> Result<Admin, Error> {
    let file = ClusterFile::read(&Layout::new(data)?)?;
    Ok(Admin::new(&file.admin_url, &file.admin_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_added_with_a_public_key_or_without() {
        let add = |more: &[&str]| {
            let words = ["exchange", "account", "add", "alice"].iter().chain(more);
            match Cli::try_parse_from(words).unwrap().command {
                Action::Account { action: AccountAction::Add { public_key, deposit, .. } } => {
                    (public_key, deposit)
                }
                _ => panic!("another command"),
            }
        };
        assert_eq!(add(&[]), (None, None));
        let both = add(&["--deposit", "1.5", "--public-key", "alice.pem"]);
        assert_eq!(both, (Some(PathBuf::from("alice.pem")), Some("1.5".into())));
    }

    #[test]
    fn money_goes_in_and_out_by_name_and_amount() {
        let transfer = |words: &[&str]| {
            let words = ["exchange", "account"].iter().chain(words);
            match Cli::try_parse_from(words).map(|cli| cli.command) {
                Ok(Action::Account { action: AccountAction::Withdraw { transfer } }) => {
                    Some((transfer.name, transfer.sum.amount, transfer.sum.transfer))
                }
                _ => None,
            }
        };
        let whole = transfer(&["withdraw", "alice", "--amount", "2.5", "--transfer", "7"]);
        assert_eq!(whole, Some(("alice".into(), "2.5".into(), Some(7))));
        assert_eq!(transfer(&["withdraw", "alice"]), None);
    }

    #[test]
    fn the_insurance_fund_is_filled_and_shown() {
        let parse = |words: &str| {
            let words = format!("exchange insurance {words}");
            Cli::try_parse_from(words.split(' ')).map(|cli| cli.command)
        };
        let Ok(Action::Insurance { action: InsuranceAction::Deposit { sum } }) =
            parse("deposit --amount 1000000")
        else {
            panic!("a deposit needs an amount alone");
        };
        assert_eq!((sum.amount.as_str(), sum.transfer), ("1000000", None));
        assert!(parse("show").is_ok());
        assert!(parse("withdraw --amount 1").is_err(), "nothing leaves it");
    }
}
