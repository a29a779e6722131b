//! Ctrl-C, SIGTERM and SIGHUP are caught, so that everything that was started can be removed in
//! order.
//!
//! They are not blocked: a blocked signal would stay blocked in every child.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Set once, never cleared.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// A signal asked this process to end.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Catches signals: from here on they no longer end the process, and [`check`] reports them.
///
/// # Errors
/// The signals cannot be caught.
pub fn watch() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register(signal, INTERRUPTED.clone()).context("cannot catch signals")?;
    }
    Ok(())
}

/// # Errors
/// [`Interrupted`], if a signal has come.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Err(Interrupted.into());
    }
    Ok(())
}
