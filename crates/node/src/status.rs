//! How the node is, in one word.

/// What `GET /healthz` says, the gravest first; nothing about users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Another machine has this node's identity; this one stays down.
    IdentityClash,
    /// Nobody is admitted any more: the operator wants the node empty, or it is stopping.
    Draining,
    /// By the node's clock, the account service's certificate is not valid.
    Clock,
    /// The counter stream is down.
    CounterAway,
    /// No inner address is free in the default pool.
    PoolFull,
    /// New clients are served.
    Ok,
}

impl Status {
    /// The word, which is the whole of the body.
    pub fn word(self) -> &'static str {
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
