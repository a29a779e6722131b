//! What is where in IP packets: the names of this file in place of numbers.

/// Where header fields begin, in bytes from the start of their header.
pub(crate) mod field {
    // RFC 791 section 3.1.
    /// Type of service: DSCP and ECN (RFC 3168 section 5).
    pub(crate) const IPV4_SERVICE: usize = 1;
    pub(crate) const IPV4_TOTAL_LEN: usize = 2;
    pub(crate) const IPV4_ID: usize = 4;
    /// Flags and fragment offset.
    pub(crate) const IPV4_FLAGS: usize = 6;
    pub(crate) const IPV4_TTL: usize = 8;
    pub(crate) const IPV4_PROTOCOL: usize = 9;
    pub(crate) const IPV4_CHECKSUM: usize = 10;
    /// Source, then destination.
    pub(crate) const IPV4_ADDRESSES: usize = 12;

    // RFC 8200 section 3. Version, traffic class and flow label come first.
    pub(crate) const IPV6_PAYLOAD_LEN: usize = 4;
    pub(crate) const IPV6_NEXT_HEADER: usize = 6;
    /// Source, then destination. The hop limit is between the next header and these.
    pub(crate) const IPV6_ADDRESSES: usize = 8;
    pub(crate) const IPV6_DESTINATION: usize = 24;

    // RFC 9293 section 3.1. The ports come first, as in UDP.
    pub(crate) const TCP_SEQUENCE: usize = 4;
    pub(crate) const TCP_ACKNOWLEDGMENT: usize = 8;
    /// Data offset and reserved bits.
    pub(crate) const TCP_OFFSET: usize = 12;
    pub(crate) const TCP_FLAGS: usize = 13;
    pub(crate) const TCP_WINDOW: usize = 14;
    pub(crate) const TCP_CHECKSUM: usize = 16;
    /// Urgent pointer, then options.
    pub(crate) const TCP_URGENT: usize = 18;

    // RFC 768.
    pub(crate) const UDP_LEN: usize = 4;
    pub(crate) const UDP_CHECKSUM: usize = 6;

    // RFC 4443 section 2.1. Type and code come first.
    pub(crate) const ICMPV6_CHECKSUM: usize = 2;
}

/// Protocol numbers (IANA, "Assigned Internet Protocol Numbers").
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

// Lengths of the headers without options, in bytes: the shortest that there are.
pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
pub(crate) const TCP_HEADER: usize = 20;
pub(crate) const UDP_HEADER: usize = 8;
/// Source and destination port, which TCP and UDP headers begin with.
pub(crate) const PORTS: usize = 4;
