//! The machine's one way to the world: a link, an address, a route.

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

/// How long a switch may take to let a port speak, and a server to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address is not ours any longer.
#[derive(Debug)]
pub struct Lost;

/// What keeps the address, once there is one.
pub struct Network {
    /// None where the address is static.
    leasing: Option<Leasing>,
}

impl Network {
    /// Waits for the first Ethernet link with a carrier and gives it its address. Returns
    /// what DHCP says about the bundle, too.
    ///
    /// # Errors
    /// The step that failed.
    pub fn bring_up(addressing: &Addressing) -> Result<(Self, Option<BundleUrl>), Failure> {
        // The daemon's healthz and the like may live on it.
        link::set_up("lo", None).map_err(|_| Failure::Address)?;
        let link = link::wait_for_carrier(PATIENCE).map_err(|_| Failure::NoLink)?;
        match *addressing {
            Addressing::Static {
                address,
                prefix,
                gateway,
            } => {
                assign(&link, address, prefix, Some(gateway))?;
                Ok((Self { leasing: None }, None))
            }
            Addressing::Dhcp => lease(&link),
        }
    }

    /// Serves the lease.
    ///
    /// # Errors
    /// [`Lost`]
    pub fn turn(&mut self) -> Result<(), Lost> {
        match self.leasing.as_mut().and_then(Leasing::turn) {
            Some(Event::Lost) => Err(Lost),
            Some(Event::Bound(_)) | None => Ok(()),
        }
    }

    /// When [`Self::turn`] wants to be called, if [`Self::descriptor`] is not readable before.
    pub fn next(&self) -> Option<Instant> {
        self.leasing.as_ref().map(Leasing::next)
    }

    /// What to wait for.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.leasing.as_ref().map(|leasing| leasing.as_fd())
    }
}

/// The machine's own Ethernet addresses.
///
/// # Errors
/// [`Failure::NoLink`]
pub fn own_macs() -> Result<Vec<Mac>, Failure> {
    let links = link::ethernet_links().map_err(|_| Failure::NoLink)?;
    Ok(links.into_iter().map(|link| Mac(link.mac)).collect())
}

fn lease(link: &Link) -> Result<(Network, Option<BundleUrl>), Failure> {
    let mut leasing = random()
        .and_then(|random| Leasing::start(&link.name, link.mac, random).ok())
        .ok_or(Failure::NoLease)?;
    let lease = leasing
        .obtain(PATIENCE)
        .ok()
        .flatten()
        .ok_or(Failure::NoLease)?;
    assign(link, lease.address, lease.prefix, lease.gateway)?;
    let url = lease.bundle.map(|url| url.parse()).transpose()?;
    let leasing = Some(leasing);
    Ok((Network { leasing }, url))
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
