//! Someone who watches the link between nodes and the account service: it passes bytes on, and
//! writes down when a TLS record went by, which way, and how long it was.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mayfly_netns::Namespace;

/// Where nodes find the account service, as they are told.
pub(crate) const TAPPED: &str = "192.0.2.1:9443";
const SERVICE: &str = "192.0.2.1:8443";

/// Which way a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToService,
    ToNode,
}

/// What can be seen of a record (RFC 8446 section 5.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// The connection that it belongs to, in their order.
    pub connection: usize,
    pub way: Way,
    pub at: Instant,
    pub length: usize,
}

/// The watcher. It watches until the test ends.
pub(crate) struct Tap(Arc<Mutex<Vec<Record>>>);

impl Tap {
    pub(crate) fn start(wire: &Namespace) -> Self {
        let records = Arc::<Mutex<Vec<Record>>>::default();
        let seen = records.clone();
        let listener = wire.within(|| TcpListener::bind(TAPPED).unwrap());
        let handle = std::fs::File::open(format!("/run/netns/{}", wire.name())).unwrap();
        std::thread::spawn(move || {
            nix::sched::setns(&handle, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            for (connection, node) in listener.incoming().enumerate() {
                let (Ok(node), Ok(service)) = (node, TcpStream::connect(SERVICE)) else {
                    continue;
                };
                for (way, from, to) in [
                    (Way::ToService, &node, &service),
                    (Way::ToNode, &service, &node),
                ] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    to.set_nodelay(true).unwrap();
                    let seen = seen.clone();
                    std::thread::spawn(move || pass_on(from, to, connection, way, &seen));
                }
            }
        });
        Self(records)
    }

    /// The records of the latest connection, from a time on.
    pub(crate) fn latest_since(&self, from: Instant) -> Vec<Record> {
        let records = self.0.lock().unwrap();
        let latest = records.iter().map(|record| record.connection).max();
        let of_it = records
            .iter()
            .filter(|record| Some(record.connection) == latest && record.at >= from);
        of_it.copied().collect()
    }
}

/// Passes whole records on until the connection ends.
fn pass_on(
    mut from: TcpStream,
    mut to: TcpStream,
    connection: usize,
    way: Way,
    seen: &Mutex<Vec<Record>>,
) {
    let mut header = [0; 5];
    while from.read_exact(&mut header).is_ok() {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let mut body = vec![0; length];
        if from.read_exact(&mut body).is_err() {
            break;
        }
        seen.lock().unwrap().push(Record {
            connection,
            way,
            at: Instant::now(),
            length,
        });
        if to.write_all(&[&header[..], &body].concat()).is_err() {
            break;
        }
    }
    let _ended = to.shutdown(Shutdown::Write);
}
