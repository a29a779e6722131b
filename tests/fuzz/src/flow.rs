//! The flows within which packets must stay in order.

use crate::shape::checksum;

/// The packets sorted by flow; packets of one flow stay in the given order. Two batches with the
/// same result look the same to anyone who sees only one flow.
pub fn in_order_of_flows(mut packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    packets.iter_mut().for_each(|packet| blank(packet));
    packets.sort_by_key(|packet| flow(packet));
    packets
}

/// Blanks what may differ. The identification of a packet that must not be fragmented means nothing
/// (RFC 6864 section 4.1), and the kernel, too, counts it up in each train. A right
/// header checksum must still be right at the other end; only then is it blanked, too.
fn blank(packet: &mut [u8]) {
    if packet.len() >= 20
        && packet[0] >> 4 == 4
        && packet[6] & 0x40 != 0
        && checksum(&[&packet[..20]]) == 0
    {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
}

/// Version, protocol and ports. All packets are from one peer to one other.
fn flow(packet: &[u8]) -> Vec<u8> {
    let (protocol, ports) = match packet.first() {
        Some(first) if first >> 4 == 6 => (6, 40),
        // The ports are behind the header and its options.
        Some(first) => (9, usize::from(first & 15) * 4),
        None => return Vec::new(),
    };
    let mut flow = packet[..1].to_vec();
    flow.extend(packet.get(protocol));
    flow.extend(packet.get(ports..ports + 4).unwrap_or_default());
    flow
}
