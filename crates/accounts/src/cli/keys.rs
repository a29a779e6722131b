//! `mayfly-accounts keys`: the keys that sign tokens, and the shop's keys.

use std::io;
use std::path::Path;

use clap::Subcommand;

use super::print;
use crate::config::Config;
use crate::core::error::StartError;
use crate::keys::shop::ShopKeys;
use crate::keys::token::{self, Signer};

/// The commands for keys.
#[derive(Subcommand)]
pub enum Verb {
    /// Makes the next key that signs tokens, and prints its public half. Give both keys to all
    /// nodes, in `tokens.keys` of their settings, and reboot the nodes before `keys use`.
    New,
    /// Makes the next key the one in use, and destroys the former key. The service signs with the
    /// new key from the next whole hour on, or from its next start. 37 hours later no token under
    /// the former key is left, and nodes no longer need it.
    Use,
    /// Makes a key for the shop (`POST /v1/payments`) and prints it. Only its hash is kept. The
    /// former key stays valid until another key is made.
    Shop {
        /// End the former key at once, for example because it has leaked.
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
            "there is a next key already, which `keys` prints; `keys use` makes it the one in use",
        ),
        _ => StartError::file(path.to_owned(), error),
    })
}

fn use_next(path: &Path) -> Result<String, StartError> {
    token::use_next(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StartError::Usage("there is no next key; `keys new` makes one"),
        _ => StartError::file(path.to_owned(), error),
    })
}
