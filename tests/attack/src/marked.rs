//! Findings as pages of RAM that can be told apart from all others.

use sha2::{Digest as _, Sha256};

/// Bytes of a page of the architecture.
const PAGE: usize = 4096;
/// The mark is the hash of this phrase. The mark itself must not be in the program: it would be
/// found there, too.
const PHRASE: &str = "mayfly: findings of an attack";
const HASH: usize = 32;
/// Bytes before the text of a page: mark, hash of the rest, number of the page, number of pages,
/// length.
const HEADER: usize = HASH + HASH + 3 * 4;

/// Pages, each with a part of the text. A page holds the mark, the hash of what follows, its number
/// from 0, the number of pages, the length of its part (32 bits each, little-endian), and its part.
pub(crate) fn pages(text: &[u8]) -> Vec<u8> {
    let mark = Sha256::digest(PHRASE);
    let parts: Vec<_> = text.chunks(PAGE - HEADER).collect();
    // Aligned by hand, so that each part is in one page of the kernel.
    let mut memory = vec![0; (parts.len() + 1) * PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let pages = memory[start..].chunks_exact_mut(PAGE);
    for ((index, part), page) in (0_u32..).zip(&parts).zip(pages) {
        let numbers = [index, parts.len() as u32, part.len() as u32];
        let rest: Vec<u8> = numbers
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .chain(part.iter().copied())
            .collect();
        page[..HASH].copy_from_slice(&mark);
        page[HASH..2 * HASH].copy_from_slice(&Sha256::digest(&rest));
        page[2 * HASH..2 * HASH + rest.len()].copy_from_slice(&rest);
    }
    memory
}
