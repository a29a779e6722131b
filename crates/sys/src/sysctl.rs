//! Kernel settings under /proc/sys, for start-up, before confinement.

use std::{fs, io};

/// Gives settings their values, in order; a name is a path below /proc/sys.
///
/// # Errors
/// The first one that cannot be set, by name.
pub fn set_all<'a>(settings: &[(&'a str, &str)]) -> Result<(), (&'a str, io::Error)> {
    settings.iter().try_for_each(|&(name, value)| {
        fs::write(format!("/proc/sys/{name}"), value).map_err(|error| (name, error))
    })
}
