//! Where a text may be cut: the stretches that belong together, and the end of those that are too long.
//!
//! A stretch ends at white space, unless the word before it is a single character: letters set apart by spaces belong
//! together. A stretch of [`LONGEST_RUN`] bytes is cut, and what follows is examined on its own, so that nothing depends
//! on text without end. Both the whole text and the stream use this one walk.

use super::{bounds::LONGEST_RUN, normalize::is_dropped};

/// Walks over characters and knows the stretch it is in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Runs {
    /// Where the stretch before the current one began.
    pub(super) before: usize,
    /// Where the current stretch began.
    pub(super) start: usize,
    word: usize,
}

impl Runs {
    /// Takes the character that begins at `place`. True if the text must be cut before it.
    pub(super) fn take(&mut self, c: char, place: usize) -> bool {
        let cut = place - self.start >= LONGEST_RUN;
        if cut {
            *self = Self { before: place, start: place, word: 0 };
        }
        if c.is_whitespace() {
            if self.word != 1 {
                if self.word > 0 {
                    self.before = self.start;
                }
                self.start = place + c.len_utf8();
            }
            self.word = 0;
        } else if !is_dropped(c) {
            self.word += 1;
        }
        cut
    }
}

/// True if a stretch ends in these bytes for certain: white space after two letters or digits.
fn has_break(bytes: &[u8]) -> bool {
    let solid = u8::is_ascii_alphanumeric;
    bytes.windows(3).any(|three| matches!(three, [a, b, b' ' | b'\n'] if solid(a) && solid(b)))
}

/// The pieces of a text that are examined on their own, with their places.
pub(super) fn sections(text: &str) -> Vec<(usize, &str)> {
    // WHY: most texts have a break in each half of the longest stretch, so that none is cut, and those are quick to see.
    let mut halves = text.as_bytes().chunks_exact(LONGEST_RUN / 2);
    if text.len() < LONGEST_RUN || halves.all(has_break) {
        return vec![(0, text)];
    }
    let mut runs = Runs::default();
    let mut cuts = vec![0];
    cuts.extend(text.char_indices().filter(|(place, c)| runs.take(*c, *place)).map(|(place, _)| place));
    let ends = cuts.iter().skip(1).copied().chain([text.len()]);
    cuts.iter().zip(ends).map(|(from, to)| (*from, text.get(*from..to).unwrap_or_default())).collect()
}
