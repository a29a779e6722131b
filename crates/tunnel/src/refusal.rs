//! Why an input is dropped.

/// The reason for which a datagram, a packet or a peer was refused. It carries nothing of what was
/// refused. A caller may ignore it; each reason is asserted by name in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not one of WireGuard's four messages by type and length, or longer than any datagram.
    NotWireGuard,
    /// One end of the datagram is an inner address, or both are the node's own outer one: what is
    /// sent there would come back into the tunnel.
    InnerEndpoint,
    /// A handshake response or a cookie reply. The node starts no handshake, so it asked for none.
    NotAsked,
    /// The first MAC does not match: the sender does not know the node's public key.
    Mac1,
    /// The sender was sent a cookie and has to come back with it.
    CookieDemanded,
    /// More handshakes than one source may have, or than the node can take.
    OverLimit,
    /// An initiation that does not decrypt.
    Undecryptable,
    /// An initiation of a key that is not enrolled.
    UnknownPeer,
    /// An initiation that is a recorded one, or not by the holder of its static key.
    Handshake,
    /// The peer was removed while its initiation was being answered.
    TooLate,
    /// The public key is a point of small order (RFC 7748 section 6.1): every secret shared with it
    /// is zero.
    LowOrderKey,
    /// The public key is the node's own.
    OwnKey,
    /// The input belongs to the shard with this number and should be handed to it. The input was
    /// not changed.
    OfShard(u8),
    /// No live session has this receiver index.
    UnknownIndex,
    /// A message counter beyond the last one that a keypair may use.
    CounterExhausted,
    /// A transport packet that is forged, replayed, too old, or of a keypair that has expired.
    NotAuthentic,
    /// The inner packet is not a whole IPv4 or IPv6 packet.
    InnerHeader,
    /// The header of a frame asks for something that cannot be done with its packet.
    FrameHeader,
    /// The inner source is not the peer's own address.
    InnerSource,
    /// The inner destination is in one of the peers' pools.
    InnerDestination,
    /// A router marked the datagram for congestion, and the inner packet cannot carry the mark on
    /// to its receiver.
    Congestion,
    /// IPv6 from a peer without IPv6.
    NoIpv6,
    /// No peer has this inner destination.
    NoSuchAddress,
    /// The peer has no session to send on.
    NoSession,
}
