//! All threads that the process will ever have: this one with its runtime, the packet threads and
//! the handshake thread.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rand_core::{OsRng, RngCore as _};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zeroize::Zeroizing;

use mayfly_sys::{confine, processors};
use mayfly_tunnel::{Config, Prefix};
use mayfly_wire::PublicKey;

use super::acquire::Acquired;
use super::confine::Confined;
use super::{StartError, wanted};
use crate::accounts_link::AccountsLink;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::control::Control;
use crate::datapath::{
    CommandQueue, Commands, Descriptors, HandoffMemory, HandoffQueue, HandshakeJobs,
    HandshakeReplies, Handshakes, Members, Notice, Packets, Responder, Tunnel,
};
use crate::enrolment::own_address;
use crate::node_keys::NodeKeys;
use crate::run::Daemon;
use crate::settings::Settings;
use crate::stack;
use crate::tls::{self, Identity};

/// The node's inner IPv6 address if no pool gives it one. It is the source of the ICMPv6 errors
/// that tell peers that there is no IPv6.
const NO_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// Threads that wait, and the daemon that runs on them.
pub(super) struct Spawned {
    pub confinement: confine::Confined,
    pub runtime: Runtime,
    pub daemon: Daemon,
    /// Each of the other threads begins when its gate sends, and ends if its gate is dropped.
    pub gates: Vec<Sender<()>>,
}

/// The ends by which other threads reach a packet thread.
struct Ends {
    commands: CommandQueue,
    replies: HandshakeReplies,
    handoff_queue: HandoffQueue,
}

impl Ends {
    fn new(memory: &HandoffMemory) -> io::Result<Self> {
        Ok(Self {
            commands: CommandQueue::new()?,
            replies: HandshakeReplies::new()?,
            handoff_queue: HandoffQueue::new(memory.clone())?,
        })
    }
}

impl Spawned {
    /// Makes keys, tables and threads. No byte from a network is read yet.
    pub(super) fn spawn(confined: Confined) -> Result<Self, StartError> {
        let Acquired {
            settings,
            processors,
            tun,
            udp,
            enrolment,
            health,
            janitor,
        } = confined.acquired;
        let (tunnels, responder) = tunnels(&settings, processors.len() as u8);
        let first = tunnels.first().ok_or(StartError::PacketThread)?;
        let node_keys = NodeKeys::new(PublicKey(first.public_key()));
        let (notices, heard) = unbounded_channel();
        let janitor = Arc::new(Mutex::new(janitor));
        let memory = HandoffMemory::default();
        let ends: Vec<_> = processors.iter().map(|_| Ends::new(&memory)).collect();
        let ends = wanted(
            "an eventfd",
            ends.into_iter().collect::<io::Result<Vec<_>>>(),
        )?;
        let udp: Vec<_> = udp.into_iter().map(Arc::new).collect();
        let jobs = wanted("an eventfd", HandshakeJobs::new().map_err(io::Error::from))?;
        let mut gates = Vec::new();
        let parts = tunnels.into_iter().zip(tun).zip(&udp);
        for (((tunnel, tun), udp), (own, &processor)) in parts.zip(ends.iter().zip(&processors)) {
            let descriptors = Descriptors {
                udp: Arc::clone(udp),
                tun,
                commands: own.commands.clone(),
                jobs: jobs.clone(),
                replies: own.replies.clone(),
                own_handoffs: own.handoff_queue.clone(),
                handoff_queues: ends.iter().map(|ends| ends.handoff_queue.clone()).collect(),
            };
            let members = Members::new(notices.clone(), Arc::clone(&janitor));
            let packets = Packets::new(tunnel, descriptors, members);
            let packets = wanted("an epoll descriptor", packets.map_err(io::Error::from))?;
            let spawned = spawn_thread("packets", Some(processor), move || {
                // It ends only by an error of the system. Its last notice tells the control thread.
                let _ = packets.run();
            });
            gates.push(wanted("a packet thread", spawned)?);
        }
        let replies = ends.iter().map(|ends| ends.replies.clone()).collect();
        let handshakes = Handshakes::new(
            responder,
            node_keys.clone(),
            jobs,
            replies,
            Arc::clone(&udp[0]),
        );
        let handshakes = wanted("an epoll descriptor", handshakes.map_err(io::Error::from))?;
        let spawned = spawn_thread("handshakes", None, move || handshakes.run());
        gates.push(wanted("the handshake thread", spawned)?);
        let commands = Commands::to(ends.into_iter().map(|ends| ends.commands).collect());
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // Called when the control thread is about to sleep.
            .on_thread_park(stack::scrub)
            .build();
        let runtime = wanted("the runtime", runtime)?;
        let daemon = {
            let _context = runtime.enter();
            let enrolment = wanted("the enrolment port", TcpListener::from_std(enrolment))?;
            let health = wanted("the health address", TcpListener::from_std(health))?;
            daemon(settings, node_keys, commands, heard, [enrolment, health])?
        };
        Ok(Self {
            confinement: confined.confinement,
            runtime,
            daemon,
            gates,
        })
    }
}

