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

mod dump;
mod enrolment;
mod html;
mod initiator;
mod map;
mod needle;
mod promises;
mod qmp;
mod report;
mod writes;

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::dump::Dump;
use self::enrolment::Enrolment;
use self::initiator::Session;
use self::needle::{Kind, Needle};
use self::qmp::Qmp;
use self::report::{Moment, Report};
use crate::image::Profile;
use crate::packages;
use crate::progress::{say, step};
use crate::run;
use crate::run::customer::Customer;
use crate::run::guest::Guest;
use crate::run::lab::{self, GUEST_MIB, Lab};
use crate::run::operator::{self, BundleKey, Operator};
use crate::run::web::{self, Web};
use crate::signals;
use crate::teardown::{self, Guard, Tag};

/// `cargo xtask audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what a minute shows: not that 180 s of silence are forgotten too
    #[arg(long)]
    short: bool,
}

/// Until everything that is forgotten at all is forgotten.
const A_MINUTE: Duration = Duration::from_secs(60);
/// How long the counter may take to follow a client.
const COUNTED: Duration = Duration::from_secs(15);
/// The longest that a session may outlive its client, and a little for looking.
const SILENCE: Duration = Duration::from_secs(180 + 45);
/// Size of the page that comes through the tunnel, in bytes.
const PAGE: usize = 256 * 1024;

/// Makes the experiment, and writes `target/audit.json` and `target/audit.html`.
///
/// # Errors
/// Something was remembered, or the experiment could not be made.
pub fn audit(args: &Args) -> Result<()> {
    signals::watch()?;
    packages::require_root()?;
    packages::provide(&[packages::IMAGE, packages::NETWORK, packages::QEMU].concat())?;
    packages::provide_kernel_source()?;
    for name in teardown::sweep()? {
        say(&format!("took away what {name} had left"));
    }
    let tag = Tag::own();
    let mut report = Report::new()?;
    report.take_writes()?;
    observe(args, &tag, &mut report)?;
    report.judge();
    report.write()?;
    report.print();
    html::write(&report)?;
    say("report: target/audit.json, and for people: target/audit.html");
    ensure!(report.ok, "{}", report.failures.join("; "));
    Ok(())
}

fn observe(args: &Args, tag: &Tag, report: &mut Report) -> Result<()> {
    let _guard = Guard::new(tag)?;
    step("build mayfly and mayfly-accounts", operator::build)?;
    let key = BundleKey::make(tag)?;
    let lab = step("make namespaces", || Lab::make(tag))?;
    let operator = step("start the account service", || Operator::start(&lab, &key))?;
    let image = run::build_image(Profile::Sealed, &key)?;
    let (ram, socket) = (lab.file("ram"), lab.file("qmp"));
    let more = [
        "-object".to_owned(),
        format!(
            "memory-backend-file,id=ram,size={GUEST_MIB}M,share=on,mem-path={}",
            ram.display()
        ),
        "-machine".to_owned(),
        "memory-backend=ram".to_owned(),
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", socket.display()),
    ];
    let mut guest = step("boot the image", || {
        Guest::boot(&lab, &operator, &image, Profile::Sealed, &more)
    })?;
    step("wait until the node takes clients", || {
        guest.await_clients(&lab)
    })?;
    step("wait until the account service counts anew", || {
        operator.await_counting()
    })?;
    let scene = Scene {
        lab: &lab,
        operator: &operator,
        customer: Customer::new(&lab, &operator)?,
        dump: Dump::new(ram, Qmp::connect(&socket)?),
    };
    scene.release(report)?;
    if !args.short {
        scene.silence(report)?;
    }
    guest.still_runs()
}

/// Where the experiment is made.
struct Scene<'a> {
    lab: &'a Lab,
    operator: &'a Operator,
    customer: Customer<'a>,
    dump: Dump,
}

