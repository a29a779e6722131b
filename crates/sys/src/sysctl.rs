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

/// Reads a value that is a number. A name is a path below /proc/sys.
///
/// # Errors
/// There is no such setting, or its value is no such number.
pub fn number(name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/proc/sys/{name}"))?;
    let number = text.trim().parse();
    number.map_err(|_| io::ErrorKind::InvalidData.into())
}
