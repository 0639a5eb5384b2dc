//! The vectors of one scope, searched by a full scan.
//!
//! Flat arrays and no index: inserting and removing cost nothing, and entries of another scope's partition cannot be
//! found. Up to [`SCAN`] vectors every byte is compared; above that, one bit per number selects [`CANDIDATES`]
//! candidates (or four times the requested number, if that is more), which are then compared in full.

use crate::{
    cpu::Cpu,
    vector::{DIMS, Query, Shifted, Signs, Vector, shifted, signs},
};

/// Number of vectors up to which all are compared in full.
const SCAN: usize = 4096;
/// Number of candidates that one-bit codes select for the full comparison.
const CANDIDATES: usize = 64;

/// A found item with its similarity.
#[derive(Debug)]
pub struct Neighbour<'a, T> {
    /// Its present index; valid until the partition changes.
    pub index: usize,
    /// Its cosine with the query.
    pub cosine: f32,
    /// What was stored with the vector.
    pub item: &'a T,
}

/// The vectors of one scope with an item each: 436 bytes per entry beside the item.
#[derive(Debug, Clone)]
pub struct Partition<T> {
    cpu: Cpu,
    codes: Vec<Shifted>,
    signs: Vec<Signs>,
    scales: Vec<f32>,
    items: Vec<T>,
}

impl<T> Default for Partition<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Partition<T> {
    /// Size of an entry beside its item.
    pub const ENTRY_BYTES: usize = DIMS + DIMS / 8 + 4;

    /// Creates an empty partition.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Cpu::best())
    }

    /// Creates an empty partition that uses only the given instructions.
    #[must_use]
    pub fn on(cpu: Cpu) -> Self {
        Self { cpu, codes: Vec::new(), signs: Vec::new(), scales: Vec::new(), items: Vec::new() }
    }

    /// Returns the number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a vector and returns its index.
    pub fn insert(&mut self, vector: Vector, item: T) -> usize {
        self.codes.push(shifted(&vector));
        self.signs.push(signs(&vector));
        self.scales.push(vector.scale);
        self.items.push(item);
        self.items.len() - 1
    }

    /// Removes one entry; the last entry takes its place. `None` if there is no such entry.
    pub fn swap_remove(&mut self, index: usize) -> Option<T> {
        if index >= self.items.len() {
            return None;
        }
        self.codes.swap_remove(index);
        self.signs.swap_remove(index);
        self.scales.swap_remove(index);
        Some(self.items.swap_remove(index))
    }

    /// Returns the item at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index)
    }

    /// Returns the item at an index, mutably.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.items.get_mut(index)
    }

    /// Returns all items, in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Returns the vector at an index.
    #[must_use]
    pub fn vector(&self, index: usize) -> Option<Vector> {
        Vector::from_bytes(&self.codes.get(index)?.map(|code| code ^ 0x80))
    }

    /// Returns the `count` nearest entries, nearest first; equal ones in the order of their indices.
    #[must_use]
    pub fn nearest(&self, to: &Vector, count: usize) -> Vec<Neighbour<'_, T>> {
        let query = Query::new(self.cpu, to);
        let mut found: Vec<(usize, f32)> = Vec::new();
        let wanted = CANDIDATES.max(count.saturating_mul(4));
        if self.codes.len() <= SCAN || wanted >= self.codes.len() {
            let mut dots = Vec::with_capacity(self.codes.len());
            query.dots(&self.codes, &mut dots);
            // WHY: scores go through one small pass that keeps few; sorting all would cost more than the scan.
            let mut floor = f32::NEG_INFINITY;
            for (index, (dot, scale)) in dots.into_iter().zip(&self.scales).enumerate() {
                let cosine = dot as f32 * scale;
                if cosine > floor {
                    found.push((index, cosine));
                    if found.len() >= 2 * count.max(32) {
                        cut(&mut found, count);
                        floor = found.last().map_or(floor, |(_, last)| *last);
                    }
                }
            }
        } else {
            let mut dots = Vec::with_capacity(1);
            for index in self.candidates(&query, wanted) {
                dots.clear();
                query.dots(self.codes.get(index..=index).unwrap_or_default(), &mut dots);
                if let (Some(dot), Some(scale)) = (dots.first(), self.scales.get(index)) {
                    found.push((index, *dot as f32 * scale));
                }
            }
        }
        cut(&mut found, count);
        let neighbour = |(index, cosine): (usize, f32)| {
            let item = self.items.get(index)?;
            Some(Neighbour { index, cosine: (cosine * to.scale).clamp(-1.0, 1.0), item })
        };
        found.into_iter().filter_map(neighbour).collect()
    }

    /// Returns cosines with up to `count` entries, evenly spaced over the partition and without the one at `besides`:
    /// they show how crowded the surroundings of a vector are.
    #[must_use]
    pub fn sample(&self, to: &Vector, count: usize, besides: Option<usize>) -> Vec<f32> {
        let (query, count) = (Query::new(self.cpu, to), count.min(self.codes.len()));
        let (mut found, mut dots) = (Vec::with_capacity(count), Vec::with_capacity(1));
        for index in (0..count).map(|at| at * self.codes.len() / count) {
            if besides == Some(index) {
                continue;
            }
            dots.clear();
            query.dots(self.codes.get(index..=index).unwrap_or_default(), &mut dots);
            if let (Some(dot), Some(scale)) = (dots.first(), self.scales.get(index)) {
                found.push((*dot as f32 * scale * to.scale).clamp(-1.0, 1.0));
            }
        }
        found
    }

    /// Returns at least `wanted` entries whose signs differ least from the query's.
    fn candidates(&self, query: &Query<'_>, wanted: usize) -> Vec<usize> {
        let mut differences = Vec::with_capacity(self.signs.len());
        query.differences(&self.signs, &mut differences);
        let mut counts = [0_usize; DIMS + 1];
        for difference in &differences {
            if let Some(count) = counts.get_mut(usize::from(*difference)) {
                *count += 1;
            }
        }
        let mut seen = 0;
        let limit = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let limit = limit.unwrap_or(DIMS);
        let near =
            differences.iter().enumerate().filter(|(_, difference)| usize::from(**difference) <= limit);
        near.map(|(index, _)| index).collect()
    }
}

