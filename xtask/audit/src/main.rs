//! `cargo xtask audit` and `cargo xtask writes`. They are a program of their own, so that the other
//! verbs do not wait until its dependencies are compiled.

use std::process::ExitCode;

use clap::Parser;
use mayfly_audit::{Args, audit, writes};
use mayfly_host::progress;

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Verb {
    /// Look for a customer in the memory of a node that should have forgotten
    ///
    /// Needs root. Writes target/audit.json and target/audit.html.
    Audit(Args),
    /// Try to leave something behind from inside every confinement, here and in the image
    ///
    /// Needs root. Writes target/audit/writes.json.
    Writes,
}

fn main() -> ExitCode {
    progress::end(match Verb::parse() {
        Verb::Audit(args) => audit(&args).and_then(|report| report.verdict()),
        Verb::Writes => writes::run().and_then(|report| report.verdict()),
    })
}
