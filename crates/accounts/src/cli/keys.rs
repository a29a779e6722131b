//! `mayfly-accounts keys`: what signs tokens, and what the shop shows.

use std::io;
use std::path::Path;

use clap::Subcommand;

use super::print;
use crate::config::Config;
use crate::core::error::StartError;
use crate::keys::shop::ShopKeys;
use crate::keys::token::{self, Signer};

/// What can be done with keys.
#[derive(Subcommand)]
pub enum Verb {
    /// Makes the next key of tokens and prints its public half. Give nodes both keys, in
    /// `tokens.keys` of their settings, and have all of them boot with those before `keys use`.
    New,
    /// Puts the next key to use and destroys the one before: the service signs with it from the
    /// next whole hour on, or from its next start. 37 hours later no token under the former is
    /// left, and nodes need it no more.
    Use,
    /// Makes a key for the shop (`POST /v1/payments`) and prints it; it is not kept. The one
    /// before stays good, until there is another.
    Shop {
        /// End the one before at once, for it has become known.
        #[arg(long)]
        alone: bool,
    },
}

pub(super) fn run(verb: Option<&Verb>, config: &Config) -> Result<(), StartError> {
    let path = config.token_key();
    let at_path = |error| StartError::file(path.clone(), error);
    match verb {
        None => {
            Signer::open(&path).map_err(at_path)?;
            let keys = token::public_keys(&path).map_err(at_path)?;
            print(&keys.join("\n"))
        }
        Some(Verb::New) => {
            Signer::open(&path).map_err(at_path)?;
            print(&make_next(&path)?)
        }
        Some(Verb::Use) => print(&use_next(&path)?),
        Some(Verb::Shop { alone }) => {
            let path = config.shop_key();
            let made = ShopKeys::new(path.clone()).make(*alone);
            print(&made.map_err(|error| StartError::file(path, error))?)
        }
    }
}

fn make_next(path: &Path) -> Result<String, StartError> {
    token::make_next(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => StartError::Usage(
            "there is a next key already, which `keys` prints: put it to use with `keys use`",
        ),
        _ => StartError::file(path.to_owned(), error),
    })
}

fn use_next(path: &Path) -> Result<String, StartError> {
    token::use_next(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            StartError::Usage("there is no next key: make one with `keys new`")
        }
        _ => StartError::file(path.to_owned(), error),
    })
}
