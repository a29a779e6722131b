//! The same image under the operator's signatures, in `signed/`.
//!
//! Only the operator can make these files, but everyone can check what was signed: `sbattach
//! --remove` gives back the `mayfly.efi` that the sources build.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::{process, tree};

use super::{Image, iso, manifest};

const LIMIT: Duration = Duration::from_secs(60);

/// Everything in `signed/` except the manifest, the sums and their signature.
const SIGNED: [&str; 5] = [
    "boot.ipxe",
    "mayfly.efi",
    "mayfly.efi.sig",
    "mayfly.iso",
    "sbom.cdx.json",
];

/// Signs the image in `out` with the keys of `cargo xtask keys`, or with others of the same
/// names.
///
/// # Errors
/// A key is missing, or a tool fails.
pub(crate) fn sign(image: &Image, out: &Path, keys: &Path) -> Result<()> {
    let sign = Signer { keys };
    sign.check_ipxe()?;
    let signed = out.join("signed");
    fs::create_dir_all(&signed).context("cannot make a directory for what is signed")?;
    let file = signed.join("mayfly.efi");
    sign.secure_boot(&image.file, &file)?;
    sign.ipxe(&file, &signed.join("mayfly.efi.sig"))?;
    iso::write(&file, &signed.join("mayfly.iso"), image.time)?;
    fs::copy(
        tree().join("image/boot-signed.ipxe"),
        signed.join("boot.ipxe"),
    )
    .context("cannot copy image/boot-signed.ipxe")?;
    for name in ["manifest.json", "sbom.cdx.json"] {
        fs::copy(out.join(name), signed.join(name))
            .with_context(|| format!("cannot copy {name}"))?;
    }
    manifest::sums(&signed, &SIGNED.map(str::to_owned))?;
    sign.sums(&signed.join("SHA256SUMS"))
}

struct Signer<'a> {
    keys: &'a Path,
}

impl Signer<'_> {
    /// For UEFI Secure Boot.
    fn secure_boot(&self, from: &Path, to: &Path) -> Result<()> {
        let mut sbsign = process::command(["sbsign", "--key"]);
        sbsign
            .arg(self.keys.join("db.key"))
            .arg("--cert")
            .arg(self.keys.join("db.crt"))
            .arg("--output")
            .arg(to)
            .arg(from);
        process::output(&mut sbsign, "sbsign", LIMIT).map(drop)
    }

    /// For iPXE's `imgverify`: a detached signature, in CMS.
    fn ipxe(&self, file: &Path, to: &Path) -> Result<()> {
        let mut openssl = process::command(["openssl"]);
        openssl
            .args(["cms", "-sign", "-binary", "-noattr", "-outform", "DER"])
            .arg("-in")
            .arg(file)
            .arg("-signer")
            .arg(self.keys.join("ipxe.crt"))
            .arg("-inkey")
            .arg(self.keys.join("ipxe.key"))
            .arg("-certfile")
            .arg(self.keys.join("ipxe-ca.crt"))
            .arg("-out")
            .arg(to);
        process::output(&mut openssl, "openssl", LIMIT).map(drop)
    }

    /// Checks the certificate: iPXE's `crypto/cms.c` accepts no other kind, and says so only when a
    /// machine boots.
    fn check_ipxe(&self) -> Result<()> {
        let certificate = self.keys.join("ipxe.crt");
        let mut show = process::command(["openssl", "x509", "-noout"]);
        show.args(["-ext", "keyUsage,extendedKeyUsage", "-in"])
            .arg(&certificate);
        let usage = process::output(&mut show, "openssl", LIMIT)?;
        ensure!(
            usage.contains("Digital Signature") && usage.contains("Code Signing"),
            "{}: iPXE takes a signer whose certificate says keyUsage=digitalSignature and \
             extendedKeyUsage=codeSigning; make one that does",
            certificate.display()
        );
        Ok(())
    }

    /// For people: `minisign -V -p minisign.pub -m SHA256SUMS`.
    fn sums(&self, sums: &Path) -> Result<()> {
        let mut minisign = process::command(["minisign", "-S", "-t", "Mayfly", "-s"]);
        minisign
            .arg(self.keys.join("minisign.key"))
            .arg("-m")
            .arg(sums);
        process::output(&mut minisign, "minisign", LIMIT).map(drop)
    }
}
