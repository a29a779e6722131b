//! The UDP socket against a real kernel.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use mayfly_netns::{Namespace, veth};
use mayfly_sys::udp::{Outgoing, RecvBatch, SendBatch, Steering, Udp};
use nix::poll::{PollFd, PollFlags, poll};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A server with two addresses of each family, joined to a client.
///
/// ```text
///   server 192.0.2.1, .2, 2001:db8::1, ::2 ---- 192.0.2.9, 2001:db8::9 client
/// ```
fn server_and_client() -> (Namespace, Namespace) {
    let (server, client) = (Namespace::new("server"), Namespace::new("client"));
    let ours = [
        (ip("192.0.2.1"), 24),
        (ip("192.0.2.2"), 24),
        (ip("2001:db8::1"), 64),
        (ip("2001:db8::2"), 64),
    ];
    let theirs = [(ip("192.0.2.9"), 24), (ip("2001:db8::9"), 64)];
    veth((&server, "a", &ours), (&client, "b", &theirs));
    (server, client)
}

/// A client's socket. It waits for an answer, but not forever.
fn socket_in(client: &Namespace, address: &str) -> UdpSocket {
    let socket = client.within(|| UdpSocket::bind((ip(address), 0)).unwrap());
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

/// Waits until something arrives, and receives it.
fn receive(udp: &Udp, batch: &mut RecvBatch) -> usize {
    let mut descriptors = [PollFd::new(udp.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, 5_000u16).unwrap();
    udp.recv_batch(batch).unwrap()
}

/// Waits until something arrives, then sends all of it back.
fn echo_once(udp: &Udp, batch: &mut RecvBatch) -> usize {
    let count = receive(udp, batch);
    let answers = batch.iter_mut().map(|train| Outgoing {
        remote: train.remote,
        local: train.local,
        ecn: train.ecn,
        segment: train.segment,
        bytes: train.bytes,
    });
    udp.send_batch(&mut SendBatch::default(), answers);
    count
}

/// Datagrams of `segment` bytes to `remote`.
fn train(remote: SocketAddr, segment: usize, bytes: &[u8]) -> Outgoing<'_> {
    Outgoing {
        remote,
        local: None,
        ecn: 0,
        segment,
        bytes,
    }
}

#[test]
fn a_reply_leaves_from_the_address_spoken_to() {
    let (server, client) = server_and_client();
    let udp = server.within(|| Udp::bind(0).unwrap());
    let port = udp.port().unwrap();
    let mut batch = RecvBatch::new(4);
    for (from, to) in [
        ("192.0.2.9", "192.0.2.1"),
        ("192.0.2.9", "192.0.2.2"),
        ("2001:db8::9", "2001:db8::1"),
        ("2001:db8::9", "2001:db8::2"),
    ] {
        let spoken_to = SocketAddr::new(ip(to), port);
        let socket = socket_in(&client, from);
        socket.send_to(b"?", spoken_to).unwrap();
        assert_eq!(echo_once(&udp, &mut batch), 1);
        assert_eq!(socket.recv_from(&mut [0; 8]).unwrap().1, spoken_to);
    }
}

#[test]
fn datagrams_of_any_length_arrive_whole() {
    let (server, client) = server_and_client();
    let udp = server.within(|| Udp::bind(0).unwrap());
    let port = udp.port().unwrap();
    let mut batch = RecvBatch::new(4);
    let socket = socket_in(&client, "192.0.2.9");
    let mut back = vec![0; 65_535];
    for length in [0, 1, 1_472, 1_473, 9_000, 65_507] {
        let sent: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        socket.send_to(&sent, (ip("192.0.2.1"), port)).unwrap();
        assert_eq!(echo_once(&udp, &mut batch), 1);
        let received = socket.recv(&mut back).unwrap();
        assert!(back[..received] == sent, "{length} bytes");
    }
}

#[test]
fn one_datagram_that_cannot_go_does_not_stop_the_others() {
    let (server, client) = server_and_client();
    let udp = server.within(|| Udp::bind(0).unwrap());
    let socket = socket_in(&client, "192.0.2.9");
    let here = socket.local_addr().unwrap();
    let nowhere: SocketAddr = "198.51.100.1:9".parse().unwrap();
    let too_long = vec![0; 65_530];
    let datagrams: [(SocketAddr, &[u8]); 4] = [
        (nowhere, b"no route"),
        (here, b"first"),
        (here, &too_long),
        (here, b"second"),
    ];
    let datagrams = datagrams.map(|(remote, bytes)| train(remote, bytes.len(), bytes));
    udp.send_batch(&mut SendBatch::default(), datagrams.into_iter());
    let mut room = [0; 16];
    for expected in ["first", "second"] {
        let length = socket.recv(&mut room).unwrap();
        assert_eq!(&room[..length], expected.as_bytes());
    }
}

/// ```text
///   server 192.0.2.1 ---- .254 router 198.51.100.254 --(MTU 1280)-- 198.51.100.9 client
/// ```
#[test]
fn a_narrow_path_loses_nothing_and_is_not_remembered() {
    let (server, client) = (Namespace::new("server"), Namespace::new("client"));
    let router = Namespace::new("router");
    let address = |text| [(ip(text), 24)];
    veth(
        (&server, "a", &address("192.0.2.1")),
        (&router, "a", &address("192.0.2.254")),
    );
    veth(
        (&router, "b", &address("198.51.100.254")),
        (&client, "b", &address("198.51.100.9")),
    );
    router.run("sysctl -q -w net.ipv4.ip_forward=1");
    router.ip("link set dev b mtu 1280");
    server.ip("route add default via 192.0.2.254");
    client.ip("route add default via 198.51.100.254");

    let udp = server.within(|| Udp::bind(0).unwrap());
    let socket = socket_in(&client, "198.51.100.9");
    let sent = [7; 3 * 1_452];
    let here = socket.local_addr().unwrap();
    let mut room = [0; 2_000];
    // Fragmented by the router, then by the server itself, which cannot split it then.
    for mtu in [1_500, 1_300] {
        server.ip(&format!("link set dev a mtu {mtu}"));
        let three = train(here, 1_452, &sent);
        udp.send_batch(&mut SendBatch::default(), [three].into_iter());
        for _ in 0..3 {
            assert_eq!(socket.recv(&mut room).unwrap(), 1_452, "MTU {mtu}");
        }
    }
    assert_eq!(server.run("ip route show cache"), "");
}

#[test]
fn a_train_crosses_whole_and_comes_out_as_it_was_cut() {
    let (server, client) = server_and_client();
    let udp = server.within(|| Udp::bind(0).unwrap());
    let other = client.within(|| Udp::bind(0).unwrap());
    let port = udp.port().unwrap();
    let sent: Vec<u8> = (0..44 * 1_452 + 9_u32)
        .map(|byte| (byte / 7) as u8)
        .collect();
    let mut batch = RecvBatch::new(4);
    for to in ["192.0.2.1", "2001:db8::1"] {
        let outgoing = train(SocketAddr::new(ip(to), port), 1_452, &sent);
        other.send_batch(&mut SendBatch::default(), [outgoing].into_iter());
        assert_eq!(receive(&udp, &mut batch), 1, "one train to {to}");
        let train = batch.iter_mut().next().unwrap();
        assert_eq!((train.segment, train.local), (1_452, Some(ip(to))));
        assert!(train.bytes == sent);
    }
    batch.scrub();
    assert_eq!(batch.iter_mut().count(), 0);
}

#[test]
fn marks_of_congestion_cross_with_whole_trains_and_no_service_class_does() {
    let (server, client) = server_and_client();
    let udp = server.within(|| Udp::bind(0).unwrap());
    let other = client.within(|| Udp::bind(0).unwrap());
    let port = udp.port().unwrap();
    let mut batch = RecvBatch::new(4);
    for to in ["192.0.2.1", "2001:db8::1"] {
        let to = SocketAddr::new(ip(to), port);
        for ecn in 0..4 {
            let outgoing = Outgoing {
                ecn,
                ..train(to, 1_000, &[7; 3_000])
            };
            other.send_batch(&mut SendBatch::default(), [outgoing].into_iter());
            assert_eq!(receive(&udp, &mut batch), 1);
            let train = batch.iter_mut().next().unwrap();
            assert_eq!((train.ecn, train.segment), (ecn, 1_000), "to {to}");
        }
        let stock = socket_in(
            &client,
            if to.is_ipv4() {
                "192.0.2.9"
            } else {
                "2001:db8::9"
            },
        );
        setsockopt_class(&stock, to, 46 << 2 | 2);
        stock.send_to(b"urgent", to).unwrap();
        assert_eq!(echo_once(&udp, &mut batch), 1);
        assert_eq!(batch.iter_mut().next().unwrap().ecn, 2);
        assert_eq!(stock.recv(&mut [0; 8]).unwrap(), 6);
    }
}

fn setsockopt_class(socket: &UdpSocket, to: SocketAddr, class: i32) {
    use nix::sys::socket::{setsockopt, sockopt};
    match to {
        SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4Tos, &class).unwrap(),
        SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6TClass, &class).unwrap(),
    }
}

