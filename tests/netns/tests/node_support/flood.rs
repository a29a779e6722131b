//! Somebody who takes connections and gives nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mayfly_netns::Namespace;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, getpeername, recv,
    send, socket,
};

use super::https::{self, Server};
use super::{World, eventually};

/// The beginning of a first message of TLS, which says that 512 bytes follow.
const HALF: [u8; 11] = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// How many connections are opened in a round, and the pause after it: at most 1,000 a second. Fifty
/// are enough to hold 512 places for ten seconds each.
const A_ROUND: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);

/// What is done with a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Nothing is sent.
    Silent,
    /// A byte of the first message is sent with each round.
    Slow,
    /// A part of the first message is sent at once.
    HalfOpen,
    /// The handshake is finished, and then a head begins that has no end.
    Head,
}

/// Where the connections come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    /// Sixteen IPv4 addresses of the customer's own /24.
    Sixteen,
    /// Sixteen /64.
    Bits60,
    /// 256 /64.
    Bits56,
}

impl From {
    fn source(self, number: usize) -> IpAddr {
        let of = |site, networks: usize| {
            let network = (number % networks) as u16;
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, 1))
        };
        match self {
            Self::Sixteen => Ipv4Addr::new(192, 0, 2, 150 + (number % 16) as u8).into(),
            Self::Bits60 => of(0x60, 16),
            Self::Bits56 => of(0x56, 256),
        }
    }
}

/// A machine that holds connections, and opens one for each that is closed, until it is dropped.
pub(crate) struct Flood {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// A machine in a namespace of its own, with every address of [`From`].
    pub(crate) fn machine(world: &World) -> Arc<Namespace> {
        let namespace = world.join("flood", 200);
        for host in 150..166 {
            namespace.ip(&format!("addr add 192.0.2.{host}/24 dev eth0"));
        }
        namespace.ip("route add default via 2001:db8::1");
        namespace.run("sysctl -qw net.ipv6.ip_nonlocal_bind=1");
        for site in ["2001:db8:60::/60", "2001:db8:56::/56"] {
            namespace.ip(&format!("-6 route add local {site} dev lo"));
            let route = format!("-6 route add {site} via 2001:db8::200");
            world.wire.ip(&route);
        }
        Arc::new(namespace)
    }

    /// Begins, and returns once every connection was opened.
    pub(crate) fn begin(
        machine: &Arc<Namespace>,
        server: &Server,
        kind: Kind,
        from: From,
        number: usize,
    ) -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(hard > 6000, "no room for so many connections");
        setrlimit(Resource::RLIMIT_NOFILE, soft.max(6000), hard).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let opened = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (machine, is_over, opened) = (machine.clone(), is_over.clone(), opened.clone());
            let server = server.clone();
            std::thread::spawn(move || {
                machine.within(|| match kind {
                    Kind::Head => heads(&server, from, number, &is_over, &opened),
                    _ => connections(server.address, kind, from, number, &is_over, &opened),
                });
            })
        };
        let flood = Self {
            is_over,
            thread: Some(thread),
        };
        eventually(
            "all connections were opened",
            Duration::from_secs(60),
            || (opened.load(Ordering::Relaxed) >= number).then_some(()),
        );
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// The node's address of the same family.
fn of_family(server: SocketAddr, source: IpAddr) -> SocketAddr {
    let IpAddr::V4(address) = server.ip() else {
        return server;
    };
    let [.., host] = address.octets();
    match source {
        IpAddr::V4(_) => server,
        IpAddr::V6(_) => format!("[2001:db8::{host}]:{}", server.port())
            .parse()
            .unwrap(),
    }
}

fn connections(
    server: SocketAddr,
    kind: Kind,
    from: From,
    number: usize,
    is_over: &AtomicBool,
    opened: &AtomicUsize,
) {
    let mut held: Vec<_> = (0..number).map(|_| None).collect();
    while !is_over.load(Ordering::Relaxed) {
        let mut begun = 0;
        for (number, place) in held.iter_mut().enumerate() {
            if place.as_ref().is_some_and(is_closed) {
                *place = None;
            }
            if place.is_none() && begun == A_ROUND {
                continue;
            }
            let stream = place.get_or_insert_with(|| {
                begun += 1;
                Held::open(server, from.source(number))
            });
            if !stream.is_connected && stream.connects() {
                opened.fetch_add(1, Ordering::Relaxed);
            }
            stream.give(kind);
        }
        std::thread::sleep(PAUSE);
    }
}

struct Held {
    stream: OwnedFd,
    is_connected: bool,
    /// Bytes of the first message that were sent.
    sent: usize,
}

impl Held {
    fn open(server: SocketAddr, source: IpAddr) -> Self {
        let family = match source {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        let stream = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        let address = SockaddrStorage::from(SocketAddr::new(source, 0));
        bind(stream.as_raw_fd(), &address).unwrap();
        let address = SockaddrStorage::from(of_family(server, source));
        let begun = connect(stream.as_raw_fd(), &address);
        assert!(
            matches!(begun, Ok(()) | Err(Errno::EINPROGRESS)),
            "{begun:?}"
        );
        Self {
            stream,
            is_connected: false,
            sent: 0,
        }
    }

    fn connects(&mut self) -> bool {
        self.is_connected = getpeername::<SockaddrStorage>(self.stream.as_raw_fd()).is_ok();
        self.is_connected
    }

    fn give(&mut self, kind: Kind) {
        let upto = match kind {
            Kind::Slow => self.sent + 1,
            Kind::HalfOpen => HALF.len(),
            Kind::Silent | Kind::Head => return,
        };
        // After the beginning any byte will do: the message is not complete for a long time.
        let rest = HALF.get(self.sent..upto).unwrap_or(&[0]);
        if self.sent < upto {
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            self.sent += send(self.stream.as_raw_fd(), rest, flags).unwrap_or_default();
        }
    }
}

fn is_closed(held: &Held) -> bool {
    let heard = recv(
        held.stream.as_fd().as_raw_fd(),
        &mut [0],
        MsgFlags::MSG_DONTWAIT,
    );
    !matches!(heard, Err(Errno::EAGAIN | Errno::ENOTCONN))
}

/// A head that the node waits for the rest of, and one that it does not take.
const LENGTHS: [usize; 2] = [15 * 1024, 400_000];

/// Connections whose handshake is finished, with heads that have no end.
fn heads(server: &Server, from: From, number: usize, is_over: &AtomicBool, opened: &AtomicUsize) {
    let mut held = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let source = from.source(opened.load(Ordering::Relaxed));
        let mut server = server.clone();
        server.address = of_family(server.address, source);
        let stream = Held::open(server.address, source).stream;
        let stream = TcpStream::from(stream);
        let length = LENGTHS[held.len() % LENGTHS.len()];
        held.push(https::endless(&server, stream, length));
        opened.fetch_add(1, Ordering::Relaxed);
        if held.len() > number {
            held.remove(0);
        }
    }
}
