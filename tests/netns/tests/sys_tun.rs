//! The TUN device against a real kernel.
//!
//! ```text
//!   UDP socket 10.64.0.1 -- kernel of the namespace -- mayfly0 -- the test, as 10.64.0.2
//! ```

use std::io::IoSlice;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use mayfly_netns::Namespace;
use mayfly_sys::link;
use mayfly_sys::tun::Tun;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{setsockopt, sockopt};

const NAME: &str = "mayfly0";
const OURS: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 2);
const PORT: u16 = 9;
/// `struct virtio_net_hdr`, then an IPv4 header without options and a UDP header (RFC 791 section
/// 3.1, RFC 768).
const FRAME_HEADER: usize = 10;
const HEADERS: usize = FRAME_HEADER + 20 + 8;
/// `gso_type` of a train of UDP, and its place in the header.
const TRAIN_OF_UDP: (usize, u8) = (1, 5);
/// Longer than anything in these tests takes.
const LIMIT: Duration = Duration::from_secs(5);

/// The device with an address and the largest MTU, and a socket that sends through it.
fn device() -> (Namespace, Tun, UdpSocket) {
    let namespace = Namespace::new("tun");
    // Without IPv6 the kernel sends nothing by itself.
    namespace.run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1");
    let (tun, socket) = namespace.within(|| {
        let tun = Tun::create(NAME).unwrap();
        link::add_address(NAME, OURS.into(), 24).unwrap();
        link::set_up(NAME, Some(u16::MAX)).unwrap();
        let socket = UdpSocket::bind((OURS, PORT)).unwrap();
        (tun, socket)
    });
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    (namespace, tun, socket)
}

/// Waits for the next frame.
fn read(tun: &Tun) -> Vec<u8> {
    wait_for_frames(tun);
    let mut buffer = vec![0; FRAME_HEADER + 65_535];
    let len = tun.read(&mut buffer).unwrap().unwrap();
    buffer.truncate(len);
    buffer
}

fn wait_for_frames(tun: &Tun) {
    let mut descriptors = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut descriptors, 5_000u16).unwrap(), 1);
}

/// The frame as its receiver would send it back. The checksum stays right, as far as it is done.
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut back = frame.to_vec();
    let (header, packet) = (&mut back[FRAME_HEADER..], &frame[FRAME_HEADER..]);
    header[12..16].copy_from_slice(&packet[16..20]);
    header[16..20].copy_from_slice(&packet[12..16]);
    header[20..22].copy_from_slice(&packet[22..24]);
    header[22..24].copy_from_slice(&packet[20..22]);
    back
}

#[test]
fn packets_of_any_length_cross_both_ways() {
    let (_namespace, tun, socket) = device();
    let mut received = vec![0; 65_535];
    for length in [0, 1, 1_392, 9_000, 65_535 - 28] {
        let sent: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        socket.send_to(&sent, (THEIRS, PORT)).unwrap();
        let frame = read(&tun);
        assert_eq!(frame[FRAME_HEADER + 16..][..4], THEIRS.octets());
        assert!(frame[HEADERS..] == sent, "{length} bytes out");

        tun.write(&[IoSlice::new(&answer(&frame))]);
        let (count, from) = socket.recv_from(&mut received).unwrap();
        assert_eq!(from, (THEIRS, PORT).into());
        assert!(received[..count] == sent, "{length} bytes in");
    }
}

#[test]
fn a_train_of_udp_crosses_as_one_frame_both_ways() {
    let (_namespace, tun, socket) = device();
    assert!(tun.has_udp_trains(), "this kernel is older than 6.2");
    setsockopt(&socket, sockopt::UdpGsoSegment, &1000).unwrap();
    let sent: Vec<u8> = (0..4500_u16).map(|byte| byte as u8).collect();
    socket.send_to(&sent, (THEIRS, PORT)).unwrap();
    let frame = read(&tun);
    assert_eq!(frame[TRAIN_OF_UDP.0], TRAIN_OF_UDP.1);
    assert!(frame[HEADERS..] == sent);

    let back = answer(&frame);
    let (header, payload) = back.split_at(HEADERS);
    tun.write(&[IoSlice::new(header), IoSlice::new(payload)]);
    let mut received = [0; 2000];
    for piece in sent.chunks(1000) {
        let count = socket.recv(&mut received).unwrap();
        assert!(received[..count] == *piece);
    }
}

