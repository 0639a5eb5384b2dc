//! The inner loop: sums of products of unsigned activations and signed weights.
//!
//! Each kernel computes the same integers, so it does not matter which one runs. Weights are stored in blocks of
//! sixteen outputs: for every four inputs, sixteen times four bytes. A tile is up to [`ROWS`] rows of activations
//! against [`COLUMNS`] outputs, so that its sums fit into registers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use scalar::Scalar;

/// Limit of rows of one tile.
pub(crate) const ROWS: usize = 6;
/// Outputs of one tile.
pub(crate) const COLUMNS: usize = 64;
/// Outputs of one block of weights.
pub(crate) const BLOCK: usize = 16;

/// The integer sums of one tile.
pub(crate) type Tile<const M: usize> = [[i32; COLUMNS]; M];

/// Multiplies tiles and compares vectors with the instructions of one level.
pub(crate) trait Kernel {
    /// What the kernel subtracts from each activation before multiplying.
    const OFFSET: i32;

    /// Computes `out[r][c] = Σ (rows[r][k] − OFFSET) · weights[c][k]` over all `k < depth`.
    ///
    /// `rows` holds `M` rows of `depth` bytes, `weights` four blocks; `depth` is a multiple of four.
    ///
    /// # Safety
    /// The processor must have the instructions of the kernel's level.
    unsafe fn tile<const M: usize>(rows: &[u8], weights: &[u8], depth: usize, out: &mut Tile<M>);

    /// Computes `out[r][c] = Σ left[k][r] · right[k][c]` over all `k` in order, with each product and each sum rounded
    /// separately.
    ///
    /// # Safety
    /// The processor must have the instructions of the kernel's level.
    unsafe fn mix<const M: usize>(left: &[[f32; M]], right: &[Lanes], out: &mut [Lanes; M]);
}

/// One row of the float products of attention.
pub(crate) type Lanes = [f32; 32];

/// Checks the sizes at the beginning of every tile: from here on, pointers stay inside the slices.
#[inline(always)]
fn check<const M: usize>(rows: &[u8], weights: &[u8], depth: usize) {
    assert!(M <= ROWS && depth.is_multiple_of(4), "a tile has at most six rows of whole quads");
    assert!(rows.len() == M * depth && weights.len() == COLUMNS * depth, "a tile must be whole");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{Cpu, Level};

    fn sums(level: Level, rows: &[u8], weights: &[u8], depth: usize) -> Vec<i64> {
        let mut tile: Tile<3> = [[0; COLUMNS]; 3];
        // SAFETY: the caller takes the levels from `Cpu::here`.
        let offset = unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => (Avx512::tile(rows, weights, depth, &mut tile), Avx512::OFFSET).1,
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => (Avx2::tile(rows, weights, depth, &mut tile), Avx2::OFFSET).1,
                #[cfg(target_arch = "aarch64")]
                Level::Neon => (Neon::tile(rows, weights, depth, &mut tile), Neon::OFFSET).1,
                _ => (Scalar::tile(rows, weights, depth, &mut tile), Scalar::OFFSET).1,
            }
        };
        let weight = |column: usize, k: usize| {
            let at = (column / BLOCK) * BLOCK * depth + (k / 4) * 64 + (column % BLOCK) * 4 + k % 4;
            i64::from(weights[at] as i8)
        };
        let all = (0..3).flat_map(|row| (0..COLUMNS).map(move |column| (row, column)));
        all.map(|(row, column)| {
            let sum: i64 = (0..depth).map(|k| weight(column, k)).sum();
            i64::from(tile[row][column]) + i64::from(offset) * sum
        })
        .collect()
    }

    fn mixed(level: Level, left: &[[f32; 3]], right: &[Lanes]) -> [Lanes; 3] {
        let mut out = [[0.0; 32]; 3];
        // SAFETY: the caller takes the levels from `Cpu::here`.
        unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => Avx512::mix(left, right, &mut out),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => Avx2::mix(left, right, &mut out),
                #[cfg(target_arch = "aarch64")]
                Level::Neon => Neon::mix(left, right, &mut out),
                _ => Scalar::mix(left, right, &mut out),
            }
        }
        out
    }

    proptest::proptest! {
        #[test]
        fn every_kernel_rounds_alike(noise in proptest::collection::vec(-9.0_f32..9.0, 35 * 7)) {
            let left: Vec<[f32; 3]> = noise.chunks_exact(35).map(|row| [row[0], row[1], row[2]]).collect();
            let right: Vec<Lanes> = noise.chunks_exact(35).map(|row| row[3..].try_into().unwrap()).collect();
            let expected = mixed(Level::Scalar, &left, &right);
            for cpu in Cpu::here() {
                proptest::prop_assert_eq!(mixed(cpu.level(), &left, &right), expected);
            }
        }

        #[test]
        fn every_kernel_sums_the_same_integers(
            quads in 1_usize..9,
            noise in proptest::collection::vec(proptest::num::u8::ANY, 3 * 36 + 64 * 36 + 1),
            extreme in proptest::bool::ANY,
        ) {
            let depth = quads * 4;
            let (rows, rest) = noise.split_at(3 * depth);
            // One byte further: no kernel may rely on aligned weights.
            let mut weights = rest[1..=COLUMNS * depth].to_vec();
            let mut rows = rows.to_vec();
            if extreme {
                rows.iter_mut().for_each(|byte| *byte = if *byte > 127 { 255 } else { 0 });
                weights.iter_mut().for_each(|byte| *byte = if *byte > 127 { 127 } else { 129 });
            }
            weights.iter_mut().for_each(|byte| if *byte == 128 { *byte = 129 });
            let expected = sums(Level::Scalar, &rows, &weights, depth);
            for cpu in Cpu::here() {
                proptest::prop_assert_eq!(&sums(cpu.level(), &rows, &weights, depth), &expected);
            }
        }
    }
}
