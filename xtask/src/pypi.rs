//! Programs from PyPI, each list of them in a virtual environment of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use mayfly_host::process;

const LIMIT: Duration = Duration::from_secs(60);
const INSTALL: Duration = Duration::from_secs(600);

/// Installs what a requirements file lists. What has been installed for the same list is taken as
/// it is.
///
/// # Errors
/// The file cannot be read, or python3 or pip failed.
pub(crate) fn install(requirements: &Path, environment: &Path) -> Result<()> {
    let wanted = fs::read_to_string(requirements)?;
    let complete = environment.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut make = process::command(["python3", "-m", "venv", "--clear"]);
    process::output(make.arg(environment), "python3 -m venv", LIMIT)?;
    let mut pip = process::command([]);
    pip.arg(environment.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .arg("--requirement")
        .arg(requirements);
    process::output(&mut pip, "pip install", INSTALL)?;
    fs::write(complete, wanted)?;
    Ok(())
}
