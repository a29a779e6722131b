//! Which tests there are.

use std::fmt;

/// How the machines of a test are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Clients at once.
    pub peers: usize,
    /// IPv6 inside and outside.
    pub v6: bool,
    /// The server has one core.
    pub pinned: bool,
    /// The links cut trains of UDP datagrams themselves.
    pub uso: bool,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// So many streams, as fast as they go.
    Tcp {
        /// Streams of each client.
        streams: usize,
    },
    /// Datagrams at a fixed rate.
    Udp {
        /// Payload, in bytes.
        len: usize,
        /// Datagrams a second.
        rate: u64,
    },
    /// Echoes during a stream.
    Ping,
}

/// A load in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// What is sent.
    pub load: Load,
    /// From the internet to the client.
    pub down: bool,
}

const ONE: Setup = Setup {
    peers: 1,
    v6: false,
    pinned: false,
    uso: true,
};
const SETUPS: [Setup; 6] = [
    ONE,
    Setup {
        pinned: true,
        ..ONE
    },
    Setup { uso: false, ..ONE },
    Setup { v6: true, ..ONE },
    Setup { peers: 10, ..ONE },
    Setup { peers: 100, ..ONE },
];
const LOADS: [Load; 6] = [
    Load::Tcp { streams: 1 },
    Load::Tcp { streams: 4 },
    Load::Tcp { streams: 16 },
    Load::Udp {
        len: 1392,
        rate: 20_000,
    },
    Load::Udp {
        len: 128,
        rate: 29_000,
    },
    Load::Ping,
];

impl Setup {
    fn tests(self) -> impl Iterator<Item = Test> {
        LOADS
            .into_iter()
            .filter(move |load| self.takes(*load))
            .flat_map(|load| [false, true].map(|down| Test { load, down }))
            .filter(|test| test.load != Load::Ping || !test.down)
    }

    /// Everything is measured as it is; of the variations what they are about.
    fn takes(self, load: Load) -> bool {
        match load {
            _ if self == ONE => true,
            Load::Tcp { streams } => streams == 1,
            Load::Udp { len, .. } => len == 128 && !self.uso,
            Load::Ping => false,
        }
    }
}

impl Test {
    /// `tcp1-up`, `udp128-down-v6`, `tcp1-up-peers10`.
    pub fn id(self, setup: Setup) -> String {
        let mut id = match self.load {
            Load::Tcp { streams } => format!("tcp{streams}"),
            Load::Udp { len, .. } => format!("udp{len}"),
            Load::Ping => return "ping-under-load".to_owned(),
        };
        id.push_str(if self.down { "-down" } else { "-up" });
        for (is, suffix) in [
            (setup.v6, "-v6"),
            (setup.pinned, "-pinned"),
            (!setup.uso, "-nouso"),
        ] {
            if is {
                id.push_str(suffix);
            }
        }
        if setup.peers > 1 {
            id.push_str(&format!("-peers{}", setup.peers));
        }
        id
    }

    /// What its figures are.
    pub fn unit(self) -> &'static str {
        match self.load {
            Load::Tcp { .. } => "CPU-s/GB",
            Load::Udp { .. } => "CPU-us/packet",
            Load::Ping => "ms",
        }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = if self.peers == 1 { "peer" } else { "peers" };
        write!(f, "{} {peers}", self.peers)?;
        for (is, word) in [
            (self.v6, "IPv6"),
            (self.pinned, "one core"),
            (!self.uso, "no UDP segmentation offload"),
        ] {
            if is {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}

/// The tests whose ids begin with one of `only`, by set-up; all of them if there is none.
pub fn choose(only: &[String], quick: bool) -> Vec<(Setup, Vec<Test>)> {
    let setups = if quick && only.is_empty() {
        &SETUPS[..1]
    } else {
        &SETUPS[..]
    };
    let wanted = |setup: Setup, test: Test| {
        let id = test.id(setup);
        only.is_empty() || only.iter().any(|only| id.starts_with(only.as_str()))
    };
    setups
        .iter()
        .map(|&setup| {
            let tests = setup.tests().filter(|test| wanted(setup, *test)).collect();
            (setup, tests)
        })
        .filter(|(_, tests): &(_, Vec<_>)| !tests.is_empty())
        .collect()
}

/// All ids, for a person.
pub fn ids() -> String {
    let all = choose(&[], false);
    let ids: Vec<_> = all
        .iter()
        .flat_map(|(setup, tests)| tests.iter().map(|test| test.id(*setup)))
        .collect();
    ids.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_has_an_id_of_its_own() {
        let ids = ids();
        let mut words: Vec<_> = ids.split(' ').collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
        for id in [
            "tcp1-up",
            "tcp4-down",
            "udp128-up",
            "tcp1-up-v6",
            "tcp1-down-nouso",
        ] {
            assert!(words.contains(&id), "{id}");
        }
    }

    #[test]
    fn a_prefix_chooses_its_tests() {
        let chosen = choose(&["udp1392".to_owned()], false);
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].1.len(), 2);
    }
}
