//! `mayfly`: the command that a VPN user and an operator type.
//!
//! `enrol` makes two requests. It shows the account service a user name and a password and
//! gets a token. It shows a node the token and a public key, whose private half it has just
//! made in memory, and writes a wg-quick file that any stock WireGuard client reads. `renew`
//! makes an enrolment last longer, `release` ends it. `account` signs up, and copies,
//! rectifies and erases what the service knows of the user. An operator's `node keys` and
//! `node bundle` sign the settings that nodes boot with.
//!
//! The program carries no traffic, configures no interface and keeps nothing but the
//! file that it was told to write. It looks up no name unless it is given a URL with a
//! host name: otherwise a server is a TLS name and a numeric address.
//!
//! Each command is one function. It returns the line to print, or an [`Error`], which is
//! also one line and has an exit status.

mod account;
mod cli;
mod conf;
mod enrol;
mod error;
mod file;
mod https;
mod login;
mod operator;
mod server;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{AccountVerb, Cli, NodeVerb, Verb};
use crate::error::Error;

/// Zeroes all memory when it is freed: passwords, tokens and keys pass through buffers of
/// hyper, rustls and serde.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(line) => {
            // A closed stdout does not make the command fail.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "mayfly: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn run(verb: Verb) -> Result<String, Error> {
    match verb {
        Verb::Enrol(args) => block_on(enrol::enrol(&args)),
        Verb::Renew(args) => block_on(enrol::renew(&args)),
        Verb::Release(args) => block_on(enrol::release(&args)),
        Verb::Account { verb } => match verb {
            AccountVerb::Create(args) => block_on(account::create(&args)),
            AccountVerb::Copy(args) => block_on(account::copy(&args)),
            AccountVerb::Rectify { account, changes } => {
                block_on(account::rectify(&account, &changes))
            }
            AccountVerb::Password {
                account,
                new_password_file,
            } => block_on(account::password(&account, &new_password_file)),
            AccountVerb::Erase(args) => block_on(account::erase(&args)),
        },
        Verb::Node { verb } => match verb {
            NodeVerb::Keys { out } => operator::keys(&out),
            NodeVerb::Bundle(args) => operator::bundle(&args),
        },
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?
        .block_on(work)
}
