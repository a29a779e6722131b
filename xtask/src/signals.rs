//! Ctrl-C and SIGTERM: noticed, so that what was started is taken away in order.
//!
//! They are caught, not blocked: a blocked signal stays blocked in every child.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::process;

/// Set once, never cleared.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Somebody wants this to end.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From here on signals end nothing by themselves; [`check`] tells of them.
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

/// Runs work that knows nothing of signals. When one comes, the processes that the work
/// has started are ended until it gives up.
///
/// # Errors
/// What the work returns, or [`Interrupted`].
pub fn interruptible<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    const LOOK: Duration = Duration::from_millis(50);
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        while !worker.is_finished() {
            if check().is_err() {
                process::end_children();
            }
            thread::sleep(LOOK);
        }
        let result = worker.join().map_err(|_| anyhow!("the work panicked"))?;
        check()?;
        result
    })
}
