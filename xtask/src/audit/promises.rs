//! The policy, line by line, each with its experiment: also the lines that none is built for.

use serde::Serialize;

use super::needle::Kind;
use super::report::Report;

/// One line of the policy.
#[derive(Debug, Serialize)]
pub struct Promise {
    id: &'static str,
    /// What it says.
    pub promise: &'static str,
    /// How that was tried.
    pub experiment: &'static str,
    /// Null: this experiment is not built yet, was not made, or could not have failed.
    pub holds: Option<bool>,
}

impl Promise {
    /// For a person.
    pub fn verdict(&self) -> &'static str {
        match self.holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "not shown",
        }
    }
}

const RAM: &str = "RAM of the sealed image, searched a minute after";
const NOT_BUILT: &str = "not built yet";

/// What the findings say about each line.
pub fn of(report: &Report) -> Vec<Promise> {
    let line = |id, promise, experiment, holds| Promise {
        id,
        promise,
        experiment,
        holds,
    };
    let forgotten = |id, promise, kinds: &[Kind]| line(id, promise, RAM, report.forgot(kinds));
    let not_built = |id, promise| line(id, promise, NOT_BUILT, None);
    let traffic = [Kind::Page, Kind::Connection, Kind::Visited];
    let addresses = [Kind::Endpoint, Kind::InnerAddress];
    let enrolment = [
        Kind::PublicKey,
        Kind::PresharedKey,
        Kind::Ticket,
        Kind::Token,
    ];
    vec![
        forgotten("traffic", "no traffic is kept", &traffic),
        forgotten("dns", "no DNS look-up is kept", &[Kind::Name]),
        forgotten(
            "addresses",
            "no address is kept, given or connecting from",
            &addresses,
        ),
        forgotten(
            "session-keys",
            "no session key outlives the session",
            &[Kind::SessionKeys],
        ),
        forgotten("tls", "no TLS secret outlives its session", &[Kind::Tls]),
        forgotten(
            "keys",
            "no key or ticket outlives the enrolment",
            &enrolment,
        ),
        line(
            "writes",
            "the VPN process writes nothing",
            "attempts from inside its confinement, here and in the image",
            report.writes.as_ref().map(|writes| writes.ok),
        ),
        line(
            "log-strings",
            "the programs hold no words for a log",
            "the shipped programs, searched for them",
            report.is_silent(),
        ),
        line(
            "devices",
            "devices is +1 on connect, -1 on disconnect",
            "two devices come and go: 1, 2, 0",
            report.counted,
        ),
        not_built("busy", "a busy node forgets as a quiet one does"),
        not_built("ipv6", "all of this holds over IPv6 too"),
        not_built("killed", "a daemon that was killed leaves nothing"),
        not_built("panic", "a kernel that panicked leaves nothing"),
        not_built("reboot", "a warm reboot leaves nothing"),
        not_built("disk", "a disk is not touched"),
        not_built("keyboard", "a keyboard is not listened to"),
        not_built("account-store", "nothing moves in the store on a connect"),
        not_built("court", "a court gets the account record, nothing else"),
        not_built("rights", "rectified, erased and copied at once"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_holds_that_was_not_tried() {
        let promises = of(&Report::new().unwrap());
        assert!(promises.iter().all(|promise| promise.holds.is_none()));
    }

    #[test]
    fn no_two_lines_have_one_name() {
        let promises = of(&Report::new().unwrap());
        let mut ids: Vec<_> = promises.iter().map(|promise| promise.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), promises.len());
    }
}
