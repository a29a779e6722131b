//! Rules as the kernel's register machine wants them (linux/netfilter/nf_tables.h).

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use super::attribute::Attributes;
use super::{Action, Match, Rule};

/// NFT_REG_VERDICT and two general registers of 16 bytes.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// NFTA_DATA_VALUE, NFTA_DATA_VERDICT
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// linux/netfilter.h
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// NFT_META_*
const META_FROM: u32 = 6;
const META_TO: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;

/// NFT_PAYLOAD_*
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR; linux/rtnetlink.h, RTN_LOCAL
const FIB_KIND: u32 = 3;
const FIB_DESTINATION: u32 = 1 << 1;
const OWN: u32 = 2;

/// NFT_CMP_*
const EQUAL: u32 = 0;
const DIFFERENT: u32 = 1;

/// NF_CT_STATE_BIT: established and related.
const ESTABLISHED_OR_RELATED: u32 = 0b10 | 0b100;

/// NFT_REJECT_ICMPX_UNREACH and its code for "administratively prohibited".
const REJECT_ICMPX: u32 = 2;
const ADMIN_PROHIBITED: u8 = 3;

/// NFT_NAT_*, NF_NAT_RANGE_*
const NAT_SOURCE: u32 = 0;
const NAT_DESTINATION: u32 = 1;
const RANGE_NETMAP: u32 = 1 << 6;

/// The expressions of a rule, as a list attribute's content.
pub fn of(rule: &Rule) -> Attributes {
    let mut list = List(Attributes::new());
    for condition in &rule.when {
        list.condition(condition);
    }
    list.action(&rule.then);
    list.0
}

struct List(Attributes);

