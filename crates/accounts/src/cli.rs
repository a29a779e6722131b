//! The command line: `serve`, and what an operator does beside it.

mod account;
mod ca;
mod keys;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::core::error::StartError;
use crate::core::files;

/// Mayfly's account service.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    /// The configuration, TOML.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/mayfly/accounts.toml"
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand)]
pub enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve,
    /// Accounts; works beside a running service.
    #[command(subcommand)]
    Account(account::Verb),
    /// The authority that vouches for the service and for nodes.
    #[command(subcommand)]
    Ca(ca::Verb),
    /// Prints the public keys of tokens, which nodes pin, one a line, the one in use first;
    /// makes the first if there is none.
    Keys {
        /// Change them instead.
        #[command(subcommand)]
        verb: Option<keys::Verb>,
    },
}

/// Does everything but `serve`.
///
/// # Errors
/// What is missing, or does not fit.
pub async fn run(command: &Command, config: &Config) -> Result<(), StartError> {
    files::make_private_directory(&config.data)
        .map_err(|error| StartError::file(config.data.clone(), error))?;
    match command {
        Command::Serve => Err(StartError::Usage("serve is not run here")),
        Command::Account(verb) => account::run(verb, config).await,
        Command::Ca(verb) => ca::run(verb, config).await,
        Command::Keys { verb } => keys::run(verb.as_ref(), config),
    }
}

fn print(line: &str) -> Result<(), StartError> {
    writeln!(io::stdout().lock(), "{line}").map_err(StartError::Stdio)
}
