//! The pools that clients get their addresses from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand_core::RngCore;

use mayfly_wire::token::Claims;

use super::pool::Pool;
use crate::settings;

/// Clients of one class get their addresses from the same pools.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    kind: Kind,
    pub ipv6: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Default,
    Streaming,
    Public,
}

/// Addresses on loan to a client.
pub(super) struct Lease {
    pub class: Class,
    pub ipv4: Ipv4Addr,
    pub ipv6: Option<Ipv6Addr>,
}

/// The pools of the settings. A client with an add-on for which the node has no pool gets its
/// addresses from the default pool.
pub(super) struct Pools {
    default: Dual,
    streaming: Option<Dual>,
    public: Option<Pool>,
}

struct Dual {
    ipv4: Pool,
    ipv6: Option<Pool>,
}

impl Class {
    /// A client without an add-on.
    pub(super) const PLAIN: Self = Self {
        kind: Kind::Default,
        ipv6: false,
    };

    /// Whether the addresses of a client of this class would do for one of the other.
    pub(super) fn covers(self, other: Self) -> bool {
        self.kind == other.kind && (self.ipv6 || !other.ipv6)
    }
}

impl Pools {
    /// Makes the pools, with every address free.
    pub(super) fn new(pools: &settings::Pools, random: &mut impl RngCore) -> Self {
        let default = Dual {
            ipv4: Pool::new(*pools.default.ipv4.get_ref(), random),
            ipv6: pools
                .default
                .ipv6
                .as_ref()
                .map(|prefix| Pool::new(*prefix.get_ref(), random)),
        };
        let streaming = pools.streaming.as_ref().map(|streaming| Dual {
            ipv4: Pool::new(*streaming.ipv4.get_ref(), random),
            ipv6: streaming
                .ipv6
                .as_ref()
                .map(|prefix| Pool::new(*prefix.get_ref(), random)),
        });
        let public = pools.public.as_ref();
        Self {
            default,
            streaming,
            public: public.map(|public| Pool::new(*public.inner.get_ref(), random)),
        }
    }

    /// The class of the client that a token is for.
    pub(super) fn class(&self, claims: &Claims) -> Class {
        let kind = match claims {
            Claims {
                public_ipv4: true, ..
            } if self.public.is_some() => Kind::Public,
            Claims {
                streaming: true, ..
            } if self.streaming.is_some() => Kind::Streaming,
            _ => Kind::Default,
        };
        let has_ipv6 = match (kind, &self.streaming) {
            (Kind::Streaming, Some(streaming)) => streaming.ipv6.is_some(),
            _ => self.default.ipv6.is_some(),
        };
        Class {
            kind,
            ipv6: claims.ipv6 && has_ipv6,
        }
    }

    /// Whether there are addresses for a client of the class.
    pub(super) fn has_room(&self, class: Class) -> bool {
        let (ipv4, ipv6) = match (class.kind, &self.streaming, &self.public) {
            (Kind::Streaming, Some(streaming), _) => (&streaming.ipv4, &streaming.ipv6),
            (Kind::Public, _, Some(public)) => (public, &self.default.ipv6),
            _ => (&self.default.ipv4, &self.default.ipv6),
        };
        let has_ipv6 = ipv6.as_ref().is_some_and(|pool| !pool.is_empty());
        !ipv4.is_empty() && (!class.ipv6 || has_ipv6)
    }

    /// Takes addresses for a client of the class, if there are any left.
    pub(super) fn take(&mut self, class: Class) -> Option<Lease> {
        if !self.has_room(class) {
            return None;
        }
        let (ipv4, ipv6) = self.of(class.kind);
        let IpAddr::V4(ipv4) = ipv4.take()? else {
            return None;
        };
        let ipv6 = match ipv6.filter(|_| class.ipv6).and_then(Pool::take) {
            Some(IpAddr::V6(ipv6)) => Some(ipv6),
            _ => None,
        };
        Some(Lease { class, ipv4, ipv6 })
    }

    /// How many IPv4 addresses there are for clients of the class, free and given out.
    pub(super) fn size(&self, class: Class) -> usize {
        match (class.kind, &self.streaming, &self.public) {
            (Kind::Streaming, Some(streaming), _) => streaming.ipv4.size(),
            (Kind::Public, _, Some(public)) => public.size(),
            _ => self.default.ipv4.size(),
        }
    }

    /// Takes back the IPv6 address of a lease, if it has one.
    pub(super) fn put_back_ipv6(&mut self, lease: &mut Lease, random: &mut impl RngCore) {
        let (_, ipv6) = self.of(lease.class.kind);
        if let (Some(pool), Some(address)) = (ipv6, lease.ipv6.take()) {
            pool.put_back(address.into(), random);
        }
    }

    /// Takes addresses back.
    pub(super) fn put_back(&mut self, mut lease: Lease, random: &mut impl RngCore) {
        let (ipv4, _) = self.of(lease.class.kind);
        ipv4.put_back(lease.ipv4.into(), random);
        self.put_back_ipv6(&mut lease, random);
    }

    fn of(&mut self, kind: Kind) -> (&mut Pool, Option<&mut Pool>) {
        match (kind, &mut self.streaming, &mut self.public) {
            (Kind::Streaming, Some(streaming), _) => (&mut streaming.ipv4, streaming.ipv6.as_mut()),
            (Kind::Public, _, Some(public)) => (public, self.default.ipv6.as_mut()),
            _ => (&mut self.default.ipv4, self.default.ipv6.as_mut()),
        }
    }
}
