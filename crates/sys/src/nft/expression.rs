//! Rules as programs of the kernel's register machine (linux/netfilter/nf_tables.h).

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use super::attribute::Attributes;
use super::kernel::*;
use super::{Action, Match, Quota, Rule, Subject, quota};

/// Offsets into a header, in bytes: of IPv4 (RFC 791), IPv6 (RFC 8200), and TCP and UDP, which
/// have their ports at the same places. ICMP has its type first.
const IPV4_SOURCE: u32 = 12;
const IPV4_DESTINATION: u32 = 16;
const IPV6_SOURCE: u32 = 8;
const IPV6_DESTINATION: u32 = 24;
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;
const ICMP_TYPE: u32 = 0;

/// The expressions of a rule, as a list attribute's content.
pub(super) fn of(rule: &Rule) -> Attributes {
    let mut list = List(Attributes::new());
    for condition in &rule.when {
        list.condition(condition);
    }
    list.action(&rule.then);
    list.0
}

/// The list so far.
struct List(Attributes);

impl List {
    fn push(&mut self, name: &str, data: Attributes) {
        let element = Attributes::new()
            .text(NFTA_EXPR_NAME, name)
            .nested(NFTA_EXPR_DATA, data);
        self.0 = std::mem::take(&mut self.0).nested(NFTA_LIST_ELEM, element);
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::From(name) => self.interface(NFT_META_IIFNAME, name),
            Match::To(name) => self.interface(NFT_META_OIFNAME, name),
            Match::Source(address, bits) => {
                let offsets = (IPV4_SOURCE, IPV6_SOURCE);
                self.prefix(*address, *bits, offsets, NFT_CMP_EQ);
            }
            Match::Destination(address, bits) => {
                let offsets = (IPV4_DESTINATION, IPV6_DESTINATION);
                self.prefix(*address, *bits, offsets, NFT_CMP_EQ);
            }
            Match::DestinationBeyond(address, bits) => {
                let offsets = (IPV4_DESTINATION, IPV6_DESTINATION);
                self.prefix(*address, *bits, offsets, NFT_CMP_NEQ);
            }
            Match::ToThisMachine => self.destination_is_own(),
            Match::Tcp => self.meta_is(NFT_META_L4PROTO, &[libc::IPPROTO_TCP as u8]),
            Match::Udp => self.meta_is(NFT_META_L4PROTO, &[libc::IPPROTO_UDP as u8]),
            Match::SourcePort(port) => self.transport_is(SOURCE_PORT, &port.to_be_bytes()),
            Match::DestinationPort(port) => {
                self.transport_is(DESTINATION_PORT, &port.to_be_bytes())
            }
            Match::DestinationPorts(ports) => {
                self.payload(NFT_PAYLOAD_TRANSPORT_HEADER, DESTINATION_PORT, 2, NFT_REG_1);
                self.compare(NFT_CMP_GTE, &ports.start().to_be_bytes());
                self.compare(NFT_CMP_LTE, &ports.end().to_be_bytes());
            }
            Match::Icmp(kind) => {
                self.meta_is(NFT_META_NFPROTO, &[NFPROTO_IPV4]);
                self.meta_is(NFT_META_L4PROTO, &[libc::IPPROTO_ICMP as u8]);
                self.transport_is(ICMP_TYPE, &[*kind]);
            }
            Match::Icmpv6(kind) => {
                self.meta_is(NFT_META_NFPROTO, &[NFPROTO_IPV6]);
                self.meta_is(NFT_META_L4PROTO, &[libc::IPPROTO_ICMPV6 as u8]);
                self.transport_is(ICMP_TYPE, &[*kind]);
            }
            Match::Established => {
                let states = NF_CT_STATE_ESTABLISHED | NF_CT_STATE_RELATED;
                self.connection(NFT_CT_STATE, states, NFT_CMP_NEQ);
            }
            Match::Invalid => self.connection(NFT_CT_STATE, NF_CT_STATE_INVALID, NFT_CMP_NEQ),
            Match::Exceeds(quota) => self.exceeds(quota),
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Accept => self.verdict(NF_ACCEPT),
            Action::Drop => self.verdict(NF_DROP),
            Action::Prohibit => {
                let kind = Attributes::new().number(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
                let code = &[NFT_REJECT_ICMPX_ADMIN_PROHIBITED];
                self.push("reject", kind.bytes(NFTA_REJECT_ICMP_CODE, code));
            }
            Action::NoTrack => self.push("notrack", Attributes::new()),
            Action::Masquerade(ports) => {
                self.masquerade(ports.as_ref());
            }
            Action::SourceNat(address, ports) => {
                self.source_nat(*address, ports.as_ref());
            }
            Action::SourcePrefix(net, bits) => self.netmap(NFT_NAT_SNAT, *net, *bits),
            Action::DestinationPrefix(net, bits) => self.netmap(NFT_NAT_DNAT, *net, *bits),
        }
    }