#[test]
fn frames_come_in_order_until_there_are_none() {
    let (_namespace, tun, socket) = device();
    let mut buffer = vec![0; 2000];
    assert_eq!(tun.read(&mut buffer).unwrap(), None);
    for number in 0..5 {
        socket.send_to(&[number], (THEIRS, PORT)).unwrap();
    }
    let mut seen = Vec::new();
    while let Some(len) = tun.read(&mut buffer).unwrap() {
        seen.extend_from_slice(&buffer[HEADERS..len]);
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn a_longer_queue_takes_a_longer_burst() {
    let (namespace, tun, socket) = device();
    let burst = |wanted: u32| {
        setsockopt(&socket, sockopt::SndBuf, &(4 << 20)).unwrap();
        for _ in 0..wanted {
            socket.send_to(b"burst", (THEIRS, PORT)).unwrap();
        }
        let mut buffer = [0; 100];
        std::iter::from_fn(|| tun.read(&mut buffer).unwrap()).count()
    };
    assert_eq!(burst(1_000), 500, "the kernel's TUN_READQ_SIZE");
    namespace.within(|| link::set_queue_length(NAME, 1_000).unwrap());
    assert_eq!(burst(1_000), 1_000);
}

#[test]
fn a_frame_that_the_kernel_refuses_does_not_stop_the_others() {
    let (_namespace, tun, socket) = device();
    socket.send_to(b"echo", (THEIRS, PORT)).unwrap();
    let good = answer(&read(&tun));
    // Neither IPv4 nor IPv6; no header; an empty train.
    let mut bad = vec![vec![0; 50], Vec::new(), good.clone()];
    bad[0][FRAME_HEADER..].fill(0xff);
    bad[2][1] = 0x7f;
    for frame in &bad {
        tun.write(&[IoSlice::new(frame)]);
    }
    tun.write(&[IoSlice::new(&good)]);
    let mut received = [0; 8];
    assert_eq!(socket.recv(&mut received).unwrap(), 4);
    assert_eq!(&received[..4], b"echo");
}

#[test]
fn a_frame_that_the_kernel_cannot_hand_over_costs_nothing_but_itself() {
    let (_namespace, tun, socket) = device();
    for _ in 0..3 {
        socket.send_to(b"lost", (THEIRS, PORT)).unwrap();
        wait_for_frames(&tun);
        // Too short for the header, which the kernel answers with EINVAL, as it does a train that
        // it has no name for.
        assert_eq!(tun.read(&mut [0; FRAME_HEADER - 1]).unwrap(), None);
        socket.send_to(b"next", (THEIRS, PORT)).unwrap();
        assert_eq!(read(&tun)[HEADERS..], *b"next");
    }
}

#[test]
fn a_device_that_is_there_already_is_not_taken_over() {
    let namespace = Namespace::new("tun");
    namespace.ip(&format!("tuntap add {NAME} mode tun"));
    assert!(namespace.within(|| Tun::create(NAME).is_err()));
}

#[test]
fn a_name_that_no_device_can_have_is_refused() {
    for name in ["", "sixteen-letters-", "a/b", "a\0b"] {
        assert!(Tun::create(name).is_err(), "{name:?}");
    }
}

#[test]
fn the_device_goes_with_its_descriptor() {
    let (namespace, tun, socket) = device();
    drop((tun, socket));
    assert!(!namespace.attempt("ip link show mayfly0").status.success());
}

#[test]
fn a_flow_comes_back_by_the_queue_that_it_was_written_to() {
    let namespace = Namespace::new("tun");
    namespace.run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1");
    let (queues, socket) = namespace.within(|| {
        let queues = Tun::create_queues(NAME, 2).unwrap();
        link::add_address(NAME, OURS.into(), 24).unwrap();
        link::set_up(NAME, None).unwrap();
        (queues, UdpSocket::bind((OURS, PORT)).unwrap())
    });
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    for port in 1_000..1_064_u16 {
        let own = &queues[usize::from(port % 2)];
        own.write(&[IoSlice::new(&datagram_from(port))]);
        let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from, (THEIRS, port).into());
        socket.send_to(b"back", from).unwrap();
        let frame = read(own);
        assert_eq!(frame[HEADERS..], *b"back");
        let other = &queues[usize::from((port + 1) % 2)];
        assert_eq!(other.read(&mut [0; 100]).unwrap(), None);
    }
}

/// A frame with one datagram to the socket, without a checksum (RFC 768).
fn datagram_from(port: u16) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEADER];
    frame.extend([0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(THEIRS.octets());
    frame.extend(OURS.octets());
    let words = frame[FRAME_HEADER..].as_chunks::<2>().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[FRAME_HEADER + 10..][..2].copy_from_slice(&checksum.to_be_bytes());
    for number in [port, PORT, 9, 0] {
        frame.extend(number.to_be_bytes());
    }
    frame.push(7);
    frame
}