impl Scene<'_> {
    /// A customer comes, releases its enrolment, and goes.
    fn release(&self, report: &mut Report) -> Result<()> {
        let (enrolment, mut needles) = self.connect(Some(report))?;
        let second = self.connect_known(&mut needles)?;
        self.look(Moment::Connected, &needles, report)?;
        step("release the enrolments", || {
            enrolment.release(self.lab)?;
            second.release(self.lab)?;
            self.operator.await_devices(0, COUNTED)
        })?;
        report.counted = Some(true);
        self.customer.vanish()?;
        self.look(Moment::Released, &needles, report)?;
        wait("a minute", A_MINUTE)?;
        self.look(Moment::ReleasedAndAMinute, &needles, report)
    }

    /// A customer comes, and dies without a word.
    fn silence(&self, report: &mut Report) -> Result<()> {
        let (_enrolment, mut needles) = self.connect(None)?;
        self.connect_known(&mut needles)?;
        self.look(Moment::Connected, &needles, report)?;
        self.customer.vanish()?;
        step("wait until 180 s of silence end the session", || {
            self.operator.await_devices(0, SILENCE)
        })?;
        self.look(Moment::Silence, &needles, report)?;
        wait("a minute", A_MINUTE)?;
        self.look(Moment::SilenceAndAMinute, &needles, report)
    }

    /// Enrols and connects a device of which everything is known; it looks something up and
    /// fetches a page. What is to be searched for afterwards.
    fn connect(&self, before: Option<&mut Report>) -> Result<(Enrolment, Vec<Needle>)> {
        let page = web::random_page(PAGE)?;
        let enrolment = step("enrol a device", || {
            Enrolment::make(self.lab, self.operator)
        })?;
        self.customer.take(&enrolment.config())?;
        self.customer.up()?;
        let port = self.listen_port()?;
        let name = format!("{}.example", enrolment.label());
        let needles = needle::all(&enrolment, port, &name, &page);
        if let Some(report) = before {
            // Whatever is found now is not the customer's: its device has not spoken yet.
            let unknown: Vec<_> = needles
                .iter()
                .filter(|needle| matches!(needle.kind, Kind::Page | Kind::Name))
                .cloned()
                .collect();
            self.look(Moment::Before, &unknown, report)?;
        }
        let served = page.clone();
        let _internet = self
            .lab
            .internet
            .inside(|| Web::serve(lab::PAGE_AT, served))?;
        step("connect, look up a name, fetch a page", || {
            self.look_up(&name)?;
            ensure!(self.customer.fetch()? == page, "another page came");
            self.operator.await_devices(1, COUNTED)
        })?;
        Ok((enrolment, needles))
    }

    /// Enrols a second device, and shakes hands for it in a way that tells the session's keys,
    /// which a stock client does not.
    fn connect_known(&self, needles: &mut Vec<Needle>) -> Result<Enrolment> {
        let enrolment = Enrolment::make(self.lab, self.operator)?;
        let parties = enrolment.parties()?;
        let session = step("connect a device whose session keys are known", || {
            let session = self.lab.customer.inside(|| Session::start(&parties))?;
            self.operator.await_devices(2, COUNTED)?;
            Ok(session)
        })?;
        needles.push(needle::session_keys(&session.keys));
        Ok(enrolment)
    }

    /// A DNS query (RFC 1035 section 4.1) that nobody answers.
    fn look_up(&self, name: &str) -> Result<()> {
        let mut query = vec![0x4d, 0x46, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(needle::dns_name(name));
        query.extend([0, 1, 0, 1]);
        self.lab.customer.inside(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.send_to(&query, "198.51.100.53:53")?;
            Ok(())
        })
    }

    fn listen_port(&self) -> Result<u16> {
        let words = ["wg", "show", self.customer.interface(), "listen-port"];
        let mut command = self.lab.customer.command(words);
        let port = crate::process::output(&mut command, "wg", Duration::from_secs(10))?;
        port.trim().parse().context("wg shows no port")
    }

    fn look(&self, moment: Moment, needles: &[Needle], report: &mut Report) -> Result<()> {
        let reading = step(&format!("search RAM: {}", moment.name()), || {
            self.dump.search(needles)
        })?;
        report.add(moment, needles, &reading.hits);
        report.map(moment, reading.map);
        Ok(())
    }
}

/// Waits out a time that the policy names.
fn wait(what: &str, time: Duration) -> Result<()> {
    step(&format!("wait {what}"), || {
        let started = Instant::now();
        while started.elapsed() < time {
            signals::check()?;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    })
}
