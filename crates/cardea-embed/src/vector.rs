//! Vectors: 384 bytes each, compared by their angle.

use crate::cpu::Cpu;
#[cfg(target_arch = "x86_64")]
use crate::cpu::Level;

/// Numbers in a vector.
pub const DIMS: usize = 384;

/// The vector of a text: 384 signed bytes, and the factor that scales them to length one.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    codes: Box<[i8; DIMS]>,
    /// The inverse of the length of `codes`; zero for a vector without direction.
    pub(crate) scale: f32,
}

impl Vector {
    /// Rounds to bytes, the largest number to 127. Numbers that are not finite count as zero.
    #[must_use]
    pub fn from_floats(floats: &[f32; DIMS]) -> Self {
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        let peak = floats.iter().fold(0.0_f32, |peak, value| peak.max(finite(*value).abs()));
        let step = if peak > 0.0 { 127.0 / peak } else { 0.0 };
        let mut codes = Box::new([0_i8; DIMS]);
        for (code, value) in codes.iter_mut().zip(floats) {
            *code = (finite(*value) * step).round_ties_even().clamp(-127.0, 127.0) as i8;
        }
        Self::from_codes(codes)
    }

    /// Restores the output of [`Vector::to_bytes`]; `None` unless there are exactly 384 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; DIMS] = bytes.try_into().ok()?;
        Some(Self::from_codes(Box::new(bytes.map(u8::cast_signed))))
    }

    fn from_codes(codes: Box<[i8; DIMS]>) -> Self {
        let square: i32 = codes.iter().map(|code| i32::from(*code) * i32::from(*code)).sum();
        let scale = if square > 0 { 1.0 / (square as f32).sqrt() } else { 0.0 };
        Self { codes, scale }
    }

    /// Returns the 384 bytes, for a store. The scale follows from them.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; DIMS] {
        self.codes.map(i8::cast_unsigned)
    }

    /// Returns the signed bytes.
    #[must_use]
    pub fn codes(&self) -> &[i8; DIMS] {
        &self.codes
    }

    /// Returns the cosine of the angle between two vectors: 1 for the same direction, about 0 for unrelated texts.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        let pairs = self.codes.iter().zip(other.codes.iter());
        let dot: i32 = pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        (dot as f32 * self.scale * other.scale).clamp(-1.0, 1.0)
    }
}

/// The codes of a vector shifted to 0…255, as stored in a partition.
pub(crate) type Shifted = [u8; DIMS];
/// One bit per code: set if it is above zero.
pub(crate) type Signs = [u64; DIMS / 64];

pub(crate) fn shifted(vector: &Vector) -> Shifted {
    vector.codes.map(|code| code.cast_unsigned() ^ 0x80)
}

pub(crate) fn signs(vector: &Vector) -> Signs {
    let mut signs = [0; DIMS / 64];
    for (word, codes) in signs.iter_mut().zip(vector.codes.chunks_exact(64)) {
        *word = codes.iter().enumerate().fold(0, |word, (at, code)| word | u64::from(*code > 0) << at);
    }
    signs
}

/// Computes products of one query with many stored vectors.
pub(crate) struct Query<'a> {
    cpu: Cpu,
    codes: &'a [i8; DIMS],
    signs: Signs,
    /// 128 times the sum of the codes: what the shift adds to every product.
    excess: i32,
}

impl<'a> Query<'a> {
    pub(crate) fn new(cpu: Cpu, vector: &'a Vector) -> Self {
        let excess = vector.codes.iter().map(|code| i32::from(*code)).sum::<i32>() * 128;
        Self { cpu, codes: &vector.codes, signs: signs(vector), excess }
    }

    /// Appends the product of the query with each row.
    pub(crate) fn dots(&self, rows: &[Shifted], out: &mut Vec<i32>) {
        match self.cpu.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Cpu` is only made after its level was detected on this processor.
            Level::Avx512 => unsafe { dots_avx512(self, rows, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx2 => unsafe { dots_avx2(self, rows, out) },
            _ => dots(self, rows, out),
        }
    }

    /// Appends the number of signs in which each row differs from the query.
    pub(crate) fn differences(&self, rows: &[Signs], out: &mut Vec<u16>) {
        match self.cpu.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Cpu` is only made after its level, with `popcnt`, was detected on this processor.
            Level::Avx512 | Level::Avx2 => unsafe { differences_popcnt(&self.signs, rows, out) },
            _ => differences(&self.signs, rows, out),
        }
    }
}

