//! 64-bit Arm: activations are shifted to −128…127, so that signed bytes multiply without the dot-product extension.

use std::arch::aarch64::{
    int32x4_t, vaddq_f32, vdupq_n_f32, vdupq_n_s32, vdupq_n_u32, vget_low_s8, vld1q_f32, vld1q_s8,
    vmull_high_s8, vmull_s8, vmulq_n_f32, vpadalq_s16, vpaddq_s32, vreinterpretq_s8_u32, vst1q_f32,
    vst1q_s32,
};

use super::{BLOCK, Kernel, Lanes, Tile, check};

pub(crate) struct Neon;

impl Kernel for Neon {
    const OFFSET: i32 = 128;

    #[target_feature(enable = "neon")]
    unsafe fn tile<const M: usize>(rows: &[u8], weights: &[u8], depth: usize, out: &mut Tile<M>) {
        check::<M>(rows, weights, depth);
        for (row, out) in rows.chunks_exact(depth).zip(out.iter_mut()) {
            for (block, out) in weights.chunks_exact(BLOCK * depth).zip(out.chunks_exact_mut(BLOCK)) {
                let sums = block_sums(row, block);
                for (part, [low, high]) in sums.into_iter().enumerate() {
                    // SAFETY: `out` holds sixteen i32 and part < 4, so the four written end at or before sixteen.
                    unsafe { vst1q_s32(out.as_mut_ptr().add(part * 4), vpaddq_s32(low, high)) };
                }
            }
        }
    }

    #[target_feature(enable = "neon")]
    unsafe fn mix<const M: usize>(left: &[[f32; M]], right: &[Lanes], out: &mut [Lanes; M]) {
        for half in 0..2 {
            let mut sums = [[vdupq_n_f32(0.0); 4]; M];
            for (factors, row) in left.iter().zip(right) {
                let mut values = [vdupq_n_f32(0.0); 4];
                for (value, from) in values.iter_mut().zip(row.chunks_exact(4).skip(half * 4)) {
                    // SAFETY: `from` is a slice of four floats, 16 bytes. The load may be unaligned.
                    *value = unsafe { vld1q_f32(from.as_ptr()) };
                }
                for (sums, factor) in sums.iter_mut().zip(factors) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = vaddq_f32(*sum, vmulq_n_f32(value, *factor));
                    }
                }
            }
            for (sums, out) in sums.iter().zip(out.iter_mut()) {
                for (sum, out) in sums.iter().zip(out.chunks_exact_mut(4).skip(half * 4)) {
                    // SAFETY: `out` is a slice of four floats, 16 bytes. The store may be unaligned.
                    unsafe { vst1q_f32(out.as_mut_ptr(), *sum) };
                }
            }
        }
    }
}

/// Computes the sums of one row against one block; each lane holds half of an output's sum.
#[target_feature(enable = "neon")]
#[inline]
fn block_sums(row: &[u8], block: &[u8]) -> [[int32x4_t; 2]; 4] {
    assert!(block.len() == BLOCK * row.len(), "a block must be whole");
    let mut sums = [[vdupq_n_s32(0); 2]; 4];
    for (quad, bytes) in row.chunks_exact(4).enumerate() {
        let mut four = [0; 4];
        four.copy_from_slice(bytes);
        // Flipping the top bit subtracts 128. Lanes hold bytes in memory order on either byte order of the machine.
        let four = vreinterpretq_s8_u32(vdupq_n_u32(u32::from_le_bytes(four) ^ 0x8080_8080));
        for (part, [low, high]) in sums.iter_mut().enumerate() {
            // SAFETY: quad·64 + part·16 + 16 <= row.len()·16 = block.len(), as asserted above. May be unaligned.
            let codes = unsafe { vld1q_s8(block.as_ptr().add(quad * 64 + part * 16).cast()) };
            *low = vpadalq_s16(*low, vmull_s8(vget_low_s8(four), vget_low_s8(codes)));
            *high = vpadalq_s16(*high, vmull_high_s8(four, codes));
        }
    }
    sums
}
