//! Links, addresses and routes, over netlink (rtnetlink(7)).
//!
//! Each function opens a socket, sends a request, waits for the kernel's answer and closes the
//! socket. It runs a tokio runtime for that, which is fine at start-up, before confinement. It is
//! no error if something exists already, so that a restart succeeds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::{Error, Handle, LinkUnspec, MulticastGroup, RouteMessageBuilder};

/// An Ethernet link of this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in the kernel.
    pub index: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Whether it is up and has a carrier.
    pub running: bool,
}

/// The Ethernet links, sorted by number.
///
/// # Errors
/// The kernel does not answer.
pub fn ethernet_links() -> io::Result<Vec<Link>> {
    with_netlink(async |handle| links(&handle).await)
}

/// Sets every Ethernet link up, and waits up to `patience` for the first one with a carrier.
///
/// # Errors
/// `TimedOut` if no link has a carrier in time, or the kernel does not answer.
pub fn wait_for_carrier(patience: Duration) -> io::Result<Link> {
    runtime()?.block_on(async {
        // It listens for changes before it looks, so that it misses none.
        let (connection, handle, mut changes) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
        tokio::spawn(connection);
        for link in links(&handle).await? {
            set(&handle, LinkUnspec::new_with_index(link.index).up().build()).await?;
        }
        let search = async {
            loop {
                let found = links(&handle).await?.into_iter().find(|link| link.running);
                if let Some(link) = found {
                    return Ok(link);
                }
                if changes.next().await.is_none() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        tokio::time::timeout(patience, search).await?
    })
}

/// Sets a link up, and sets the largest packet that it carries, in bytes, if one is given.
///
/// # Errors
/// There is no such link, the right is missing, or the link cannot have this MTU.
pub fn set_up(name: &str, mtu: Option<u16>) -> io::Result<()> {
    let mut message = LinkUnspec::new_with_name(name).up();
    if let Some(mtu) = mtu {
        message = message.mtu(mtu.into());
    }
    with_netlink(async |handle| set(&handle, message.build()).await)
}

/// Sets how many packets or trains wait in each queue of a link, at most.
///
/// # Errors
/// There is no such link, or the right is missing.
pub fn set_queue_length(name: &str, packets: u32) -> io::Result<()> {
    let length = LinkAttribute::TxQueueLen(packets);
    let message = LinkUnspec::new_with_name(name).append_extra_attribute(length);
    with_netlink(async |handle| set(&handle, message.build()).await)
}

/// Gives a link an address within a prefix of `bits`.
///
/// # Errors
/// There is no such link, the right is missing, or the prefix is longer than an address.
pub fn add_address(name: &str, address: IpAddr, bits: u8) -> io::Result<()> {
    with_netlink(async |handle| {
        let index = index(&handle, name).await?;
        let request = handle.address().add(index, address, bits).replace();
        request.execute().await.map_err(to_io)
    })
}

/// The addresses of a link, each with the bits of the prefix that is on the link with it, and
/// without those that no other link knows (RFC 4291 section 2.5.6).
///
/// # Errors
/// There is no such link, or the kernel does not answer.
pub fn addresses(name: &str) -> io::Result<Vec<(IpAddr, u8)>> {
    with_netlink(async |handle| {
        let index = index(&handle, name).await?;
        let request = handle.address().get().set_link_index_filter(index);
        let messages = request.execute().map_err(to_io);
        let all: Vec<_> = messages
            .try_filter_map(async |message| Ok(address(&message)))
            .try_collect()
            .await?;
        Ok(all)
    })
}

fn address(message: &AddressMessage) -> Option<(IpAddr, u8)> {
    if message.header.scope != AddressScope::Universe {
        return None;
    }
    // On a point-to-point link, `Address` is the other end's.
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => found = Some(*address),
            AddressAttribute::Address(address) => found = found.or(Some(*address)),
            _ => {}
        }
    }
    Some((found?, message.header.prefix_len))
}

/// Routes everything of the gateway's family to it.
///
/// # Errors
/// The gateway is on none of the machine's links, or the right is missing.
pub fn add_default_route(gateway: IpAddr) -> io::Result<()> {
    with_netlink(async |handle| {
        let route = match gateway {
            IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(gateway)
                .build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(gateway)
                .build(),
        };
        let request = handle.route().add(route).replace();
        request.execute().await.map_err(to_io)
    })
}

async fn links(handle: &Handle) -> io::Result<Vec<Link>> {
    let messages = handle.link().get().execute().map_err(to_io);
    let mut links: Vec<Link> = messages
        .try_filter_map(async |message| Ok(ethernet(&message)))
        .try_collect()
        .await?;
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn ethernet(message: &LinkMessage) -> Option<Link> {
    if message.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    let name = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })?;
    let mac = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(mac) => mac.as_slice().try_into().ok(),
            _ => None,
        })?;
    Some(Link {
        index: message.header.index,
        name,
        mac,
        running: message
            .header
            .flags
            .contains(LinkFlags::LowerUp | LinkFlags::Up),
    })
}

async fn index(handle: &Handle, name: &str) -> io::Result<u32> {
    let request = handle.link().get().match_name(name);
    let link = request.execute().try_next().await.map_err(to_io)?;
    link.map(|link| link.header.index)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

async fn set(handle: &Handle, message: LinkMessage) -> io::Result<()> {
    handle.link().set(message).execute().await.map_err(to_io)
}

fn with_netlink<T>(ask: impl AsyncFnOnce(Handle) -> io::Result<T>) -> io::Result<T> {
    runtime()?.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        ask(handle).await
    })
}

/// A runtime on this thread. It ends with the call.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn to_io(error: Error) -> io::Error {
    match error {
        Error::NetlinkError(refusal) => refusal.to_io(),
        _ => io::ErrorKind::InvalidData.into(),
    }
}