#[inline(always)]
fn dots(query: &Query<'_>, rows: &[Shifted], out: &mut Vec<i32>) {
    out.extend(rows.iter().map(|row| {
        let pairs = row.iter().zip(query.codes);
        pairs.map(|(code, with)| i32::from(*code) * i32::from(*with)).sum::<i32>() - query.excess
    }));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn dots_avx2(query: &Query<'_>, rows: &[Shifted], out: &mut Vec<i32>) {
    dots(query, rows, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,popcnt")]
fn dots_avx512(query: &Query<'_>, rows: &[Shifted], out: &mut Vec<i32>) {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_setzero_si512,
    };
    let load = |bytes: &[u8; 64]| {
        // SAFETY: the reference covers the 64 bytes that are loaded. The load may be unaligned.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    };
    let codes = query.codes.map(i8::cast_unsigned);
    let mut with = [_mm512_setzero_si512(); DIMS / 64];
    for (with, codes) in with.iter_mut().zip(codes.as_chunks::<64>().0) {
        *with = load(codes);
    }
    out.extend(rows.iter().map(|row| {
        let mut sums = [_mm512_setzero_si512(); 2];
        for (at, (with, codes)) in with.iter().zip(row.as_chunks::<64>().0).enumerate() {
            if let Some(sum) = sums.get_mut(at % 2) {
                *sum = _mm512_dpbusd_epi32(*sum, load(codes), *with);
            }
        }
        sums.map(|sum| _mm512_reduce_add_epi32(sum)).iter().sum::<i32>() - query.excess
    }));
}

#[inline(always)]
fn differences(query: &Signs, rows: &[Signs], out: &mut Vec<u16>) {
    out.extend(rows.iter().map(|row| {
        let bits = row.iter().zip(query).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        bits as u16
    }));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn differences_popcnt(query: &Signs, rows: &[Signs], out: &mut Vec<u16>) {
    differences(query, rows, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_level_compares_alike(noise in proptest::collection::vec(-127_i8..=127, 5 * DIMS)) {
            let vectors: Vec<Vector> = noise
                .chunks_exact(DIMS)
                .map(|codes| Vector::from_bytes(&codes.iter().map(|c| c.cast_unsigned()).collect::<Vec<_>>()).unwrap())
                .collect();
            let (asked, stored) = vectors.split_first().unwrap();
            let rows: Vec<Shifted> = stored.iter().map(shifted).collect();
            let bits: Vec<Signs> = stored.iter().map(signs).collect();
            let exact = |a: &Vector, b: &Vector| -> i32 {
                a.codes().iter().zip(b.codes()).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
            };
            for cpu in Cpu::here() {
                let query = Query::new(cpu, asked);
                let (mut dots, mut differences) = (Vec::new(), Vec::new());
                query.dots(&rows, &mut dots);
                query.differences(&bits, &mut differences);
                for ((stored, dot), difference) in stored.iter().zip(dots).zip(differences) {
                    proptest::prop_assert_eq!(dot, exact(asked, stored));
                    let apart = asked.codes().iter().zip(stored.codes()).filter(|(a, b)| (**a > 0) != (**b > 0)).count();
                    proptest::prop_assert_eq!(usize::from(difference), apart);
                }
            }
        }
    }

    #[test]
    fn a_vector_survives_the_store_and_stays_itself() {
        let floats: [f32; DIMS] = std::array::from_fn(|at| ((at * 37 % 101) as f32 - 50.0) / 300.0);
        let vector = Vector::from_floats(&floats);
        assert_eq!(Vector::from_bytes(&vector.to_bytes()), Some(vector.clone()));
        assert!((vector.cosine(&vector) - 1.0).abs() < 1e-6);
        assert_eq!(Vector::from_bytes(&[1; 383]), None);
        let broken = Vector::from_floats(&[f32::NAN; DIMS]);
        assert!(broken.cosine(&vector).abs() < 1e-6, "a vector without direction is near nothing");
    }
}
