//! One node with several tunnels. Every peer belongs to one, and packets that come to another are
//! handed over.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::time::Instant;

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{
    Config, Ecn, Endpoint, Event, FRAME_HEADER, Frame, Outbox, Prefix, Refusal, Responder,
    SHARD_BYTE, SHARDED_KIND, Tunnel,
};
use zeroize::Zeroizing;

const SHARDS: u8 = 3;

/// Three packet threads, and the handshake thread.
struct Threads {
    tunnels: Vec<Tunnel<u64>>,
    responder: Responder<u64>,
    enrolled: u64,
    out: Outbox,
    now: Instant,
}

impl Threads {
    fn new() -> Self {
        let config = Config {
            private_key: Zeroizing::new([0xee; 32]),
            mtu: MTU,
            ipv4: NODE_IPV4,
            ipv6: NODE_IPV6,
            pools: Prefix::new(NODE_IPV4.into(), 16).into_iter().collect(),
            processors: 2,
        };
        let (tunnels, responder) = Tunnel::sharded(&config, [1; 32], SHARDS);
        Self {
            tunnels,
            responder,
            enrolled: 0,
            out: Outbox::new(),
            now: Instant::now(),
        }
    }

    fn enrol(&mut self, number: u8, owner: usize) -> u64 {
        self.enrolled += 1;
        let config = peer_config(number, true);
        let added = self.tunnels[owner].add_peer(self.enrolled, config);
        added.unwrap();
        self.handle_jobs();
        self.enrolled
    }

    fn handle_jobs(&mut self) {
        for at in 0..self.tunnels.len() {
            while let Some(job) = self.tunnels[at].poll_job() {
                let reply = self.responder.handle_job(job, &mut self.out, self.now);
                // A refused initiation gets no answer, which is what the tests look for.
                if let Ok(Some(reply)) = reply {
                    let owner = usize::from(reply.shard());
                    let taken = self.tunnels[owner].handle_reply(reply, &mut self.out, self.now);
                    taken.unwrap();
                }
            }
        }
    }

    fn take(&mut self, at: usize, endpoint: Endpoint, datagram: &[u8]) -> Result<(), Refusal> {
        let mut bytes = datagram.to_vec();
        let (out, now) = (&mut self.out, self.now);
        let taken = self.tunnels[at].handle_datagram(endpoint, Ecn::NotEct, &mut bytes, out, now);
        assert!(taken.is_ok() || bytes == datagram, "it can be handed over");
        self.handle_jobs();
        taken
    }

    fn send(&mut self, at: usize, frame: &mut Frame) -> Result<(), Refusal> {
        self.tunnels[at].handle_frame(frame, &mut self.out, self.now)
    }

    /// Brings up a session of a peer whose initiation comes to shard `at`.
    fn connect(&mut self, number: u8, at: usize, owner: usize) -> Client {
        let mut client = Client::new(number, self.tunnels[0].public_key());
        self.take(at, endpoint(number), &client.initiation())
            .unwrap();
        let keepalive = client.take(&self.datagram()).unwrap();
        assert_eq!(keepalive[0], SHARDED_KIND);
        let told = usize::from(keepalive[SHARD_BYTE] % SHARDS);
        assert_eq!(told, owner, "as a filter of the socket would tell it");
        self.take(owner, endpoint(number), &keepalive).unwrap();
        client
    }

    fn datagram(&mut self) -> Vec<u8> {
        let [datagram] = self.out.datagrams().collect::<Vec<_>>()[..] else {
            panic!("one datagram was expected");
        };
        let bytes = datagram.bytes.to_vec();
        self.out.clear();
        bytes
    }

    fn packets(&mut self) -> Vec<Vec<u8>> {
        let packets = self.out.packets().map(<[u8]>::to_vec).collect();
        self.out.clear();
        packets
    }
}

fn frame(packet: &[u8]) -> Frame {
    let mut frame = Frame::new();
    frame.room()[FRAME_HEADER..][..packet.len()].copy_from_slice(packet);
    frame.fill(FRAME_HEADER + packet.len());
    frame
}

#[test]
fn every_handshake_of_a_peer_ends_at_its_owner_wherever_it_comes() {
    let mut threads = Threads::new();
    let peers = [2, 3, 4].map(|number| threads.enrol(number, usize::from(number) - 2));
    for (number, peer) in [2, 3, 4].into_iter().zip(peers) {
        for at in 0..3 {
            threads.connect(number, at, usize::from(number) - 2);
        }
        for (shard, tunnel) in threads.tunnels.iter_mut().enumerate() {
            let events: Vec<_> = std::iter::from_fn(|| tunnel.poll_event()).collect();
            let own = shard == usize::from(number) - 2;
            assert_eq!(events, [Event::SessionUp(peer)][usize::from(!own)..]);
        }
    }
}

