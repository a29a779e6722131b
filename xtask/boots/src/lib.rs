//! `cargo xtask boots`: starts the image in every way that an operator can, until a customer gets
//! a page through the tunnel, or until the image or its settings are refused where they must be.
//!
//! ```text
//!   customer ---- hub: dnsmasq by image/dnsmasq.conf, web server, accounts ---- internet
//!                  | TAP
//!                 QEMU: a BIOS or UEFI, a NIC that boots, or a CD; a TPM
//! ```
//!
//! Each boot has its own namespaces, and two boots run at a time. The report is
//! `target/boots.json`. How the image is built is not its business.

mod images;
mod machine;
mod report;
mod services;
mod tampering;
mod tpm;
mod variables;
mod way;

use std::fs;
use std::net::UdpSocket;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, seconds};
use mayfly_host::teardown::{self, Guard, Tag};
use mayfly_host::{prologue, signals, tree};
use mayfly_lab::customer::Customer;
use mayfly_lab::network::{Lab, OPERATOR, PAGE_AT};
use mayfly_lab::operator::{self, BundleKey, Operator, Setting};
use mayfly_lab::web::{self, Web};

use self::images::Images;
use self::machine::Machine;
pub use self::report::{Boot, Report};
use self::services::Services;
use self::tpm::Tpm;
use self::way::{Outcome, Way};

/// `cargo xtask boots`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Only these
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Way>,
    /// Memory of the machines, in MiB (default: 128, with UEFI 256)
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
}

/// Limit for each tool.
const LIMIT: Duration = Duration::from_secs(60);
/// How long firmware, network and kernel may take together, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long it may take until init gives up and restarts the machine, with the firmware's time.
const RESTART: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(100);
/// Size of the page that comes through the tunnel, in bytes.
const PAGE: usize = 64 * 1024;
/// Guests at a time.
const AT_A_TIME: usize = 2;

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
/// Nothing could be booted, or a signal came. That a boot did not end as it should is in the
/// report.
pub fn boots(args: &Args) -> Result<Report> {
    let tag = prologue(NEEDS)?;
    mayfly_image::provide_kernel_source()?;
    operator::build()?;
    let images = Images::at();
    images.build(&BundleKey::of_runs()?)?;
    images.check_what_is_signed()?;
    let ways = match args.only.as_slice() {
        [] => Way::value_variants(),
        some => some,
    };
    let boots = {
        let _guard = Guard::new(&tag)?;
        all(ways, args.memory, &images, &tag)?
    };
    let report = Report::of(boots, teardown::left_behind(&tag))?;
    report.write()?;
    say("report: target/boots.json");
    Ok(report)
}

/// Boots in `ways`, in their order, some at a time.
fn all(ways: &[Way], memory: Option<u32>, images: &Images, tag: &Tag) -> Result<Vec<Boot>> {
    let waiting = Mutex::new(ways.iter());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().ok()?.next().copied();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(way) = next() {
                    let boot = one(way, memory, images, tag);
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

/// Boots once, and says how that ended.
fn one(way: Way, memory: Option<u32>, images: &Images, tag: &Tag) -> Boot {
    let started = Instant::now();
    let mut boot = Boot::by(way, memory);
    boot.failure = show(way, images, tag, &mut boot)
        .err()
        .map(|error| format!("{error:#}"));
    boot.ok = boot.failure.is_none();
    say(&format!(
        "{:<22} {:>8}  {}",
        boot.way,
        seconds(started.elapsed()),
        boot.word()
    ));
    boot
}

fn show(way: Way, images: &Images, tag: &Tag, boot: &mut Boot) -> Result<()> {
    let lab = Lab::beside(tag, &way.label())?;
    let key = match way.outcome() {
        Outcome::Restart => BundleKey::of_a_stranger(tag)?,
        Outcome::Tunnel | Outcome::Refused => BundleKey::of_runs()?,
    };
    let setting = Setting {
        prints_to: Some(lab.file("accounts.log")),
        ..Setting::default()
    };
    let operator = Operator::start_with(&lab, &key, setting)?;
    let _services = Services::start(&lab, way, &images.directory(way))?;
    let tpm = way
        .measured()
        .then(|| Tpm::start(&lab.file("tpm")))
        .transpose()?;
    let mut machine = Machine::start(&lab, way, boot.memory_mib, images, tpm.as_ref())?;
    let ended = match way.outcome() {
        Outcome::Tunnel => tunnel(&lab, &operator, &mut machine, boot),
        Outcome::Refused => refused(&mut machine),
        Outcome::Restart => restart(&lab, &operator, &mut machine, boot),
    };
    keep_log(&lab, way)?;
    ended?;
    // The TPM answers only while nothing else is connected to it.
    drop(machine);
    if let Some(tpm) = tpm {
        measured(images, &tpm, boot)?;
    }
    Ok(())
}

/// Keeps a boot's logs for people to read: `target/boots/WAY.log`.
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

/// The firmware refuses the image.
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

/// init refuses the settings, the beacon says why, and the machine restarts with unchanged
/// variables.
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

/// The TPM has the values of the manifest.
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
