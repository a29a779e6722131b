//! The node's state, in one word.

/// What `GET /healthz` answers, the gravest first. It says nothing about users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Another machine has this node's identity. This one stays down.
    IdentityClash,
    /// No one is admitted: the operator wants the node empty, or it is stopping.
    Draining,
    /// The account service's certificate is not valid by the node's clock.
    Clock,
    /// The counter stream is down.
    CounterAway,
    /// No inner address is free in the default pool.
    PoolFull,
    /// New clients are served.
    Ok,
}

impl Status {
    /// The word, which is the whole body of the answer.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::IdentityClash => "identity-clash",
            Self::Draining => "draining",
            Self::Clock => "clock",
            Self::CounterAway => "counter-away",
            Self::PoolFull => "pool-full",
            Self::Ok => "ok",
        }
    }
}
