//! The beginning of every verb that makes namespaces and starts processes.

use anyhow::Result;

use crate::packages::{self, Need};
use crate::progress::say;
use crate::signals;
use crate::teardown::{self, Tag};

/// Catches signals, installs what is missing of `needs`, removes what killed runs left, and
/// returns the name of this run. [`Guard`](teardown::Guard) removes everything that is made under
/// the name.
///
/// # Errors
/// This is not root, or something is missing and cannot be installed.
pub fn prologue(needs: &[&[Need]]) -> Result<Tag> {
    signals::watch()?;
    packages::require_root()?;
    packages::provide(&needs.concat())?;
    for name in teardown::sweep()? {
        say(&format!("removed what {name} had left"));
    }
    Ok(Tag::own())
}
