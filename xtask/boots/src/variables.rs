//! UEFI's variables in a file, as OVMF keeps them in flash. They are written once, to enrol keys,
//! and read to see whether a boot or a panic left something.
//!
//! The file has a volume's header, a store's header, and one variable after the other
//! ("VariableFormat.h" of EDK II). Here it is edited directly; the owner of a real machine enrols
//! keys in its setup.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Where OVMF's first variable is.
const FIRST: usize = 0x64;
const HEADER: usize = 60;
const START: [u8; 2] = [0xaa, 0x55];
/// Complete, and neither deleted nor replaced.
const ADDED: u8 = 0x3f;
/// Non-volatile, at boot and run time, authenticated by time.
const ATTRIBUTES: u32 = 0x27;

/// 8be4df61-93ca-11d2-aa0d-00e098032b8c
const GLOBAL: [u8; 16] = *b"\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c";
/// d719b2cb-3d3a-4596-a3bc-dad00e67656f
const SECURITY: [u8; 16] = *b"\xcb\xb2\x19\xd7\x3a\x3d\x96\x45\xa3\xbc\xda\xd0\x0e\x67\x65\x6f";

/// Writes PK, KEK and db of the set in `keys` to a blank store: a firmware that starts with it
/// starts nothing that db.key has not signed.
///
/// # Errors
/// A file is missing, or the store is not blank.
pub(crate) fn enrol(store: &Path, keys: &Path) -> Result<()> {
    let mut flash = fs::read(store).context("cannot read the variables")?;
    let mut at = FIRST;
    for (name, vendor) in [("db", SECURITY), ("KEK", GLOBAL), ("PK", GLOBAL)] {
        let list = fs::read(keys.join(format!("{name}.esl")))
            .with_context(|| format!("no {name}.esl among the keys"))?;
        let variable = variable(name, vendor, &list)?;
        let place = flash
            .get_mut(at..at + variable.len())
            .context("the variables have no room")?;
        ensure!(
            place.iter().all(|byte| *byte == 0xff),
            "there are variables already"
        );
        place.copy_from_slice(&variable);
        at = (at + variable.len()).next_multiple_of(4);
    }
    fs::write(store, flash).context("cannot write the variables")
}

fn variable(name: &str, vendor: [u8; 16], data: &[u8]) -> Result<Vec<u8>> {
    let name: Vec<u8> = name
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    // 2026-11-01. Any time will do.
    let time = *b"\xea\x07\x0b\x01\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut bytes = [START.as_slice(), &[ADDED, 0]].concat();
    bytes.extend(ATTRIBUTES.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(time);
    bytes.extend([0; 4]);
    bytes.extend(u32::try_from(name.len())?.to_le_bytes());
    bytes.extend(u32::try_from(data.len())?.to_le_bytes());
    bytes.extend(vendor);
    bytes.extend(name);
    bytes.extend(data);
    Ok(bytes)
}

/// Vendor and name of each variable, with its value.
pub(crate) type Variables = BTreeMap<([u8; 16], String), Vec<u8>>;

/// Reads them all.
///
/// # Errors
/// The store is cut short.
pub(crate) fn read(store: &Path) -> Result<Variables> {
    let flash = fs::read(store).context("cannot read the variables")?;
    let mut found = Variables::new();
    let mut at = FIRST;
    while flash.get(at..at + 2) == Some(&START) {
        let header = flash.get(at..at + HEADER).context("a truncated variable")?;
        let size = |from: usize| {
            let bytes = header.get(from..from + 4)?;
            usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
        };
        let (name_size, data_size) = (size(36).unwrap_or(0), size(40).unwrap_or(0));
        let name_at = at + HEADER;
        let data_at = name_at + name_size;
        let name = flash
            .get(name_at..data_at)
            .context("a truncated variable")?;
        let data = flash
            .get(data_at..data_at + data_size)
            .context("a truncated variable")?;
        if header.get(2) == Some(&ADDED) {
            let vendor = header.get(44..).and_then(|vendor| vendor.try_into().ok());
            found.insert((vendor.unwrap_or_default(), text(name)), data.to_vec());
        }
        at = (data_at + data_size).next_multiple_of(4);
    }
    Ok(found)
}

/// The names of variables that differ between `before` and `after`.
pub(crate) fn changes(before: &Variables, after: &Variables) -> Vec<String> {
    let mut names: Vec<_> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(key) != after.get(key))
        .map(|(_, name)| name.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn text(name: &[u8]) -> String {
    let units = name
        .chunks_exact(2)
        .map(|unit| u16::from(unit[0]) | u16::from(unit[1]) << 8);
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_enrolled_is_read_again_and_what_changed_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("vars");
        fs::write(&store, vec![0xff; 4096]).unwrap();
        for name in ["db", "KEK", "PK"] {
            fs::write(directory.path().join(format!("{name}.esl")), name).unwrap();
        }
        enrol(&store, directory.path()).unwrap();
        let enrolled = read(&store).unwrap();
        assert_eq!(enrolled[&(GLOBAL, "PK".to_owned())], b"PK");
        assert_eq!(enrolled[&(SECURITY, "db".to_owned())], b"db");
        assert_eq!(changes(&enrolled, &enrolled), Vec::<String>::new());

        let mut other = enrolled.clone();
        other.insert((GLOBAL, "dump-type0-1".to_owned()), vec![1]);
        other.insert((GLOBAL, "PK".to_owned()), vec![]);
        assert_eq!(changes(&enrolled, &other), ["PK", "dump-type0-1"]);
        assert!(enrol(&store, directory.path()).is_err(), "enrolled twice");
    }
}
