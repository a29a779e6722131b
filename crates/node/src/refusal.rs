//! The reasons for which the enrolment port refuses a request.

use mayfly_wire::Problem;

/// Why a request was refused. The client is told the rule that was broken, and nothing about a
/// peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such path.
    NoSuchRoute,
    /// The path exists, but not with this method.
    NoSuchMethod,
    /// The body is longer than [`mayfly_wire::MAX_BODY`], or took too long.
    BodyTooLarge,
    /// The body is not the JSON that was expected, or a key in it is not 32 bytes.
    BodyMalformed,
    /// The key gives the same shared secret with every key (RFC 7748 section 6.1).
    KeyLowOrder,
    /// The token is not a JWT with our claims.
    TokenMalformed,
    /// The token is signed with another algorithm than EdDSA.
    TokenAlgorithm,
    /// The token's signature is not by one of the pinned keys.
    TokenSignature,
    /// The token's end has passed.
    TokenExpired,
    /// The bearer is missing, is not the peer's pre-shared key, or there is no such peer.
    NotThePeer,
    /// The key is enrolled under another token, and the bearer is not its pre-shared key.
    KeyTaken,
    /// The key's session was finally denied a short time ago.
    KeyBarred,
    /// The token has enrolled keys too often in this minute.
    TokenTooOften,
    /// No inner address is free: all clients are connected, or were within the last hour.
    PoolFull,
    /// The only free inner addresses still have connections of the clients that had them.
    AddressesRest,
    /// The operator wants the node empty, or it is stopping.
    Draining,
    /// Another machine has this node's identity.
    IdentityClash,
    /// The account service is out of reach, and the operator wants no one admitted then.
    AccountsAway,
}

impl Refusal {
    /// The refusal as a problem document for the client.
    pub(crate) fn problem(self) -> Problem {
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
                "The token is not a Mayfly token",
            ),
            Self::TokenAlgorithm => Problem::new(
                401,
                "/problems/token-algorithm",
                "The token is not signed with EdDSA",
            ),
            Self::TokenSignature => Problem::new(
                401,
                "/problems/token-signature",
                "The token is not from this node's account service",
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
            Self::TokenTooOften => Problem::new(
                429,
                "/problems/token-too-often",
                "The token has enrolled too many keys in a minute",
            ),
            Self::AddressesRest => Problem::new(
                503,
                "/problems/addresses-rest",
                "The node's free addresses are not ready yet",
            )
            .detail("try again in a few seconds"),
            Self::PoolFull => Problem::new(503, "/problems/pool-full", "The node is full")
                .detail("try another node"),
            Self::Draining => Problem::new(503, "/problems/draining", "The node admits no one")
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

    /// Seconds after which a new attempt is worthwhile, if time helps.
    pub(crate) fn retry_after(self) -> Option<u32> {
        match self {
            Self::PoolFull => Some(300),
            Self::Draining | Self::IdentityClash | Self::TokenTooOften => Some(60),
            Self::AccountsAway => Some(10),
            Self::AddressesRest => Some(5),
            _ => None,
        }
    }
}
