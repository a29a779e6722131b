//! The TUN device against a real kernel.
//!
//! ```text
//!   UDP socket 10.64.0.1 -- kernel of the namespace -- mayfly0 -- the test, as 10.64.0.2
//! ```

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use mayfly_netns::Namespace;
use mayfly_sys::link;
use mayfly_sys::tun::{Batch, Tun};
use nix::poll::{PollFd, PollFlags, poll};

const NAME: &str = "mayfly0";
const OURS: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 2);
const PORT: u16 = 9;
/// An IPv4 header without options and a UDP header (RFC 791 section 3.1, RFC 768).
const HEADERS: usize = 20 + 8;
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(5);

/// The device with an address and the largest MTU, and a socket that speaks through it.
fn device() -> (Namespace, Tun, UdpSocket) {
    let namespace = Namespace::new("tun");
    // Without IPv6 the kernel has nothing of its own to say.
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

fn wait_for_packets(tun: &Tun) {
    let mut descriptors = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut descriptors, 5_000u16).unwrap(), 1);
}

/// The packet as its receiver would answer it; the checksums stay right.
fn answer(packet: &[u8]) -> Vec<u8> {
    let mut back = packet.to_vec();
    back[12..16].copy_from_slice(&packet[16..20]);
    back[16..20].copy_from_slice(&packet[12..16]);
    back[20..22].copy_from_slice(&packet[22..24]);
    back[22..24].copy_from_slice(&packet[20..22]);
    back
}

#[test]
fn packets_of_any_length_cross_both_ways() {
    let (_namespace, tun, socket) = device();
    let mut batch = Batch::new(2);
    let mut received = vec![0; 65_535];
    for length in [0, 1, 1_392, 9_000, 65_535 - HEADERS] {
        let sent: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        socket.send_to(&sent, (THEIRS, PORT)).unwrap();
        wait_for_packets(&tun);
        assert_eq!(tun.read_batch(&mut batch).unwrap(), 1);
        let packet = batch.iter().next().unwrap();
        assert_eq!(packet[16..20], THEIRS.octets());
        assert!(packet[HEADERS..] == sent, "{length} bytes out");

        tun.write_batch([answer(packet).as_slice()].into_iter());
        let (count, from) = socket.recv_from(&mut received).unwrap();
        assert_eq!(from, (THEIRS, PORT).into());
        assert!(received[..count] == sent, "{length} bytes in");
    }
}

#[test]
fn a_batch_takes_what_is_there_and_what_it_has_room_for() {
    let (_namespace, tun, socket) = device();
    let mut batch = Batch::new(3);
    assert_eq!(tun.read_batch(&mut batch).unwrap(), 0);
    for number in 0..5 {
        socket.send_to(&[number], (THEIRS, PORT)).unwrap();
    }
    let mut read = Vec::new();
    for count in [3, 2, 0] {
        assert_eq!(tun.read_batch(&mut batch).unwrap(), count);
        read.extend(batch.iter().map(|packet| packet[HEADERS]));
    }
    assert_eq!(read, [0, 1, 2, 3, 4]);
}

#[test]
fn a_packet_that_the_kernel_refuses_does_not_stop_the_others() {
    let (_namespace, tun, socket) = device();
    socket.send_to(b"echo", (THEIRS, PORT)).unwrap();
    wait_for_packets(&tun);
    let mut batch = Batch::new(1);
    tun.read_batch(&mut batch).unwrap();
    let good = answer(batch.iter().next().unwrap());
    // Neither of IPv4 nor of IPv6.
    let bad = [0xff; 40];
    tun.write_batch([&bad, &[][..], &good].into_iter());
    let mut received = [0; 8];
    assert_eq!(socket.recv(&mut received).unwrap(), 4);
    assert_eq!(&received[..4], b"echo");
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
