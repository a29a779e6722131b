//! The values that a machine's TPM has after it has started an image. They are known beforehand.
//!
//! UEFI firmware hashes a program before it starts it, in the way that Secure Boot signs it
//! (Authenticode: without the checksum and without signatures), and extends PCR 4 with that
//! ("TCG PC Client Platform Firmware Profile", sections 3.3.4.5 and 10.4). A kernel is such a
//! program, and initramfs and command line are inside it. PCR 9 would record an initrd or a
//! command line from outside: it stays empty.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::lock::hex;
use super::pe::Places;

/// The event that firmware records before the first program that is not a driver.
const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
/// The separator between the events of the firmware and those of the system.
const SEPARATOR: [u8; 4] = [0; 4];

/// PCR number to SHA-256 value, for firmware whose first attempt to boot is `image`.
///
/// # Errors
/// It is not a PE file.
pub(crate) fn values(image: &[u8]) -> Result<BTreeMap<u8, String>> {
    let events = [
        Sha256::digest(CALLING).into(),
        Sha256::digest(SEPARATOR).into(),
        authenticode(image)?,
    ];
    Ok(BTreeMap::from([
        (4, hex(&extend(&events))),
        (9, hex(&extend(&[]))),
    ]))
}

fn extend(events: &[[u8; 32]]) -> [u8; 32] {
    events.iter().fold([0; 32], |value, event| {
        Sha256::digest([value, *event].concat()).into()
    })
}

/// The hash that is signed ("Windows Authenticode Portable Executable Signature Format"), of a
/// 64-bit PE whose sections fill it without a gap, as a kernel's do.
///
/// # Errors
/// It is not such a PE file.
pub(crate) fn authenticode(pe: &[u8]) -> Result<[u8; 32]> {
    let places = Places::of(pe)?;
    let part = |from: usize, to: usize| pe.get(from..to).context("a truncated PE file");
    let mut hasher = Sha256::new();
    hasher.update(part(0, places.checksum)?);
    hasher.update(part(places.checksum + 4, places.certificates)?);
    hasher.update(part(places.certificates + 8, places.end)?);
    // Signed at a multiple of eight, with zeros up to there.
    hasher.update(&[0; 8][..places.end.next_multiple_of(8) - places.end]);
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest PE file that is accepted.
    fn pe(certificates_at: u32) -> Vec<u8> {
        let mut pe = vec![0x90; 512];
        pe[0x3c..0x40].copy_from_slice(&64_u32.to_le_bytes());
        pe[64..68].copy_from_slice(b"PE\0\0");
        pe[88..90].copy_from_slice(&0x20b_u16.to_le_bytes());
        pe[88 + 144..88 + 148].copy_from_slice(&certificates_at.to_le_bytes());
        pe
    }

    #[test]
    fn a_signature_and_its_checksum_do_not_change_the_hash() {
        let mut signed = pe(512);
        signed[88 + 64] ^= 1;
        signed.extend([7; 64]);
        assert_eq!(
            authenticode(&signed).unwrap(),
            authenticode(&pe(0)).unwrap()
        );
    }

    #[test]
    fn every_other_byte_does() {
        let image = pe(0);
        let ignored = |at: usize| (152..156).contains(&at) || (232..240).contains(&at);
        for at in (240..512).chain(100..240).filter(|at| !ignored(*at)) {
            let mut changed = image.clone();
            changed[at] ^= 1;
            assert_ne!(
                values(&changed).unwrap(),
                values(&image).unwrap(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn what_is_no_pe_file_has_no_values() {
        assert!(values(b"#!ipxe").is_err());
        assert!(values(&[0; 512]).is_err());
    }
}
