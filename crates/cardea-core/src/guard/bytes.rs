//! Sets of bytes.

/// A set of bytes, as a bit set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes([u64; 4]);

impl Bytes {
    /// Returns the set of one byte.
    pub(super) fn one(byte: u8) -> Self {
        let mut bytes = Self::default();
        bytes.add(byte);
        bytes
    }

    /// Returns the set of all bytes that satisfy a predicate.
    pub(super) fn of(mut fits: impl FnMut(u8) -> bool) -> Self {
        let mut bytes = Self::default();
        (0..=u8::MAX).filter(|byte| fits(*byte)).for_each(|byte| bytes.add(byte));
        bytes
    }

    /// Returns the set of the bytes in a text.
    pub(super) fn in_text(text: &[u8]) -> Self {
        // WHY: marking bytes in an array and packing it at the end is much faster than setting bits one by one.
        let mut marks = [0_u8; 256];
        for byte in text {
            if let Some(mark) = marks.get_mut(usize::from(*byte)) {
                *mark = 1;
            }
        }
        let mut bytes = Self::default();
        for (bits, marks) in bytes.0.iter_mut().zip(marks.chunks_exact(64)) {
            for eight in marks.rchunks_exact(8) {
                let eight = eight.try_into().map_or(0, u64::from_le_bytes);
                // The multiplication moves each mark to its own bit of the highest byte.
                *bits = *bits << 8 | eight.wrapping_mul(0x0102_0408_1020_4080) >> 56;
            }
        }
        bytes
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
    }

    /// Adds an inclusive range of bytes.
    pub(super) fn put(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|byte| self.add(byte));
    }

    pub(super) fn add(&mut self, byte: u8) {
        if let Some(bits) = self.0.get_mut(usize::from(byte >> 6)) {
            *bits |= 1 << (byte & 63);
        }
    }

    /// Returns the union.
    pub(super) fn or(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    /// Returns whether the intersection is not empty.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        (a & e) | (b & f) | (c & g) | (d & h) != 0
    }

    /// Returns how many bytes of an inclusive range are in the set.
    pub(super) fn count(&self, from: u8, to: u8) -> usize {
        (from..=to).filter(|byte| self.has(*byte)).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u8> {
        (0_u8..).zip(self.0).flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = u8::try_from(bits.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_set_of_a_text_has_its_bytes_and_no_others(text in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Bytes::in_text(&text), Bytes::of(|byte| text.contains(&byte)));
        }
    }
}
