//! The vector registers of a thread, in which ciphers keep keys and copies keep packets.
//!
//! Nothing clears them when the work is done, and while the thread sleeps their contents are in the
//! kernel's memory for the thread.

use std::arch::{asm, is_x86_feature_detected};

/// Overwrites this thread's vector registers, as far as the processor has them.
///
/// It does not write zeros alone: the kernel saves nothing for a kind of registers that is all zero
/// (XSAVE's init optimization, Intel SDM volume 1, 13.6), and what it saved before would stay. So
/// one register of each kind is all ones: xmm, the upper halves of ymm, those of zmm, and the
/// sixteen registers that only AVX-512 has.
#[inline(never)]
pub fn scrub() {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the instructions. No memory is touched, and every register that
        // a call may change is named.
        unsafe {
            asm!(
                "vzeroall",
                "vpternlogd zmm0, zmm0, zmm0, 255",
                "vpternlogd zmm16, zmm16, zmm16, 255",
                "vpxord zmm17, zmm17, zmm17",
                "vpxord zmm18, zmm18, zmm18",
                "vpxord zmm19, zmm19, zmm19",
                "vpxord zmm20, zmm20, zmm20",
                "vpxord zmm21, zmm21, zmm21",
                "vpxord zmm22, zmm22, zmm22",
                "vpxord zmm23, zmm23, zmm23",
                "vpxord zmm24, zmm24, zmm24",
                "vpxord zmm25, zmm25, zmm25",
                "vpxord zmm26, zmm26, zmm26",
                "vpxord zmm27, zmm27, zmm27",
                "vpxord zmm28, zmm28, zmm28",
                "vpxord zmm29, zmm29, zmm29",
                "vpxord zmm30, zmm30, zmm30",
                "vpxord zmm31, zmm31, zmm31",
                clobber_abi("C"),
                options(nomem, nostack)
            );
        }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe {
            asm!(
                "vzeroall",
                "vpcmpeqd ymm0, ymm0, ymm0",
                clobber_abi("C"),
                options(nomem, nostack)
            );
        }
    } else {
        // SAFETY: as above. Every x86-64 has these.
        unsafe {
            asm!(
                "pcmpeqd xmm0, xmm0",
                "pxor xmm1, xmm1",
                "pxor xmm2, xmm2",
                "pxor xmm3, xmm3",
                "pxor xmm4, xmm4",
                "pxor xmm5, xmm5",
                "pxor xmm6, xmm6",
                "pxor xmm7, xmm7",
                "pxor xmm8, xmm8",
                "pxor xmm9, xmm9",
                "pxor xmm10, xmm10",
                "pxor xmm11, xmm11",
                "pxor xmm12, xmm12",
                "pxor xmm13, xmm13",
                "pxor xmm14, xmm14",
                "pxor xmm15, xmm15",
                clobber_abi("C"),
                options(nomem, nostack)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits that are set in any xmm register except the first.
    fn remains() -> [u8; 16] {
        let mut all = [0_u8; 16];
        // SAFETY: this writes the sixteen bytes behind the pointer.
        unsafe {
            asm!(
                "por xmm1, xmm2",
                "por xmm3, xmm4",
                "por xmm5, xmm6",
                "por xmm7, xmm8",
                "por xmm9, xmm10",
                "por xmm11, xmm12",
                "por xmm13, xmm14",
                "por xmm1, xmm3",
                "por xmm5, xmm7",
                "por xmm9, xmm11",
                "por xmm13, xmm15",
                "por xmm1, xmm5",
                "por xmm9, xmm13",
                "por xmm1, xmm9",
                "movdqu [{all}], xmm1",
                all = in(reg) all.as_mut_ptr(),
                clobber_abi("C"),
                options(nostack)
            );
        }
        all
    }

    #[test]
    fn a_key_in_a_register_is_gone() {
        let key = [0x5a_u8; 16];
        // SAFETY: this reads the sixteen bytes behind the pointer.
        unsafe {
            asm!(
                "movdqu xmm5, [{key}]",
                "movdqa xmm15, xmm5",
                key = in(reg) key.as_ptr(),
                out("xmm5") _, out("xmm15") _,
                options(nostack, readonly)
            );
        }
        scrub();
        assert_eq!(remains(), [0; 16]);
    }
}
