//! The machine's network: a link, an address, a route.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use mayfly_sys::link::{self, Link};
use mayfly_wire::bundle::Mac;
use ring::rand::{SystemRandom, generate};

use crate::Failure;
use crate::cmdline::{Addressing, BundleUrl};
use crate::dhcp::Event;
use crate::lease::Leasing;

/// Time limit for a carrier on the link, and for an answer of a DHCP server. A switch takes a
/// while to open a port.
const PATIENCE: Duration = Duration::from_secs(60);

/// The machine may no longer use its address.
#[derive(Debug)]
pub struct Lost;

/// Keeps the address, once there is one.
pub struct Network {
    /// `None` if the address is static.
    leasing: Option<Leasing>,
}

/// What DHCP told beside the address.
#[derive(Default)]
pub struct Told {
    /// Where the bundle is.
    pub bundle: Option<BundleUrl>,
    /// The server that gave the lease.
    pub server: Option<Ipv4Addr>,
}

impl Network {
    /// Waits for the first Ethernet link with a carrier and gives it its address. Also returns what
    /// DHCP told.
    ///
    /// # Errors
    /// - [`Failure::NoLink`]: no carrier within a minute.
    /// - [`Failure::NoLease`]: no lease within a minute.
    /// - [`Failure::Address`]: the kernel refused an address, a route, or to bring `lo` up.
    /// - [`Failure::CommandLine`]: the URL from DHCP is malformed.
    pub fn bring_up(addressing: &Addressing) -> Result<(Self, Told), Failure> {
        // The daemon may serve on it, for example healthz.
        link::set_up("lo", None).map_err(|_| Failure::Address)?;
        let link = link::wait_for_carrier(PATIENCE).map_err(|_| Failure::NoLink)?;
        match *addressing {
            Addressing::Static {
                address,
                prefix,
                gateway,
            } => {
                assign(&link, address, prefix, Some(gateway))?;
                Ok((Self { leasing: None }, Told::default()))
            }
            Addressing::Dhcp => lease(&link),
        }
    }

    /// Renews the lease when it is time.
    ///
    /// # Errors
    /// [`Lost`] if the lease has ended or changed. A static address never gets lost.
    pub fn turn(&mut self) -> Result<(), Lost> {
        match self.leasing.as_mut().and_then(Leasing::turn) {
            Some(Event::Lost) => Err(Lost),
            Some(Event::Bound(_)) | None => Ok(()),
        }
    }

    /// When to call [`Self::turn`] next, unless [`Self::descriptor`] is readable earlier.
    pub fn next(&self) -> Option<Instant> {
        self.leasing.as_ref().map(Leasing::next)
    }

    /// The DHCP client's socket, to wait for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.leasing.as_ref().map(|leasing| leasing.as_fd())
    }
}

/// The machine's own Ethernet addresses.
///
/// # Errors
/// [`Failure::NoLink`] if the kernel does not list the links.
pub fn own_macs() -> Result<Vec<Mac>, Failure> {
    let links = link::ethernet_links().map_err(|_| Failure::NoLink)?;
    Ok(links.into_iter().map(|link| Mac(link.mac)).collect())
}

fn lease(link: &Link) -> Result<(Network, Told), Failure> {
    let mut leasing = random()
        .and_then(|random| Leasing::start(&link.name, link.mac, random).ok())
        .ok_or(Failure::NoLease)?;
    let lease = leasing
        .obtain(PATIENCE)
        .ok()
        .flatten()
        .ok_or(Failure::NoLease)?;
    assign(link, lease.address, lease.prefix, lease.gateway)?;
    let told = Told {
        bundle: lease.bundle.map(|url| url.parse()).transpose()?,
        server: Some(lease.server),
    };
    let leasing = Some(leasing);
    Ok((Network { leasing }, told))
}

fn assign(
    link: &Link,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
) -> Result<(), Failure> {
    link::add_address(&link.name, address.into(), prefix)
        .and_then(|()| gateway.map_or(Ok(()), |gateway| link::add_default_route(gateway.into())))
        .map_err(|_| Failure::Address)
}

fn random() -> Option<u32> {
    let bytes: [u8; 4] = generate(&SystemRandom::new()).ok()?.expose();
    Some(u32::from_be_bytes(bytes))
}
