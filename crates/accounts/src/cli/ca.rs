//! `mayfly-accounts ca`: the authority, and the register of nodes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::print;
use crate::config::Config;
use crate::core::clock;
use crate::core::error::StartError;
use crate::keys::authority::{Authority, CertifyError};
use crate::keys::nodes;
use crate::keys::nodes::Registration;
use crate::store::Store;

/// The commands for the authority and for nodes.
#[derive(Subcommand)]
pub enum Verb {
    /// Makes the authority. This is done once.
    Init,
    /// Registers a node and prints its admission secret, of which only a hash is kept. A node that
    /// is registered already gets a new secret, and its certificates are no longer accepted.
    Node {
        /// The node's name: a DNS name in lower case.
        name: String,
    },
    /// Certifies a key of a registered node by hand, as `POST /v1/nodes` does, and prints the
    /// certificate.
    Issue {
        /// The node's name.
        name: String,
        /// Certificate signing request in PEM. The names in it are ignored.
        #[arg(long, value_name = "FILE")]
        csr: PathBuf,
    },
    /// Tells a node to drain: within a minute it stops admitting customers and renewing
    /// enrolments. Connected customers stay until their token ends, 36 hours at most. The node also
    /// drains after each boot, until `ca admit NAME`.
    Drain {
        /// The node's name.
        name: String,
    },
    /// Tells a node that drains to admit customers again.
    Admit {
        /// The node's name.
        name: String,
    },
    /// Removes a node from the register. It is no longer admitted, its certificates are no longer
    /// accepted, and its open streams are closed within a minute.
    Revoke {
        /// The node's name.
        name: String,
    },
}

pub(super) async fn run(verb: &Verb, config: &Config) -> Result<(), StartError> {
    match verb {
        Verb::Init => Authority::init(&config.data, clock::unix_now())
            .map_err(|error| StartError::file(config.data.clone(), error)),
        Verb::Node { name } => register(name, config).await,
        Verb::Issue { name, csr } => issue(name, csr, config).await,
        Verb::Drain { name } => drain(name, true, config).await,
        Verb::Admit { name } => drain(name, false, config).await,
        Verb::Revoke { name } => {
            let store = Store::open(config).await?;
            let was_there = store.revoke_node(name.clone()).await?;
            was_there.then_some(()).ok_or(UNKNOWN)
        }
    }
}

const UNKNOWN: StartError =
    StartError::Usage("no node of this name is registered: `ca node NAME` registers one");

async fn register(name: &str, config: &Config) -> Result<(), StartError> {
    if !nodes::is_name(name) {
        return Err(StartError::Usage(
            "a node's name is a DNS name in lower case",
        ));
    }
    // The node's certificate would be valid for the service's own name.
    if config
        .names()
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
    {
        return Err(StartError::Usage(
            "the account service itself has this name",
        ));
    }
    let (secret, kept) = nodes::new_secret()?;
    let store = Store::open(config).await?;
    store.register_node(name.to_owned(), kept).await?;
    print(&secret)
}

async fn drain(name: &str, on: bool, config: &Config) -> Result<(), StartError> {
    let store = Store::open(config).await?;
    let is_there = store.drain_node(name.to_owned(), on).await?;
    is_there.then_some(()).ok_or(UNKNOWN)
}

async fn issue(name: &str, csr: &Path, config: &Config) -> Result<(), StartError> {
    let request =
        fs::read_to_string(csr).map_err(|error| StartError::file(csr.to_owned(), error))?;
    let store = Store::open(config).await?;
    let known = store.node(name.to_owned()).await?.ok_or(UNKNOWN)?;
    let authority = Authority::load(&config.data)?;
    let certified = authority.certify(
        name,
        Registration::of(&known.secret),
        &request,
        clock::unix_now(),
    );
    let certified = certified.map_err(|error| match error {
        CertifyError::Request => {
            StartError::Usage("the file holds no valid certificate signing request")
        }
        CertifyError::Randomness(error) => error.into(),
        CertifyError::Certificate(error) => StartError::Tls(error.to_string()),
    })?;
    print(certified.certificate.trim_end())
}