    /// Compares a name with all the bytes that the kernel has for it.
    fn interface(&mut self, key: u32, name: &str) {
        let mut padded = [0; libc::IFNAMSIZ];
        for (to, from) in padded.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        self.meta_is(key, &padded);
    }

    fn meta_is(&mut self, key: u32, value: &[u8]) {
        let into = Attributes::new().number(NFTA_META_DREG, NFT_REG_1);
        self.push("meta", into.number(NFTA_META_KEY, key));
        self.compare(NFT_CMP_EQ, value);
    }

    fn transport_is(&mut self, offset: u32, value: &[u8]) {
        let length = value.len() as u32;
        self.payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset, length, NFT_REG_1);
        self.compare(NFT_CMP_EQ, value);
    }

    /// Compares the bits of an address, which is at one of the offsets (IPv4, IPv6), with those of
    /// a prefix.
    fn prefix(&mut self, address: IpAddr, bits: u8, offsets: (u32, u32), operator: u32) {
        let (family, offset, octets) = match address {
            IpAddr::V4(address) => (NFPROTO_IPV4, offsets.0, address.octets().to_vec()),
            IpAddr::V6(address) => (NFPROTO_IPV6, offsets.1, address.octets().to_vec()),
        };
        self.meta_is(NFT_META_NFPROTO, &[family]);
        let mask = mask(octets.len(), bits);
        let net: Vec<u8> = octets.iter().zip(&mask).map(|(o, m)| o & m).collect();
        self.network(offset, octets.len() as u32, NFT_REG_1);
        if usize::from(bits) < octets.len() * 8 {
            self.keep_bits(&mask);
        }
        self.compare(operator, &net);
    }

    fn exceeds(&mut self, quota: &Quota) {
        self.connection(NFT_CT_STATUS, IPS_CONFIRMED, NFT_CMP_EQ);
        match quota.subject {
            Subject::SourceV4 => self.key(NFPROTO_IPV4, &[(IPV4_SOURCE, NFT_REG_1)]),
            Subject::SourceV6 => self.key(NFPROTO_IPV6, &[(IPV6_SOURCE, NFT_REG_1)]),
            Subject::DestinationV4 => self.key(NFPROTO_IPV4, &[(IPV4_DESTINATION, NFT_REG_1)]),
            Subject::PairV4 => {
                let both = [(IPV4_SOURCE, NFT_REG_1), (IPV4_DESTINATION, NFT_REG32_01)];
                self.key(NFPROTO_IPV4, &both);
            }
            Subject::PairV6 => {
                let both = [(IPV6_SOURCE, NFT_REG_1), (IPV6_DESTINATION, NFT_REG_2)];
                self.key(NFPROTO_IPV6, &both);
            }
        }
        self.push("dynset", quota::dynset(quota));
    }

    /// Loads addresses of a family, each into its register.
    fn key(&mut self, family: u8, parts: &[(u32, u32)]) {
        self.meta_is(NFT_META_NFPROTO, &[family]);
        let length = if family == NFPROTO_IPV4 { 4 } else { 16 };
        for &(offset, register) in parts {
            self.network(offset, length, register);
        }
    }

    fn network(&mut self, offset: u32, length: u32, register: u32) {
        self.payload(NFT_PAYLOAD_NETWORK_HEADER, offset, length, register);
    }

    fn destination_is_own(&mut self) {
        let lookup = Attributes::new()
            .number(NFTA_FIB_DREG, NFT_REG_1)
            .number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
            .number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
        self.push("fib", lookup);
        self.compare(NFT_CMP_EQ, &RTN_LOCAL.to_ne_bytes());
    }

    /// Compares some bits of what connection tracking says with none.
    fn connection(&mut self, key: u32, bits: u32, operator: u32) {
        let into = Attributes::new().number(NFTA_CT_DREG, NFT_REG_1);
        self.push("ct", into.number(NFTA_CT_KEY, key));
        // The kernel loads them in the machine's own byte order.
        self.keep_bits(&bits.to_ne_bytes());
        self.compare(operator, &0u32.to_ne_bytes());
    }

    fn payload(&mut self, header: u32, offset: u32, length: u32, register: u32) {
        let place = Attributes::new()
            .number(NFTA_PAYLOAD_DREG, register)
            .number(NFTA_PAYLOAD_BASE, header)
            .number(NFTA_PAYLOAD_OFFSET, offset)
            .number(NFTA_PAYLOAD_LEN, length);
        self.push("payload", place);
    }

    fn keep_bits(&mut self, mask: &[u8]) {
        let nothing = vec![0; mask.len()];
        let operation = Attributes::new()
            .number(NFTA_BITWISE_SREG, NFT_REG_1)
            .number(NFTA_BITWISE_DREG, NFT_REG_1)
            .number(NFTA_BITWISE_LEN, mask.len() as u32)
            .nested(NFTA_BITWISE_MASK, value(mask))
            .nested(NFTA_BITWISE_XOR, value(&nothing));
        self.push("bitwise", operation);
    }

    fn compare(&mut self, operator: u32, with: &[u8]) {
        let left = Attributes::new()
            .number(NFTA_CMP_SREG, NFT_REG_1)
            .number(NFTA_CMP_OP, operator);
        self.push("cmp", left.nested(NFTA_CMP_DATA, value(with)));
    }

    fn load(&mut self, register: u32, with: &[u8]) {
        let into = Attributes::new().number(NFTA_IMMEDIATE_DREG, register);
        self.push("immediate", into.nested(NFTA_IMMEDIATE_DATA, value(with)));
    }

    fn verdict(&mut self, code: u32) {
        let code = Attributes::new().number(NFTA_VERDICT_CODE, code);
        let data = Attributes::new().nested(NFTA_DATA_VERDICT, code);
        let into = Attributes::new().number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        self.push("immediate", into.nested(NFTA_IMMEDIATE_DATA, data));
    }

    fn masquerade(&mut self, ports: Option<&RangeInclusive<u16>>) {
        let mut masquerade = Attributes::new();
        if let Some(ports) = ports {
            self.load(NFT_REG_1, &ports.start().to_be_bytes());
            self.load(NFT_REG_2, &ports.end().to_be_bytes());
            // Without the flag, the kernel takes the ports and does not look at them.
            masquerade = masquerade
                .number(NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED)
                .number(NFTA_MASQ_REG_PROTO_MIN, NFT_REG_1)
                .number(NFTA_MASQ_REG_PROTO_MAX, NFT_REG_2);
        }
        self.push("masq", masquerade);
    }

    fn source_nat(&mut self, address: IpAddr, ports: Option<&RangeInclusive<u16>>) {
        let family = match address {
            IpAddr::V4(address) => {
                self.load(NFT_REG_1, &address.octets());
                NFPROTO_IPV4
            }
            IpAddr::V6(address) => {
                self.load(NFT_REG_1, &address.octets());
                NFPROTO_IPV6
            }
        };
        let mut nat = nat(NFT_NAT_SNAT, family).number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
        if let Some(ports) = ports {
            // The address has the first register. The ports go behind it.
            self.load(NFT_REG_2, &ports.start().to_be_bytes());
            self.load(NFT_REG_3, &ports.end().to_be_bytes());
            nat = nat
                .number(NFTA_NAT_REG_PROTO_MIN, NFT_REG_2)
                .number(NFTA_NAT_REG_PROTO_MAX, NFT_REG_3);
        }
        self.push("nat", nat);
    }

    fn netmap(&mut self, direction: u32, net: Ipv4Addr, bits: u8) {
        let mask = u32::from_be_bytes(mask(4, bits).try_into().unwrap_or([u8::MAX; 4]));
        let first = u32::from(net) & mask;
        self.load(NFT_REG_1, &first.to_be_bytes());
        self.load(NFT_REG_2, &(first | !mask).to_be_bytes());
        let range = nat(direction, NFPROTO_IPV4)
            .number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1)
            .number(NFTA_NAT_REG_ADDR_MAX, NFT_REG_2);
        self.push("nat", range.number(NFTA_NAT_FLAGS, NF_NAT_RANGE_NETMAP));
    }
}

fn nat(direction: u32, family: u8) -> Attributes {
    Attributes::new()
        .number(NFTA_NAT_TYPE, direction)
        .number(NFTA_NAT_FAMILY, u32::from(family))
}

fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().bytes(NFTA_DATA_VALUE, bytes)
}

/// A mask of `length` bytes. Its first `bits` bits are set.
fn mask(length: usize, bits: u8) -> Vec<u8> {
    let byte = |index: usize| match usize::from(bits).saturating_sub(index * 8) {
        0 => 0,
        ones @ 1..8 => u8::MAX << (8 - ones),
        _ => u8::MAX,
    };
    (0..length).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_its_bits_in_front() {
        assert_eq!(mask(4, 0), [0, 0, 0, 0]);
        assert_eq!(mask(4, 9), [0xff, 0x80, 0, 0]);
        assert_eq!(mask(4, 32), [0xff; 4]);
        assert_eq!(mask(16, 65)[7..10], [0xff, 0x80, 0]);
    }
}
