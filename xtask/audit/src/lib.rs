//! `cargo xtask audit`: whether a node forgets, as an experiment that a stranger repeats.
//!
//! ```text
//!   the sealed image in QEMU, its RAM a file     a customer whose every secret is known here
//!          |                                                     |
//!          +------------- enrols, connects, looks up, fetches ----+
//!          |
//!     RAM is read: before, connected, released, a minute later; connected again, silent,
//!     a minute after that; and searched for each secret in each form in which it would lie there
//! ```
//!
//! While the customer is connected its secrets have to be found, or the search is worth nothing.

mod account;
mod death;
mod device;
mod dump;
mod enrolment;
pub mod findings;
mod html;
mod https;
mod initiator;
mod keyboard;
#[cfg(test)]
mod lists;
mod machine;
mod map;
mod memtest;
pub mod needle;
pub mod promises;
mod qmp;
pub mod report;
mod rights;
mod scene;
mod store;
mod traffic;
pub mod writes;
mod writes_report;

use std::thread;

use anyhow::{Result, anyhow};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{Strand, say};
use mayfly_host::prologue;
use mayfly_host::teardown::{Guard, Tag};
use mayfly_image::{Image, Profile};
use mayfly_lab::network::Lab;
use mayfly_lab::operator::{self, BundleKey, Operator};

use self::death::Death;
use self::findings::{Findings, Load};
use self::machine::Disk;
use self::report::Report;
use self::scene::{Scene, USERS};

/// `cargo xtask audit`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Only what a minute shows: not that 180 s of silence are forgotten too
    #[arg(long)]
    pub short: bool,
}

/// What it starts.
pub const NEEDS: &[&[Need]] = &[
    packages::IMAGE,
    packages::NETWORK,
    packages::QEMU,
    packages::AUDIT,
];

/// Makes the experiment, and writes `target/audit.json` and `target/audit.html`.
///
/// # Errors
/// The experiment could not be made. What was remembered is in the report.
pub fn audit(args: &Args) -> Result<Report> {
    let tag = prologue(NEEDS)?;
    mayfly_image::provide_kernel_source()?;
    let mut report = Report::new()?;
    report.take_writes()?;
    if !args.short && report.writes.is_none() {
        attempt_writes(&mut report)?;
    }
    observe(args, &tag, &mut report)?;
    report.judge();
    report.write()?;
    report.print();
    html::write(&report)?;
    say("report: target/audit.json, and for people: target/audit.html");
    Ok(report)
}

/// What `cargo xtask writes` does, if nobody did it on this commit.
fn attempt_writes(report: &mut Report) -> Result<()> {
    // What came through is in its report, and judged with the rest.
    writes::run()?;
    report.take_writes()
}

fn observe(args: &Args, tag: &Tag, report: &mut Report) -> Result<()> {
    let _guard = Guard::new(tag)?;
    operator::build()?;
    let key = BundleKey::of_runs()?;
    let sealed = mayfly_lab::image::build(Profile::Sealed, &key)?;
    if args.short {
        let short = Setup {
            tag,
            key: &key,
            image: &sealed,
        };
        report.add(short.quiet(true)?);
        return Ok(());
    }
    let mortal = mayfly_lab::image::build(Profile::Mortal, &key)?;
    let sealed = Setup {
        tag,
        key: &key,
        image: &sealed,
    };
    let mortal = Setup {
        image: &mortal,
        ..sealed
    };
    report.memtest(sealed.memtest()?);
    let found = thread::scope(|scope| {
        let guests = [
            scope.spawn(|| sealed.quiet(false)),
            scope.spawn(|| sealed.busy()),
            scope.spawn(|| mortal.killed()),
        ];
        guests.map(|guest| guest.join().map_err(|_| anyhow!("a panic"))?)
    });
    for findings in found {
        report.add(findings?);
    }
    Ok(())
}

/// What the guests have in common.
#[derive(Clone, Copy)]
struct Setup<'a> {
    tag: &'a Tag,
    key: &'a BundleKey,
    image: &'a Image,
}

impl Setup<'_> {
    /// A node with one customer, with a disk and a keyboard; whose kernel panics in the end.
    fn quiet(&self, short: bool) -> Result<Findings> {
        self.guest(Strand("quiet"), |strand, lab, operator| {
            let disk = Disk::make(lab)?;
            let (mut guest, dump) = machine::boot(strand, lab, operator, self.image, &disk)?;
            let scene = Scene::new(strand, Load::Quiet, lab, operator, dump)?;
            scene.type_on_a_keyboard()?;
            scene.release()?;
            if !short {
                scene.silence()?;
            }
            // Before the firmware finds the keyboard, on the way up from a death.
            scene.look_at_devices(&disk)?;
            scene.rights()?;
            if !short {
                scene.die(Death::Panic, &mut guest)?;
                scene.daily_write()?;
            }
            guest.still_runs()?;
            Ok(scene.findings())
        })
    }

    /// A node with other customers, and at last a warm reboot.
    fn busy(&self) -> Result<Findings> {
        self.guest(Strand("busy"), |strand, lab, operator| {
            let disk = Disk::make(lab)?;
            let (mut guest, dump) = machine::boot(strand, lab, operator, self.image, &disk)?;
            let scene = Scene::new(strand, Load::Busy, lab, operator, dump)?;
            let _other = scene.busy()?;
            scene.release()?;
            scene.silence()?;
            scene.die(Death::Reset, &mut guest)?;
            scene.look_at_devices(&disk)?;
            Ok(scene.findings())
        })
    }

    /// A node whose daemon is killed.
    fn killed(&self) -> Result<Findings> {
        self.guest(Strand("kill"), |strand, lab, operator| {
            let disk = Disk::make(lab)?;
            let (mut guest, dump) = machine::boot(strand, lab, operator, self.image, &disk)?;
            let scene = Scene::new(strand, Load::Quiet, lab, operator, dump)?.at_leisure();
            scene.die(Death::Killed, &mut guest)?;
            Ok(scene.findings())
        })
    }

    fn memtest(&self) -> Result<f64> {
        self.guest(Strand("memtest"), |strand, lab, operator| {
            let words = "memtest=0";
            let without = mayfly_lab::image::build_with(Profile::Sealed, self.key, words)?;
            let images = [("memtest=1", self.image), (words, &without)];
            memtest::seconds_per_gib(strand, lab, operator, images)
        })
    }

    /// A lab of its own, with an account service.
    fn guest<T>(
        &self,
        strand: Strand,
        work: impl FnOnce(Strand, &Lab, &Operator) -> Result<T>,
    ) -> Result<T> {
        let lab = Lab::beside(self.tag, strand.0)?;
        let operator = strand.step("start the account service", || {
            Operator::start_with(&lab, self.key, store::setting(&lab, &USERS)?)
        })?;
        work(strand, &lab, &operator)
    }
}
