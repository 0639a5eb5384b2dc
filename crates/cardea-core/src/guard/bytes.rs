//! Sets of bytes.

/// A set of bytes: one bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes([u64; 4]);

impl Bytes {
    /// All bytes of which this is true.
    pub(super) fn of(mut fits: impl FnMut(u8) -> bool) -> Self {
        let mut bytes = Self::default();
        (0..=u8::MAX).filter(|byte| fits(*byte)).for_each(|byte| bytes.put(byte, byte));
        bytes
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1)
    }

    /// Takes in a byte and those up to another.
    pub(super) fn put(&mut self, from: u8, to: u8) {
        for byte in from..=to {
            if let Some(bits) = self.0.get_mut(usize::from(byte >> 6)) {
                *bits |= 1 << (byte & 63);
            }
        }
    }

    /// What is in either.
    pub(super) fn or(self, other: Self) -> Self {
        Self::of(|byte| self.has(byte) || other.has(byte))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|byte| self.has(*byte))
    }
}
