//! A cache from texts to vectors, evicted by least recent use.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::embedder::Embedding;

/// Overhead of an entry beside its text: the vector and the bookkeeping.
const OVERHEAD: usize = 640;

/// A bounded cache of texts.
#[derive(Debug)]
pub(super) struct Lru {
    limit: usize,
    held: usize,
    clock: u64,
    by_text: HashMap<Arc<str>, (u64, Embedding)>,
    by_use: BTreeMap<u64, Arc<str>>,
}

impl Lru {
    /// Creates a cache with a limit of bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, held: 0, clock: 0, by_text: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// Returns the vector of this text, which becomes the most recent one.
    pub(super) fn get(&mut self, text: &str) -> Option<Embedding> {
        let (key, (used, found)) = self.by_text.get_key_value(text)?;
        let (key, used, found) = (Arc::clone(key), *used, found.clone());
        self.clock = self.clock.wrapping_add(1);
        self.by_use.remove(&used);
        self.by_use.insert(self.clock, Arc::clone(&key));
        if let Some((used, _)) = self.by_text.get_mut(&key) {
            *used = self.clock;
        }
        Some(found)
    }

    /// Returns whether this text is missing.
    pub(super) fn lacks(&self, text: &str) -> bool {
        !self.by_text.contains_key(text)
    }

    /// Adds a vector.
    pub(super) fn put(&mut self, text: &str, embedding: Embedding) {
        let cost = text.len().saturating_add(OVERHEAD);
        if cost > self.limit || self.by_text.contains_key(text) {
            return;
        }
        while self.held.saturating_add(cost) > self.limit {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.by_text.remove(&oldest);
            self.held = self.held.saturating_sub(oldest.len().saturating_add(OVERHEAD));
        }
        self.clock = self.clock.wrapping_add(1);
        let key: Arc<str> = text.into();
        self.by_use.insert(self.clock, Arc::clone(&key));
        self.by_text.insert(key, (self.clock, embedding));
        self.held = self.held.saturating_add(cost);
    }

    /// Returns the bytes held, and the number of texts.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.held, self.by_text.len())
    }
}

#[cfg(test)]
mod tests {
    use cardea_embed::{DIMS, Vector};
    use proptest::prelude::*;

    use super::*;
    use crate::embedder::EncoderId;

    fn embedding(number: u8) -> Embedding {
        let mut floats = [0.0; DIMS];
        floats[usize::from(number)] = 1.0;
        Embedding {
            encoder: EncoderId::new("test"),
            vector: Arc::new(Vector::from_floats(&floats)),
            truncated: false,
        }
    }

    #[test]
    fn the_least_used_text_is_forgotten_first() {
        let mut lru = Lru::new(2 * (OVERHEAD + 1));
        lru.put("a", embedding(1));
        lru.put("b", embedding(2));
        assert_eq!(lru.get("a"), Some(embedding(1)));
        lru.put("c", embedding(3));
        assert_eq!(
            (lru.get("a").is_some(), lru.get("b").is_some(), lru.get("c").is_some()),
            (true, false, true)
        );
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_limit_and_never_mixes_texts(texts in prop::collection::vec((0_u8..40, any::<bool>()), 0..200)) {
            let limit = 10 * (OVERHEAD + 2);
            let mut lru = Lru::new(limit);
            for (number, put) in texts {
                let text = number.to_string();
                if put {
                    lru.put(&text, embedding(number));
                } else if let Some(found) = lru.get(&text) {
                    prop_assert_eq!(found, embedding(number));
                }
                prop_assert!(lru.held <= limit && lru.by_use.len() == lru.by_text.len());
            }
        }
    }
}
