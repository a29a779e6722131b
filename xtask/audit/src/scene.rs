//! One guest and the parties around it: what they do, and what is then found in its RAM.
//!
//! ```text
//!   customer   203.0.113.2, wireguard-go        --+          +-- internet: for each of them a
//!   six        2001:db8:72::2, wireguard-go     --+-- node --+   page without end, and a resolver
//!   known      an initiator on snow, both ways  --+
//!   other      another customer's, if the node is busy
//! ```
//!
//! One account has the first four devices. Stock clients do not reveal the keys of their sessions;
//! the third party does.

use std::cell::RefCell;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use mayfly_host::namespace::Namespace;
use mayfly_host::progress::Strand;
use mayfly_host::signals;
use mayfly_lab::network::{CUSTOMER, Lab};
use mayfly_lab::operator::{Operator, USER};

use super::device::{Address, Device};
use super::dump::{Dump, Hits};
use super::enrolment::{Enrolment, Home, Ip};
use super::findings::{Findings, Load, Moment};
use super::initiator::Session;
use super::keyboard;
use super::machine::{Booted, Disk};
use super::needle::{self, Kind, Needle};
use super::patience::Patience;
use super::store::{Files, Store};
use super::turns::Turns;

/// The time within which everything must be forgotten.
const A_MINUTE: Duration = Duration::from_secs(60);
/// How long the counter may take to follow a client.
const COUNTED: Duration = Duration::from_secs(60);
/// The longest that a session may be counted after its client has died (promise 3 of
/// `crates/counter/PROTOCOL.md`).
const SILENCE: Duration = Duration::from_secs(215);
/// A little for looking, beside that.
const A_LITTLE: Duration = Duration::from_secs(10);
/// Readings of RAM within which everything in transit must be seen.
const READINGS: usize = 6;
/// Life of the token that ends before its device's session, in seconds.
const SHORT: u64 = 100;
/// Pause between two reads of a page by a customer who only keeps the node busy.
const LEISURE: Duration = Duration::from_millis(100);

/// The users: the customer, another customer, and one whose token ends.
pub(crate) const USERS: [&str; 3] = [USER, "bob", "eve"];

/// The places of the customer's devices with IPv6 and with known keys.
const SIX: &str = "2001:db8:72::2";
const KNOWN: [&str; 2] = ["10.7.0.2", "2001:db8:73::2"];
/// The place of another customer.
const OTHER: &str = "10.8.0.2";

/// The guest and all parties of an experiment.
pub(crate) struct Scene<'a> {
    pub(super) strand: Strand,
    pub(super) lab: &'a Lab,
    pub(super) operator: &'a Operator,
    pub(super) dump: Dump,
    six: Namespace,
    known: Namespace,
    other: Namespace,
    addresses: [Address; 2],
    pub(super) findings: RefCell<Findings>,
    typed: RefCell<Option<Needle>>,
    /// Between two reads of a page.
    pace: Duration,
    /// Who else wants the machine.
    pub(super) turns: &'a Turns,
    /// How long the guest may take for what it does.
    pub(super) patience: Patience,
    /// The account service's files before any device connected.
    pub(super) files: Files,
}

/// The customer's devices, all connected.
pub(super) struct Party<'a> {
    pub(super) stock: [Device<'a>; 2],
    known: Vec<Known<'a>>,
}

/// A device whose session's keys are known.
struct Known<'a> {
    enrolment: Enrolment<'a>,
    session: Session,
}

impl<'a> Scene<'a> {
    /// Makes the parties that the lab does not have.
    ///
    /// # Errors
    /// The kernel or iproute2 refuses.
    pub(crate) fn new(
        strand: Strand,
        load: Load,
        lab: &'a Lab,
        operator: &'a Operator,
        booted: Booted<'a>,
    ) -> Result<Self> {
        Ok(Self {
            strand,
            lab,
            operator,
            dump: booted.dump,
            turns: booted.turns,
            patience: booted.patience,
            six: lab.join("six", "10.6.0", "2001:db8:72")?,
            known: lab.join("known", "10.7.0", "2001:db8:73")?,
            other: lab.join("other", "10.8.0", "2001:db8:74")?,
            addresses: [
                Address::add(lab, Ip::V4, 80)?,
                Address::add(lab, Ip::V6, 80)?,
            ],
            findings: RefCell::new(Findings::new(load)),
            typed: RefCell::new(None),
            pace: Duration::ZERO,
            files: Store::of(lab, operator).files()?,
        })
    }

