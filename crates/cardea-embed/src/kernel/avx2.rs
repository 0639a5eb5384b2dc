//! AVX2: bytes widened to 16 bits and multiplied in pairs, which cannot overflow (2·255·127 in 32 bits).

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_set1_epi32, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi8_epi16,
    _mm256_cvtepu8_epi16, _mm256_hadd_epi32, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_mul_ps,
    _mm256_permute4x64_epi64, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_storeu_ps,
    _mm256_storeu_si256,
};

use super::{BLOCK, Kernel, Lanes, Tile, check};

pub(crate) struct Avx2;

impl Kernel for Avx2 {
    const OFFSET: i32 = 0;

    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn tile<const M: usize>(rows: &[u8], weights: &[u8], depth: usize, out: &mut Tile<M>) {
        check::<M>(rows, weights, depth);
        // Two rows at a time: eight sums, two broadcasts and the weights fit into sixteen registers.
        for (pair, out) in rows.chunks(2 * depth).zip(out.chunks_mut(2)) {
            for (at, block) in weights.chunks_exact(BLOCK * depth).enumerate() {
                let columns = at * BLOCK;
                match out {
                    [first, second] => {
                        let [one, two] = block_sums::<2>(pair, block, depth);
                        store(&one, first, columns);
                        store(&two, second, columns);
                    }
                    [only] => {
                        let [one] = block_sums::<1>(pair, block, depth);
                        store(&one, only, columns);
                    }
                    _ => {}
                }
            }
        }
    }

    #[target_feature(enable = "avx2,popcnt")]
    unsafe fn mix<const M: usize>(left: &[[f32; M]], right: &[Lanes], out: &mut [Lanes; M]) {
        // Half of the lanes at a time: with four rows that is eight sums, which fit into the registers.
        for half in 0..2 {
            let mut sums = [[_mm256_setzero_ps(); 2]; M];
            for (factors, row) in left.iter().zip(right) {
                // SAFETY: half·16 + 16 <= 32 floats of the row. The loads may be unaligned.
                let values = unsafe {
                    let at = row.as_ptr().add(half * 16);
                    [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))]
                };
                for (sums, factor) in sums.iter_mut().zip(factors) {
                    let factor = _mm256_set1_ps(*factor);
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = _mm256_add_ps(*sum, _mm256_mul_ps(factor, value));
                    }
                }
            }
            for (sums, out) in sums.iter().zip(out.iter_mut()) {
                for (sum, out) in sums.iter().zip(out.chunks_exact_mut(8).skip(half * 2)) {
                    // SAFETY: `out` is a slice of eight floats, 32 bytes. The store may be unaligned.
                    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), *sum) };
                }
            }
        }
    }
}

/// Sums of `R` rows against one block of sixteen outputs; each lane holds half of an output's sum.
#[target_feature(enable = "avx2,popcnt")]
#[inline]
fn block_sums<const R: usize>(rows: &[u8], block: &[u8], depth: usize) -> [[__m256i; 4]; R] {
    assert!(rows.len() == R * depth && block.len() == BLOCK * depth, "a block must be whole");
    let mut sums = [[_mm256_setzero_si256(); 4]; R];
    for quad in 0..depth / 4 {
        let mut fours = [_mm256_setzero_si256(); R];
        for (row, four) in fours.iter_mut().enumerate() {
            // SAFETY: row < R and quad·4 + 4 <= depth, so the four bytes end inside `rows`, as asserted above.
            let bytes = unsafe { rows.as_ptr().add(row * depth + quad * 4).cast::<i32>().read_unaligned() };
            *four = _mm256_cvtepu8_epi16(_mm_set1_epi32(bytes));
        }
        for part in 0..4 {
            // SAFETY: quad·64 + part·16 + 16 <= depth·16 = block.len(), as asserted above. May be unaligned.
            let codes = unsafe { _mm_loadu_si128(block.as_ptr().add(quad * 64 + part * 16).cast()) };
            let codes = _mm256_cvtepi8_epi16(codes);
            for (sums, four) in sums.iter_mut().zip(fours) {
                if let Some(sum) = sums.get_mut(part) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(four, codes));
                }
            }
        }
    }
    sums
}

/// Adds the two halves of each output and writes sixteen outputs.
#[target_feature(enable = "avx2,popcnt")]
#[inline]
fn store(sums: &[__m256i; 4], out: &mut [i32], columns: usize) {
    let [a, b, c, d] = *sums;
    let Some(out) = out.get_mut(columns..columns + BLOCK) else { return };
    for (half, (low, high)) in [(a, b), (c, d)].into_iter().enumerate() {
        let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high));
        // SAFETY: `out` holds sixteen i32; the halves write eight each, at 0 and at 8. May be unaligned.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(half * 8).cast(), both) };
    }
}
