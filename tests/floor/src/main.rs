//! The lowest unit costs that a server on this machine can have, as one line of JSON.
//!
//! Each is the CPU time for a full packet in nanoseconds, the median of many rounds: for sealing
//! and opening it, for reading it from and writing it to a TUN device, and for sending and receiving
//! it over UDP, always in full trains. A server pays for a packet one of each: up open,
//! `udp_receive` and `tun_write`, down `tun_read`, seal and `udp_send`. Here is no table, no header,
//! no check and no peer.
//!
//! `cargo xtask bench` runs it in the server's namespace, so that a write takes the same way as
//! those of servers. It makes the device `floor` and removes it.
//!
//! ```text
//! floor UPLINK_ADDRESS   an address beyond the uplink that does not answer
//! ```

use std::hint::black_box;
use std::io::{self, IoSlice, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{Outgoing, RecvBatch, SendBatch, Udp};
use nix::time::{ClockId, clock_gettime};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const DEVICE: &str = "floor";
const OWN: &str = "10.64.0.1/24";
const PEER: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 2);
/// The discard service (RFC 863).
const PORT: u16 = 9;

/// Inner packet and UDP payload in it, in bytes.
const PACKET: usize = 1_420;
const PAYLOAD: usize = PACKET - IP_UDP;
const IP_UDP: usize = 28;
/// An inner packet sealed: padded to 16, header of 16 and tag of 16 (WireGuard paper, 5.4.6).
const DATAGRAM: usize = 1_424 + 32;
/// Packets in a train of at most 65,507 bytes.
const TRAIN: usize = 44;
/// Trains in one round, fewer than any queue holds.
const TRAINS: usize = 16;
const ROUNDS: usize = 200;

/// linux/virtio_net.h: the checksum is not yet done; a train of UDP.
const NEEDS_CHECKSUM: u8 = 1;
const UDP_TRAIN: u8 = 5;

type Cost = io::Result<(Duration, usize)>;

fn main() -> io::Result<()> {
    let word = std::env::args().nth(1).unwrap_or_default();
    let uplink: IpAddr = word.parse().map_err(io::Error::other)?;
    let uplink = SocketAddr::new(uplink, PORT);
    let tun = Tun::create(DEVICE)?;
    ip(&["address", "add", OWN, "dev", DEVICE])?;
    ip(&["link", "set", DEVICE, "mtu", &PACKET.to_string(), "up"])?;
    let (key, udp) = (key()?, Udp::bind(0)?);

    let costs = [
        ("seal", median(|| seal(&key))?),
        ("open", median(|| open(&key))?),
        ("tun_read", median(|| tun_read(&tun, &udp))?),
        ("tun_write", median(|| tun_write(&tun, uplink))?),
        ("udp_send", median(|| send(&udp, uplink, DATAGRAM, TRAINS))?),
        ("udp_receive", median(|| udp_receive(&udp))?),
    ];
    let costs = costs.map(|(name, nanoseconds)| format!("\"{name}\":{nanoseconds:.1}"));
    writeln!(io::stdout(), "{{{}}}", costs.join(","))
}

/// Nanoseconds a packet.
fn median(mut round: impl FnMut() -> Cost) -> io::Result<f64> {
    let mut costs = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (time, packets) = round()?;
        if packets > 0 {
            costs.push(time.as_secs_f64() * 1e9 / packets as f64);
        }
    }
    costs.sort_by(f64::total_cmp);
    let middle = costs.get(costs.len() / 2).copied();
    middle.ok_or_else(|| io::Error::other("no packet came through"))
}

/// CPU time of this thread for some work.
fn timed<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<(Duration, T)> {
    let clock = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let before = clock()?;
    let result = work()?;
    Ok((clock()?.saturating_sub(before), result))
}

fn seal(key: &LessSafeKey) -> Cost {
    let mut packets = vec![[7_u8; PACKET]; TRAIN];
    let (time, ()) = timed(|| {
        for (number, packet) in packets.iter_mut().enumerate() {
            let sealed = key.seal_in_place_separate_tag(nonce(number), Aad::empty(), packet);
            let _tag = black_box(sealed.map_err(|_| io::Error::other("the cipher fails"))?);
        }
        Ok(())
    })?;
    Ok((time, packets.len()))
}

