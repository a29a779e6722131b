//! Control data of a datagram: the local address it came to, or shall leave from
//! (ip(7) IP_PKTINFO, RFC 3542 section 6).

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for the packet information of either family, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Control([u8; Control::LEN]);

impl Control {
    /// Above CMSG_SPACE of the larger of the two structures, 40 bytes.
    pub const LEN: usize = 64;
    pub const EMPTY: Self = Self([0; Self::LEN]);

    pub fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Asks that a datagram leaves from `local`; returns the bytes used. None if a socket of
    /// the family cannot send from there.
    pub fn leave_from(&mut self, local: IpAddr, dual: bool) -> Option<usize> {
        match (local, dual) {
            (IpAddr::V4(local), true) => Some(self.write_v6(local.to_ipv6_mapped())),
            (IpAddr::V6(local), true) => Some(self.write_v6(local)),
            (IpAddr::V4(local), false) => Some(self.write_v4(local)),
            (IpAddr::V6(_), false) => None,
        }
    }

    fn write_v4(&mut self, local: Ipv4Addr) -> usize {
        let info = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(local).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        self.write(libc::IPPROTO_IP, libc::IP_PKTINFO, info)
    }

    fn write_v6(&mut self, local: Ipv6Addr) -> usize {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: local.octets(),
            },
            ipi6_ifindex: 0,
        };
        self.write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
    }

    fn write<T>(&mut self, level: libc::c_int, kind: libc::c_int, info: T) -> usize {
        let length = mem::size_of::<T>() as libc::c_uint;
        let header: *mut libc::cmsghdr = self.as_mut_ptr().cast();
        // SAFETY: the buffer is aligned for a cmsghdr and holds CMSG_SPACE of both types that
        // this is called with; the data is written unaligned.
        unsafe {
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(info);
            libc::CMSG_SPACE(length) as usize
        }
    }

    /// The address that a datagram came to.
    pub fn came_to(header: &libc::msghdr) -> Option<IpAddr> {
        // SAFETY: the kernel has filled the control buffer of this header, and set its length.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !control.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return whole headers within the buffer;
            // the data behind each is as long as its type says; it is read unaligned.
            let (found, next) = unsafe {
                let data = libc::CMSG_DATA(control);
                let found = match ((*control).cmsg_level, (*control).cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info: libc::in_pktinfo =
                            data.cast::<libc::in_pktinfo>().read_unaligned();
                        Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into())
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical())
                    }
                    _ => None,
                };
                (found, libc::CMSG_NXTHDR(header, control))
            };
            if found.is_some() {
                return found;
            }
            control = next;
        }
        None
    }
}
