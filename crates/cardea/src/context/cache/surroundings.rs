//! How crowded the surroundings of a question are, estimated from a sample of the questions that this node has kept.
//!
//! The sample is kept beside the store, so that no store needs to know of it. After a start nothing is known, and the
//! default applies, which is stricter.

use std::sync::{Arc, Mutex, PoisonError};

use cardea_core::cache::{SAMPLE, crowd};
use cardea_embed::{Partition, Vector};
use cardea_store::shared::cache::{Key, Place};

/// Memory limit of all samples together; beyond it the places asked least are forgotten.
const BYTES: u64 = 32 * 1024 * 1024;

#[derive(Debug, Default)]
struct Sample {
    vectors: Partition<Key>,
    seen: usize,
}

#[derive(Debug)]
pub(super) struct Surroundings(moka::sync::Cache<Place, Arc<Mutex<Sample>>>);

/// Returns a number that looks random, from the count of questions: no one can choose which questions stay in the
/// sample.
fn scattered(count: usize) -> usize {
    (count as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
        as usize
}

impl Surroundings {
    pub(super) fn new() -> Self {
        let places = BYTES / (SAMPLE * (Partition::<Key>::ENTRY_BYTES + size_of::<Key>())) as u64;
        Self(moka::sync::Cache::builder().max_capacity(places).build())
    }

    /// Counts a question that is kept. Each of many questions has the same chance to be in the sample.
    pub(super) fn met(&self, place: &Place, key: &Key, vector: &Vector) {
        let sample = self.0.get_with(*place, Arc::default);
        let mut sample = sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.seen = sample.seen.saturating_add(1);
        if sample.vectors.len() >= SAMPLE {
            let at = scattered(sample.seen) % sample.seen;
            if sample.vectors.swap_remove(at).is_none() {
                return;
            }
        }
        sample.vectors.insert(vector.clone(), *key);
    }

    /// Returns the crowd around a question, or around a kept one, which does not count itself.
    pub(super) fn of(&self, place: &Place, vector: &Vector, own: Option<&Key>) -> f32 {
        let Some(sample) = self.0.get(place) else { return crowd(&[], 0) };
        let sample = sample.lock().unwrap_or_else(PoisonError::into_inner);
        let besides = own.and_then(|own| sample.vectors.iter().position(|key| key == own));
        crowd(&sample.vectors.sample(vector, SAMPLE, besides), sample.seen)
    }
}

#[cfg(test)]
mod tests {
    use cardea_embed::DIMS;

    use super::*;

    fn vector(number: usize) -> Vector {
        Vector::from_floats(&std::array::from_fn(|at| if at == number % DIMS { 1.0 } else { 0.3 }))
    }

    #[test]
    fn a_place_is_known_by_what_was_kept_there_and_stays_small() {
        let all = Surroundings::new();
        let (here, there) = (Place([1; 32]), Place([2; 32]));
        assert!((all.of(&here, &vector(0), None) - crowd(&[], 0)).abs() < 1e-6);
        for number in 0..2_000_usize {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            all.met(&here, &Key(key), &vector(number));
        }
        let sample = all.0.get(&here).unwrap();
        let (kept, seen, late) = {
            let sample = sample.lock().unwrap();
            let late = sample.vectors.iter().filter(|key| key.0[6..8] > [3, 232][..]).count();
            (sample.vectors.len(), sample.seen, late)
        };
        assert_eq!((kept, seen), (SAMPLE, 2_000));
        assert!((64..192).contains(&late), "late questions are sampled like early ones: {late}");
        assert!(all.of(&here, &vector(0), None) > crowd(&[], 0));
        assert!(
            (all.of(&there, &vector(0), None) - crowd(&[], 0)).abs() < 1e-6,
            "places do not see each other"
        );
    }
}
