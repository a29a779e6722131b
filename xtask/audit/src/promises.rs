//! The policy line by line, each line with its experiment.

use serde::Serialize;

use super::findings::Load;
use super::needle::Kind;
use super::report::Report;

/// One line of the policy.
#[derive(Debug, Serialize)]
pub struct Promise {
    /// Its name, for programs.
    pub id: &'static str,
    /// What it says.
    pub promise: &'static str,
    /// How that was tried.
    pub experiment: &'static str,
    /// Null: the experiment was not made, or could not have failed.
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

const SESSION: [Kind; 8] = [
    Kind::Endpoint,
    Kind::InnerAddress,
    Kind::SessionKeys,
    Kind::Connection,
    Kind::Visited,
    Kind::Name,
    Kind::Page,
    Kind::Tls,
];
const ENROLMENT: [Kind; 4] = [
    Kind::PublicKey,
    Kind::PresharedKey,
    Kind::Ticket,
    Kind::Token,
];

/// The findings on each line.
pub fn of(report: &Report) -> Vec<Promise> {
    let line = |id, promise, experiment, holds| Promise {
        id,
        promise,
        experiment,
        holds,
    };
    let forgotten =
        |id, promise, kinds: &[Kind]| line(id, promise, RAM, report.forgot(kinds, |_| true));
    let tried = |id, promise, experiment| line(id, promise, experiment, report.held(id));
    let everything = [&SESSION[..], &ENROLMENT].concat();
    vec![
        forgotten(
            "traffic",
            "no traffic is kept",
            &[Kind::Page, Kind::Connection, Kind::Visited],
        ),
        forgotten("dns", "no DNS look-up is kept", &[Kind::Name]),
        forgotten(
            "addresses",
            "no address is kept, given or connecting from",
            &[Kind::Endpoint, Kind::InnerAddress],
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
            &ENROLMENT,
        ),
        line(
            "busy",
            "a busy node forgets as a quiet one does",
            "the same while another customer's traffic goes on",
            report.forgot(&everything, |seen| seen.traffic == Load::Busy),
        ),
        line(
            "ipv6",
            "all of this holds over IPv6 too",
            "a device that comes over IPv6 and sends IPv6 inside",
            report.forgot(&everything, |seen| seen.ip == 6),
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
        tried(
            "devices",
            "devices is +1 on connect, -1 on disconnect",
            "four devices come and go: 4, 0",
        ),
        tried(
            "returns",
            "a phone that slept comes back, and counts",
            "after 180 s of silence and a minute it sends again: 0, 2",
        ),
        tried(
            "token-end",
            "what ends with its token is forgotten as well",
            "a token ends 100 s after it was given, the session with its device; RAM, a minute later",
        ),
        tried(
            "killed",
            "a daemon that was killed leaves nothing",
            "a build whose PID 1 has it killed under two customers; RAM, when it is up again",
        ),
        tried(
            "panic",
            "a kernel that panicked leaves nothing",
            "an NMI under two customers; RAM, which a reset leaves as it is, when it is up again",
        ),
        tried(
            "reboot",
            "a warm reboot leaves nothing",
            "the reset line, with the same readings",
        ),
        tried(
            "disk",
            "a disk is not touched",
            "a formatted disk is attached: no write, the same hash afterwards",
        ),
        tried(
            "keyboard",
            "a keyboard is not listened to",
            "one on USB types a word: it gets no address, and the word is nowhere in RAM",
        ),
        tried(
            "account-store",
            "nothing moves in the account store on a connect",
            "hash and time of its every file around it, and all that it printed",
        ),
        tried(
            "account-memory",
            "the account service keeps nothing of a connect",
            "all of its memory, searched for keys, addresses and what was visited",
        ),
        tried(
            "daily-write",
            "marks are written once a day, and updated_at never",
            "its clock is moved to the hour, twice: every column compared",
        ),
        tried(
            "court",
            "a court gets the account record, nothing else",
            "the copy and the store's tables against the record of the policy, after connects; \
             every file, searched for keys, addresses, tokens and what was visited",
        ),
        tried(
            "rights",
            "rectified, erased and copied at once",
            "a word is put in, read back, and erased with its account: then in no file",
        ),
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
