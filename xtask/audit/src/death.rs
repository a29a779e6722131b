//! A node that dies with customers in its memory, and what is left of them when it is up again.
//!
//! A reset does not clear RAM. That is so here too, where RAM is a file that QEMU does not touch.
//! So it is read twice: when the machine has stopped, and when the kernel, which first overwrites
//! free memory, has come up again.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mayfly_host::signals;
use mayfly_lab::guest::Guest;
use serde_json::json;

use super::findings::Moment;
use super::needle::Needle;
use super::qmp::Qmp;
use super::scene::Scene;

/// How long a death may take, and a boot after it.
const LIMIT: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(50);

/// The cause of a node's death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// An NMI, as a server's management board sends it: the kernel panics and restarts the machine.
    Panic,
    /// The machine's reset line.
    Reset,
    /// The daemon is killed when `tests/mortal` is told to: PID 1 reaps it and restarts the machine.
    Killed,
}

impl Death {
    /// The promise that it is about.
    fn promise(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Reset => "reboot",
            Self::Killed => "killed",
        }
    }

    fn moment(self) -> Moment {
        match self {
            Self::Panic => Moment::Panic,
            Self::Reset | Self::Killed => Moment::Reboot,
        }
    }
}

impl Scene<'_> {
    /// Devices connect, the node dies under them, and comes up again.
    ///
    /// # Errors
    /// The experiment could not be made.
    pub(crate) fn die(&self, death: Death, guest: &mut Guest) -> Result<()> {
        let _turn = self.turns.take(self.strand)?;
        let party = self.connect()?;
        self.strand.step("the node dies", || {
            if death != Death::Killed {
                self.unplug()?;
            }
            self.end(death)?;
            self.unplug()
        })?;
        let needles = party.needles();
        let still = self.dump.search_still(&needles)?;
        let survives = still.hits.iter().any(|hits| hits.full > 0);
        let title = format!("{}: before the restart", death.promise());
        self.findings.borrow_mut().picture(title, still.map);
        self.strand.step("start again", || {
            let before = self.operator.bundle_requests();
            restart(&self.dump.qmp)?;
            self.await_request(before)?;
            guest.await_clients_for(self.lab, self.patience.of(LIMIT))
        })?;
        self.look_after(death, &needles, survives)
    }

    fn look_after(&self, death: Death, needles: &[Needle], survives: bool) -> Result<()> {
        self.look(death.moment(), needles)?;
        let mut findings = self.findings.borrow_mut();
        let of_it = findings.seen.iter().rev().take(needles.len());
        let forgotten = !of_it.clone().any(|seen| seen.is_remembered());
        // The memory of a killed daemon is cleared before the restart.
        if survives || death == Death::Killed {
            findings.claim(death.promise(), forgotten);
        }
        Ok(())
    }

    /// Takes down every link of the hub except the node's, so that no client tells the node again
    /// what it should have forgotten.
    fn unplug(&self) -> Result<()> {
        for link in ["cust0", "inet0", "six", "known"] {
            self.lab.hub.ip(&format!("link set {link} down"))?;
        }
        Ok(())
    }

    /// Returns when the machine has stopped.
    fn end(&self, death: Death) -> Result<()> {
        let qmp = &self.dump.qmp;
        match death {
            Death::Reset => return qmp.command("stop"),
            Death::Panic => qmp.command("inject-nmi")?,
            Death::Killed => self.dump.order_death()?,
        }
        let started = Instant::now();
        while qmp.ask("query-status", json!({}))?["status"] == "running" {
            signals::check()?;
            ensure!(
                started.elapsed() < self.patience.of(LIMIT),
                "the node does not die"
            );
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn await_request(&self, before: usize) -> Result<()> {
        let started = Instant::now();
        while self.operator.bundle_requests() == before {
            signals::check()?;
            ensure!(
                started.elapsed() < self.patience.of(LIMIT),
                "the node stays down"
            );
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// Resets the machine and lets it run.
fn restart(qmp: &Qmp) -> Result<()> {
    // The firmware resets the machine again on its way up.
    qmp.ask("set-action", json!({ "reboot": "reset" }))?;
    qmp.command("system_reset")?;
    qmp.command("cont")
}
