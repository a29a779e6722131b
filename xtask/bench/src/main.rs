//! `cargo xtask bench`. It is a program of its own, so that the other verbs do not wait until its
//! dependencies are compiled.

use std::process::ExitCode;

use clap::Parser;
use mayfly_bench::{Args, bench};
use mayfly_host::progress;

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Verb {
    /// Measure what a gigabyte costs, beside other servers
    ///
    /// Needs root. Writes target/bench.json and target/bench.svg.
    Bench(Args),
}

fn main() -> ExitCode {
    let Verb::Bench(args) = Verb::parse();
    progress::end(bench(&args))
}
