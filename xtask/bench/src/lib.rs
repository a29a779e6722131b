//! `cargo xtask bench`: measures what a gigabyte through the node costs, beside other servers.
//!
//! ```text
//!   client 192.0.2.9 ----+
//!                        +--- eth0 (a bridge), 192.0.2.1: the server, masquerading
//!   router 192.0.2.80 ---+
//!     internet 203.0.113.80
//! ```
//!
//! Every server has the same work: it takes a stock client's datagrams, forwards what was inside
//! to the internet with its own address, and back. The client and iperf3 are the same for all.
//! The measure is the server process's own CPU time. Servers take turns, so that all of them meet
//! the machine's other load. It measures no latency of a real network, and judges nothing.

pub mod accounts;
mod chart;
mod client;
mod enrol;
mod floor;
mod handshakes;
mod initiator;
mod kinds;
mod live;
mod load;
mod mayfly;
mod memory;
mod plan;
mod report;
mod server;
mod testbed;
mod trixie;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::say;
use mayfly_host::prologue;
use mayfly_host::signals;
use mayfly_host::teardown::{Guard, Tag};

use self::client::Clients;
use self::kinds::Kind;
use self::plan::{Plan, Setup, Test};
use self::report::Report;
use self::server::Server;
use self::testbed::Testbed;

/// `cargo xtask bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Only these tests (tcp1-down, rss-1000, ...), or all that begin so (tcp1, udp, rss)
    #[arg(long, value_name = "ID", num_args = 1..)]
    only: Vec<String>,
    /// Only these servers (mayfly, wireguard-go, wireguard-go-trixie, boringtun-cli, gotatun-cli,
    /// or a named one)
    #[arg(long, value_name = "NAME", num_args = 1..)]
    servers: Vec<String>,
    /// Turns that each server takes
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Seconds of load a test
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// One short turn of the main tests: it shows that they work, its figures are not for quoting
    #[arg(long)]
    quick: bool,
    /// One more server: a program that is started as `PROGRAM -f INTERFACE` and listens to wg
    #[arg(long, value_name = "PROGRAM")]
    server: Vec<PathBuf>,
    /// Another client, started in the same way (default: wireguard-go of Debian 13, which sends
    /// trains of datagrams; Debian 12's sends each by itself)
    #[arg(long, value_name = "PROGRAM")]
    client: Option<PathBuf>,
}

/// What else can be measured.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Measure what the account service carries, on SQLite and on PostgreSQL
    ///
    /// Writes target/bench-accounts.json.
    Accounts(accounts::Args),
}

/// What it starts.
pub const NEEDS: &[&[Need]] = &[packages::NETWORK, packages::BENCH];

/// Measures, and writes `target/bench.json` and `target/bench.svg`.
///
/// # Errors
/// A server or client does not start or does not carry the load.
pub fn bench(args: &Args) -> Result<()> {
    if let Some(Other::Accounts(args)) = &args.other {
        return accounts::run(args);
    }
    let tag = prologue(NEEDS)?;
    let _guard = Guard::new(&tag)?;
    let plan = Plan::new(&args.only, args.quick);
    ensure!(
        !plan.is_empty(),
        "no test has an id that begins so; they are: {}",
        Plan::all().ids().join(" ")
    );
    let kinds = kinds::choose(&args.servers, &args.server, &tag)?;
    let client = match &args.client {
        Some(program) => program.clone(),
        None => trixie::wireguard_go()?.0,
    };
    let floor = floor::build()?;
    let mut report = Report::new(&kinds)?;
    let turns = if args.quick { 1 } else { args.repeat.max(1) };
    for turn in 1..=turns {
        report.add_floor(floor::measure(&tag, &floor)?);
        for part in parts(&plan, turn == 1) {
            for kind in &kinds {
                let what = format!("{} ({part})", kind.name());
                say(&format!("turn {turn} of {turns}: {what}"));
                if let Err(error) = measure(args, &client, &tag, &part, kind, &mut report) {
                    // The others go on, and the report says what is missing.
                    say(&format!("  FAILED: {error:#}"));
                    report.fail(format!("turn {turn}, {what}: {error:#}"));
                }
                signals::check()?;
            }
        }
    }
    report.write()?;
    report.print();
    say("report: target/bench.json, target/bench.svg");
    let failures = report.failures();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// What a server does in one turn.
enum Part<'a> {
    Loads(Setup, &'a [Test]),
    Handshakes,
    Memory(&'a [usize]),
    Live,
}

/// Memory hardly varies: it is read in the first turn only.
fn parts(plan: &Plan, first: bool) -> Vec<Part<'_>> {
    let loads = plan.loads.iter();
    let mut parts: Vec<_> = loads
        .map(|(setup, tests)| Part::Loads(*setup, tests))
        .collect();
    if plan.handshakes {
        parts.push(Part::Handshakes);
    }
    if first && !plan.memory.is_empty() {
        parts.push(Part::Memory(&plan.memory));
    }
    if first && plan.live {
        parts.push(Part::Live);
    }
    parts
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loads(setup, _) => setup.fmt(f),
            Self::Handshakes => f.write_str("handshakes"),
            Self::Memory(_) => f.write_str("memory"),
            Self::Live => f.write_str("live peers"),
        }
    }
}

fn measure(
    args: &Args,
    client: &Path,
    tag: &Tag,
    part: &Part<'_>,
    kind: &Kind,
    report: &mut Report,
) -> Result<()> {
    let time = Duration::from_secs(if args.quick { 2 } else { args.seconds });
    match part {
        Part::Loads(setup, tests) => loads(client, tag, *setup, tests, kind, time, report),
        Part::Handshakes => handshakes::measure(tag, kind, time, report),
        Part::Memory(peers) => memory::measure(tag, kind, peers, report),
        Part::Live => live::measure(tag, kind, report),
    }
}

/// One server's turn at one set-up: all its tests, one after the other.
fn loads(
    client: &Path,
    tag: &Tag,
    setup: Setup,
    tests: &[Test],
    kind: &Kind,
    time: Duration,
    report: &mut Report,
) -> Result<()> {
    let testbed = Testbed::make(tag, setup)?;
    let clients = Clients::start(&testbed, client, setup.peers)?;
    let server = Server::start(&testbed, kind, setup, &clients)?;
    clients.connect(&testbed, &server.access, setup)?;
    for test in tests {
        let cost = load::run(&testbed, test, setup, &clients, &server, time)?;
        say(&format!("  {:<20} {}", test.id(setup), cost.line()));
        report.add(&test.id(setup), test.unit(), kind, &cost);
    }
    drop((server, clients, testbed));
    Ok(())
}
