//! `cargo xtask boots`: the image started in every way that an operator may, each until a
//! customer gets a page through the tunnel; or refused, where that is the point.
//!
//! ```text
//!   customer ---- hub: dnsmasq by image/dnsmasq.conf, web server, accounts ---- internet
//!                  | TAP
//!                 QEMU: a BIOS or UEFI, a NIC that boots, or a CD; a TPM
//! ```
//!
//! Each boot is a process of its own, with namespaces of its own, two at a time. The report is
//! `target/boots.json`.

mod images;
mod machine;
mod services;
mod tampering;
mod tpm;
mod variables;
mod way;

use std::fs;
use std::net::UdpSocket;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use mayfly_host::packages::{self, Need};
use mayfly_host::process::{self, Job};
use mayfly_host::progress::{say, seconds, step};
use mayfly_host::teardown::{self, Guard, Tag};
use mayfly_host::{signals, tree};
use mayfly_lab::customer::Customer;
use mayfly_lab::network::{Lab, OPERATOR, PAGE_AT};
use mayfly_lab::operator::{self, BundleKey, Operator};
use mayfly_lab::web::{self, Web};
use serde::{Deserialize, Serialize};

use self::images::Images;
use self::machine::Machine;
use self::services::Services;
use self::tpm::Tpm;
use self::way::{Outcome, Way};

/// `cargo xtask boots`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Way>,
    /// Memory of the machines, in MiB (default: 128, with UEFI 256)
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Boot once, in this process, with what is built already
    #[arg(long, value_enum, hide = true)]
    one: Option<Way>,
}

/// No tool takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// How long firmware, network and kernel may take together, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long init may try before it gives up and starts the machine anew, and the firmware.
const RESTART: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(100);
/// Of the page that comes through the tunnel, in bytes.
const PAGE: usize = 64 * 1024;
/// Guests at a time.
const AT_A_TIME: usize = 2;

/// What one boot showed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Boot {
    way: String,
    about: String,
    ok: bool,
    /// Why it is not, or null.
    failure: Option<String>,
    /// From QEMU's start to the first enrolment that was answered, or null.
    enrolled_ms: Option<u64>,
    memory_mib: u32,
    /// PCR number to what the TPM says, where there is one.
    pcrs: std::collections::BTreeMap<u8, String>,
    /// What the beacon said, where something was to be refused.
    beacon: Option<String>,
    /// UEFI variables that a panic and a restart changed.
    variables_changed: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    commit: String,
    ok: bool,
    boots: Vec<Boot>,
}

/// What it starts.
pub const NEEDS: &[&[Need]] = &[
    packages::IMAGE,
    packages::RELEASE,
    packages::SIGN,
    packages::NETWORK,
    packages::QEMU,
    packages::BOOTS,
];

/// Boots in every way, and writes `target/boots.json`.
///
/// # Errors
/// A boot did not end as it should.
pub fn boots(args: &Args) -> Result<()> {
    signals::watch()?;
    packages::require_root()?;
    if let Some(way) = args.one {
        return one(way, args.memory);
    }
    packages::provide(&NEEDS.concat())?;
    mayfly_image::provide_kernel_source()?;
    for name in teardown::sweep()? {
        say(&format!("took away what {name} had left"));
    }
    step("build mayfly and mayfly-accounts", operator::build)?;
    let images = Images::at();
    images.build(&BundleKey::of_runs()?)?;
    images.check_what_is_signed()?;
    let ways = match args.only.as_slice() {
        [] => Way::value_variants().to_vec(),
        some => some.to_vec(),
    };
    let boots = all(&ways, args.memory)?;
    let report = Report {
        schema: 1,
        commit: mayfly_host::commit()?,
        ok: boots.iter().all(|boot| boot.ok),
        boots,
    };
    fs::write(
        tree().join("target/boots.json"),
        serde_json::to_string_pretty(&report)? + "\n",
    )?;
    say("report: target/boots.json");
    ensure!(report.ok, "not every boot ended as it should");
    Ok(())
}

