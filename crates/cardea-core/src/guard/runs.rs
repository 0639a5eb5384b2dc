//! Finds where a text may be divided.
//!
//! A run ends at white space, unless the word before it is a single character: letters separated by spaces belong
//! together. A run of [`LONGEST_RUN`] bytes is divided, and the rest is examined on its own, so that nothing depends on
//! unbounded text. Whole texts and streams use the same code.

use super::{bounds::LONGEST_RUN, normalize::is_dropped};

/// Tracks the run that contains the current character. Offsets are in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Runs {
    /// Start of the run before the current one.
    pub(super) before: usize,
    /// Start of the current run.
    pub(super) start: usize,
    word: usize,
}

impl Runs {
    /// Takes the character that begins at `place`. Returns whether the text must be divided before it.
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

/// Returns whether a run certainly ends in these bytes: white space after two letters or digits.
fn has_break(bytes: &[u8]) -> bool {
    let solid = u8::is_ascii_alphanumeric;
    bytes.windows(3).any(|three| matches!(three, [a, b, b' ' | b'\n'] if solid(a) && solid(b)))
}

/// Returns the sections of a text that are examined on their own, with their offsets.
pub(super) fn sections(text: &str) -> Vec<(usize, &str)> {
    // WHY: most texts have a break in each half of the longest run, so none is divided, and this is fast to check.
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
