//! A running server, and its peers.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use mayfly_host::cpu;
use mayfly_host::process::Job;

use super::client::{Access, Clients, MTU, add_config, key_pair, set_config, start_userspace};
use super::kinds::Kind;
use super::mayfly::Mayfly;
use super::plan::Setup;
use super::testbed::{SERVER, Testbed};

const PORT: u16 = 51820;
/// The server's inner addresses; the first peer's are the next ones.
const INNER: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(10, 64, 0, 1),
    Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 0, 1),
);

/// A running server.
pub(crate) struct Server {
    /// What each client needs.
    pub access: Vec<Access>,
    job: Job,
    way: Way,
}

/// How a server is told of its peers.
enum Way {
    /// By enrolment.
    Enrolment(Mayfly),
    /// By `wg`.
    Wg {
        interface: String,
        public_key: String,
        endpoint: String,
    },
}

impl Server {
    /// Starts one and tells it of all clients.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(
        testbed: &Testbed,
        kind: &Kind,
        setup: Setup,
        clients: &Clients,
    ) -> Result<Self> {
        let mut server = Self::bare(testbed, kind, setup)?;
        server.access = match &server.way {
            Way::Enrolment(mayfly) => clients
                .iter()
                .enumerate()
                .map(|(number, client)| mayfly.enrol(testbed, number, client, setup))
                .collect::<Result<_>>()?,
            Way::Wg { .. } => {
                let keys: Vec<_> = clients.iter().map(|client| &*client.public_key).collect();
                server.take(testbed, 0, &keys)?
            }
        };
        Ok(server)
    }

    /// Starts one without peers.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn bare(testbed: &Testbed, kind: &Kind, setup: Setup) -> Result<Self> {
        if !kind.is_mayfly() {
            return Self::userspace(testbed, kind, setup);
        }
        let mut command = testbed.server.command(before(setup).iter().copied());
        let mut mayfly = Mayfly::prepare(testbed)?;
        let job = mayfly.start(testbed, command.arg(&kind.program))?;
        Ok(Self {
            access: Vec::new(),
            job,
            way: Way::Enrolment(mayfly),
        })
    }

    /// Tells it of peers with these public keys (base64). It has `before` peers already. They belong
    /// to no account: if it needs tokens, an operator's own key signs them.
    ///
    /// # Errors
    /// It refuses one.
    pub(crate) fn take(
        &self,
        testbed: &Testbed,
        before: usize,
        keys: &[&str],
    ) -> Result<Vec<Access>> {
        let (interface, public_key, endpoint) = match &self.way {
            Way::Enrolment(mayfly) => return mayfly.enrol_all(testbed, before, keys),
            Way::Wg {
                interface,
                public_key,
                endpoint,
            } => (interface, public_key, endpoint),
        };
        let inner = |number: usize| {
            let next = (before + number + 1) as u32;
            let ipv4 = Ipv4Addr::from_bits(INNER.0.to_bits() + next);
            let ipv6 = Ipv6Addr::from_bits(INNER.1.to_bits() + u128::from(next));
            [ipv4.to_string(), ipv6.to_string()]
        };
        let peer = |(number, key)| {
            let [ipv4, ipv6] = inner(number);
            format!("[Peer]\nPublicKey = {key}\nAllowedIPs = {ipv4}/32, {ipv6}/128\n")
        };
        let config: String = keys.iter().enumerate().map(peer).collect();
        add_config(testbed, &testbed.server, interface, &config)?;
        let access = |number| Access {
            private_key: None,
            public_key: public_key.clone(),
            preshared_key: None,
            endpoint: endpoint.clone(),
            addresses: inner(number).to_vec(),
        };
        Ok((0..keys.len()).map(access).collect())
    }

    /// Ends the account service. The peers of [`take`](Self::take) belong to no account, so the node
    /// would report them again and again, and that is not measured here.
    pub(crate) fn leave_alone(&mut self) {
        if let Way::Enrolment(mayfly) = &mut self.way {
            mayfly.lose_accounts();
        }
    }

    /// CPU seconds so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu::of_process(self.job.id())
    }

    /// MiB that are in RAM.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.job.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    fn userspace(testbed: &Testbed, kind: &Kind, setup: Setup) -> Result<Self> {
        let interface = format!("{}s", testbed.tag.interface());
        let job = start_userspace(
            testbed,
            &testbed.server,
            &kind.program,
            &interface,
            before(setup),
        )?;
        let (private_key, public_key) = key_pair(testbed)?;
        let config = format!("[Interface]\nPrivateKey = {private_key}\nListenPort = {PORT}\n");
        set_config(testbed, &testbed.server, &interface, &config)?;
        for address in [format!("{}/16", INNER.0), format!("{}/64", INNER.1)] {
            testbed
                .server
                .ip(&format!("address add {address} dev {interface}"))?;
        }
        testbed
            .server
            .ip(&format!("link set {interface} mtu {MTU} up"))?;
        testbed.masquerade()?;
        let endpoint = if setup.v6 {
            format!("[{}]:{PORT}", SERVER.1)
        } else {
            format!("{}:{PORT}", SERVER.0)
        };
        Ok(Self {
            access: Vec::new(),
            job,
            way: Way::Wg {
                interface,
                public_key,
                endpoint,
            },
        })
    }
}

/// The words before the server's program on its command line.
///
/// In reality customers' programs do not run on the server's machine. Here each of many clients
/// would get as much processor time as a thread of the server, whose socket would overflow.
fn before(setup: Setup) -> &'static [&'static str] {
    match setup {
        Setup { pinned: true, .. } => &["taskset", "--cpu-list", "0"],
        Setup { peers: 2.., .. } => &["nice", "-n", "-20"],
        _ => &[],
    }
}
