//! Why a stream is closed, as a WebSocket close code. 4000 to 4999 are for applications (RFC 6455
//! section 7.4.2). "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

/// Why the service closes a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// A frame came that the protocol does not allow there.
    Protocol,
    /// Another machine's epoch, or that of a later boot, has replaced this one (rule 4).
    EpochReplaced,
    /// A later stream of the same node has said hello (rule 4).
    Superseded,
    /// Nothing was received for [`DEAD_AFTER`](crate::constants::DEAD_AFTER).
    Silent,
    /// The stream was not synced in time (rules 4 and 9).
    NotSynced,
    /// The node must report its sessions again: an account that it counts was erased.
    Recount,
    /// The node's first message is not one of this version of the protocol.
    Version,
}

impl CloseReason {
    const ALL: [Self; 7] = [
        Self::Protocol,
        Self::EpochReplaced,
        Self::Superseded,
        Self::Silent,
        Self::NotSynced,
        Self::Recount,
        Self::Version,
    ];

    /// The close code.
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => 4000,
            Self::EpochReplaced => 4001,
            Self::Superseded => 4002,
            Self::Silent => 4003,
            Self::NotSynced => 4004,
            Self::Recount => 4005,
            Self::Version => 4006,
        }
    }

    /// The reason for a close code, if it is one of ours.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}