#[test]
fn a_datagram_comes_to_the_socket_that_it_names_and_others_to_always_the_same() {
    const GROUP: usize = 3;
    let (server, client) = server_and_client();
    let steering = Steering { kind: 4, at: 5 };
    let group = server.within(|| Udp::bind_group(0, GROUP, steering).unwrap());
    let port = group[0].port().unwrap();
    let mut batch = RecvBatch::new(64);
    let mut whose = |datagram: &[u8]| {
        let mut descriptors = group
            .iter()
            .map(|udp| PollFd::new(udp.as_fd(), PollFlags::POLLIN))
            .collect::<Vec<_>>();
        assert_eq!(poll(&mut descriptors, 5_000u16).unwrap(), 1);
        let got = |udp: &Udp| udp.recv_batch(&mut batch).unwrap() == 1;
        let at = group.iter().position(got).unwrap();
        let train = batch.iter_mut().next().unwrap();
        assert!(train.bytes == datagram);
        at
    };
    for (from, to) in [("192.0.2.9", "192.0.2.1"), ("2001:db8::9", "2001:db8::1")] {
        for byte in [0, 1, 2, 3, 4, 5, 250, 255] {
            let socket = socket_in(&client, from);
            let datagram = [4, 0, 0, 0, 77, byte, 9, 9, 9];
            socket.send_to(&datagram, (ip(to), port)).unwrap();
            assert_eq!(whose(&datagram), usize::from(byte) % GROUP, "{to} {byte}");
        }
        let socket = socket_in(&client, from);
        let at: Vec<_> = (0..10)
            .map(|number| {
                let other = [1, 0, 0, 0, number, number];
                socket.send_to(&other, (ip(to), port)).unwrap();
                whose(&other)
            })
            .collect();
        assert_eq!(at, [at[0]; 10]);
        socket.send_to(&[4], (ip(to), port)).unwrap();
        whose(&[4]);
    }
}

#[test]
fn all_sockets_of_a_group_answer_from_its_port() {
    let (server, client) = server_and_client();
    let steering = Steering { kind: 4, at: 5 };
    let group = server.within(|| Udp::bind_group(0, 2, steering).unwrap());
    let socket = socket_in(&client, "192.0.2.9");
    let here = socket.local_addr().unwrap();
    let port = group[0].port().unwrap();
    for udp in &group {
        let outgoing = train(here, 1, b"!");
        udp.send_batch(&mut SendBatch::default(), [outgoing].into_iter());
        let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.port(), port);
    }
}
