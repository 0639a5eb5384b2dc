//! The arithmetic between the matrix products.
//!
//! Everything here is plain code on fixed-size groups of lanes that is inlined into a function compiled for one
//! processor level. No fused multiply-add and one fixed order of every sum: so each level rounds in the same way.

/// Lanes of every sum and maximum.
pub(crate) const LANES: usize = 16;

/// `1.5 · 2^23`: adding it rounds to a whole number (ties to even) in the low bits.
const ROUND: f32 = 12_582_912.0;
const ROUND_BITS: i32 = 0x4B40_0000;

/// Returns the nearest integer of a value between −2^22 and 2^22.
#[inline(always)]
pub(crate) fn nearest(value: f32) -> i32 {
    (value + ROUND).to_bits().cast_signed() - ROUND_BITS
}

/// Computes `e^x` for `x <= 0`; zero below −87. Relative error under 2e-7.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let clamped = if x < -87.0 { -87.0 } else { x };
    let whole = nearest(clamped * std::f32::consts::LOG2_E);
    let n = whole as f32;
    // ln 2 in two parts, so that the difference keeps its last bits.
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut series = 1.987_569_2e-4;
    series = series * r + 1.398_2e-3;
    series = series * r + 8.333_452e-3;
    series = series * r + 4.166_579_6e-2;
    series = series * r + 1.666_666_5e-1;
    series = series * r + 0.5;
    let power = f32::from_bits(((whole + 127) << 23).cast_unsigned());
    (series * r * r + r + 1.0) * power
}

/// Computes `x · Φ(x)`, by Abramowitz and Stegun 7.1.28 (error of the error function under 3e-7): one division, no
/// exponential.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    let size = x.abs();
    let scaled = size * std::f32::consts::FRAC_1_SQRT_2;
    let mut series = 4.306_38e-5;
    series = series * scaled + 2.765_672e-4;
    series = series * scaled + 1.520_143e-4;
    series = series * scaled + 9.270_527e-3;
    series = series * scaled + 4.228_201e-2;
    series = series * scaled + 7.052_308e-2;
    series = series * scaled + 1.0;
    let square = series * series;
    let fourth = square * square;
    let eighth = fourth * fourth;
    let erf = 1.0 - 1.0 / (eighth * eighth);
    0.5 * (x + size * erf)
}

/// Sums in sixteen lanes, then by halves.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for group in values.chunks_exact(LANES) {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane += value;
        }
    }
    fold(lanes, |a, b| a + b)
}

/// Returns the smallest and the largest value.
#[inline(always)]
pub(crate) fn range(values: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = ([f32::MAX; LANES], [f32::MIN; LANES]);
    for group in values.chunks_exact(LANES) {
        for ((low, high), value) in low.iter_mut().zip(high.iter_mut()).zip(group) {
            *low = if *value < *low { *value } else { *low };
            *high = if *value > *high { *value } else { *high };
        }
    }
    (fold(low, |a, b| if b < a { b } else { a }), fold(high, |a, b| if b > a { b } else { a }))
}

#[inline(always)]
fn fold(lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = lanes;
    let left = join(join(join(a, i), join(e, m)), join(join(c, k), join(g, o)));
    let right = join(join(join(b, j), join(f, n)), join(join(d, l), join(h, p)));
    join(left, right)
}

/// Normalises one row in place (layer normalisation).
#[inline(always)]
pub(crate) fn normalise(row: &mut [f32], gain: &[f32], shift: &[f32]) {
    let count = row.len() as f32;
    let mean = sum(row) / count;
    let mut lanes = [0.0_f32; LANES];
    for group in row.chunks_exact(LANES) {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane += (value - mean) * (value - mean);
        }
    }
    let scale = 1.0 / (fold(lanes, |a, b| a + b) / count + 1e-12).sqrt();
    for ((value, gain), shift) in row.iter_mut().zip(gain).zip(shift) {
        *value = (*value - mean) * scale * gain + shift;
    }
}

/// Turns scores into weights, and returns the factor that makes them add up to one. Lanes beyond the real scores must
/// hold a very small number.
#[inline(always)]
pub(crate) fn exponents(scores: &mut [f32]) -> f32 {
    let (_, top) = range(scores);
    for score in scores.iter_mut() {
        *score = exp(*score - top);
    }
    1.0 / sum(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes GELU with erf by its series (small) and continued fraction (large), in double precision.
    fn reference_gelu(x: f64) -> f64 {
        let z = x.abs() / std::f64::consts::SQRT_2;
        let erf = if z < 3.0 {
            let (mut term, mut total) = (z, z);
            for n in 1..200 {
                term *= -z * z / f64::from(n);
                total += term / f64::from(2 * n + 1);
            }
            total * 2.0 / std::f64::consts::PI.sqrt()
        } else {
            let fraction = (1..60).rev().fold(z, |deep, n| z + f64::from(n) / 2.0 / deep);
            1.0 - (-z * z).exp() / (fraction * std::f64::consts::PI.sqrt())
        };
        0.5 * x * (1.0 + x.signum() * erf)
    }

    #[test]
    fn the_fast_functions_stay_near_the_exact_ones() {
        for step in -1200..=1200 {
            let x = step as f32 / 100.0;
            let near = f64::from(gelu(x));
            let exact = reference_gelu(f64::from(x));
            assert!((near - exact).abs() < 1.5e-6, "gelu({x}) is {near}, should be {exact}");
            let low = -x.abs() * 7.0;
            let exact = f64::from(low).exp();
            assert!((f64::from(exp(low)) - exact).abs() <= exact * 3e-7 + 1e-37, "exp({low})");
        }
        assert_eq!(nearest(2.5), 2);
        assert_eq!(nearest(-3.5), -4);
    }

    #[test]
    fn shares_add_up_to_one_and_ignore_padding() {
        let mut scores = [-1e30_f32; 32];
        scores[..3].copy_from_slice(&[1.0, 2.0, 3.0]);
        let scale = exponents(&mut scores);
        assert!((scores[..3].iter().sum::<f32>() * scale - 1.0).abs() < 1e-6);
        assert!(scores[3..].iter().all(|share| *share < 1e-30));
    }
}
