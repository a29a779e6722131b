//! Socket addresses in the kernel's form.

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an address of either family, which a system call reads or writes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union RawAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl RawAddress {
    pub(super) const EMPTY: Self = Self {
        // SAFETY: sockaddr_in6 is plain bytes, for which all zero is a value.
        v6: unsafe { mem::zeroed() },
    };

    /// The address and its length in bytes, for an IPv6 socket (`dual`; IPv4 is mapped) or an IPv4
    /// socket. `None` if the socket's family cannot have the address.
    pub(super) fn new(address: SocketAddr, dual: bool) -> Option<(Self, libc::socklen_t)> {
        match (address, dual) {
            (SocketAddr::V4(address), false) => Some(Self::v4(address)),
            (SocketAddr::V4(address), true) => {
                let mapped = address.ip().to_ipv6_mapped();
                Some(Self::v6(SocketAddrV6::new(mapped, address.port(), 0, 0)))
            }
            (SocketAddr::V6(address), true) => Some(Self::v6(address)),
            (SocketAddr::V6(_), false) => None,
        }
    }

    fn v4(address: SocketAddrV4) -> (Self, libc::socklen_t) {
        let mut raw = Self::EMPTY;
        raw.v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as _,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from(*address.ip()).to_be(),
            },
            sin_zero: [0; 8],
        };
        (raw, mem::size_of::<libc::sockaddr_in>() as _)
    }

    fn v6(address: SocketAddrV6) -> (Self, libc::socklen_t) {
        let mut raw = Self::EMPTY;
        raw.v6 = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as _,
            sin6_port: address.port().to_be(),
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr {
                s6_addr: address.ip().octets(),
            },
            sin6_scope_id: address.scope_id(),
        };
        (raw, mem::size_of::<libc::sockaddr_in6>() as _)
    }

    /// The address that the kernel wrote. A mapped IPv4 address becomes an IPv4 address.
    pub(super) fn to_std(self) -> Option<SocketAddr> {
        // SAFETY: every variant begins with the family, and all bytes are initialised.
        let family = libc::c_int::from(unsafe { self.family });
        match family {
            libc::AF_INET => {
                // SAFETY: the family says that this variant was written.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some((ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that this variant was written.
                let v6 = unsafe { self.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(match ip.to_ipv4_mapped() {
                    Some(ip) => (ip, port).into(),
                    None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_went() {
        for text in ["192.0.2.1:51820", "[2001:db8::1]:9", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let (raw, _) = RawAddress::new(address, true).unwrap();
            assert_eq!(raw.to_std(), Some(address));
        }
    }

    #[test]
    fn a_socket_of_ipv4_reaches_no_ipv6() {
        assert!(RawAddress::new("[2001:db8::1]:9".parse().unwrap(), false).is_none());
    }
}