fn cut(found: &mut Vec<(usize, f32)>, count: usize) {
    found.sort_by(|(a, near), (b, nearer)| nearer.total_cmp(near).then(a.cmp(b)));
    found.truncate(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random numbers that are the same in every run.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / 16_777_216.0 - 0.5
        }

        fn vector(&mut self) -> [f32; DIMS] {
            std::array::from_fn(|_| self.next())
        }
    }

    #[test]
    fn entries_are_found_moved_and_forgotten() {
        let mut noise = Noise(7);
        let vectors: Vec<Vector> = (0..60).map(|_| Vector::from_floats(&noise.vector())).collect();
        for cpu in Cpu::here() {
            let mut part = Partition::on(cpu);
            for (number, vector) in vectors.iter().enumerate() {
                assert_eq!(part.insert(vector.clone(), number), number);
            }
            assert_eq!(part.swap_remove(3), Some(3));
            assert_eq!(part.get(3), Some(&59), "the last one took the place");
            assert_eq!(part.swap_remove(59), None);
            let best = part.nearest(&vectors[59], 2);
            assert_eq!((best[0].index, *best[0].item), (3, 59));
            assert!((best[0].cosine - vectors[59].cosine(&vectors[59])).abs() < 1e-6);
            assert!(best[0].cosine >= best[1].cosine);
            assert!(part.nearest(&vectors[3], 99).iter().all(|hit| *hit.item != 3));
            assert_eq!(part.vector(3).as_ref(), Some(&vectors[59]));
            let near = |besides| part.sample(&vectors[59], 256, besides);
            assert_eq!((near(None).len(), near(Some(3)).len()), (59, 58));
            assert!(near(None).iter().any(|cosine| *cosine > 0.99) && near(Some(3)).iter().all(|c| *c < 0.9));
            assert_eq!(part.sample(&vectors[0], 10, None).len(), 10);
            assert!(Partition::<()>::on(cpu).sample(&vectors[0], 10, None).is_empty());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "ten thousand vectors are too slow to interpret")]
    fn one_bit_codes_lose_no_near_neighbour() {
        let mut noise = Noise(99);
        let centres: Vec<[f32; DIMS]> = (0..500).map(|_| noise.vector()).collect();
        let mut part = Partition::new();
        let mut exact = Vec::new();
        for number in 0..10_000 {
            let centre = centres[number % 500];
            let vector = Vector::from_floats(&centre.map(|value| value + 0.8 * noise.next()));
            exact.push(vector.clone());
            part.insert(vector, number);
        }
        for asked in 0..50 {
            let query = Vector::from_floats(&centres[asked * 7].map(|value| value + 0.8 * noise.next()));
            let best = exact.iter().map(|vector| vector.cosine(&query)).fold(-1.0, f32::max);
            let found = part.nearest(&query, 1)[0].cosine;
            assert!((best - found).abs() < 1e-6, "query {asked}: {found} instead of {best}");
        }
    }
}
