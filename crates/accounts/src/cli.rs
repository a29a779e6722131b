//! The command line: `serve`, and the commands that an operator runs beside it.

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
    /// The configuration, in TOML.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/mayfly/accounts.toml"
    )]
    pub config: PathBuf,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Serves until SIGTERM or SIGINT.
    Serve,
    /// Manages accounts. Works beside a running service.
    #[command(subcommand)]
    Account(account::Verb),
    /// Manages the authority, which vouches for the service and for nodes, and the nodes.
    #[command(subcommand)]
    Ca(ca::Verb),
    /// Prints the public keys of tokens, which nodes pin: one a line, first the key in use. Makes
    /// the first key if there is none.
    Keys {
        /// Changes keys instead.
        #[command(subcommand)]
        verb: Option<keys::Verb>,
    },
}

/// Runs any command except `serve`.
///
/// # Errors
/// The arguments do not fit, the store refuses, or a file cannot be used.
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
