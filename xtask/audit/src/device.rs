//! A customer's device with a stock client, and its traffic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process;
use mayfly_host::signals;
use mayfly_lab::customer::Customer;
use mayfly_lab::network::{LINK, Lab};
use mayfly_lab::web;

use super::enrolment::{Enrolment, Home, Ip};
use super::https::Held;
use super::needle::{self, Kind, Needle, Visit};
use super::traffic::{Host, Traffic};

/// Size of the page that comes through the tunnel, in bytes.
const PAGE: usize = 128 * 1024;
/// How long a server may take to notice that its visitor has left.
const PATIENCE: Duration = Duration::from_secs(15);

/// A host on the internet, by the last number of its address, with a resolver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    web: SocketAddr,
    resolver: SocketAddr,
}

impl Address {
    /// Adds that host to the internet.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub(crate) fn add(lab: &Lab, ip: Ip, number: u8) -> Result<Self> {
        let address: IpAddr = match ip {
            Ip::V4 => Ipv4Addr::new(198, 51, 100, number).into(),
            Ip::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, number.into()).into(),
        };
        let (prefix, flags) = match ip {
            Ip::V4 => (24, ""),
            Ip::V6 => (64, " nodad"),
        };
        lab.internet
            .ip(&format!("address add {address}/{prefix} dev {LINK}{flags}"))?;
        Ok(Self {
            web: SocketAddr::new(address, 80),
            resolver: SocketAddr::new(address, 53),
        })
    }
}

/// The device.
pub(crate) struct Device<'a> {
    /// Its enrolment.
    pub enrolment: Enrolment<'a>,
    client: Customer<'a>,
    host: Host,
    at: Address,
    visit: Visit,
    port: u16,
    traffic: Option<Traffic>,
    /// Its interface is there.
    is_up: bool,
}

impl<'a> Device<'a> {
    /// Enrols. `word` distinguishes the device's interface from others of the lab.
    ///
    /// # Errors
    /// A program or the node refuses.
    pub(crate) fn enrol(lab: &'a Lab, home: Home<'a>, word: &str, at: Address) -> Result<Self> {
        let enrolment = Enrolment::make(home)?;
        let client = Customer::elsewhere(lab, home.operator, home.namespace, word)?;
        client.take(&enrolment.config())?;
        let page = web::random_page(PAGE)?;
        Ok(Self {
            client,
            host: Host::serve(
                &lab.internet,
                at.web,
                at.resolver,
                page.clone(),
                home.patience,
            )?,
            at,
            visit: Visit {
                host: at.web,
                page,
                name: format!("{}.example", enrolment.label()),
                inner: None,
            },
            port: 0,
            traffic: None,
            is_up: false,
            enrolment,
        })
    }

    /// Brings up the tunnel, and fetches the page and asks the resolver until it is told to stop.
    /// `pause` is the time between two reads of the page.
    ///
    /// # Errors
    /// Nothing comes.
    pub(crate) fn connect(&mut self, pause: Duration) -> Result<()> {
        self.is_up = true;
        self.client.up()?;
        self.port = self.listen_port()?;
        let mut question = vec![0x4d, 0x46, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(needle::dns_name(&self.visit.name));
        // A, IN (RFC 1035 section 4.1.2).
        question.extend([0, 1, 0, 1]);
        let home = self.enrolment.home();
        let (web, resolver) = (self.at.web, self.at.resolver);
        let traffic = Traffic::start(
            home.namespace,
            web,
            resolver,
            question,
            pause,
            home.patience,
        )?;
        self.visit.inner = Some(traffic.inner);
        self.traffic = Some(traffic);
        Ok(())
    }

    /// Begins to renew the enrolment. The request is held until it is finished.
    ///
    /// # Errors
    /// As [`Enrolment::renew`].
    pub(crate) fn renew(&mut self) -> Result<Held> {
        self.enrolment.renew()
    }

    /// Stops its traffic.
    ///
    /// # Errors
    /// The server does not notice.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.traffic = None;
        let limit = self.enrolment.home().patience.of(PATIENCE);
        let started = Instant::now();
        while self.host.has_visitors() {
            signals::check()?;
            ensure!(started.elapsed() < limit, "a visitor does not leave");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the client.
    ///
    /// # Errors
    /// Its interface does not exist.
    pub(crate) fn vanish(&mut self) -> Result<()> {
        self.is_up = false;
        self.client.vanish()?;
        self.traffic = None;
        Ok(())
    }

    /// The needles of this device.
    pub(crate) fn needles(&self) -> Vec<Needle> {
        needle::all(&self.enrolment, self.port, &self.visit)
    }

    /// Those needles that exist nowhere before the device connects.
    pub(crate) fn unspoken(&self) -> Vec<Needle> {
        let mut needles = self.needles();
        needles.retain(|needle| {
            matches!(
                needle.kind,
                Kind::Page | Kind::Name | Kind::Visited | Kind::Connection
            )
        });
        needles
    }

    fn listen_port(&self) -> Result<u16> {
        let words = ["wg", "show", self.client.interface(), "listen-port"];
        let mut command = self.enrolment.home().namespace.command(words);
        let port = process::output(&mut command, "wg", Duration::from_secs(10))?;
        port.trim().parse().context("wg shows no port")
    }
}

impl Drop for Device<'_> {
    /// An experiment that was given up leaves no client behind that the next one would count.
    fn drop(&mut self) {
        if self.is_up {
            let _ = self.client.vanish();
        }
    }
}