/// Boots in `ways`, some at a time, in their order.
fn all(ways: &[Way], memory: Option<u32>) -> Result<Vec<Boot>> {
    let waiting = Mutex::new(ways.iter());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.next().copied();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(way) = next() {
                    let boot = apart(way, memory);
                    if let Ok(mut done) = done.lock() {
                        done.push(boot);
                    }
                }
            });
        }
    });
    signals::check()?;
    done.into_inner().ok().context("a thread died")
}

/// One boot as a process of its own: names of namespaces and files are by process.
fn apart(way: Way, memory: Option<u32>) -> Boot {
    let started = Instant::now();
    let boot = run_apart(way, memory).unwrap_or_else(|error| Boot {
        way: way.name(),
        about: way.about(),
        failure: Some(format!("{error:#}")),
        ..Boot::default()
    });
    let word = match (&boot.failure, boot.enrolled_ms) {
        (Some(failure), _) => format!("FAILED: {failure}"),
        (None, Some(time)) => format!(
            "ok, enrolled after {}",
            seconds(Duration::from_millis(time))
        ),
        (None, None) => "ok".to_owned(),
    };
    say(&format!(
        "{:<22} {:>8}  {word}",
        way.name(),
        seconds(started.elapsed())
    ));
    boot
}

fn run_apart(way: Way, memory: Option<u32>) -> Result<Boot> {
    let report = report_of(way);
    let _ = fs::remove_file(&report);
    let this = std::env::current_exe().context("this program has no name")?;
    let mut command = process::command([]);
    command
        .arg(this)
        .args(["boots", "--one", &way.name()])
        .args(memory.map(|memory| format!("--memory={memory}")))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Job::start(&mut command, "a boot")?.wait(PATIENCE + RESTART)?;
    let text = fs::read_to_string(&report).context("the boot left no report")?;
    serde_json::from_str(&text).context("a boot's report is not understood")
}

fn report_of(way: Way) -> std::path::PathBuf {
    teardown::runs()
        .join("boots")
        .join(format!("{}.json", way.name()))
}

/// Boots once, and writes what it showed.
fn one(way: Way, memory: Option<u32>) -> Result<()> {
    let tag = Tag::own();
    let mut boot = Boot {
        way: way.name(),
        about: way.about(),
        memory_mib: memory.unwrap_or_else(|| way.memory()),
        ..Boot::default()
    };
    let shown = show(way, &tag, &mut boot);
    let left = teardown::left_behind(&tag);
    boot.failure = match shown {
        Err(error) => Some(format!("{error:#}")),
        Ok(()) if !left.is_empty() => Some(format!("left behind: {}", left.join("; "))),
        Ok(()) => None,
    };
    boot.ok = boot.failure.is_none();
    let text = serde_json::to_string_pretty(&boot)? + "\n";
    fs::write(report_of(way), text).context("cannot write a boot's report")
}

fn show(way: Way, tag: &Tag, boot: &mut Boot) -> Result<()> {
    let _guard = Guard::new(tag)?;
    let images = Images::at();
    let lab = Lab::make(tag)?;
    let key = match way.outcome() {
        Outcome::Restart => BundleKey::of_a_stranger(tag)?,
        Outcome::Tunnel | Outcome::Refused => BundleKey::of_runs()?,
    };
    let operator = Operator::start(&lab, &key)?;
    let _services = Services::start(&lab, way, &images.directory(way))?;
    let tpm = way
        .measured()
        .then(|| Tpm::start(&lab.file("tpm")))
        .transpose()?;
    let mut machine = Machine::start(&lab, way, boot.memory_mib, &images, tpm.as_ref())?;
    let ended = match way.outcome() {
        Outcome::Tunnel => tunnel(&lab, &operator, &mut machine, boot),
        Outcome::Refused => refused(&mut machine),
        Outcome::Restart => restart(&lab, &operator, &mut machine, boot),
    };
    keep_log(&lab, way)?;
    ended?;
    // The TPM tells what it knows only while nobody else holds it.
    drop(machine);
    if let Some(tpm) = tpm {
        measured(&images, &tpm, boot)?;
    }
    Ok(())
}

