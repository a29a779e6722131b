//! Every way in which the enrolment port says no.

use mayfly_wire::Problem;

/// Why a request was refused. What the client reads of it speaks of the rule that was
/// broken, never of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such path.
    NoSuchRoute,
    /// The path is there; the method is not.
    NoSuchMethod,
    /// The body is over [`mayfly_wire::MAX_BODY`], or took too long.
    BodyTooLarge,
    /// The body is not the JSON that was expected, or a key in it is not 32 bytes.
    BodyMalformed,
    /// The key gives the same shared secret with every key (RFC 7748 section 6.1).
    KeyLowOrder,
    /// The token is not a JWT with our claims.
    TokenMalformed,
    /// The token is signed by another algorithm than EdDSA.
    TokenAlgorithm,
    /// The token's signature is by none of the pinned keys.
    TokenSignature,
    /// The token's end has passed.
    TokenExpired,
    /// The bearer is missing, is not the peer's pre-shared key, or there is no such peer.
    NotThePeer,
    /// The key is enrolled under another token, and the bearer is not its pre-shared key.
    KeyTaken,
    /// The key's session was finally denied not long ago.
    KeyBarred,
    /// No inner address is free.
    PoolFull,
    /// The operator wants the node empty, or it is stopping.
    Draining,
    /// Another machine has this node's identity.
    IdentityClash,
    /// The account service is out of reach, and the operator wants nobody admitted then.
    AccountsAway,
}

impl Refusal {
    /// The refusal as the client reads it.
    pub fn problem(self) -> Problem {
        match self {
            Self::NoSuchRoute => Problem::new(
                404,
                "/problems/no-such-route",
                "There is nothing at this path",
            ),
            Self::NoSuchMethod => Problem::new(
                405,
                "/problems/no-such-method",
                "This path takes POST and DELETE",
            ),
            Self::BodyTooLarge => {
                Problem::new(413, "/problems/body-too-large", "A body is at most 16 KiB")
            }
            Self::BodyMalformed => Problem::new(
                400,
                "/problems/body-malformed",
                "The body is not what was expected",
            )
            .detail(
                "POST takes {token, public_key}, DELETE {public_key}; a key is 32 bytes in base64",
            ),
            Self::KeyLowOrder => Problem::new(
                400,
                "/problems/key-low-order",
                "The public key is of low order",
            ),
            Self::TokenMalformed => Problem::new(
                401,
                "/problems/token-malformed",
                "The token is not one of Mayfly",
            ),
            Self::TokenAlgorithm => Problem::new(
                401,
                "/problems/token-algorithm",
                "The token is not signed by EdDSA",
            ),
            Self::TokenSignature => Problem::new(
                401,
                "/problems/token-signature",
                "The token is not of this node's account service",
            ),
            Self::TokenExpired => {
                Problem::new(401, "/problems/token-expired", "The token has expired")
                    .detail("get a new one")
            }
            Self::NotThePeer => Problem::new(
                401,
                "/problems/not-the-peer",
                "The bearer is not this peer's pre-shared key",
            ),
            Self::KeyTaken => Problem::new(
                409,
                "/problems/key-taken",
                "The key is enrolled under another token",
            )
            .detail("show the peer's pre-shared key as the bearer, or enrol a new key"),
            Self::KeyBarred => Problem::new(
                403,
                "/problems/key-barred",
                "The key was denied: four devices are connected",
            )
            .detail("disconnect a device and enrol a new key, or wait ten minutes"),
            Self::PoolFull => Problem::new(503, "/problems/pool-full", "The node is full")
                .detail("try another node"),
            Self::Draining => Problem::new(503, "/problems/draining", "The node is about to stop")
                .detail("enrol at another node"),
            Self::IdentityClash => Problem::new(
                503,
                "/problems/identity-clash",
                "The node has been replaced",
            ),
            Self::AccountsAway => Problem::new(
                503,
                "/problems/accounts-away",
                "The account service is out of reach",
            ),
        }
    }

    /// Seconds after which it is worth asking again, where time helps.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::PoolFull => Some(300),
            Self::Draining | Self::IdentityClash => Some(60),
            Self::AccountsAway => Some(10),
            _ => None,
        }
    }
}
