//! `cargo xtask bench`: what a gigabyte through the node costs, beside other servers.
//!
//! ```text
//!   client 192.0.2.9 ---+
//!                       +--- eth0 (a bridge), 192.0.2.1: the server, masquerading
//!   internet 192.0.2.80-+
//! ```
//!
//! Every server has the same work: it takes a stock client's datagrams, forwards what was inside
//! to the internet with its own address, and back. The client and iperf3 are the same for all.
//! What counts is the server process's own CPU time; servers take turns, so that whatever else
//! the machine does falls on all of them.

mod accounts;
mod chart;
mod cipher;
mod client;
mod cpu;
mod lab;
mod load;
mod plan;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::client::Clients;
use self::lab::Lab;
use self::plan::{Setup, Test};
use self::report::Report;
use self::server::{Kind, Server};
use crate::packages;
use crate::progress::say;
use crate::signals;
use crate::teardown::{self, Guard, Tag};

/// `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only tests whose ids begin so (tcp1, udp128-down, ...)
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Turns that each server takes
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Seconds of load a test
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// One short turn of the main tests: to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    /// One more server: a program that is started as `PROGRAM -f INTERFACE` and listens to wg
    #[arg(long, value_name = "PROGRAM")]
    server: Vec<PathBuf>,
    /// Another client, started in the same way (default: Debian's wireguard-go)
    #[arg(long, value_name = "PROGRAM")]
    client: Option<PathBuf>,
}

/// Measures, and writes `target/bench.json` and `target/bench.svg`.
///
/// # Errors
/// A server or client does not start or does not carry the load.
pub fn bench(args: &Args) -> Result<()> {
    signals::watch()?;
    packages::require_root()?;
    packages::provide(&[packages::NETWORK, packages::BENCH].concat())?;
    for name in teardown::sweep()? {
        say(&format!("took away what {name} had left"));
    }
    let tag = Tag::own();
    let _guard = Guard::new(&tag)?;
    let kinds = server::all(&args.server, &tag)?;
    let plan = plan::choose(&args.only, args.quick);
    if plan.is_empty() {
        bail!(
            "no test has an id that begins so; they are: {}",
            plan::ids()
        );
    }
    let mut report = Report::new(&kinds)?;
    let turns = if args.quick { 1 } else { args.repeat.max(1) };
    for turn in 1..=turns {
        for (setup, tests) in &plan {
            for kind in &kinds {
                say(&format!("turn {turn} of {turns}, {setup}: {}", kind.name()));
                let result = measure(args, &tag, *setup, tests, kind, &mut report);
                result.with_context(|| format!("{} ({setup})", kind.name()))?;
                signals::check()?;
            }
        }
    }
    report.cipher = Some(cipher::seconds_per_gb());
    report.write()?;
    report.print();
    say("report: target/bench.json, target/bench.svg");
    Ok(())
}

/// One server's turn at one set-up: all its tests, one after the other.
fn measure(
    args: &Args,
    tag: &Tag,
    setup: Setup,
    tests: &[Test],
    kind: &Kind,
    report: &mut Report,
) -> Result<()> {
    let lab = Lab::make(tag, setup)?;
    let program = args.client.clone();
    let program = program.unwrap_or_else(|| PathBuf::from("wireguard-go"));
    let clients = Clients::start(&lab, &program, setup.peers)?;
    let server = Server::start(&lab, kind, setup, &clients)?;
    clients.connect(&lab, &server.access, setup)?;
    for test in tests {
        let time = Duration::from_secs(if args.quick { 2 } else { args.seconds });
        let cost = load::run(&lab, test, setup, &clients, &server, time)?;
        say(&format!("  {:<20} {}", test.id(setup), cost.line()));
        report.add(&test.id(setup), test.unit(), kind, &cost);
    }
    drop((server, clients, lab));
    Ok(())
}