fn tunnels(settings: &Settings, shards: u8) -> (Vec<Tunnel>, Responder) {
    let pools = &settings.pools;
    let own =
        |prefix: Option<&toml::Spanned<_>>| prefix.map(|prefix| own_address(*prefix.get_ref()));
    let prefixes = settings.inner_prefixes().into_iter();
    let prefixes = prefixes.map(|inner| inner.cidr());
    let prefixes = prefixes.filter_map(|cidr| Prefix::new(cidr.address, cidr.prefix));
    let mut private_key = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *private_key);
    let config = Config {
        private_key,
        mtu: *settings.wireguard.mtu.get_ref(),
        ipv4: match own(Some(&pools.default.ipv4)) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        },
        ipv6: match own(pools.default.ipv6.as_ref()) {
            Some(IpAddr::V6(address)) => address,
            _ => NO_IPV6,
        },
        pools: prefixes.collect(),
        processors: shards,
    };
    Tunnel::sharded(&config, *seed(), shards)
}

/// Starts a thread, and returns once it runs, on its processor if it has one: the seal forbids the
/// calls that a thread makes while it starts.
fn spawn_thread(
    name: &str,
    processor: Option<usize>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<Sender<()>> {
    let (gate, opened) = channel();
    let (begin, begun) = channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Some(number) = processor {
                // A thread that cannot be kept on its processor works all the same.
                let _ = processors::keep_to(number);
            }
            if begin.send(()).is_ok() && opened.recv().is_ok() {
                run();
            }
        })?;
    begun.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
    Ok(gate)
}

fn daemon(
    settings: Settings,
    node_keys: NodeKeys,
    commands: Commands,
    notices: UnboundedReceiver<Option<Notice>>,
    [enrolment, health]: [TcpListener; 2],
) -> Result<Daemon, StartError> {
    let clock = Clock::from_system();
    let identity = Identity::generate()?;
    let accounts = &settings.accounts;
    let link = AccountsLink::new(
        accounts.addresses(),
        accounts.tls_name.clone(),
        tls::client(identity.clone(), &accounts.ca, &clock)?,
    );
    let control = Control::new(
        &settings,
        node_keys,
        commands,
        clock.clone(),
        [seed(), seed()],
        Instant::now(),
    );
    let tls = tls::server(identity.clone(), &clock)?;
    let inner = settings.inner_prefixes().into_iter();
    let inner = inner.map(|inner| inner.cidr()).collect();
    let stop = wanted("a signal", signal(SignalKind::terminate()))?;
    Ok(Daemon {
        control,
        notices,
        enrolment,
        health,
        tls,
        inner,
        accounts: Arc::new(link),
        stop,
        admission: Admission {
            name: settings.name,
            secret: settings.accounts.secret,
            identity,
            clock,
        },
    })
}

fn seed() -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *seed);
    seed
}