impl List {
    fn push(&mut self, name: &str, data: Attributes) {
        let element = Attributes::new().text(1, name).nested(2, data);
        self.0 = std::mem::take(&mut self.0).nested(1, element);
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::From(name) => self.interface(META_FROM, name),
            Match::To(name) => self.interface(META_TO, name),
            Match::Source(address, bits) => self.prefix(*address, *bits, 12, 8),
            Match::Destination(address, bits) => self.prefix(*address, *bits, 16, 24),
            Match::ToThisMachine => self.destination_is_own(),
            Match::Tcp => self.meta_is(META_PROTOCOL, &[libc::IPPROTO_TCP as u8]),
            Match::Udp => self.meta_is(META_PROTOCOL, &[libc::IPPROTO_UDP as u8]),
            Match::SourcePort(port) => self.transport_is(0, &port.to_be_bytes()),
            Match::DestinationPort(port) => self.transport_is(2, &port.to_be_bytes()),
            Match::Icmp(kind) => {
                self.meta_is(META_FAMILY, &[NFPROTO_IPV4]);
                self.meta_is(META_PROTOCOL, &[libc::IPPROTO_ICMP as u8]);
                self.transport_is(0, &[*kind]);
            }
            Match::Icmpv6(kind) => {
                self.meta_is(META_FAMILY, &[NFPROTO_IPV6]);
                self.meta_is(META_PROTOCOL, &[libc::IPPROTO_ICMPV6 as u8]);
                self.transport_is(0, &[*kind]);
            }
            Match::Established => self.established(),
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Accept => self.verdict(NF_ACCEPT),
            Action::Drop => self.verdict(NF_DROP),
            Action::Prohibit => {
                let kind = Attributes::new().number(1, REJECT_ICMPX);
                self.push("reject", kind.bytes(2, &[ADMIN_PROHIBITED]));
            }
            Action::NoTrack => self.push("notrack", Attributes::new()),
            Action::Masquerade(ports) => {
                let registers = self.ports(ports.as_ref(), 2);
                self.push("masq", registers);
            }
            Action::SourceNat(address, ports) => {
                self.load(FIRST, &address.octets());
                let nat = nat(NAT_SOURCE).number(3, FIRST);
                // The address has the first register: ports go behind it.
                match ports {
                    None => self.push("nat", nat),
                    Some(ports) => {
                        self.load(SECOND, &ports.start().to_be_bytes());
                        self.load(SECOND + 1, &ports.end().to_be_bytes());
                        self.push("nat", nat.number(5, SECOND).number(6, SECOND + 1));
                    }
                }
            }
            Action::SourcePrefix(net, bits) => self.netmap(NAT_SOURCE, *net, *bits),
            Action::DestinationPrefix(net, bits) => self.netmap(NAT_DESTINATION, *net, *bits),
        }
    }

    /// Names are compared with all the bytes that the kernel has for them.
    fn interface(&mut self, key: u32, name: &str) {
        let mut padded = [0; libc::IFNAMSIZ];
        for (to, from) in padded.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        self.meta_is(key, &padded);
    }

    fn meta_is(&mut self, key: u32, value: &[u8]) {
        self.push("meta", Attributes::new().number(1, FIRST).number(2, key));
        self.compare(EQUAL, value);
    }

    fn transport_is(&mut self, offset: u32, value: &[u8]) {
        self.payload(TRANSPORT_HEADER, offset, value.len() as u32);
        self.compare(EQUAL, value);
    }

    fn prefix(&mut self, address: IpAddr, bits: u8, v4_offset: u32, v6_offset: u32) {
        let (family, offset, octets) = match address {
            IpAddr::V4(address) => (NFPROTO_IPV4, v4_offset, address.octets().to_vec()),
            IpAddr::V6(address) => (NFPROTO_IPV6, v6_offset, address.octets().to_vec()),
        };
        self.meta_is(META_FAMILY, &[family]);
        let mask = mask(octets.len(), bits);
        let net: Vec<u8> = octets.iter().zip(&mask).map(|(o, m)| o & m).collect();
        self.payload(NETWORK_HEADER, offset, octets.len() as u32);
        if usize::from(bits) < octets.len() * 8 {
            self.keep_bits(&mask);
        }
        self.compare(EQUAL, &net);
    }

    fn destination_is_own(&mut self) {
        let asked = Attributes::new().number(1, FIRST).number(2, FIB_KIND);
        self.push("fib", asked.number(3, FIB_DESTINATION));
        self.compare(EQUAL, &OWN.to_ne_bytes());
    }

    fn established(&mut self) {
        // NFT_CT_STATE, in the machine's own order.
        self.push("ct", Attributes::new().number(1, FIRST).number(2, 0));
        self.keep_bits(&ESTABLISHED_OR_RELATED.to_ne_bytes());
        self.compare(DIFFERENT, &0u32.to_ne_bytes());
    }

    fn payload(&mut self, header: u32, offset: u32, length: u32) {
        let place = Attributes::new().number(1, FIRST).number(2, header);
        self.push("payload", place.number(3, offset).number(4, length));
    }

    fn keep_bits(&mut self, mask: &[u8]) {
        let registers = Attributes::new().number(1, FIRST).number(2, FIRST);
        let nothing = vec![0; mask.len()];
        let operation = registers
            .number(3, mask.len() as u32)
            .nested(4, value(mask))
            .nested(5, value(&nothing));
        self.push("bitwise", operation);
    }

    fn compare(&mut self, how: u32, with: &[u8]) {
        let left = Attributes::new().number(1, FIRST).number(2, how);
        self.push("cmp", left.nested(3, value(with)));
    }

    fn load(&mut self, register: u32, with: &[u8]) {
        let into = Attributes::new().number(1, register);
        self.push("immediate", into.nested(2, value(with)));
    }

    fn verdict(&mut self, code: u32) {
        let code = Attributes::new().number(1, code);
        let data = Attributes::new().nested(DATA_VERDICT, code);
        let into = Attributes::new().number(1, VERDICT);
        self.push("immediate", into.nested(2, data));
    }

    /// Loads a range of ports, if there is one; its registers are attributes from `kind` on.
    fn ports(&mut self, ports: Option<&RangeInclusive<u16>>, kind: u16) -> Attributes {
        let Some(ports) = ports else {
            return Attributes::new();
        };
        self.load(FIRST, &ports.start().to_be_bytes());
        self.load(SECOND, &ports.end().to_be_bytes());
        Attributes::new()
            .number(kind, FIRST)
            .number(kind + 1, SECOND)
    }

    fn netmap(&mut self, direction: u32, net: Ipv4Addr, bits: u8) {
        let mask = u32::from_be_bytes(mask(4, bits).try_into().unwrap_or([u8::MAX; 4]));
        let first = u32::from(net) & mask;
        self.load(FIRST, &first.to_be_bytes());
        self.load(SECOND, &(first | !mask).to_be_bytes());
        let range = nat(direction).number(3, FIRST).number(4, SECOND);
        self.push("nat", range.number(7, RANGE_NETMAP));
    }
}

fn nat(direction: u32) -> Attributes {
    Attributes::new()
        .number(1, direction)
        .number(2, u32::from(NFPROTO_IPV4))
}

fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().bytes(DATA_VALUE, bytes)
}

/// `length` bytes of which the first `bits` bits are set.
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