    /// The same with slower customers, who leave the processors to others.
    pub(crate) fn at_leisure(self) -> Self {
        Self {
            pace: LEISURE,
            ..self
        }
    }

    /// Makes an experiment. One that cannot be made leaves the others to be made: the next one
    /// begins when nobody is connected any longer.
    ///
    /// # Errors
    /// A signal.
    pub(crate) fn make(
        &self,
        what: &'static str,
        experiment: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let Err(error) = experiment() else {
            return Ok(());
        };
        signals::check()?;
        self.findings
            .borrow_mut()
            .not_made(self.strand.0, what, &error);
        let settled = self.strand.step("wait until nobody is connected", || {
            self.await_silence(SILENCE + A_LITTLE)
        });
        signals::check()?;
        // If they stay, the next experiment says so itself.
        drop(settled);
        Ok(())
    }

    /// What was found.
    pub(crate) fn findings(self) -> Findings {
        self.findings.into_inner()
    }

    /// Connects another customer, who stays and keeps the node busy.
    ///
    /// # Errors
    /// As [`Scene::release`].
    pub(crate) fn busy(&self) -> Result<Device<'_>> {
        let _turn = self.turns.take(self.strand)?;
        self.strand.step("connect another customer", || {
            let home = Home {
                user: USERS[1],
                ..self.home(&self.other, Ip::V4, OTHER.parse()?)
            };
            let at = Address::add(self.lab, Ip::V4, 77)?;
            let mut other = Device::enrol(self.lab, home, "o", at)?;
            other.connect(LEISURE)?;
            self.counts(USERS[1], 1)?;
            Ok(other)
        })
    }

    /// Types a word on a keyboard. No search should ever find it.
    ///
    /// # Errors
    /// QEMU refuses.
    pub(crate) fn type_on_a_keyboard(&self) -> Result<()> {
        self.strand.step("plug in a keyboard and type", || {
            let word = keyboard::word()?;
            keyboard::type_on(&self.dump.qmp, &word)?;
            *self.typed.borrow_mut() = Some(needle::typed(&word));
            Ok(())
        })
    }

    /// Connects the devices, and releases their enrolments.
    ///
    /// # Errors
    /// The experiment could not be made.
    pub(crate) fn release(&self) -> Result<()> {
        let turn = self.turns.take(self.strand)?;
        let mut party = self.connect()?;
        self.strand.step("release the enrolments", || {
            for device in &mut party.stock {
                device.rest()?;
            }
            party.leave()?;
            self.counts(USER, 0)
        })?;
        self.findings.borrow_mut().claim("devices", true);
        self.look(Moment::Released, &party.needles())?;
        drop(turn);
        self.wait("a minute", A_MINUTE)?;
        self.look(Moment::ReleasedAndAMinute, &party.needles())?;
        self.search_account_service(&party)?;
        self.call_to_court(&party)
    }

    /// Connects the devices and kills them; the stock ones come back. One more device has a token that
    /// ends in that time.
    ///
    /// # Errors
    /// As [`Scene::release`].
    pub(crate) fn silence(&self) -> Result<()> {
        let turn = self.turns.take(self.strand)?;
        let mut party = self.connect()?;
        let ending = self.ending()?;
        for device in &mut party.stock {
            device.rest()?;
            device.vanish()?;
        }
        drop(turn);
        self.strand
            .step("wait until silence ends the sessions, and is told", || {
                // The token of the last has ended long ago: with the session goes the enrolment.
                self.await_silence(SILENCE + self.patience.of(A_LITTLE))
            })?;
        self.look(Moment::Silence, &party.needles())?;
        self.wait("a minute", A_MINUTE)?;
        self.look_after_the_end(&ending)?;
        self.look(Moment::SilenceAndAMinute, &party.needles())?;
        self.come_back(&mut party)
    }

    /// Connects a device whose token ends soon, and searches while it is connected.
    fn ending(&self) -> Result<Known<'_>> {
        self.strand
            .step("connect a device whose token ends soon", || {
                let home = Home {
                    user: USERS[2],
                    ..self.home(&self.known, Ip::V4, KNOWN[0].parse()?)
                };
                let ending = self.begin(Enrolment::make_short(home, SHORT)?)?;
                self.counts(USERS[2], 1)?;
                let needles = ending.needles();
                let reading = self.dump.search(&needles)?;
                let mut findings = self.findings.borrow_mut();
                findings.count(Moment::Connected, &needles, &reading);
                Ok(ending)
            })
    }

    /// Searches more than a minute after its token's end.
    fn look_after_the_end(&self, ending: &Known<'_>) -> Result<()> {
        let needles = ending.needles();
        let reading = self.dump.search(&needles)?;
        let mut findings = self.findings.borrow_mut();
        findings.count(Moment::ReleasedAndAMinute, &needles, &reading);
        let of_it = findings.seen.iter().rev().take(needles.len());
        let forgotten = !of_it.clone().any(|seen| seen.is_remembered());
        findings.claim("token-end", forgotten);
        Ok(())
    }

    fn come_back(&self, party: &mut Party<'_>) -> Result<()> {
        let _turn = self.turns.take(self.strand)?;
        self.strand.step("come back and be counted", || {
            for device in &mut party.stock {
                device.connect(self.pace)?;
            }
            self.counts(USER, 2)?;
            for device in &mut party.stock {
                device.rest()?;
            }
            party.leave()?;
            self.counts(USER, 0)
        })?;
        self.findings.borrow_mut().claim("returns", true);
        Ok(())
    }

    /// Checks the disk and the keyboard.
    ///
    /// # Errors
    /// QEMU does not say.
    pub(crate) fn look_at_devices(&self, disk: &Disk) -> Result<()> {
        let qmp = &self.dump.qmp;
        let mut findings = self.findings.borrow_mut();
        findings.claim("disk", disk.is_untouched(qmp)?);
        if self.typed.borrow().is_some() {
            let typed = findings
                .seen
                .iter()
                .filter(|seen| seen.needle == Kind::Typed);
            let unheard = typed.map(|seen| seen.full_hits).sum::<usize>() == 0;
            findings.claim("keyboard", unheard && keyboard::is_unbound(qmp)?);
        }
        Ok(())
    }

    /// Enrols and connects all devices. RAM is searched before any of them has sent anything, and while
    /// pages and answers come and requests to the node are under way.
    pub(super) fn connect(&self) -> Result<Party<'_>> {
        let mut stock = self.strand.step("enrol two devices", || {
            Ok([self.stock(Ip::V4)?, self.stock(Ip::V6)?])
        })?;
        let unspoken: Vec<_> = stock.iter().flat_map(Device::unspoken).collect();
        self.look(Moment::Before, &unspoken)?;
        let known = self.strand.step("connect four devices", || {
            for device in &mut stock {
                device.connect(self.pace)?;
            }
            let known = vec![self.known(Ip::V4)?, self.known(Ip::V6)?];
            self.counts(USER, 4)?;
            Ok(known)
        })?;
        let mut party = Party { stock, known };
        let renewals = party.stock.iter_mut().map(Device::renew);
        let renewals: Vec<_> = renewals.collect::<Result<_>>()?;
        self.look_for_all(&party.needles())?;
        for renewal in renewals {
            renewal.finish()?;
        }
        Ok(party)
    }

    /// Waits until so many devices of an account are counted.
    fn counts(&self, user: &str, devices: u8) -> Result<()> {
        let limit = self.patience.of(COUNTED);
        self.operator.await_devices_of(user, devices, limit)?;
        Ok(())
    }

    /// Waits until nobody is counted any longer who has not said good-bye.
    fn await_silence(&self, limit: Duration) -> Result<()> {
        self.operator.await_devices_of(USER, 0, limit)?;
        self.operator.await_devices_of(USERS[2], 0, limit)?;
        Ok(())
    }

    fn stock(&self, ip: Ip) -> Result<Device<'_>> {
        let (namespace, address, word, at) = match ip {
            Ip::V4 => (&self.lab.customer, CUSTOMER.into(), "4", self.addresses[0]),
            Ip::V6 => (&self.six, SIX.parse()?, "6", self.addresses[1]),
        };
        Device::enrol(self.lab, self.home(namespace, ip, address), word, at)
    }

    fn known(&self, ip: Ip) -> Result<Known<'_>> {
        let address = KNOWN[usize::from(ip == Ip::V6)].parse()?;
        self.begin(Enrolment::make(self.home(&self.known, ip, address))?)
    }

    fn begin<'b>(&self, enrolment: Enrolment<'b>) -> Result<Known<'b>> {
        let parties = enrolment.parties()?;
        let session = self.known.inside(|| Session::start(&parties))?;
        Ok(Known { enrolment, session })
    }

    pub(super) fn home<'b>(
        &'b self,
        namespace: &'b Namespace,
        ip: Ip,
        address: IpAddr,
    ) -> Home<'b> {
        Home {
            namespace,
            ip,
            address,
            user: USER,
            operator: self.operator,
            patience: self.patience,
        }
    }

    /// Reads RAM until each needle was found, and counts each at its best.
    fn look_for_all(&self, needles: &[Needle]) -> Result<()> {
        let what = format!("search RAM: {}", Moment::Connected.name());
        let reading = self.strand.step(&what, || {
            let mut reading = self.dump.search(needles)?;
            for _ in 1..READINGS {
                if reading.hits.iter().all(Hits::is_found) {
                    break;
                }
                reading.raise(self.dump.search(needles)?);
            }
            Ok(reading)
        })?;
        let mut findings = self.findings.borrow_mut();
        findings.add(Moment::Connected, needles, reading);
        Ok(())
    }

    /// Reads RAM once, and counts each needle; also what was typed.
    pub(super) fn look(&self, moment: Moment, needles: &[Needle]) -> Result<()> {
        let needles = &[needles, self.typed.borrow().as_slice()].concat();
        let what = format!("search RAM: {}", moment.name());
        let reading = self.strand.step(&what, || self.dump.search(needles))?;
        let mut findings = self.findings.borrow_mut();
        findings.add(moment, needles, reading);
        Ok(())
    }

    /// Waits for a time of the policy.
    fn wait(&self, what: &str, time: Duration) -> Result<()> {
        self.strand.step(&format!("wait {what}"), || {
            let started = Instant::now();
            while started.elapsed() < time {
                signals::check()?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        })
    }
}

impl Known<'_> {
    fn needles(&self) -> Vec<Needle> {
        let mut needles = needle::of_device(&self.enrolment, self.session.port);
        // These exist only in transit. They are looked for at the stock devices.
        needles.retain(|needle| !matches!(needle.kind, Kind::Token | Kind::Tls));
        needles.push(self.session_keys());
        needles
    }

    fn session_keys(&self) -> Needle {
        needle::session_keys(self.enrolment.home().ip, &self.session.keys)
    }
}

impl Party<'_> {
    /// Ends all enrolments and kills the stock clients.
    fn leave(&mut self) -> Result<()> {
        for device in &mut self.stock {
            device.enrolment.release()?;
            device.vanish()?;
        }
        for device in &mut self.known {
            device.enrolment.release()?;
        }
        Ok(())
    }

    /// The needles to search for.
    pub(super) fn needles(&self) -> Vec<Needle> {
        let mut needles: Vec<_> = self.stock.iter().flat_map(Device::needles).collect();
        needles.extend(self.known.iter().map(Known::session_keys));
        needles
    }
}
