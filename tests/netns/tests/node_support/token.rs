//! Tokens that no account has requested.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mayfly_wire::token::Claims;
use mayfly_wire::{TICKET_LEN, Ticket};
use rcgen::KeyPair;

pub(crate) const FAR: u64 = 4_102_444_800; // 2100-01-01

/// Claims whose ticket consists of this byte.
pub(crate) fn claims(ticket: u8, exp: u64) -> Claims {
    Claims {
        ticket: Ticket([ticket; TICKET_LEN]),
        exp,
        ipv6: false,
        streaming: false,
        public_ipv4: false,
        multihop: false,
    }
}

pub(crate) fn sign(key: &KeyPair, claims: &Claims) -> String {
    let key = EncodingKey::from_ed_der(&key.serialize_der());
    encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
}
