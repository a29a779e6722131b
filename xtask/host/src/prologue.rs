//! How every verb begins that makes namespaces and starts processes.

use anyhow::Result;

use crate::packages::{self, Need};
use crate::progress::say;
use crate::signals;
use crate::teardown::{self, Tag};

/// Catches signals, sees to it that `needs` are there, takes away what runs left that were
/// killed, and names this one. What is made under the name is taken away by
/// [`Guard`](teardown::Guard).
///
/// # Errors
/// Not root, or something is missing and cannot be installed.
pub fn prologue(needs: &[&[Need]]) -> Result<Tag> {
    signals::watch()?;
    packages::require_root()?;
    packages::provide(&needs.concat())?;
    for name in teardown::sweep()? {
        say(&format!("took away what {name} had left"));
    }
    Ok(Tag::own())
}
