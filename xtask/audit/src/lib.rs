//! `cargo xtask audit`: an experiment, which a stranger can repeat, that shows whether a node
//! forgets.
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
//! While the customer is connected its secrets must be found; otherwise the search shows nothing.
//! The audit takes no list of what to forget from the programs that it judges.

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
mod patience;
pub mod promises;
mod qmp;
pub mod report;
mod rights;
mod scene;
mod store;
mod traffic;
mod turns;
pub mod writes;
mod writes_report;

use std::thread;

use anyhow::{Result, anyhow};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{Strand, say};
use mayfly_host::prologue;
use mayfly_host::signals;
use mayfly_host::teardown::{Guard, Tag};
use mayfly_image::{Image, Profile};
use mayfly_lab::guest::Guest;
use mayfly_lab::network::Lab;
use mayfly_lab::operator::{self, BundleKey, Operator};

use self::death::Death;
use self::findings::{Findings, Load};
use self::machine::{Booted, Disk};
use self::report::Report;
use self::scene::{Scene, USERS};
use self::turns::Turns;

/// `cargo xtask audit`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Only what a minute shows, without the forgetting after 180 s of silence
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
/// The experiment could not be made. The report says what was remembered.
pub fn audit(args: &Args) -> Result<Report> {
    let tag = prologue(NEEDS)?;
    mayfly_image::provide_kernel_source()?;
    let mut report = Report::new()?;
    report.take_writes()?;
    if !args.short && report.writes.is_none() {
        let attempted = attempt_writes(&mut report);
        note(&mut report, "writes", "the write matrix", attempted)?;
    }
    let observed = observe(args, &tag, &mut report);
    note(&mut report, "all", "what comes before the guests", observed)?;
    report.judge();
    report.write()?;
    report.print();
    html::write(&report)?;
    say("report: target/audit.json, and for people: target/audit.html");
    Ok(report)
}

/// Keeps in mind what came in the way of an experiment; the others are made all the same.
///
/// # Errors
/// A signal: then nothing more is made, and the report of an earlier run stays.
fn note(
    report: &mut Report,
    guest: &'static str,
    experiment: &'static str,
    made: Result<()>,
) -> Result<()> {
    signals::check()?;
    if let Err(error) = made {
        report.not_made(guest, experiment, &error);
    }
    Ok(())
}

/// Does what `cargo xtask writes` does, if there is no report of it for this commit.
fn attempt_writes(report: &mut Report) -> Result<()> {
    // Its report says what came through, which is judged with the rest.
    writes::run()?;
    report.take_writes()
}

fn observe(args: &Args, tag: &Tag, report: &mut Report) -> Result<()> {
    let _guard = Guard::new(tag)?;
    operator::build()?;
    let key = BundleKey::of_runs()?;
    let sealed = mayfly_lab::image::build(Profile::Sealed, &key)?;
    let turns = Turns::of_this_machine();
    let sealed = Setup {
        tag,
        key: &key,
        image: &sealed,
        turns: &turns,
    };
    if args.short {
        return take(report, "quiet", sealed.quiet(true));
    }
    let memtest = sealed.memtest().map(|seconds| report.memtest(seconds));
    note(report, "memtest", "what it costs to overwrite RAM", memtest)?;
    let mortal = mayfly_lab::image::build(Profile::Mortal, &key);
    let killed = || {
        let mortal = Setup {
            image: mortal.as_ref().map_err(|error| anyhow!("{error:#}"))?,
            ..sealed
        };
        mortal.killed()
    };
    let found = thread::scope(|scope| {
        let guests = [
            ("quiet", scope.spawn(|| sealed.quiet(false))),
            ("busy", scope.spawn(|| sealed.busy())),
            ("kill", scope.spawn(killed)),
        ];
        guests.map(|(name, guest)| {
            let found = guest.join().unwrap_or_else(|_| Err(anyhow!("a panic")));
            (name, found)
        })
    });
    for (guest, findings) in found {
        take(report, guest, findings)?;
    }
    Ok(())
}

/// Takes what one guest showed.
fn take(report: &mut Report, guest: &'static str, found: Result<Findings>) -> Result<()> {
    let found = found.map(|findings| report.add(findings));
    note(report, guest, "bring it up, and all that follows", found)
}

/// What all guests have in common.
#[derive(Clone, Copy)]
struct Setup<'a> {
    tag: &'a Tag,
    key: &'a BundleKey,
    image: &'a Image,
    turns: &'a Turns,
}

impl Setup<'_> {
    /// A node with one customer, a disk and a keyboard. Its kernel panics in the end.
    fn quiet(&self, short: bool) -> Result<Findings> {
        self.guest(Strand("quiet"), |strand, lab, operator| {
            let disk = Disk::make(lab)?;
            let (mut guest, booted) = self.boot(strand, lab, operator, &disk)?;
            let scene = Scene::new(strand, Load::Quiet, lab, operator, booted)?;
            scene.make("keyboard", || scene.type_on_a_keyboard())?;
            scene.make("release", || scene.release())?;
            if !short {
                scene.make("silence", || scene.silence())?;
            }
            // This comes before the deaths: on the way up the firmware would find the keyboard.
            scene.make("devices", || scene.look_at_devices(&disk))?;
            scene.make("rights", || scene.rights())?;
            if !short {
                scene.make("panic", || scene.die(Death::Panic, &mut guest))?;
                scene.make("daily write", || scene.daily_write())?;
            }
            scene.make("live to the end", || guest.still_runs())?;
            Ok(scene.findings())
        })
    }

    /// A node with other customers, and a warm reboot in the end.
    fn busy(&self) -> Result<Findings> {
        self.guest(Strand("busy"), |strand, lab, operator| {
            let disk = Disk::make(lab)?;
            let (mut guest, booted) = self.boot(strand, lab, operator, &disk)?;
            let scene = Scene::new(strand, Load::Busy, lab, operator, booted)?;
            let other = scene.busy()?;
            scene.make("release", || scene.release())?;
            scene.make("silence", || scene.silence())?;
            scene.make("reboot", || scene.die(Death::Reset, &mut guest))?;
            scene.make("devices", || scene.look_at_devices(&disk))?;
            drop(other);
            Ok(scene.findings())
        })
    }

    /// A node whose daemon is killed.
    fn killed(&self) -> Result<Findings> {
        self.guest(Strand("kill"), |strand, lab, operator| {
            let disk = Disk::make(lab)?;
            let (mut guest, booted) = self.boot(strand, lab, operator, &disk)?;
            let scene = Scene::new(strand, Load::Quiet, lab, operator, booted)?.at_leisure();
            scene.make("killed", || scene.die(Death::Killed, &mut guest))?;
            Ok(scene.findings())
        })
    }

    fn boot(
        &self,
        strand: Strand,
        lab: &Lab,
        operator: &Operator,
        disk: &Disk,
    ) -> Result<(Guest, Booted<'_>)> {
        machine::boot(strand, lab, operator, self.image, disk, self.turns)
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
