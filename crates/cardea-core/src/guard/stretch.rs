//! Divides a text at white space into stretches, and records which kinds of bytes each one contains. One lookup per
//! byte shows that nearly all of them need no further decoding.

/// Approximate length of a word with its space, in bytes.
const USUAL: usize = 5;

/// White space.
const SPACE: u8 = 1;
/// A byte that begins an escape.
pub(super) const ESCAPE: u8 = 2;
/// A sign that can replace a letter.
pub(super) const LEET: u8 = 4;

/// Kind of each byte.
const MADE: [u8; 256] = {
    let (mut made, mut byte) = ([0; 256], 0);
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would stop")]
        {
            made[byte] = match byte as u8 {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => SPACE,
                b'%' | b'&' | b'=' | b'\\' => ESCAPE,
                b'+' | b'!' | b'|' | b'@' | b'$' | b'0' | b'1' | b'3' | b'4' | b'5' | b'7' | b'8' => LEET,
                _ => 0,
            };
        }
        byte += 1;
    }
    made
};

fn made_of(byte: u8) -> u8 {
    MADE.get(usize::from(byte)).copied().unwrap_or_default()
}

/// A stretch of text without white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: usize,
    pub(super) end: usize,
    made: u8,
}

impl Stretch {
    /// Returns all stretches of a text.
    pub(super) fn all(bytes: &[u8]) -> Vec<Self> {
        let (mut found, mut place) = (Vec::with_capacity(bytes.len() / USUAL), 0);
        while let Some(stretch) = Self::next(bytes, place) {
            place = stretch.end;
            found.push(stretch);
        }
        found
    }

    /// Returns the next stretch at or after an offset.
    fn next(bytes: &[u8], from: usize) -> Option<Self> {
        let start = from + bytes.get(from..)?.iter().position(|byte| made_of(*byte) != SPACE)?;
        let (rest, mut made) = (bytes.get(start..)?, 0);
        let ends = |byte: &u8| {
            made |= made_of(*byte);
            made & SPACE != 0
        };
        let end = start + rest.iter().position(ends).unwrap_or(rest.len());
        Some(Self { start, end, made })
    }

    /// Returns whether it contains a byte of this kind.
    pub(super) const fn has(self, kind: u8) -> bool {
        self.made & kind != 0
    }

    pub(super) const fn len(self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_come_one_after_the_other_with_what_they_are_made_of() {
        let text = b" a%41 \n4ll b";
        let first = Stretch::next(text, 0).unwrap();
        assert_eq!((first.start, first.end, first.has(ESCAPE), first.has(LEET)), (1, 5, true, true));
        let second = Stretch::next(text, first.end).unwrap();
        assert_eq!((second.start, second.len(), second.has(ESCAPE), second.has(LEET)), (7, 3, false, true));
        assert_eq!(Stretch::next(text, second.end).map(|last| last.len()), Some(1));
        assert_eq!(Stretch::next(text, text.len()), None);
    }
}
