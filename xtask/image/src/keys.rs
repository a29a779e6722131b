//! `cargo xtask keys`: a set of keys for testing, as an operator makes them.
//!
//! ```text
//! bundle.key, .pub       signs settings bundles; the image pins .pub
//! PK, KEK, db            Secure Boot: .key and .crt, and .auth for a firmware in setup mode
//! ipxe-ca, ipxe          an iPXE built with TRUST=ipxe-ca.crt starts what ipxe.key has signed
//! minisign.key, .pub     signs SHA256SUMS
//! ```
//!
//! The private keys have no password: everyone who can read the directory has them. For machines
//! that matter, make each key where it is used, on a token that does not reveal it.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::say;
use mayfly_host::{cargo, packages, process};

/// `cargo xtask keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to make; must not exist yet
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
}

/// The owner GUID of the variables PK, KEK and db: any that the operator chooses.
pub const OWNER: &str = "6d617966-6c79-4d59-8f00-6b6579730001";

const LIMIT: Duration = Duration::from_secs(60);
/// Ten years.
const DAYS: &str = "3650";

/// Makes the set.
///
/// # Errors
/// The directory is there, or a tool fails.
pub fn keys(args: &Args) -> Result<()> {
    packages::provide(packages::SIGN)?;
    ensure!(
        !args.out.exists(),
        "{} exists already; name another directory",
        args.out.display()
    );
    cargo::build(
        "build mayfly",
        "2 min on 2 processors",
        "--package mayfly-client",
    )?;
    make(&args.out)?;
    say(&format!("keys: {}", args.out.display()));
    Ok(())
}

/// The set, in a new directory.
///
/// # Errors
/// A tool fails.
pub fn make(out: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(out)
        .with_context(|| format!("cannot make {}", out.display()))?;
    let keys = Keys { out };
    keys.bundle()?;
    for name in ["PK", "KEK", "db"] {
        keys.certificate(name, &format!("Mayfly test {name}"), &[])?;
    }
    // Each is signed by the one before it.
    for (name, signer) in [("PK", "PK"), ("KEK", "PK"), ("db", "KEK")] {
        keys.enrolment(name, signer)?;
    }
    keys.certificate("ipxe-ca", "Mayfly test iPXE authority", &[])?;
    let usage = [
        "-CA",
        "ipxe-ca.crt",
        "-CAkey",
        "ipxe-ca.key",
        // iPXE's `imgverify` demands both.
        "-addext",
        "keyUsage=digitalSignature",
        "-addext",
        "extendedKeyUsage=codeSigning",
        "-addext",
        "basicConstraints=CA:FALSE",
    ];
    keys.certificate("ipxe", "Mayfly test iPXE signer", &usage)?;
    keys.run("minisign", "-G -W -f -p minisign.pub -s minisign.key", &[])
}

struct Keys<'a> {
    out: &'a Path,
}

impl Keys<'_> {
    fn bundle(&self) -> Result<()> {
        let mut command = process::command([]);
        command
            .current_dir(self.out)
            .arg(cargo::program("mayfly"))
            .args(["node", "keys", "--out", "bundle.key"]);
        let public = process::output(&mut command, "mayfly node keys", LIMIT)?;
        fs::write(self.out.join("bundle.pub"), public).context("cannot write bundle.pub")
    }

    fn certificate(&self, name: &str, subject: &str, more: &[&str]) -> Result<()> {
        let (subject, key, certificate) = (
            format!("/CN={subject}/"),
            format!("{name}.key"),
            format!("{name}.crt"),
        );
        let words = [
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
            "-days",
            DAYS,
        ];
        let words = [words.as_slice(), more].concat();
        self.run(
            "openssl",
            "req -x509 -newkey rsa:2048 -noenc -sha256",
            &words,
        )
    }

    /// An update of a Secure Boot variable: a firmware in setup mode accepts it, and one in user mode
    /// accepts it because `signer` has signed it.
    fn enrolment(&self, name: &str, signer: &str) -> Result<()> {
        let [certificate, list, signed] = ["crt", "esl", "auth"].map(|end| format!("{name}.{end}"));
        let (key, vouching) = (format!("{signer}.key"), format!("{signer}.crt"));
        self.run("cert-to-efi-sig-list", "-g", &[OWNER, &certificate, &list])?;
        let words = [OWNER, "-k", &key, "-c", &vouching, name, &list, &signed];
        self.run("sign-efi-sig-list", "-g", &words)
    }

    fn run(&self, program: &str, words: &str, more: &[&str]) -> Result<()> {
        let mut command = process::command([program]);
        command
            .current_dir(self.out)
            .args(words.split(' '))
            .args(more);
        process::output(&mut command, program, LIMIT).map(drop)
    }
}
