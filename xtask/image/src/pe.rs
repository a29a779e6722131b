//! The kernel as a 64-bit PE file ("Microsoft PE Format"), which is how UEFI sees it.

use anyhow::{Context as _, Result, ensure};

/// Where the offset of the PE header is.
const PE_AT: usize = 0x3c;
const PE32_PLUS: usize = 0x20b;

/// Offsets in a PE file, in bytes.
pub(crate) struct Places {
    /// Of the four bytes of its checksum.
    pub checksum: usize,
    /// Of the eight bytes that give the offset and the length of the signatures.
    pub certificates: usize,
    /// Of the first signature, or where it would be.
    pub end: usize,
}

impl Places {
    /// Looks them up.
    ///
    /// # Errors
    /// It is not a 64-bit PE file.
    pub(crate) fn of(pe: &[u8]) -> Result<Self> {
        let number = |at: usize, size: usize| {
            let bytes = pe.get(at..at + size).context("a truncated PE file")?;
            let number = bytes.iter().rev();
            Ok::<_, anyhow::Error>(number.fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        };
        let header = number(PE_AT, 4)?;
        ensure!(pe.get(header..header + 4) == Some(b"PE\0\0"), "no PE file");
        // Behind the signature and the COFF header, the optional header.
        let optional = header + 24;
        ensure!(number(optional, 2)? == PE32_PLUS, "no 64-bit PE file");
        let certificates = optional + 144;
        let end = match number(certificates, 4)? {
            0 => pe.len(),
            at => at,
        };
        Ok(Self {
            checksum: optional + 64,
            certificates,
            end,
        })
    }
}

/// Sets the checksum, which the kernel's build leaves at zero. Signing tools set it, and tools that
/// remove a signature leave it set: so removing the signature gives back the same file.
///
/// # Errors
/// It is not a 64-bit PE file.
pub(crate) fn set_checksum(pe: &mut [u8]) -> Result<()> {
    let at = Places::of(pe)?.checksum;
    let field = pe.get_mut(at..at + 4).context("a truncated PE file")?;
    field.fill(0);
    let checksum = checksum(pe)?;
    pe.get_mut(at..at + 4)
        .context("a truncated PE file")?
        .copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The ones' complement sum of 16-bit words, as of RFC 1071, plus the length.
fn checksum(pe: &[u8]) -> Result<u32> {
    let words = pe.chunks(2).map(|word| match *word {
        [low, high] => u64::from(u16::from_le_bytes([low, high])),
        [low] => u64::from(low),
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u32::try_from(sum + pe.len() as u64).context("a PE file of gigabytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_carries_over_and_has_the_length() {
        assert_eq!(checksum(&[0xff, 0xff, 0x02, 0x00, 0x03]).unwrap(), 5 + 5);
    }
}
