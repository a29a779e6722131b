//! The command line.

mod change;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mayfly_wire::bundle::Mac;

pub(crate) use self::change::Change;
use crate::server::Server;

/// Enrol a device at a Mayfly node, and sign the settings that nodes boot with.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What `mayfly` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a key pair, enrol it at a node, and write a wg-quick file
    Enrol(EnrolArgs),
    /// Make an enrolment last longer, with the same key and without a break
    Renew(RenewArgs),
    /// End an enrolment at once
    Release(ReleaseArgs),
    /// Sign up; copy, correct and erase what the service knows of you
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
    },
    /// For operators: sign the settings of nodes
    Node {
        #[command(subcommand)]
        verb: NodeVerb,
    },
}

/// What a user does with the account.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
    /// Make an account. It has no subscription yet
    Create(AccountArgs),
    /// Print the record as JSON: all that the service knows of the account
    Copy(AccountArgs),
    /// Change what you have said of yourself, and print the changed record
    Rectify {
        #[command(flatten)]
        account: AccountArgs,
        /// username, email, language, currency, country and campaign are texts. An empty text
        /// removes the field; username must not be empty. newsletter, has_ipv6, compression
        /// and streaming are 0 or 1
        #[arg(value_name = "FIELD=VALUE", required = true)]
        changes: Vec<Change>,
    },
    /// Change the password
    Password {
        #[command(flatten)]
        account: AccountArgs,
        /// Read the new password from the first line of a file
        #[arg(long, value_name = "FILE")]
        new_password_file: PathBuf,
    },
    /// Erase the account at once and for good. Devices lose their connection within minutes
    Erase(AccountArgs),
}

/// What an operator does.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// Make the key that signs bundles, and print its public half for the image
    Keys {
        /// The file to write the private key to (PKCS#8, PEM, mode 0600). It must not exist yet
        #[arg(long, value_name = "KEYFILE")]
        out: PathBuf,
    },
    /// Sign a node's settings, or check a signed bundle as a node does
    Bundle(BundleArgs),
}

/// `mayfly node bundle`.
#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The private key that `mayfly node keys` wrote
    #[arg(long, value_name = "KEYFILE", required_unless_present = "check")]
    pub(crate) key: Option<PathBuf>,
    /// The file to write the bundle to
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    pub(crate) out: Option<PathBuf>,
    /// Sign nothing, but say whether a node accepts the bundle FILE
    #[arg(long, requires = "public_key", conflicts_with_all = ["key", "out"])]
    pub(crate) check: bool,
    /// With --check: the public key in the image
    #[arg(long, value_name = "KEY", requires = "check")]
    pub(crate) public_key: Option<String>,
    /// With --check: an Ethernet address of the machine
    #[arg(long, value_name = "MAC", requires = "check")]
    pub(crate) machine: Vec<Mac>,
    /// With --check: the lowest serial that the image accepts
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "check")]
    pub(crate) least_serial: u64,
    /// The node's settings, or with --check the bundle
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// `mayfly enrol`.
#[derive(Debug, Args)]
pub(crate) struct EnrolArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    /// The node: the name in its certificate, and the address at which it enrols devices
    #[arg(long, value_name = "NAME@ADDRESS:PORT")]
    pub(crate) node: Server,
    /// The wg-quick file to write, mode 0600. wg-quick names the interface after it
    #[arg(long, value_name = "INTERFACE.conf")]
    pub(crate) out: PathBuf,
    /// Enrol even if four devices are connected: for a device that changes nodes
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// `mayfly renew`.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    /// The file that `mayfly enrol` wrote. It is overwritten
    #[arg(long, value_name = "INTERFACE.conf")]
    pub(crate) config: PathBuf,
}

/// `mayfly release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The file that `mayfly enrol` wrote
    #[arg(long, value_name = "INTERFACE.conf")]
    pub(crate) config: PathBuf,
}

/// The account service, and the account.
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// The account service: https://HOST or https://HOST:PORT, or NAME@ADDRESS:PORT without DNS
    #[arg(long, value_name = "SERVER")]
    pub(crate) accounts: Server,
    /// The CA certificates of the account service, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) accounts_ca: PathBuf,
    /// The account's user name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
}

/// Where to read the password. It is never an argument: other users can read those.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
