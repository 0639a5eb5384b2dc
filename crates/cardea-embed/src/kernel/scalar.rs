//! The kernel for any processor, and the reference for the others.

use super::{BLOCK, COLUMNS, Kernel, Lanes, Tile, check};

pub(crate) struct Scalar;

impl Kernel for Scalar {
    const OFFSET: i32 = 0;

    unsafe fn tile<const M: usize>(rows: &[u8], weights: &[u8], depth: usize, out: &mut Tile<M>) {
        check::<M>(rows, weights, depth);
        for (row, sums) in rows.chunks_exact(depth).zip(out.iter_mut()) {
            *sums = [0; COLUMNS];
            let blocks = weights.chunks_exact(BLOCK * depth).zip(sums.chunks_exact_mut(BLOCK));
            for (block, sums) in blocks {
                for (quad, step) in row.chunks_exact(4).zip(block.chunks_exact(BLOCK * 4)) {
                    for (sum, codes) in sums.iter_mut().zip(step.chunks_exact(4)) {
                        for (activation, code) in quad.iter().zip(codes) {
                            *sum += i32::from(*activation) * i32::from(code.cast_signed());
                        }
                    }
                }
            }
        }
    }

    unsafe fn mix<const M: usize>(left: &[[f32; M]], right: &[Lanes], out: &mut [Lanes; M]) {
        *out = [[0.0; 32]; M];
        for (factors, row) in left.iter().zip(right) {
            for (sums, factor) in out.iter_mut().zip(factors) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += factor * value;
                }
            }
        }
    }
}
