//! Why a stream is closed, as a WebSocket close code (RFC 6455 section 7.4.2: 4000 to 4999
//! are an application's own).

/// Why the service closes a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// A frame that the protocol does not allow there.
    Protocol,
    /// The node's epoch has been replaced by another machine's or a later boot's (rule 4).
    EpochReplaced,
    /// A later stream of the same node has said hello (rule 4).
    Superseded,
    /// Nothing was heard for 15 s.
    Silent,
    /// It was not synced within 30 s (rule 4).
    NotSynced,
    /// The node shall report its sessions anew: an account that it counts is no more.
    Recount,
}

impl CloseReason {
    const ALL: [Self; 6] = [
        Self::Protocol,
        Self::EpochReplaced,
        Self::Superseded,
        Self::Silent,
        Self::NotSynced,
        Self::Recount,
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
        }
    }

    /// The reason of a close code, if it is one of ours.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}
