//! The register of nodes: a name, and a secret of which the service stores the hash.
//!
//! A registration has a mark. The certificates that are issued under the registration carry it.
//! After a node is revoked it has no registration, and after it is registered again it has another
//! one. So the service keeps no list of revoked certificates, and still never accepts one again.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::core::random::{self, NoRandomness};
use crate::store::NodeSecret;

/// A new secret of 32 random bytes, in the form of the node's settings, and what is kept of it.
///
/// # Errors
/// [`NoRandomness`].
pub fn new_secret() -> Result<(Zeroizing<String>, NodeSecret), NoRandomness> {
    let bytes = Zeroizing::new(random::bytes::<32>()?);
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
    let salt = random::bytes()?;
    let hash = hash(&salt, &secret);
    Ok((secret, NodeSecret { salt, hash }))
}

/// The mark of a registration, which the certificates issued under it carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Registration(pub [u8; 8]);

impl Registration {
    /// Derives the mark from the salt, which is new for each registration. The mark does not
    /// disclose the salt.
    pub fn of(known: &NodeSecret) -> Self {
        let mut mark = [0; 8];
        let digest = digest(&SHA256, &[b"registration".as_slice(), &known.salt].concat());
        for (to, from) in mark.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(mark)
    }
}

/// The registration of a node, if `shown` is its secret. A name that is not in the register
/// takes as long.
pub(crate) fn registration(known: Option<&NodeSecret>, shown: &str) -> Option<Registration> {
    let unknown = NodeSecret {
        salt: [0; 16],
        hash: [0; 32],
    };
    let NodeSecret {
        salt,
        hash: expected,
    } = known.unwrap_or(&unknown);
    let same = verify_slices_are_equal(&hash(salt, shown), expected).is_ok();
    known.filter(|_| same).map(Registration::of)
}

/// Whether `text` is a valid name of a node: a DNS name in lower case.
pub(crate) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    // With a last label of digits, the name would read as an address (RFC 3696 section 2).
    let is_numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(is_label)
        && !text.rsplit('.').next().is_some_and(is_numeric)
}

/// One round is enough: the secret has as much randomness as a key.
fn hash(salt: &[u8; 16], secret: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(secret.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_of_a_registered_node_is_taken() {
        let (secret, known) = new_secret().unwrap();
        assert!(registration(Some(&known), &secret) == Some(Registration::of(&known)));
        assert!(registration(Some(&known), "another").is_none());
        assert!(registration(None, &secret).is_none());
    }

    #[test]
    fn a_registration_has_a_mark_that_no_other_has() {
        let [(_, one), (_, two)] = [0, 1].map(|_| new_secret().unwrap());
        assert!(Registration::of(&one) == Registration::of(&one));
        assert!(Registration::of(&one) != Registration::of(&two));
        assert_ne!(Registration::of(&one).0, one.salt[..8]);
    }

    #[test]
    fn a_nodes_name_is_a_dns_name_in_lower_case() {
        for name in ["node-1", "fra-1.nodes.example"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Node", "a..b", "-a", "192.0.2.1", "*.example", "a b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
