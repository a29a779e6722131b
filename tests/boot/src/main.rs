//! One run of the lab, as `cargo xtask run --once --quick` makes it, for the tests in `tests/` that
//! interrupt or kill it: they need a process of its own for that. All other tests call the
//! libraries of `xtask/` and judge the reports that these return.

use std::process::ExitCode;

use mayfly_host::progress;
use mayfly_run::{Args, run};

fn main() -> ExitCode {
    let args = Args {
        once: true,
        quick: true,
        ..Args::default()
    };
    progress::end(run(&args).and_then(|report| report.verdict()))
}
