//! Lists of words that many texts are compared with. An index by first byte rejects most bytes in one step.

/// A list of ASCII words in lower case, at most 128.
pub(in super::super) struct Begun<const N: usize> {
    words: [&'static [u8]; N],
    /// For each byte, the words that begin with it in either case.
    first: [u128; 256],
}

impl<const N: usize> Begun<N> {
    pub(in super::super) const fn new(words: [&'static [u8]; N]) -> Self {
        let (mut first, mut number) = ([0; 256], 0);
        while number < N {
            #[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would stop")]
            {
                let byte = words[number][0];
                first[byte.to_ascii_lowercase() as usize] |= 1 << number;
                first[byte.to_ascii_uppercase() as usize] |= 1 << number;
            }
            number += 1;
        }
        Self { words, first }
    }

    /// Returns whether the text begins with one of the words, ignoring letter case.
    pub(super) fn begin(&self, text: &[u8]) -> bool {
        let first = text.first().and_then(|byte| self.first.get(usize::from(*byte)));
        let mut left = first.copied().unwrap_or_default();
        while left != 0 {
            let word = self.words.get(left.trailing_zeros() as usize).copied().unwrap_or_default();
            if text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
                return true;
            }
            left &= left - 1;
        }
        false
    }

    /// Returns whether the text begins with one of the words, in this letter case.
    pub(super) fn begin_as_written(&self, text: &[u8]) -> bool {
        self.begin(text) && self.words.iter().any(|word| text.starts_with(word))
    }

    /// Returns whether the text contains one of the words, ignoring letter case.
    pub(in super::super) fn stand_in(&self, text: &[u8]) -> bool {
        (0..text.len()).any(|at| text.get(at..).is_some_and(|rest| self.begin(rest)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORDS: [&[u8]; 5] = [b"ab", b"a-c", b"-b", b"b", b"ccc"];
    static BEGUN: Begun<5> = Begun::new(WORDS);

    proptest! {
        #[test]
        fn words_are_found_at_the_beginning_and_inside_whatever_their_letter_case(text in "[acAC-]{0,5}|[abcABC-]{0,5}") {
            let lower = text.to_ascii_lowercase();
            let word = |word: &[u8]| String::from_utf8(word.to_vec()).unwrap();
            prop_assert_eq!(BEGUN.begin(text.as_bytes()), WORDS.iter().any(|one| lower.starts_with(&word(one))));
            prop_assert_eq!(BEGUN.begin_as_written(text.as_bytes()), WORDS.iter().any(|one| text.starts_with(&word(one))));
            prop_assert_eq!(BEGUN.stand_in(text.as_bytes()), WORDS.iter().any(|one| lower.contains(&word(one))));
        }
    }
}
