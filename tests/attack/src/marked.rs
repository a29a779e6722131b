//! Findings as pages of RAM that can be told from all others.

use sha2::{Digest as _, Sha256};

/// Of the architecture.
const PAGE: usize = 4096;
/// What is not in the program itself as such: it would be found there, too.
const PHRASE: &str = "mayfly: findings of an attack";
const HASH: usize = 32;
/// Mark, hash of the rest, number of the page, number of pages, length: what comes before
/// the text of a page.
const HEADER: usize = HASH + HASH + 3 * 4;

/// Pages, each with its part of the text: mark, hash of what follows, its number from 0, the
/// number of pages and the length of its part (32 bits each, little-endian), its part.
pub fn pages(text: &[u8]) -> Vec<u8> {
    let mark = Sha256::digest(PHRASE);
    let parts: Vec<_> = text.chunks(PAGE - HEADER).collect();
    // Aligned by hand: the kernel's pages are what lies together.
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
