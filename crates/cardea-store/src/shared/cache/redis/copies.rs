//! A node's copies of the shelves in Redis, bounded by bytes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use cardea_embed::{DIMS, Partition, Vector};
use moka::{policy::EvictionPolicy, sync::Cache};

use super::super::{Key, Place};

/// Size of one vector in a copy: its codes, signs and length, and its key in three collections.
const EACH: u32 = 640;
const _: () = assert!(EACH as usize > DIMS + DIMS / 8 + 3 * 32, "a vector takes more than it is counted for");
/// Size of a copy without vectors.
const EMPTY: u32 = 512;

/// A node's copy of a shelf.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// The number up to which the shelf was read.
    pub(super) upto: f64,
    pub(super) vectors: Partition<Key>,
    pub(super) known: HashMap<Key, usize>,
    /// Keys in order of arrival, oldest first; keys that were removed meanwhile are skipped.
    order: VecDeque<Key>,
}

impl Copied {
    pub(super) fn add(&mut self, member: &[u8], limit: usize) {
        let Some((key, vector)) = member.split_at_checked(32) else { return };
        let (Ok(key), Some(vector)) = (key.try_into().map(Key), Vector::from_bytes(vector)) else { return };
        self.drop_key(&key);
        self.known.insert(key, self.vectors.insert(vector, key));
        self.order.push_back(key);
        while self.known.len() > limit {
            let Some(oldest) = self.order.pop_front() else { break };
            self.drop_key(&oldest);
        }
        if self.order.len() > 4 * limit.max(16) {
            let known = &self.known;
            self.order.retain(|key| known.contains_key(key));
        }
    }

    pub(super) fn drop_key(&mut self, key: &Key) {
        let Some(at) = self.known.remove(key) else { return };
        self.vectors.swap_remove(at);
        if let Some(moved) = self.vectors.get(at) {
            self.known.insert(*moved, at);
        }
    }
}

/// The copies of the places used last. A copy that was dropped is read again when needed.
#[derive(Debug)]
pub(super) struct Copies(Cache<Place, Arc<Mutex<Copied>>>);

impl Copies {
    /// Creates an empty set with a limit of bytes.
    pub(super) fn within(bytes: u64) -> Self {
        let cache = Cache::builder().eviction_policy(EvictionPolicy::lru()).max_capacity(bytes);
        Self(cache.weigher(|_, copy: &Arc<Mutex<Copied>>| weight(copy)).build())
    }

    /// Returns the copy of the place; empty if there was none.
    pub(super) fn of(&self, place: &Place) -> Arc<Mutex<Copied>> {
        self.0.get_with(*place, Arc::default)
    }

    /// Recounts the bytes of this copy. A copy that was drained meanwhile stays dropped.
    pub(super) fn grown(&self, place: &Place, copy: &Arc<Mutex<Copied>>) {
        if self.0.get(place).is_some_and(|held| Arc::ptr_eq(&held, copy)) {
            self.0.insert(*place, Arc::clone(copy));
        }
    }

    /// Drops all copies; returns the highest number up to which one was read.
    pub(super) fn drain(&self) -> f64 {
        let upto =
            |(_, copy): (_, Arc<Mutex<Copied>>)| copy.lock().unwrap_or_else(PoisonError::into_inner).upto;
        let highest = self.0.iter().map(upto).fold(0.0, f64::max);
        self.0.invalidate_all();
        highest
    }
}

fn weight(copy: &Mutex<Copied>) -> u32 {
    let vectors = copy.lock().unwrap_or_else(PoisonError::into_inner).known.len();
    u32::try_from(vectors).unwrap_or(u32::MAX).saturating_mul(EACH).saturating_add(EMPTY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stay_within_their_bytes_and_the_places_used_last_stay() {
        let place = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Place(bytes)
        };
        let vectors = 100;
        let copies = Copies::within(10 * u64::from(vectors * EACH + EMPTY));
        let member = |number: u32| [blob(number), vec![1; DIMS]].concat();
        for number in 0..50 {
            let copy = copies.of(&place(number));
            for vector in 0..vectors {
                copy.lock().unwrap().add(&member(vector), 1_000);
            }
            copies.grown(&place(number), &copy);
            copies.of(&place(0)); // this place is in constant use
            copies.0.run_pending_tasks();
        }
        assert_eq!(copies.0.entry_count(), 10);
        assert!(copies.0.weighted_size() <= 10 * u64::from(vectors * EACH + EMPTY));
        assert_eq!(copies.of(&place(0)).lock().unwrap().known.len(), 100);
        assert_eq!(copies.of(&place(49)).lock().unwrap().known.len(), 100);
        assert!(copies.of(&place(5)).lock().unwrap().known.is_empty());
    }

    #[test]
    fn a_copy_that_was_forgotten_while_somebody_read_into_it_does_not_come_back() {
        let copies = Copies::within(1 << 20);
        let copy = copies.of(&Place([1; 32]));
        copy.lock().unwrap().upto = 12.0;
        assert_eq!(copies.drain(), 12.0);
        copies.grown(&Place([1; 32]), &copy);
        assert_eq!(copies.of(&Place([1; 32])).lock().unwrap().upto, 0.0);
    }

    fn blob(number: u32) -> Vec<u8> {
        let mut key = vec![0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    }
}
