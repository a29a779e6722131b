//! The tests.

use std::fmt;

/// How the machines of a test are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
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
pub(crate) enum Load {
    /// A number of streams, as fast as they go.
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
pub(crate) struct Test {
    /// What is sent.
    pub load: Load,
    /// From the internet to the client.
    pub down: bool,
}

/// One client on IPv4, nothing withheld.
pub(crate) const ONE: Setup = Setup {
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

/// CPU of a server a handshake, and handshakes a second.
pub(crate) const HANDSHAKES: [&str; 2] = ["handshake", "handshakes"];
/// Memory, and CPU time, of a server with peers that are live and silent.
pub(crate) const LIVE: [&str; 2] = ["rss-live-10000", "idle-live-10000"];
/// Their number.
pub(crate) const LIVE_PEERS: usize = 10_000;
/// How many peers there are when a server's memory is read.
const PEERS: [usize; 4] = [0, 1_000, 10_000, 100_000];

impl Setup {
    fn tests(self) -> impl Iterator<Item = Test> {
        LOADS
            .into_iter()
            .filter(move |load| self.takes(*load))
            .flat_map(|load| [false, true].map(|down| Test { load, down }))
            .filter(|test| test.load != Load::Ping || !test.down)
    }

    /// The standard set-up has every test, and each variation those that it affects.
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
    pub(crate) fn id(self, setup: Setup) -> String {
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

    /// The unit of its figures.
    pub(crate) fn unit(self) -> &'static str {
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

/// What is to be measured.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By set-up.
    pub loads: Vec<(Setup, Vec<Test>)>,
    /// Handshakes, by rate and by cost.
    pub handshakes: bool,
    /// How many peers there are when a server's memory is read; fewer first.
    pub memory: Vec<usize>,
    /// What live peers cost.
    pub live: bool,
}

impl Plan {
    /// The tests whose ids are in `only`, or begin with a word of it that is no id. If `only` is
    /// empty: all tests, or with `quick` the loads of one client.
    pub(crate) fn new(only: &[String], quick: bool) -> Self {
        let all = Self::all();
        if only.is_empty() && quick {
            let loads = all.loads.into_iter().take(1).collect();
            return Self {
                loads,
                ..Self::default()
            };
        }
        if only.is_empty() {
            return all;
        }
        let ids = all.ids();
        let wanted = |id: &str| {
            only.iter().any(|only| {
                let exact = ids.iter().any(|id| id == only);
                id == only || (!exact && id.starts_with(only.as_str()))
            })
        };
        let some = |(setup, mut tests): (Setup, Vec<Test>)| {
            tests.retain(|test| wanted(&test.id(setup)));
            (!tests.is_empty()).then_some((setup, tests))
        };
        Self {
            loads: all.loads.into_iter().filter_map(some).collect(),
            handshakes: all.handshakes && HANDSHAKES.into_iter().any(&wanted),
            memory: PEERS
                .into_iter()
                .filter(|peers| wanted(&memory_id(*peers)))
                .collect(),
            live: all.live && LIVE.into_iter().any(&wanted),
        }
    }

    /// Whether nothing is to be measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids().is_empty()
    }

    /// The ids of all its tests.
    pub(crate) fn ids(&self) -> Vec<String> {
        let loads = self
            .loads
            .iter()
            .flat_map(|(setup, tests)| tests.iter().map(|test| test.id(*setup)));
        let handshakes = HANDSHAKES.into_iter().filter(|_| self.handshakes);
        let memory = self.memory.iter().map(|peers| memory_id(*peers));
        let live = LIVE.into_iter().filter(|_| self.live);
        loads
            .chain(handshakes.chain(live).map(str::to_owned))
            .chain(memory)
            .collect()
    }

    /// Everything.
    pub(crate) fn all() -> Self {
        let loads = SETUPS.map(|setup| (setup, setup.tests().collect()));
        Self {
            loads: loads.into(),
            handshakes: true,
            memory: PEERS.into(),
            live: true,
        }
    }
}

/// `rss-1000`
pub(crate) fn memory_id(peers: usize) -> String {
    format!("rss-{peers}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_has_an_id_of_its_own() {
        let ids = Plan::all().ids();
        let mut words: Vec<_> = ids.iter().map(String::as_str).collect();
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
            "handshake",
            "rss-100000",
        ] {
            assert!(words.contains(&id), "{id}");
        }
    }

    #[test]
    fn an_id_chooses_its_test_and_what_is_none_all_that_begin_so() {
        let chosen = |only: &str| Plan::new(&[only.to_owned()], false).ids();
        assert_eq!(chosen("tcp1-up"), ["tcp1-up"]);
        assert_eq!(chosen("rss-1000"), ["rss-1000"]);
        assert_eq!(chosen("udp1392"), ["udp1392-up", "udp1392-down"]);
        assert!(chosen("tcp1").len() > 2 && chosen("no-such-test").is_empty());
    }
}