fn open(key: &LessSafeKey) -> Cost {
    let mut packets = vec![vec![7_u8; PACKET]; TRAIN];
    let failed = |_| io::Error::other("the cipher fails");
    for (number, packet) in packets.iter_mut().enumerate() {
        key.seal_in_place_append_tag(nonce(number), Aad::empty(), packet)
            .map_err(failed)?;
    }
    let (time, ()) = timed(|| {
        for (number, packet) in packets.iter_mut().enumerate() {
            let opened = key.open_in_place(nonce(number), Aad::empty(), packet);
            black_box(opened.map_err(failed)?);
        }
        Ok(())
    })?;
    Ok((time, packets.len()))
}

/// The kernel's own trains, on their way to the peer.
fn tun_read(tun: &Tun, udp: &Udp) -> Cost {
    let to = SocketAddr::new(PEER.into(), PORT);
    let mut frame = vec![0; 1 << 17];
    while tun.read(&mut frame)?.is_some() {}
    send(udp, to, PAYLOAD, TRAINS)?;
    let (time, bytes) = timed(|| {
        let mut bytes = 0;
        while let Some(read) = tun.read(&mut frame)? {
            bytes += read;
        }
        Ok(bytes)
    })?;
    Ok((time, bytes / PAYLOAD))
}

/// Trains of the peer's, which go on over the uplink.
fn tun_write(tun: &Tun, to: SocketAddr) -> Cost {
    let IpAddr::V4(to) = to.ip() else {
        return Err(io::Error::other("the address must be IPv4"));
    };
    let frame = udp_train(to);
    let (time, ()) = timed(|| {
        for _ in 0..TRAINS {
            tun.write(&[IoSlice::new(&frame)]);
        }
        Ok(())
    })?;
    Ok((time, TRAINS * TRAIN))
}

/// `trains` trains of datagrams with `payload` bytes.
fn send(udp: &Udp, to: SocketAddr, payload: usize, trains: usize) -> Cost {
    let train = vec![7; payload * TRAIN];
    let mut batch = SendBatch::default();
    let outgoing = Outgoing {
        remote: to,
        local: None,
        ecn: 0,
        segment: payload,
        bytes: &train,
    };
    let (time, ()) = timed(|| {
        udp.send_batch(&mut batch, std::iter::repeat_n(outgoing, trains));
        Ok(())
    })?;
    Ok((time, trains * TRAIN))
}

fn udp_receive(udp: &Udp) -> Cost {
    let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), udp.port()?);
    send(udp, own, DATAGRAM, TRAINS)?;
    let mut batch = RecvBatch::new(TRAINS);
    // The first receive touches the buffers for the first time.
    udp.recv_batch(&mut batch)?;
    send(udp, own, DATAGRAM, TRAINS)?;
    let (time, _) = timed(|| udp.recv_batch(&mut batch))?;
    let bytes: usize = batch.iter_mut().map(|train| train.bytes.len()).sum();
    Ok((time, bytes / DATAGRAM))
}

/// Header of the frame, of the packet and of the datagram, and what they carry; the device
/// takes unfinished checksums.
fn udp_train(to: Ipv4Addr) -> Vec<u8> {
    let (length, segment) = (IP_UDP + TRAIN * PAYLOAD, PAYLOAD as u16);
    let mut frame = vec![NEEDS_CHECKSUM, UDP_TRAIN];
    for field in [IP_UDP as u16, segment, 20, 6] {
        frame.extend(field.to_ne_bytes());
    }
    let mut ip = [0_u8; 20];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    (ip[8], ip[9]) = (64, 17);
    ip[12..16].copy_from_slice(&PEER.octets());
    ip[16..].copy_from_slice(&to.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(ip);
    for field in [PORT, PORT, (length - 20) as u16, 0] {
        frame.extend(field.to_be_bytes());
    }
    frame.resize(10 + length, 7);
    frame
}

/// RFC 1071.
fn checksum(header: &[u8; 20]) -> u16 {
    let words = header
        .chunks_exact(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn key() -> io::Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]);
    key.map(LessSafeKey::new)
        .map_err(|_| io::Error::other("no key"))
}

fn nonce(number: usize) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(number as u64).to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn ip(words: &[&str]) -> io::Result<()> {
    let status = Command::new("ip").args(words).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {} failed", words.join(" "))))
}
