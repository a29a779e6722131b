//! `cargo xtask bench accounts`: what the account service carries, on either store.
//!
//! `tests/load` does the measuring: it runs the service as it is shipped on one
//! core, and nodes and clients on the others.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, step};
use mayfly_host::{cargo, process, signals, tree};
use serde_json::{Map, Value};

const LIMIT: Duration = Duration::from_secs(1800);

/// Accounts: with four devices each, a million are live. With `--quick`, a tenth of that.
const ACCOUNTS: usize = 250_000;
const QUICK: usize = 25_000;

/// `cargo xtask bench accounts`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this store (sqlite, postgres)
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// 100,000 live devices in place of a million
    #[arg(long)]
    quick: bool,
}

/// What it starts.
pub const NEEDS: &[&[Need]] = &[packages::DATABASE, packages::BENCH];

/// Measures, and writes `target/bench-accounts.json`.
///
/// # Errors
/// The service does not start or does not carry the load.
pub fn run(args: &Args) -> Result<()> {
    signals::watch()?;
    packages::provide(&NEEDS.concat())?;
    build()?;
    let mut report = Map::new();
    report.insert("commit".to_owned(), mayfly_host::commit()?.into());
    for store in ["sqlite", "postgres"] {
        if args.store.as_deref().is_some_and(|chosen| chosen != store) {
            continue;
        }
        let measured = step(&format!("measure {store}"), || measure(store, args.quick))?;
        say(&line(&measured));
        report.insert(store.to_owned(), measured);
    }
    let path = tree().join("target/bench-accounts.json");
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(&path, text + "\n").context("cannot write the report")?;
    say("report: target/bench-accounts.json");
    Ok(())
}

fn build() -> Result<()> {
    cargo::build(
        "build the service and its load",
        "10 min on 2 processors",
        "--release --package mayfly-accounts --package mayfly-load --bins",
    )
}

fn measure(store: &str, quick: bool) -> Result<Value> {
    let programs = tree().join("target/release");
    let accounts = if quick { QUICK } else { ACCOUNTS };
    let mut command = process::command([]);
    command
        .arg(programs.join("load"))
        .arg(store)
        .arg(programs.join("mayfly-accounts"))
        .arg(accounts.to_string());
    let said = process::output(&mut command, "load", LIMIT)?;
    serde_json::from_str(&said).context("load said no JSON")
}

fn line(measured: &Value) -> String {
    let figure = |name: &str| measured[name].as_f64().unwrap_or(f64::NAN);
    format!(
        "  {:.0} reports/s ({:.0} a CPU second), {:.0} tokens/s, {:.0} bytes a live device, \
         100,000 sessions replayed in {:.1} s",
        figure("reports_per_s"),
        figure("reports_per_cpu_s"),
        figure("tokens_per_s"),
        figure("bytes_per_live_device"),
        figure("replay_100k_s"),
    )
}
