//! A web server on the internet that remembers the addresses of its visitors.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mayfly_netns::{Namespace, veth};

pub(crate) struct Internet {
    pub namespace: Namespace,
    seen: Arc<Mutex<Vec<IpAddr>>>,
}

impl Internet {
    pub(crate) const IPV4: &str = "198.51.100.80:80";
    pub(crate) const IPV6: &str = "[2001:db8:80::80]:80";

    pub(crate) fn new(wire: &Namespace) -> Self {
        let namespace = Namespace::new("internet");
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        veth(
            (
                wire,
                "internet",
                &[
                    (address("198.51.100.1"), 24),
                    (address("2001:db8:80::1"), 64),
                ],
            ),
            (
                &namespace,
                "eth0",
                &[
                    (address("198.51.100.80"), 24),
                    (address("2001:db8:80::80"), 64),
                ],
            ),
        );
        namespace.ip("route add default via 198.51.100.1");
        namespace.ip("route add default via 2001:db8:80::1");
        let seen = Arc::<Mutex<Vec<IpAddr>>>::default();
        let listener = namespace.within(|| TcpListener::bind("[::]:80").unwrap());
        let remembered = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let remote = stream.peer_addr().unwrap().ip().to_canonical();
                remembered.lock().unwrap().push(remote);
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { namespace, seen }
    }

    /// The addresses that have come since the last call.
    pub(crate) fn seen(&self) -> Vec<IpAddr> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The page: more than fits into a few packets.
    pub(crate) fn page() -> Vec<u8> {
        (0..200_000u32).map(|byte| (byte % 251) as u8).collect()
    }
}

fn answer(mut stream: TcpStream) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request);
    let _ = stream.write_all(&Internet::page());
}

/// How long a connection may take. A client whose first initiation is lost begins again after five
/// seconds (WireGuard paper, section 6.1).
const CONNECT: Duration = Duration::from_secs(15);

/// Fetches the page, in the namespace of the caller's thread.
pub(crate) fn fetch(address: &str) -> std::io::Result<Vec<u8>> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = Vec::new();
    stream.read_to_end(&mut page)?;
    Ok(page)
}
