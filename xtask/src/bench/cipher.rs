//! What no server can go below: the cipher.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// An inner packet, and the TCP payload in it, in bytes.
const PACKET: usize = 1420;
const PAYLOAD: f64 = 1368.0;

/// Seconds to seal a gigabyte of TCP payload in full packets on one core; opening costs the same.
pub fn seconds_per_gb() -> f64 {
    let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]) else {
        return 0.0;
    };
    let key = LessSafeKey::new(key);
    let mut packet = [0; PACKET];
    let (mut count, started) = (0_u64, Instant::now());
    while started.elapsed() < Duration::from_millis(500) {
        for _ in 0..100 {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&count.to_le_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let sealed = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut packet);
            let _ = black_box(sealed);
            count += 1;
        }
    }
    let each = started.elapsed().as_secs_f64() / count as f64;
    each * 1e9 / PAYLOAD
}
