//! Why an input went no further.

/// The named reason for which a datagram or packet was dropped. It carries nothing of what
/// was dropped; a caller may ignore it, a test asserts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not one of WireGuard's four messages by type and length, or longer than any datagram.
    NotWireGuard,
    /// A handshake response or a cookie reply: a server that initiates nothing asked for none.
    NotAsked,
    /// The first MAC does not match: the sender does not know the node's public key.
    Mac1,
    /// The sender was sent a cookie and shall come again with it.
    CookieDemanded,
    /// More handshakes than one source may have, or than the node bears.
    OverLimit,
    /// An initiation that does not decrypt.
    Undecryptable,
    /// An initiation of a key that is not enrolled.
    UnknownPeer,
    /// The initiation is a recorded one, or not by the holder of its key.
    Handshake,
    /// The peer was removed while its initiation was being answered.
    TooLate,
    /// A point of small order (RFC 7748 section 6.1) as a public key: every secret shared with it
    /// is zero.
    LowOrderKey,
    /// A peer with this public key is enrolled.
    KeyTaken,
    /// What another shard owns, by its number: hand it there. Nothing of it was changed.
    OfShard(u8),
    /// No live session has this receiver index.
    UnknownIndex,
    /// A message counter at or beyond the last one that a session may use.
    CounterExhausted,
    /// A transport packet that is forged, replayed, too old, or of a session that has expired.
    NotAuthentic,
    /// The inner packet is not a whole IPv4 or IPv6 packet.
    InnerHeader,
    /// The header of a frame asks for what cannot be done with its packet.
    FrameHeader,
    /// The inner source is not the peer's own address.
    InnerSource,
    /// The inner destination lies in the peers' pools.
    InnerDestination,
    /// A router on the way of the datagram met congestion, and the inner packet is none that would
    /// tell its receiver so.
    Congestion,
    /// IPv6 from a peer without IPv6.
    NoIpv6,
    /// No peer has this inner destination.
    NoSuchAddress,
    /// The peer has no session to send by.
    NoSession,
}
