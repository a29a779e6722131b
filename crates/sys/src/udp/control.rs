//! Control data of a train of datagrams: the local address that it came to or must leave from
//! (ip(7) IP_PKTINFO, RFC 3542 section 6), the ECN field of its headers (ip(7) IP_TOS, RFC 3542
//! section 6.5), and the length of its datagrams (udp(7) UDP_SEGMENT, UDP_GRO).

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The bits of a service class that are about congestion (RFC 3168 section 5).
const ECN: u8 = 3;

/// Room for the control data of either family, aligned as the kernel requires.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control([u8; Control::LEN]);

impl Control {
    /// CMSG_SPACE of the larger address (40 bytes), a service class (24) and a segment's length
    /// (24).
    pub(super) const LEN: usize = 88;
    pub(super) const EMPTY: Self = Self([0; Self::LEN]);

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Asks that a datagram leaves from `local`, and returns the bytes used. `None` if a socket of
    /// the family cannot send from there.
    pub(super) fn leave_from(&mut self, local: IpAddr, dual: bool) -> Option<usize> {
        match (local, dual) {
            (IpAddr::V4(local), true) => Some(self.write_v6(local.to_ipv6_mapped())),
            (IpAddr::V6(local), true) => Some(self.write_v6(local)),
            (IpAddr::V4(local), false) => Some(self.write_v4(local)),
            (IpAddr::V6(_), false) => None,
        }
    }

    /// Asks for headers with a service class, and returns the bytes used, including the `used`
    /// before.
    pub(super) fn mark(&mut self, used: usize, remote: SocketAddr, service: u8) -> usize {
        let (level, kind) = match remote {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        };
        used + self.write(used, level, kind, libc::c_int::from(service))
    }

    /// Asks that the data is split into datagrams of `segment` bytes, and returns the bytes used,
    /// including the `used` before.
    pub(super) fn split_into(&mut self, used: usize, segment: u16) -> usize {
        used + self.write(used, libc::SOL_UDP, libc::UDP_SEGMENT, segment)
    }

    /// Removes the request of [`split_into`](Self::split_into) from a header to send, and returns
    /// the length of its datagrams.
    pub(super) fn take_segment(header: &mut libc::msghdr) -> Option<usize> {
        // SAFETY: `SendBatch::fill` has set the control data of this header and its length.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !control.is_null() {
            // SAFETY: as in `Told::read`.
            unsafe {
                if ((*control).cmsg_level, (*control).cmsg_type)
                    == (libc::SOL_UDP, libc::UDP_SEGMENT)
                {
                    let segment = libc::CMSG_DATA(control).cast::<u16>().read_unaligned();
                    // This control message is the last one.
                    header.msg_controllen = control.byte_offset_from(header.msg_control) as _;
                    return Some(usize::from(segment)).filter(|&segment| segment > 0);
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
        None
    }

    fn write_v4(&mut self, local: Ipv4Addr) -> usize {
        let info = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(local).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        self.write(0, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
    }

    fn write_v6(&mut self, local: Ipv6Addr) -> usize {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: local.octets(),
            },
            ipi6_ifindex: 0,
        };
        self.write(0, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
    }

    /// Writes one control message behind `used` bytes of others, and returns its length.
    fn write<T>(&mut self, used: usize, level: libc::c_int, kind: libc::c_int, info: T) -> usize {
        let length = mem::size_of::<T>() as libc::c_uint;
        // SAFETY: CMSG_SPACE computes a number.
        let space = unsafe { libc::CMSG_SPACE(length) } as usize;
        assert!(used.is_multiple_of(8) && used + space <= Self::LEN);
        // SAFETY: the buffer is aligned for a cmsghdr, and so is `used`. The message fits behind
        // it, as the line above checks. The data is written unaligned.
        unsafe {
            let header: *mut libc::cmsghdr = self.as_mut_ptr().byte_add(used).cast();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(info);
        }
        space
    }
}

/// What the kernel tells about a train that was received.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The address that it was sent to.
    pub local: Option<IpAddr>,
    /// The ECN field of each header: two bits.
    pub ecn: u8,
    /// Length of each datagram except the last, if there are several.
    pub segment: Option<usize>,
}

impl Told {
    /// Reads the control data of a header after a receive.
    pub(super) fn read(header: &libc::msghdr) -> Self {
        let mut told = Self::default();
        // SAFETY: the kernel has filled the control buffer of this header and set its length.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !control.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return complete headers within the buffer. The
            // data behind each is as long as its type requires. It is read unaligned.
            unsafe {
                let data = libc::CMSG_DATA(control);
                match ((*control).cmsg_level, (*control).cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                        told.local =
                            Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        told.local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical());
                    }
                    (libc::IPPROTO_IP, libc::IP_TOS) => {
                        told.ecn = data.cast::<u8>().read_unaligned() & ECN;
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                        let class = data.cast::<libc::c_int>().read_unaligned();
                        told.ecn = class as u8 & ECN;
                    }
                    (libc::SOL_UDP, libc::UDP_GRO) => {
                        let segment = data.cast::<libc::c_int>().read_unaligned();
                        told.segment = usize::try_from(segment).ok().filter(|&len| len > 0);
                    }
                    _ => {}
                }
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_mark_and_segment_stand_behind_each_other() {
        let mut control = Control::EMPTY;
        let local: IpAddr = "2001:db8::1".parse().unwrap();
        let used = control.leave_from(local, true).unwrap();
        let used = control.mark(used, SocketAddr::new(local, 9), 2);
        let used = control.split_into(used, 1452);
        assert!(used <= Control::LEN);
        // SAFETY: all zero is a value of msghdr.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_control = control.as_mut_ptr();
        header.msg_controllen = used as _;
        // The kernel never gives UDP_SEGMENT. The address before it is found.
        let told = Told::read(&header);
        assert_eq!((told.local, told.ecn), (Some(local), 2));
        assert_eq!(Control::take_segment(&mut header), Some(1452));
        assert_eq!(Told::read(&header), told);
        assert_eq!(Control::take_segment(&mut header), None);
    }
}
