//! What an operator does: make the key that signs bundles, and sign them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_wire::bundle::{Bundle, Terms, Unfit, signed_bytes};
use ring::rand::SystemRandom;
use ring::signature::{
    ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::cli::BundleArgs;
use crate::error::Error;
use crate::file;

/// Makes a key pair, writes it to a new file, and returns the public key in base64, for
/// the image.
pub(crate) fn keys(out: &Path) -> Result<String, Error> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Error::Random)?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| Error::Random)?;
    file::write_new(out, &to_pem(pkcs8.as_ref()))?;
    Ok(public_key(&pair))
}

/// Signs settings and writes the bundle, or checks one.
pub(crate) fn bundle(args: &BundleArgs) -> Result<String, Error> {
    match (&args.key, &args.out) {
        (Some(key), Some(out)) => make(key, out, &args.file),
        _ => check(args),
    }
}

/// Signs settings, checks the bundle as a node will, and then writes it.
fn make(key: &Path, out: &Path, settings: &Path) -> Result<String, Error> {
    let pair = read_key(key)?;
    let toml = file::read(settings)?.to_string();
    let terms = terms(&toml, settings)?;
    let text = Zeroizing::new(sign(&pair, toml).to_string());
    verify(pair.public_key().as_ref(), &text).map_err(|_| Error::Signature)?;
    file::write(out, &text)?;
    let machines = match terms.machines.len() {
        0 => "any machine",
        _ => "the machines that it lists",
    };
    Ok(format!(
        "{}: signed, serial {}, for {machines}; nodes whose image holds the key {} will accept it",
        out.display(),
        terms.serial,
        public_key(&pair)
    ))
}

/// Does what init does with a bundle. Only `mayfly-node` judges the settings other than serial
/// and machines.
fn check(args: &BundleArgs) -> Result<String, Error> {
    let refused = |why: &str| Error::Bundle {
        path: args.file.clone(),
        why: why.to_owned(),
    };
    let key = args.public_key.as_deref().unwrap_or_default();
    let key = STANDARD
        .decode(key)
        .ok()
        .filter(|key| key.len() == ED25519_PUBLIC_KEY_LEN)
        .ok_or(Error::PublicKey)?;
    let text = file::read(&args.file)?;
    let bundle = verify(&key, &text).map_err(|why| refused(&why))?;
    let terms = terms(&bundle.toml, &args.file)?;
    match terms.admit(&args.machine, args.least_serial) {
        Ok(()) => Ok(format!(
            "{}: signed, serial {}; a node will accept it",
            args.file.display(),
            terms.serial
        )),
        Err(Unfit::TooOld) => Err(refused(&format!(
            "its serial is {}, and the image accepts none below {}",
            terms.serial, args.least_serial
        ))),
        Err(Unfit::OtherMachine) => Err(refused("it is for other machines")),
    }
}

fn terms(toml: &str, path: &Path) -> Result<Terms, Error> {
    toml::from_str(toml).map_err(|_| Error::Content {
        path: path.to_owned(),
        expected: "a node's settings: TOML with a `serial`, and `machines` if there are any",
    })
}

fn read_key(path: &Path) -> Result<Ed25519KeyPair, Error> {
    let pem = file::read(path)?;
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .ok()
        .and_then(|key| Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der()).ok())
        .ok_or_else(|| Error::Content {
            path: path.to_owned(),
            expected: "an Ed25519 private key as `mayfly node keys` writes it",
        })
}

fn sign(pair: &Ed25519KeyPair, toml: String) -> Bundle {
    let mut signature = [0; 64];
    signature.copy_from_slice(pair.sign(&signed_bytes(&toml)).as_ref());
    Bundle { signature, toml }
}

/// The bundle if `key` has signed it, otherwise the reason to refuse it.
fn verify(key: &[u8], text: &str) -> Result<Bundle, String> {
    let bundle = Bundle::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&signed_bytes(&bundle.toml), &bundle.signature)
        .map_err(|_| "it is not signed by that key".to_owned())?;
    Ok(bundle)
}

fn public_key(pair: &Ed25519KeyPair) -> String {
    STANDARD.encode(pair.public_key().as_ref())
}

/// A private key in PEM (RFC 7468 section 10). It is short enough for two lines.
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

    const TOML: &str = "serial = 7\nmachines = [\"52:54:00:12:34:56\"]\n";

    #[test]
    fn a_bundle_verifies_under_the_printed_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let public = keys(&path("key")).unwrap();
        fs::write(path("node.toml"), TOML).unwrap();
        make(&path("key"), &path("bundle"), &path("node.toml")).unwrap();

        let bundle = Bundle::parse(&fs::read(path("bundle")).unwrap()).unwrap();
        assert_eq!(bundle.toml, TOML);
        UnparsedPublicKey::new(&ED25519, STANDARD.decode(public).unwrap())
            .verify(&signed_bytes(&bundle.toml), &bundle.signature)
            .unwrap();
    }

    #[test]
    fn a_changed_bundle_does_not_verify() {
        let dir = tempfile::tempdir().unwrap();
        keys(&dir.path().join("key")).unwrap();
        let pair = read_key(&dir.path().join("key")).unwrap();
        let key = pair.public_key().as_ref();
        let text = sign(&pair, TOML.to_owned()).to_string();
        assert!(verify(key, &text).is_ok());
        assert!(verify(key, &text.replace("serial = 7", "serial = 8")).is_err());
    }

    #[test]
    fn a_check_says_what_a_node_would() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let public = keys(&path("key")).unwrap();
        fs::write(path("node.toml"), TOML).unwrap();
        make(&path("key"), &path("bundle"), &path("node.toml")).unwrap();
        let said = |key: &str, machine: &str, least_serial| {
            let args = BundleArgs {
                key: None,
                out: None,
                check: true,
                public_key: Some(key.to_owned()),
                machine: vec![machine.parse().unwrap()],
                least_serial,
                file: path("bundle"),
            };
            bundle(&args).map_err(|error| error.to_string())
        };
        let (ours, other) = ("52:54:00:12:34:56", "52:54:00:12:34:57");
        let another_key = STANDARD.encode([9; 32]);
        assert!(said(&public, ours, 7).is_ok());
        assert!(said(&public, ours, 8).unwrap_err().contains("serial is 7"));
        assert!(
            said(&public, other, 0)
                .unwrap_err()
                .contains("other machines")
        );
        assert!(
            said(&another_key, ours, 0)
                .unwrap_err()
                .contains("not signed")
        );
        assert!(said("AAAA", ours, 0).unwrap_err().contains("32 bytes"));
    }

    #[test]
    fn what_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "not a key").unwrap();
        assert!(matches!(read_key(&path), Err(Error::Content { .. })));
    }
}
