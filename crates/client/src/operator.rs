//! What an operator does: the key that signs bundles, and the signing.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_wire::bundle::{Bundle, signed_bytes};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::file;

/// Makes a key pair, writes it to a new file, and returns the public key in base64,
/// which the image pins.
pub(crate) fn keys(out: &Path) -> Result<String, Error> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Error::Random)?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| Error::Random)?;
    file::write_new(out, &to_pem(pkcs8.as_ref()))?;
    Ok(public_key(&pair))
}

/// Signs settings, checks the finished file as a node will, and writes it.
pub(crate) fn bundle(key: &Path, out: &Path, settings: &Path) -> Result<String, Error> {
    let pair = read_key(key)?;
    let bundle = sign(&pair, file::read(settings)?.to_string());
    let text = Zeroizing::new(bundle.to_string());
    verify(&pair, &text)?;
    file::write(out, &text)?;
    Ok(format!(
        "{}: signed; nodes whose image pins {} will take it",
        out.display(),
        public_key(&pair)
    ))
}

fn read_key(path: &Path) -> Result<Ed25519KeyPair, Error> {
    let pem = file::read(path)?;
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .ok()
        .and_then(|key| Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der()).ok())
        .ok_or_else(|| Error::Content {
            path: path.to_owned(),
            expected: "an Ed25519 private key, as `mayfly node keys` writes it",
        })
}

fn sign(pair: &Ed25519KeyPair, toml: String) -> Bundle {
    let mut signature = [0; 64];
    signature.copy_from_slice(pair.sign(&signed_bytes(&toml)).as_ref());
    Bundle { signature, toml }
}

fn verify(pair: &Ed25519KeyPair, text: &str) -> Result<(), Error> {
    let bundle = Bundle::parse(text.as_bytes()).map_err(|_| Error::Signature)?;
    UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref())
        .verify(&signed_bytes(&bundle.toml), &bundle.signature)
        .map_err(|_| Error::Signature)
}

fn public_key(pair: &Ed25519KeyPair) -> String {
    STANDARD.encode(pair.public_key().as_ref())
}

/// A private key in PEM (RFC 7468 section 10): short enough for two lines.
fn to_pem(pkcs8: &[u8]) -> Zeroizing<String> {
    const LINE: usize = 64;
    let text = Zeroizing::new(STANDARD.encode(pkcs8));
    let (first, rest) = text.split_at(LINE.min(text.len()));
    Zeroizing::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{first}\n{rest}\n-----END PRIVATE KEY-----\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_bundle_verifies_under_the_printed_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let public = keys(&path("key")).unwrap();
        fs::write(path("node.toml"), "name = \"fra-1\"\n").unwrap();
        bundle(&path("key"), &path("bundle"), &path("node.toml")).unwrap();

        let bundle = Bundle::parse(&fs::read(path("bundle")).unwrap()).unwrap();
        assert_eq!(bundle.toml, "name = \"fra-1\"\n");
        UnparsedPublicKey::new(&ED25519, STANDARD.decode(public).unwrap())
            .verify(&signed_bytes(&bundle.toml), &bundle.signature)
            .unwrap();
    }

    #[test]
    fn a_changed_bundle_does_not_verify() {
        let dir = tempfile::tempdir().unwrap();
        keys(&dir.path().join("key")).unwrap();
        let pair = read_key(&dir.path().join("key")).unwrap();
        let text = sign(&pair, "a = 1\n".to_owned()).to_string();
        assert!(verify(&pair, &text).is_ok());
        assert!(verify(&pair, &text.replace("a = 1", "a = 2")).is_err());
    }

    #[test]
    fn what_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(read_key(&path), Err(Error::Content { .. })));
    }
}