#[test]
fn a_flow_that_roams_to_another_thread_stays_in_order_and_is_answered_where_it_is() {
    let mut threads = Threads::new();
    threads.enrol(2, 1);
    let mut client = threads.connect(2, 0, 1);
    let packets: Vec<_> = (0..20_u8)
        .map(|number| ipv4_packet(ipv4(2), INTERNET, &[number]))
        .collect();
    // The first half comes to another thread, which hands it over in order. When the owner takes
    // it, the rest is waiting at the owner's own socket.
    let datagrams: Vec<_> = packets.iter().map(|packet| client.seal(packet)).collect();
    let (strays, own) = datagrams.split_at(10);
    for stray in strays {
        assert_eq!(
            threads.take(2, endpoint(9), stray),
            Err(Refusal::OfShard(1))
        );
    }
    for datagram in strays.iter().chain(own) {
        threads.take(1, endpoint(9), datagram).unwrap();
    }
    assert_eq!(threads.packets(), packets);
    let answer = ipv4_packet(INTERNET, ipv4(2), b"answer");
    threads.send(1, &mut frame(&answer)).unwrap();
    let ways: Vec<_> = threads.out.datagrams().map(|d| d.endpoint.remote).collect();
    assert_eq!(ways, [endpoint(9).remote]);
}

#[test]
fn a_frame_that_comes_elsewhere_is_handed_over_whole_and_one_for_nobody_is_not() {
    let mut threads = Threads::new();
    let peer = threads.enrol(2, 1);
    let mut client = threads.connect(2, 1, 1);
    let down = ipv4_packet(INTERNET, ipv4(2), b"unsolicited");
    let down6 = ipv6_packet(NODE_IPV6, ipv6(2), b"unsolicited");
    for packet in [&down, &down6] {
        for at in [0, 2] {
            let mut frame = frame(packet);
            assert_eq!(threads.send(at, &mut frame), Err(Refusal::OfShard(1)));
            assert_eq!(threads.send(1, &mut frame), Ok(()));
            let datagram = threads.datagram();
            assert_eq!(client.open(&datagram), *packet);
        }
    }
    let unknown = ipv4_packet(INTERNET, ipv4(3), b"");
    threads.tunnels[1].remove_peer(peer);
    for packet in [&unknown, &down, &down6] {
        for at in 0..3 {
            let sent = threads.send(at, &mut frame(packet));
            assert_eq!(sent, Err(Refusal::NoSuchAddress));
        }
    }
}

#[test]
fn an_address_can_go_from_a_peer_of_one_thread_to_one_of_another() {
    let mut threads = Threads::new();
    let old = threads.enrol(2, 0);
    threads.tunnels[0].remove_peer(old);
    threads.handle_jobs();
    threads.enrol(2, 2);
    let mut client = threads.connect(2, 0, 2);
    let down = ipv4_packet(INTERNET, ipv4(2), b"");
    let mut frame = frame(&down);
    assert_eq!(threads.send(0, &mut frame), Err(Refusal::OfShard(2)));
    assert_eq!(threads.send(2, &mut frame), Ok(()));
    let datagram = threads.datagram();
    assert_eq!(client.open(&datagram), down);
}

/// What the registry decides about one key, in order.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// A peer with the key, under this id.
    Add(u64),
    Remove(u64),
}

/// Every way in which two threads may take turns over their orders, each in its own order.
fn interleavings(one: usize, other: usize) -> Vec<Vec<usize>> {
    if one + other == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (thread, left) in [(0, one), (1, other)] {
        if left > 0 {
            let rest = interleavings(one - usize::from(thread == 0), other - thread);
            all.extend(rest.into_iter().map(|mut turns| {
                turns.insert(0, thread);
                turns
            }));
        }
    }
    all
}

/// Three enrolments of one key, one after the other. Each belongs to a thread, and the last is
/// removed, too, or stays.
#[test]
fn a_key_is_whose_the_registry_says_in_whatever_order_two_threads_pass_its_orders_on() {
    let mut tried = 0;
    for (owners, stays) in (0..8_usize).flat_map(|owners| [(owners, true), (owners, false)]) {
        let owner = |id: u64| owners >> (id - 1) & 1;
        let mut orders: [Vec<Order>; 2] = Default::default();
        for id in 1..=3 {
            orders[owner(id)].push(Order::Add(id));
            if id < 3 || !stays {
                orders[owner(id)].push(Order::Remove(id));
            }
        }
        for turns in interleavings(orders[0].len(), orders[1].len()) {
            let mut threads = Threads::new();
            let mut left = orders.clone().map(Vec::into_iter);
            for &thread in &turns {
                let tunnel = &mut threads.tunnels[thread];
                match left[thread].next().unwrap() {
                    Order::Add(id) => tunnel.add_peer(id, peer_config(2, true)).unwrap(),
                    Order::Remove(id) => tunnel.remove_peer(id),
                }
                threads.handle_jobs();
            }
            let case = format!("{orders:?}, {turns:?}");
            let mut client = Client::new(2, threads.tunnels[0].public_key());
            threads.take(2, endpoint(2), &client.initiation()).unwrap();
            assert_eq!(threads.out.datagrams().len(), usize::from(stays), "{case}");
            if stays {
                let keepalive = client.take(&threads.datagram()).unwrap();
                threads.take(owner(3), endpoint(2), &keepalive).unwrap();
                let event = threads.tunnels[owner(3)].poll_event();
                assert_eq!(event, Some(Event::SessionUp(3)), "{case}");
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 144);
}
