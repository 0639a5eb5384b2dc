//! AVX-512 with VNNI: four products per lane and instruction, twenty-four sums in registers.

use std::arch::x86_64::{
    __m512i, _mm512_add_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_storeu_ps,
    _mm512_storeu_si512,
};

use super::{BLOCK, Kernel, Lanes, Tile, check};

pub(crate) struct Avx512;

impl Kernel for Avx512 {
    const OFFSET: i32 = 0;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,popcnt")]
    unsafe fn tile<const M: usize>(rows: &[u8], weights: &[u8], depth: usize, out: &mut Tile<M>) {
        check::<M>(rows, weights, depth);
        let mut sums: [[__m512i; 4]; M] = [[_mm512_setzero_si512(); 4]; M];
        for quad in 0..depth / 4 {
            let mut codes = [_mm512_setzero_si512(); 4];
            for (block, codes) in codes.iter_mut().enumerate() {
                // SAFETY: block < 4 and quad < depth / 4, so the 64 bytes end at or before
                // 3·16·depth + depth·16 = weights.len(), which `check` has proved. The load may be unaligned.
                *codes = unsafe {
                    let at = weights.as_ptr().add(block * BLOCK * depth + quad * 64);
                    _mm512_loadu_si512(at.cast())
                };
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                // SAFETY: row < M and quad·4 + 4 <= depth, so the four bytes end at or before M·depth = rows.len().
                let four =
                    unsafe { rows.as_ptr().add(row * depth + quad * 4).cast::<i32>().read_unaligned() };
                let four = _mm512_set1_epi32(four);
                for (sum, codes) in sums.iter_mut().zip(codes) {
                    *sum = _mm512_dpbusd_epi32(*sum, four, codes);
                }
            }
        }
        for (sums, out) in sums.iter().zip(out.iter_mut()) {
            for (sum, out) in sums.iter().zip(out.chunks_exact_mut(BLOCK)) {
                // SAFETY: `out` is a slice of sixteen i32, which is 64 bytes. The store may be unaligned.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *sum) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,popcnt")]
    unsafe fn mix<const M: usize>(left: &[[f32; M]], right: &[Lanes], out: &mut [Lanes; M]) {
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        for (factors, row) in left.iter().zip(right) {
            let (low, high) = row.split_at(16);
            // SAFETY: each half of the 32 floats is sixteen floats, 64 bytes. The loads may be unaligned.
            let values = unsafe { [_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr())] };
            for (sums, factor) in sums.iter_mut().zip(factors) {
                let factor = _mm512_set1_ps(*factor);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = _mm512_add_ps(*sum, _mm512_mul_ps(factor, value));
                }
            }
        }
        for (sums, out) in sums.iter().zip(out.iter_mut()) {
            for (sum, out) in sums.iter().zip(out.chunks_exact_mut(16)) {
                // SAFETY: `out` is a slice of sixteen floats, 64 bytes. The store may be unaligned.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr(), *sum) };
            }
        }
    }
}
