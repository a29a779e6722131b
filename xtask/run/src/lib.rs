//! `cargo xtask run`: the whole product at work on one machine.
//!
//! It boots the image in a lab ([`mayfly_lab`] has a drawing) and sends a customer through it: a
//! stock WireGuard client with the file that `mayfly enrol` wrote. From the hub it watches the
//! account's `devices`, and on the internet a web server records its visitors. It looks at neither
//! the guest's memory nor its CPU time: `audit` and `bench` do.

mod capture;
pub mod report;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, step};
use mayfly_host::prologue;
use mayfly_host::signals::{self, Interrupted};
use mayfly_host::teardown::{self, Guard, Tag};
use mayfly_image::{Image, Profile};
use mayfly_lab::customer::Customer;
use mayfly_lab::guest::Guest;
use mayfly_lab::network::{self, Lab};
use mayfly_lab::operator::{self, BundleKey, Operator};
use mayfly_lab::qemu::Machine;
use mayfly_lab::web::{self, Web};

use self::capture::Capture;
use self::report::{Phase, Report};

/// `cargo xtask run`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// End when everything has been shown, instead of staying up until Ctrl-C
    #[arg(long)]
    pub once: bool,
    /// Do not show that 180 s of silence end a session
    #[arg(long)]
    pub quick: bool,
    /// Boot the kernel with a log, which goes to target/run/console.log
    #[arg(long)]
    pub dev: bool,
}

impl Args {
    fn profile(&self) -> Profile {
        if self.dev {
            Profile::Dev
        } else {
            Profile::Sealed
        }
    }
}

/// The longest time that a session may be counted after its client has died (promise 3 of
/// `crates/counter/PROTOCOL.md`), and some time for the look.
const SILENCE: Duration = Duration::from_secs(215 + 10);
/// How long the counter may take to follow what a client does.
const COUNTED: Duration = Duration::from_secs(15);
/// Size of the page that comes through the tunnel, in bytes.
const PAGE: usize = 256 * 1024;

/// What it starts.
pub const NEEDS: &[&[Need]] = &[packages::IMAGE, packages::NETWORK, packages::QEMU];

/// Shows everything, removes everything, and writes `target/run/report.json`.
///
/// # Errors
/// Something is missing on this machine, or a signal came. What did not hold is in the report.
pub fn run(args: &Args) -> Result<Report> {
    let tag = prologue(NEEDS)?;
    mayfly_image::provide_kernel_source()?;
    let mut report = Report::new(args.profile())?;
    let shown = show(args, &tag, &mut report);
    let left_behind = teardown::left_behind(&tag);
    if let Err(error) = shown {
        if error.is::<Interrupted>() {
            // It has measured nothing, so the report of an earlier run stays.
            ensure!(left_behind.is_empty(), "left: {}", left_behind.join("; "));
            return Err(error);
        }
        report.fail(&format!("{error:#}"));
    } else {
        report.check();
    }
    report.finish(left_behind);
    report.write()?;
    say("report: target/run/report.json");
    Ok(report)
}

fn show(args: &Args, tag: &Tag, report: &mut Report) -> Result<()> {
    let _guard = Guard::new(tag)?;
    let (lab, operator, image) =
        mayfly_image::while_kernel_builds(args.profile(), || set_up(args.profile(), tag))?;
    report.image(&image);

    let mut guest = step("boot the image", || {
        Guest::boot(&lab, &operator, &Machine::node(&image))
    })?;
    report.accelerator = Some(guest.accelerator);
    step("wait until the node takes clients", || {
        guest.await_clients(&lab)
    })?;
    let customer = Customer::new(&lab, &operator)?;
    step("enrol a device", || customer.enrol())?;
    report.boot_ms = Some(millis(guest.started));
    step("wait until the account service counts again", || {
        operator.await_counting()
    })?;

    connect_and_release(&lab, &operator, &customer, report)?;
    if !args.quick {
        fall_silent(&operator, &customer, report)?;
    }
    if !args.once {
        stay(&lab, &operator, &mut guest)?;
    }
    Ok(())
}

/// Builds and starts everything that the guest needs.
fn set_up(profile: Profile, tag: &Tag) -> Result<(Lab, Operator, Image)> {
    operator::build()?;
    let key = BundleKey::of_runs()?;
    let lab = step("make namespaces", || Lab::make(tag))?;
    let operator = step("start the account service", || Operator::start(&lab, &key))?;
    let image = mayfly_lab::image::build(profile, &key)?;
    Ok((lab, operator, image))
}

/// `devices` goes from 0 to 1 to 0. In between this looks at everything that goes through the
/// tunnel or beside it.
fn connect_and_release(
    lab: &Lab,
    operator: &Operator,
    customer: &Customer,
    report: &mut Report,
) -> Result<()> {
    let page = web::random_page(PAGE)?;
    let internet = lab
        .internet
        .inside(|| Web::serve(network::PAGE_AT, page.clone()))?;
    let capture = Capture::start(lab)?;
    expect(operator, report, Phase::Start, 0, || Ok(()))?;
    let mut up = SystemTime::now();
    expect(operator, report, Phase::Connect, 1, || {
        customer.up()?;
        up = SystemTime::now();
        Ok(())
    })?;
    report.tunnel_ok = step("fetch a page through the tunnel", || customer.fetch())? == page;
    report.saw(&internet.visitors());
    customer.stray()?;
    let down = SystemTime::now();
    customer.down()?;
    let packets = capture.finish()?;
    report.handshake_ms = capture::handshake_ms(&packets);
    report.leaks(capture::beside_the_tunnel(&packets, up, down));
    expect(operator, report, Phase::Release, 0, || customer.release())
}

/// `devices` goes to 1, and to 0 without a word from the client.
fn fall_silent(operator: &Operator, customer: &Customer, report: &mut Report) -> Result<()> {
    customer.enrol()?;
    expect(operator, report, Phase::Connect2, 1, || customer.up())?;
    expect(operator, report, Phase::Silence, 0, || customer.vanish())
}

/// Does something, and waits until the counter has followed.
fn expect(
    operator: &Operator,
    report: &mut Report,
    phase: Phase,
    value: u8,
    act: impl FnOnce() -> Result<()>,
) -> Result<()> {
    act()?;
    let since = Instant::now();
    let what = format!("devices is {value} ({})", phase.name());
    let limit = if phase == Phase::Silence {
        SILENCE
    } else {
        COUNTED
    };
    let seen = step(&what, || operator.await_devices(value, limit));
    report.devices(phase, seen.as_ref().ok().copied(), millis(since));
    seen.map(|_| ())
}

/// Prints how to use what is up, and waits for a signal.
fn stay(lab: &Lab, operator: &Operator, guest: &mut Guest) -> Result<()> {
    say("\nIt stays up until Ctrl-C. Another device, in the customer's namespace:");
    for line in operator.how_to_connect(lab) {
        say(&format!("  {line}"));
    }
    while signals::check().is_ok() {
        guest.still_runs()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