/// What is left of a boot for people to read: `target/boots/WAY.log`.
fn keep_log(lab: &Lab, way: Way) -> Result<()> {
    let mut log = String::new();
    for (about, file) in [
        ("the firmware", "serial.log"),
        ("DHCP and TFTP", "dnsmasq.log"),
        ("HTTP", "web.errors"),
    ] {
        let bytes = fs::read(lab.file(file)).unwrap_or_default();
        log.push_str(&format!(
            "== {about}\n{}\n",
            String::from_utf8_lossy(&bytes)
        ));
    }
    let directory = tree().join("target/boots");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(format!("{}.log", way.name())), log).context("cannot write a log")
}

/// A customer gets a page through the tunnel.
fn tunnel(lab: &Lab, operator: &Operator, machine: &mut Machine, boot: &mut Boot) -> Result<()> {
    let started = machine.guest.started;
    machine.guest.await_clients_for(lab, PATIENCE)?;
    let customer = Customer::new(lab, operator)?;
    customer.enrol()?;
    boot.enrolled_ms = Some(millis(started));
    operator.await_counting()?;
    let page = web::random_page(PAGE)?;
    let _internet = lab.internet.inside(|| Web::serve(PAGE_AT, page.clone()))?;
    customer.up()?;
    let came = customer.fetch();
    customer.down()?;
    ensure!(came? == page, "another page came through the tunnel");
    Ok(())
}

/// The firmware says that it will not.
fn refused(machine: &mut Machine) -> Result<()> {
    const WORD: &str = "Access Denied";
    let started = Instant::now();
    while !fs::read_to_string(&machine.serial)
        .unwrap_or_default()
        .contains(WORD)
    {
        machine.guest.still_runs()?;
        signals::check()?;
        ensure!(started.elapsed() < PATIENCE, "the firmware did not refuse");
        thread::sleep(LOOK);
    }
    Ok(())
}

/// init refuses, the beacon says why, and the machine starts anew with the same variables.
fn restart(lab: &Lab, operator: &Operator, machine: &mut Machine, boot: &mut Boot) -> Result<()> {
    const BEACON: u16 = 9181;
    let ear = lab
        .hub
        .inside(|| Ok(UdpSocket::bind((OPERATOR, BEACON))?))?;
    ear.set_read_timeout(Some(PATIENCE))?;
    let mut told = [0; 64];
    let length = ear.recv(&mut told).context("no beacon")?;
    boot.beacon = Some(String::from_utf8_lossy(&told[..length]).trim().to_owned());
    ensure!(operator.bundle_requests() > 0, "a beacon before a request");
    let before = variables::read(&machine.variables)?;
    let started = Instant::now();
    while machine.guest.still_runs().is_ok() {
        signals::check()?;
        ensure!(started.elapsed() < RESTART, "the machine did not restart");
        thread::sleep(LOOK);
    }
    boot.variables_changed = variables::changes(&before, &variables::read(&machine.variables)?);
    ensure!(
        boot.variables_changed.is_empty(),
        "UEFI variables that changed: {}",
        boot.variables_changed.join(", ")
    );
    ensure!(
        boot.beacon.as_deref() == Some("mayfly-boot 19"),
        "the beacon said {:?}",
        boot.beacon
    );
    Ok(())
}

/// The TPM says what the manifest says.
fn measured(images: &Images, tpm: &Tpm, boot: &mut Boot) -> Result<()> {
    for number in [4, 9] {
        let value = tpm.pcr(number)?;
        boot.pcrs.insert(number, value.clone());
        let expected = images.pcr(number)?;
        if value != expected {
            bail!("PCR {number} is {value}, and {expected} in the manifest");
        }
    }
    Ok(())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
