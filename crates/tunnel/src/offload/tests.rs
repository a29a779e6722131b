use std::io::IoSlice;

use proptest::collection::vec;
use proptest::prelude::*;

use super::checksum::{Sum, pseudo_header};
use super::*;
use crate::ip::{TCP_HEADER, UDP_HEADER, field, protocol};
use crate::{Ecn, Endpoint, Outbox};

/// The parts that a test makes a packet of.
#[derive(Debug, Clone)]
struct Made {
    v6: bool,
    udp: bool,
    flow: u8,
    id: u16,
    sequence: u32,
    flags: u8,
    traffic_class: u8,
    ttl: u8,
    options: bool,
    payload: Vec<u8>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            v6: false,
            udp: false,
            flow: 1,
            id: 7,
            sequence: u32::MAX - 2000,
            flags: flag::ACK,
            traffic_class: 0,
            ttl: 63,
            options: true,
            payload: vec![0xa5; 1000],
        }
    }
}

impl Made {
    fn packet(&self) -> Vec<u8> {
        let transport = self.transport();
        let len = transport.len() as u16;
        let number = if self.udp {
            protocol::UDP
        } else {
            protocol::TCP
        };
        let mut packet = if self.v6 {
            let [l0, l1] = len.to_be_bytes();
            let class = self.traffic_class;
            let mut ip = vec![
                0x60 | class >> 4,
                class << 4,
                0,
                9,
                l0,
                l1,
                number,
                self.ttl,
            ];
            ip.extend([0xfd; 16]);
            ip.extend([0x20; 16]);
            ip
        } else {
            let mut ip = vec![0x45, self.traffic_class, 0, 0, 0, 0, 0, 0, self.ttl, number];
            ip.extend([0, 0, 10, 64, 0, 2, 192, 0, 2, 1]);
            put(&mut ip, field::IPV4_TOTAL_LEN, IPV4_HEADER as u16 + len).unwrap();
            put(&mut ip, field::IPV4_ID, self.id).unwrap();
            let checksum = Sum::default().bytes(&ip).finish();
            put(&mut ip, field::IPV4_CHECKSUM, checksum).unwrap();
            ip
        };
        let sum = pseudo_header(&packet, number).unwrap().number(len);
        let at = packet.len();
        packet.extend(transport);
        let checksum = match sum.bytes(&packet[at..]).finish() {
            0 if self.udp => 0xffff,
            checksum => checksum,
        };
        let field = if self.udp {
            field::UDP_CHECKSUM
        } else {
            field::TCP_CHECKSUM
        };
        put(&mut packet, at + field, checksum).unwrap();
        packet
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = vec![0x13, self.flow, 0, 80];
        if self.udp {
            bytes.extend(((UDP_HEADER + self.payload.len()) as u16).to_be_bytes());
            bytes.extend([0, 0]);
        } else {
            bytes.extend(self.sequence.to_be_bytes());
            bytes.extend([0, 0, 0, 5]);
            let words = if self.options { 8 } else { 5 };
            bytes.extend([words << 4, self.flags, 1, 0, 0, 0, 0, 0]);
            bytes.extend(vec![1; usize::from(words) * 4 - TCP_HEADER]);
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// The packets that a sender makes of `len` bytes of payload.
    fn train(&self, segment: usize, len: usize) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
        let one = |(index, share): (usize, &[u8])| {
            Self {
                payload: share.to_vec(),
                id: self.id.wrapping_add(index as u16),
                sequence: self.sequence.wrapping_add((index * segment) as u32),
                ..self.clone()
            }
            .packet()
        };
        bytes.chunks(segment).enumerate().map(one).collect()
    }
}

/// The frames that an outbox makes of these packets.
fn join(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut outbox = Outbox::new();
    for packet in packets {
        outbox.packets.room(packet.len()).copy_from_slice(packet);
        outbox.packets.keep((), packet.len());
    }
    let mut frames = Vec::new();
    outbox.write_frames(true, |parts: &[IoSlice<'_>]| {
        frames.push(parts.iter().flat_map(|part| part.to_vec()).collect());
    });
    frames
}

/// The packets that a frame represents; `None` if it is refused.
fn split(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut frame = Frame::new();
    frame.room()[..bytes.len()].copy_from_slice(bytes);
    frame.fill(bytes.len());
    let (header, buffer, len) = frame.split()?;
    let mut packets = Vec::new();
    match header {
        Header::Packet => packets.push(buffer.get(..len)?.to_vec()),
        Header::Unfinished { start, offset } => {
            finish(buffer, len, start, offset)?;
            packets.push(buffer.get(..len)?.to_vec());
        }
        Header::Train {
            kind,
            transport,
            segment,
        } => cut(kind, transport, segment, buffer, len, |packet, len| {
            packets.push(packet[..len].to_vec());
        })?,
    }
    Some(packets)
}

fn split_all(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    frames
        .iter()
        .flat_map(|frame| split(frame).unwrap())
        .collect()
}

#[test]
fn a_senders_train_becomes_one_frame_and_comes_back_as_it_was() {
    for v6 in [false, true] {
        for udp in [false, true] {
            let sender = Made {
                v6,
                udp,
                ..Made::default()
            };
            let packets = sender.train(1360, 40_000);
            let frames = join(&packets);
            assert_eq!(frames.len(), 1, "v6 {v6}, udp {udp}");
            assert_eq!(split_all(&frames), packets);
        }
    }
}

#[test]
fn the_last_packets_push_is_the_trains_and_ends_it() {
    let mut packets = Made::default().train(1000, 3000);
    let pushed = |number: u32| Made {
        id: 7 + number as u16,
        sequence: (u32::MAX - 2000).wrapping_add(number * 1000),
        flags: flag::ACK | flag::PSH,
        payload: packets_payload(number),
        ..Made::default()
    };
    packets[1] = pushed(1).packet();
    let frames = join(&packets);
    assert_eq!(frames.len(), 2, "PSH ends a train");
    assert_eq!(split_all(&frames), packets);
}

fn packets_payload(number: u32) -> Vec<u8> {
    let start = number as usize * 1000;
    (start..start + 1000)
        .map(|at| (at * 7 % 251) as u8)
        .collect()
}

#[test]
fn what_a_train_cannot_stand_for_goes_alone() {
    let second = |change: fn(&mut Made)| {
        let first = Made::default();
        let mut next = Made {
            id: first.id + 1,
            sequence: first.sequence.wrapping_add(1000),
            ..Made::default()
        };
        change(&mut next);
        join(&[first.packet(), next.packet()]).len()
    };
    assert_eq!(second(|_| ()), 1);
    let changes: [fn(&mut Made); 9] = [
        |next| next.traffic_class = 3,
        |next| next.ttl = 62,
        |next| next.id = 9,
        |next| next.sequence = 5,
        |next| next.flags |= flag::FIN,
        |next| next.flags |= flag::CWR,
        |next| next.options = false,
        |next| next.payload.push(0),
        |next| next.payload.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(second(change), 2, "change {number}");
    }
}

#[test]
fn fragments_options_and_extension_headers_go_alone_and_stay_as_they_are() {
    const MORE_FRAGMENTS: usize = 0x2000;
    let finish = |packet: &mut Vec<u8>| {
        put(packet, field::IPV4_CHECKSUM, 0).unwrap();
        let header = usize::from(packet[0] & 0x0f) * 4;
        let checksum = Sum::default().bytes(&packet[..header]).finish();
        put(packet, field::IPV4_CHECKSUM, checksum).unwrap();
    };
    let fragment = |packet: &mut Vec<u8>, flags: usize| {
        put(packet, field::IPV4_FLAGS, flags as u16).unwrap();
        finish(packet);
    };
    let made = Made::default().train(1000, 3000);
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let changes: [Change<'_>; 4] = [
        &|packet| fragment(packet, MORE_FRAGMENTS),
        &|packet| fragment(packet, 185),
        &|packet| {
            packet.splice(IPV4_HEADER..IPV4_HEADER, [1; 4]);
            packet[0] = 0x46;
            let len = packet.len() as u16;
            put(packet, field::IPV4_TOTAL_LEN, len).unwrap();
            finish(packet);
        },
        &|packet| {
            // A hop-by-hop header of padding before the same TCP (RFC 8200 section 4.3).
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend(((packet.len() - IPV4_HEADER + 8) as u16).to_be_bytes());
            ip.extend([0, 63]);
            ip.extend([0xfd; 32]);
            ip.extend([protocol::TCP, 0, 1, 4, 0, 0, 0, 0]);
            packet.splice(..IPV4_HEADER, ip);
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut packets = made.clone();
        packets.iter_mut().for_each(change);
        let frames = join(&packets);
        assert_eq!(frames.len(), packets.len(), "change {number}");
        assert_eq!(split_all(&frames), packets, "change {number}");
    }
}

#[test]
fn jumbo_packets_are_joined_up_to_what_one_ip_packet_holds() {
    for v6 in [false, true] {
        let made = Made {
            v6,
            ..Made::default()
        };
        let packets = made.train(8_900, 20 * 8_900 + 1);
        let frames = join(&packets);
        assert_eq!(frames.len(), 3);
        assert!(
            frames
                .iter()
                .all(|frame| frame.len() <= FRAME_HEADER + 65_535)
        );
        assert_eq!(split_all(&frames), packets);
    }
}

#[test]
fn a_bad_checksum_is_neither_joined_nor_repaired() {
    for at in [10, 36, 100] {
        let mut packets = Made::default().train(1000, 4000);
        packets[2][at] ^= 1;
        let frames = join(&packets);
        assert_eq!(frames.len(), 3, "byte {at}");
        assert_eq!(split_all(&frames), packets);
    }
}

#[test]
fn an_echo_between_two_hosts_is_not_overtaken_by_their_data() {
    let data = Made::default().train(1000, 2000);
    let mut echo = data[0].clone();
    echo[9] = 1;
    let packets = [data[0].clone(), echo, data[1].clone()];
    assert_eq!(split_all(&join(&packets)), packets);
}

#[test]
fn flows_that_alternate_are_joined_apart_and_keep_their_order() {
    let flow = |flow| {
        Made {
            flow,
            ..Made::default()
        }
        .train(1000, 5000)
    };
    let (one, two) = (flow(1), flow(2));
    let packets: Vec<_> = one
        .iter()
        .zip(&two)
        .flat_map(|(a, b)| [a.clone(), b.clone()])
        .collect();
    let frames = join(&packets);
    assert_eq!(frames.len(), 2);
    assert_eq!(split_all(&frames), [one, two].concat());
}

#[test]
fn a_lone_packets_checksum_is_finished() {
    let whole = Made::default().packet();
    let mut packet = whole.clone();
    let len = (packet.len() - IPV4_HEADER) as u16;
    let sum = pseudo_header(&packet, protocol::TCP).unwrap().number(len);
    put(&mut packet, IPV4_HEADER + field::TCP_CHECKSUM, sum.fold()).unwrap();
    let header = Header::Unfinished {
        start: IPV4_HEADER,
        offset: field::TCP_CHECKSUM,
    };
    let frame = [&header.encode(0)[..], &packet].concat();
    assert_eq!(split(&frame).unwrap(), [whole]);
}

#[test]
fn congestion_is_told_by_the_first_packet_and_the_end_by_the_last() {
    let sender = Made {
        flags: flag::ACK | flag::CWR | flag::FIN | flag::PSH,
        payload: vec![1; 3000],
        ..Made::default()
    };
    let header = Header::Train {
        kind: GsoType::Tcp4,
        transport: IPV4_HEADER,
        segment: 1000,
    };
    let frame = [&header.encode(52)[..], &sender.packet()].concat();
    let flags: Vec<u8> = split(&frame)
        .unwrap()
        .iter()
        .map(|packet| packet[IPV4_HEADER + field::TCP_FLAGS])
        .collect();
    let end = flag::ACK | flag::FIN | flag::PSH;
    assert_eq!(flags, [flag::ACK | flag::CWR, flag::ACK, end]);
}

#[test]
fn datagrams_of_one_length_to_one_path_leave_as_one_train() {
    let mut outbox = Outbox::new();
    let endpoint = |port| Endpoint {
        remote: ([192, 0, 2, 9], port).into(),
        local: None,
    };
    for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (2, 80)] {
        outbox.datagrams.room(len).fill(port as u8);
        outbox.datagrams.keep((endpoint(port), Ecn::NotEct), len);
    }
    let trains: Vec<_> = outbox
        .trains()
        .map(|train| {
            (
                train.endpoint.remote.port(),
                train.segment,
                train.bytes.len(),
            )
        })
        .collect();
    assert_eq!(
        trains,
        [(1, 100, 260), (1, 60, 60), (2, 60, 60), (2, 80, 80)]
    );
    let bytes: usize = trains.iter().map(|train| train.2).sum();
    assert_eq!(bytes, outbox.datagram_bytes());
}

proptest! {
    #[test]
    fn whatever_a_frame_says_nothing_panics_and_what_comes_out_is_no_longer(
        header in any::<[u8; FRAME_HEADER]>(),
        known in 0_usize..4,
        mut packet in vec(any::<u8>(), 0..3000),
        start in 0_u16..100,
    ) {
        let kinds = [0x45, 0x60, 0x46, 0x00];
        if let Some(first) = packet.first_mut() {
            *first = kinds[known];
        }
        let mut frame = header.to_vec();
        frame[0] &= 1;
        frame[1] = [0, 1, 4, 5][known];
        frame[6..8].copy_from_slice(&start.to_ne_bytes());
        frame.extend(&packet);
        for packet in split(&frame).unwrap_or_default() {
            prop_assert!(packet.len() <= frame.len());
        }
    }

    #[test]
    fn cutting_what_was_joined_gives_what_was_joined_in_the_order_of_each_flow(
        made in vec((any::<bool>(), any::<bool>(), 0_u8..3, 1_usize..6, 1_usize..1400, any::<u8>()), 1..8),
        shuffle in vec(any::<prop::sample::Index>(), 8),
    ) {
        let mut queues: Vec<Vec<Vec<u8>>> = made
            .into_iter()
            .map(|(v6, udp, flow, count, segment, class)| {
                Made { v6, udp, flow, traffic_class: class, ..Made::default() }
                    .train(segment, segment * count - segment / 2)
            })
            .collect();
        let mut packets = Vec::new();
        for pick in shuffle.iter().cycle() {
            queues.retain(|queue| !queue.is_empty());
            if queues.is_empty() {
                break;
            }
            let queue = pick.index(queues.len());
            packets.push(queues[queue].remove(0));
        }
        let joined = split_all(&join(&packets));
        let of_flow = |packets: &[Vec<u8>], flow: &[u8]| -> Vec<Vec<u8>> {
            packets.iter().filter(|packet| key(packet) == flow).cloned().collect()
        };
        prop_assert_eq!(joined.len(), packets.len());
        for packet in &packets {
            let flow = key(packet);
            prop_assert_eq!(of_flow(&joined, &flow), of_flow(&packets, &flow));
        }
    }

    #[test]
    fn garbage_between_packets_is_handed_on_as_it_is(
        garbage in vec(vec(any::<u8>(), 1..200), 1..20),
    ) {
        let frames = join(&garbage);
        prop_assert_eq!(split_all(&frames), garbage);
    }
}

/// Version, protocol and ports.
fn key(packet: &[u8]) -> Vec<u8> {
    let (protocol, ports) = if packet[0] >> 4 == 4 {
        (9, IPV4_HEADER)
    } else {
        (6, IPV6_HEADER)
    };
    [
        &packet[..1],
        &packet[protocol..=protocol],
        &packet[ports..ports + 4],
    ]
    .concat()
}
