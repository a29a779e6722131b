//! Kernel settings under /proc/sys, for start-up, before confinement.

use std::{fs, io};

/// Sets the values in order. A name is a path below /proc/sys.
///
/// # Errors
/// The name of the first setting that cannot be set, with the system's error.
pub fn set_all<'a>(settings: &[(&'a str, &str)]) -> Result<(), (&'a str, io::Error)> {
    settings.iter().try_for_each(|&(name, value)| {
        fs::write(format!("/proc/sys/{name}"), value).map_err(|error| (name, error))
    })
}
