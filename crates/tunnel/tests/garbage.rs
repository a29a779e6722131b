//! Whatever is received, there is no panic, no answer and no growth.

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Frame, Refusal};
use proptest::prelude::*;

/// A node with one live peer, and real datagrams of that peer that the node has not had yet.
fn node() -> (Node, Vec<Vec<u8>>) {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    let packet = ipv4_packet(ipv4(2), INTERNET, &[7; 100]);
    let real = vec![client.initiation(), client.seal(&packet), client.seal(b"")];
    node.events();
    (node, real)
}

/// Any length from 0 to the longest UDP payload; short ones are as frequent as long ones.
fn any_length() -> impl Strategy<Value = usize> {
    prop_oneof![0..200_usize, 0..=65_507_usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn garbage_of_any_length_is_dropped(
        head in proptest::collection::vec(any::<u8>(), 0..64),
        fill: u8,
        len in any_length(),
        kind in prop_oneof![Just(None), (0..=5_u8).prop_map(Some)],
    ) {
        let mut bytes = head;
        bytes.resize(len, fill);
        if let (Some(kind), true) = (kind, len >= 4) {
            bytes[..4].copy_from_slice(&[kind, 0, 0, 0]);
        }
        let (mut node, _) = node();
        prop_assert!(node.take(2, &bytes).is_err());
        prop_assert!(node.out.is_empty());
        prop_assert_eq!(node.events(), []);
    }

    #[test]
    fn a_real_datagram_with_one_bit_changed_is_dropped(which in 0..3_usize, bit: prop::sample::Index) {
        let (mut node, real) = node();
        let mut bytes = real[which].clone();
        // The second MAC, which is all zeros without a cookie, is checked only under load.
        let checked = if which == 0 { bytes.len() - 16 } else { bytes.len() };
        let bit = bit.index(checked * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(node.take(2, &bytes).is_err());
        prop_assert!(node.out.is_empty());
    }

    #[test]
    fn a_real_datagram_cut_or_grown_is_dropped(which in 0..3_usize, len in any_length()) {
        let (mut node, real) = node();
        prop_assume!(len != real[which].len());
        let mut bytes = real[which].clone();
        bytes.resize(len, 0);
        prop_assert!(node.take(2, &bytes).is_err());
        prop_assert!(node.out.is_empty());
    }

    #[test]
    fn anything_authentic_inside_comes_out_as_a_whole_packet_of_the_peers_or_not_at_all(
        mut inside in proptest::collection::vec(any::<u8>(), 1..200),
        version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
    ) {
        inside[0] = version;
        let mut node = Node::new();
        node.enrol(2, false);
        let mut client = node.connect(2);
        if inside.len() >= 20 && version == 0x45 {
            inside[12..16].copy_from_slice(&ipv4(2).octets());
            inside[2] = 0;
        }
        let result = node.take(2, &client.seal(&inside));
        match node.packets().first() {
            Some(packet) => {
                prop_assert_eq!(result, Ok(()));
                prop_assert!(packet.len() >= 20 && inside.starts_with(packet));
                prop_assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
                prop_assert_eq!(&packet[12..16], &ipv4(2).octets());
            }
            None => prop_assert!(result.is_err()),
        }
    }

    #[test]
    fn a_train_cut_at_the_wrong_places_gives_none_but_whole_datagrams(
        lengths in proptest::collection::vec(0..200_usize, 1..8),
        segment in 1..600_usize,
    ) {
        let mut node = Node::new();
        node.enrol(2, false);
        let mut client = node.connect(2);
        let packets: Vec<_> = lengths
            .iter()
            .map(|&len| ipv4_packet(ipv4(2), INTERNET, &vec![7; len]))
            .collect();
        let train: Vec<u8> = packets.iter().flat_map(|packet| client.seal(packet)).collect();
        for piece in train.chunks(segment) {
            let _ = node.take(2, piece);
        }
        let came = node.packets();
        let mut sent = packets.iter();
        prop_assert!(came.iter().all(|packet| sent.any(|other| other == packet)));
    }

    #[test]
    fn a_packet_from_the_tun_device_that_is_none_is_dropped(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let (mut node, _) = node();
        prop_assert!(node.send(&bytes).is_err());
        prop_assert!(node.out.is_empty());
    }
}

#[test]
fn a_flood_of_garbage_leaves_nothing_to_wait_for_or_to_carry() {
    let mut node = Node::new();
    node.enrol(2, false);
    for n in 0..100_000_u32 {
        let mut bytes = vec![0; (n % 300) as usize];
        if let Some(kind) = bytes.first_mut() {
            *kind = (n % 5) as u8;
        }
        let refusal = node.take((n % 250) as u8, &bytes);
        assert!(refusal.is_err_and(|refusal| refusal != Refusal::CookieDemanded));
    }
    assert!(node.out.is_empty());
    assert_eq!(node.tunnel.poll_timeout(), None);
    assert_eq!(node.responder.poll_timeout(), None);
}

#[test]
fn a_frame_that_asks_for_a_checksum_in_its_network_header_is_refused() {
    let (mut node, _) = node();
    let packet = ipv4_packet(INTERNET, ipv4(2), &[7; 100]);
    // struct virtio_net_hdr: VIRTIO_NET_HDR_F_NEEDS_CSUM, csum_start, csum_offset.
    for (start, offset) in [(0_u16, 0_u16), (0, 16), (12, 6), (19, 6)] {
        let mut bytes = vec![1, 0, 0, 0, 0, 0];
        bytes.extend(start.to_ne_bytes());
        bytes.extend(offset.to_ne_bytes());
        bytes.extend(&packet);
        let mut frame = Frame::new();
        frame.room()[..bytes.len()].copy_from_slice(&bytes);
        frame.fill(bytes.len());
        let result = node
            .tunnel
            .handle_frame(&mut frame, &mut node.out, node.now);
        assert_eq!(result, Err(Refusal::FrameHeader), "{start} {offset}");
    }
    assert!(node.out.is_empty());
}
