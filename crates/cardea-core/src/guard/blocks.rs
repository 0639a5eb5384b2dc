//! Caches which bytes occur in which part of a text, since many rows ask for the same part.

use std::ops::Range;

use super::bytes::Bytes;

/// Size of a block, in bytes.
const BLOCK: usize = 128;

/// Number of cached blocks. Rows do not read farther.
const KEPT: usize = 8;

/// Byte sets of the blocks that were requested last.
pub(super) struct Blocks<'t> {
    text: &'t [u8],
    /// Block number plus one, and its set. The index is the block number modulo [`KEPT`].
    kept: [(usize, Bytes); KEPT],
    /// The last result: first block, last block, and their set.
    last: (usize, usize, Bytes),
}

impl<'t> Blocks<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, kept: [(0, Bytes::default()); KEPT], last: (usize::MAX, 0, Bytes::default()) }
    }

    /// Extends a range to whole blocks.
    pub(super) const fn whole(place: Range<usize>) -> Range<usize> {
        place.start / BLOCK * BLOCK..place.end.div_ceil(BLOCK) * BLOCK
    }

    /// Returns the set of all bytes of a range, and possibly of some next to it; `None` if the range is too long.
    pub(super) fn of(&mut self, place: Range<usize>) -> Option<Bytes> {
        let (first, last) = (place.start / BLOCK, place.end.min(self.text.len()).div_ceil(BLOCK));
        if last > first + KEPT {
            return None;
        }
        if (self.last.0, self.last.1) != (first, last) {
            let set = (first..last).fold(Bytes::default(), |set, number| set.or(self.block(number)));
            self.last = (first, last, set);
        }
        Some(self.last.2)
    }

    fn block(&mut self, number: usize) -> Bytes {
        let Some((kept, set)) = self.kept.get_mut(number % KEPT) else { return Bytes::default() };
        if *kept != number + 1 {
            let rest = self.text.get(number * BLOCK..).unwrap_or_default();
            *kept = number + 1;
            *set = Bytes::in_text(rest.get(..BLOCK).unwrap_or(rest));
        }
        *set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_stands_in_a_place_is_among_the_bytes_of_its_blocks(
            text in "[a-z]{0,3000}",
            places in proptest::collection::vec((0..3000_usize, 0..1200_usize), 1..9),
        ) {
            let mut blocks = Blocks::new(text.as_bytes());
            for (from, length) in places {
                let here = text.as_bytes().get(from..text.len().min(from + length)).unwrap_or_default();
                let Some(set) = blocks.of(from..from + length) else {
                    prop_assert!(length > BLOCK * (KEPT - 2));
                    continue;
                };
                prop_assert!(here.iter().all(|byte| set.has(*byte)));
                prop_assert!(set.iter().all(|byte| text.as_bytes().contains(&byte)));
            }
        }
    }
}
