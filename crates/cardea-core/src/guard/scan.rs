//! Scans one piece of a text: which rows a word wakes, where the value begins, and where it ends.
//!
//! INVARIANT: each row examines a position once, and reads at most its reach from there.

mod again;
mod attempt;

use std::ops::Range;

use self::again::Again;
use super::{
    before,
    blocks::Blocks,
    bounds::{NEAR, UNLESS_GAP},
    bytes::Bytes,
    compiled::{Leaks, Piece},
    label::{BACK, Label, Near, Says},
    seen::Seen,
    table::{From, Pattern},
    tried::{Tried, tried_at},
    verdict::Family,
    words::{LONGEST_TOLD, Word, is_after_escape, is_escape, is_hump},
};

/// Number of pairs in a hardware address, and length of a pair with its separator.
const PAIRS: usize = 6;
const PAIR: usize = 3;

/// Maximum length of the text before a keyword in which negating words are searched.
const LONGEST_DENIAL: usize = 48;

/// Returns whether keys and addresses may contain this byte.
const fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=' | b'.' | b'~' | b'%')
}

/// Returns the same, without the byte that separates a name from its value.
const fn is_word_byte(byte: u8) -> bool {
    is_key_byte(byte) && byte != b'='
}

/// State of the scan of one piece.
pub(super) struct Scan<'a, 'v> {
    leaks: &'a Leaks,
    piece: &'a Piece<'v>,
    bytes: &'a [u8],
    seen: &'a mut Vec<Seen>,
    /// First offset at which more text could still change something.
    pub(super) open: usize,
    /// Words that announce a value before them, with their rows, ordered by their ends.
    pub(super) behind: Vec<(Range<usize>, u16)>,
    /// Offset from which the last run was searched, and its end.
    run: (usize, usize),
    /// An offset, and the beginning of its line.
    clause: (usize, usize),
    /// An offset, and the beginning of the word of key bytes around it.
    word: (usize, usize),
    /// An offset, and the beginning of the key bytes before it.
    keys: (usize, usize),
    stretches: before::Stretches,
    blocks: Blocks<'a>,
    /// Blocks around a word, and which of the byte sets that rows need occur there, as bits.
    near: (Range<usize>, u64),
    tried: Tried,
    again: Again,
}

impl<'a, 'v> Scan<'a, 'v> {
    pub(super) fn new(leaks: &'a Leaks, piece: &'a Piece<'v>, seen: &'a mut Vec<Seen>) -> Self {
        let bytes = piece.view.bytes();
        Self {
            leaks,
            piece,
            bytes,
            seen,
            open: bytes.len(),
            behind: Vec::new(),
            run: (0, 0),
            clause: (0, 0),
            word: (0, 0),
            keys: (0, 0),
            stretches: before::Stretches::default(),
            blocks: Blocks::new(bytes),
            near: (0..0, 0),
            tried: Tried::new(leaks.patterns.len()),
            again: Again::default(),
        }
    }

    /// Returns false if a byte set that the row needs does not occur near a word. A few words wake dozens of rows each,
    /// and may occur at each position of a text.
    pub(super) fn may_wake(&mut self, row: u16, hit: Range<usize>) -> bool {
        let asked = self.leaks.asked.get(usize::from(row)).copied().unwrap_or(0);
        let far = hit.end + NEAR;
        // WHY: in a stream it may still follow, and the row decides how much text has to wait.
        if asked == 0 || (self.piece.pace.more && far >= self.bytes.len()) {
            return true;
        }
        let near = Blocks::whole(hit.start.saturating_sub(BACK)..far.min(self.bytes.len()));
        if self.near.0 != near {
            let here = self.blocks.of(near.clone());
            let given = |asks: &Vec<Bytes>| here.is_none_or(|here| asks.iter().all(|set| set.meets(&here)));
            let bits = (0..u64::BITS).zip(&self.leaks.asks).filter(|(_, asks)| given(asks));
            self.near = (near, bits.fold(0, |bits, (bit, _)| bits | 1 << bit));
        }
        self.near.1 >> asked & 1 == 1
    }

    /// Examines a keyword of the row.
    pub(super) fn woken(&mut self, row: u16, hit: Range<usize>, labels: &[Label]) {
        let Some(pattern) = self.leaks.patterns.get(usize::from(row)) else { return };
        let start = match pattern.from {
            From::Name => {
                return self.attempt(row, pattern, before::name(self.bytes, hit.start), pattern.row.alone);
            }
            From::Words => {
                return self.attempt(row, pattern, before::words(self.bytes, hit.start), pattern.row.alone);
            }
            From::Line => {
                let start = before::on_line(self.bytes, hit.start);
                return start.into_iter().for_each(|at| self.attempt(row, pattern, at, pattern.row.alone));
            }
            From::Clause => {
                // WHY: several rows begin there, and each one would search for it.
                if self.clause.0 != hit.start {
                    self.clause = (hit.start, before::clause(self.bytes, hit.start));
                }
                return self.attempt(row, pattern, self.clause.1, pattern.row.alone);
            }
            _ if !pattern.row.back => hit.start,
            _ => self.word_start(hit.start),
        };
        // A separator in an address ends the text before it.
        let parts = matches!(self.bytes.get(start), Some(b'&' | b'?' | b'/' | b'-'));
        let touched =
            start.checked_sub(1).and_then(|at| self.bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
        let hump = pattern.family == Family::Personal && is_hump(self.bytes, start);
        if touched && !parts && !hump && !pattern.named && !is_after_escape(self.bytes, start) {
            return;
        }
        let lately = labels.iter().rev().take_while(|label| label.end + UNLESS_GAP >= start);
        if !pattern.row.unless.is_empty()
            && lately.into_iter().any(|label| label.is_near(pattern.against, start, Says::Against))
        {
            return;
        }
        if self.is_denied(&pattern.row.denied, start) {
            return;
        }
        if pattern.from == From::After {
            self.leave_open(start, hit.end);
            return self.attempt(row, pattern, hit.end, pattern.row.alone);
        }
        self.attempt(row, pattern, start, pattern.row.alone);
    }

    /// Returns whether one of these words directly precedes the position.
    fn is_denied(&self, words: &[String], start: usize) -> bool {
        let before = self.bytes.get(start.saturating_sub(LONGEST_DENIAL)..start).unwrap_or_default();
        let before = before.trim_ascii_end();
        words.iter().any(|word| {
            before.split_at_checked(before.len().wrapping_sub(word.len())).is_some_and(|(more, last)| {
                last.eq_ignore_ascii_case(word.as_bytes())
                    && !more.last().is_some_and(u8::is_ascii_alphanumeric)
            })
        })
    }

    /// Returns the beginning of the word of key bytes around a position.
    fn word_start(&mut self, hit: usize) -> usize {
        // WHY: several rows begin there, and each one would search for it.
        if self.word.0 != hit {
            self.word = (hit, self.look_back(hit));
        }
        self.word.1
    }

    /// Does the same, over at most [`BACK`] bytes.
    fn look_back(&mut self, hit: usize) -> usize {
        let own = self.keys_before(hit);
        let before = self.bytes.get(hit.saturating_sub(BACK)..hit).unwrap_or_default();
        let length = |text: &[u8]| text.iter().rev().take_while(|byte| is_word_byte(**byte)).count();
        let own = own - usize::from(own > 0 && is_escape(self.bytes, hit - own));
        // The apostrophe inside a name, as in `o'brien@…`: letters precede it, and not the space before a quote.
        let rest = before.get(..before.len() - own).and_then(|rest| rest.strip_suffix(b"'"));
        let more = rest.filter(|_| self.bytes.get(hit) == Some(&b'@')).map_or(0, length);
        if more > 0 { hit - own - 1 - more } else { hit - own }
    }

    /// Returns the number of key bytes directly before a position, up to [`BACK`]. Those before an earlier position are
    /// not counted again.
    fn keys_before(&mut self, hit: usize) -> usize {
        let from = hit.saturating_sub(BACK);
        let (place, begin) = if self.keys.0 > hit { (0, 0) } else { self.keys };
        let between = self.bytes.get(place.max(from)..hit).unwrap_or_default();
        let length = between.iter().rev().take_while(|byte| is_word_byte(**byte)).count();
        let all = place > from && length == between.len();
        self.keys = (hit, if all { begin.max(from) } else { hit - length });
        hit - self.keys.1
    }

    /// Examines a word with a digit.
    pub(super) fn word(&mut self, word: &Word, near: &Near<'_>) {
        let leaks = self.leaks;
        let before = word.start.checked_sub(1).and_then(|at| self.bytes.get(at)).copied();
        if word.length <= 4 && before == word.next && matches!(word.next, Some(b':' | b'.')) {
            // Inside a chain of short groups: its value began earlier.
            return;
        }
        if word.length == PAIR - 1
            && before == Some(b'-')
            && word.next == before
            && self.is_in_chain(word.start)
        {
            return;
        }
        let fits = |row: u16| {
            let waking = leaks.waking.get(usize::from(row)).and_then(Option::as_ref);
            waking.is_some_and(|waking| waking.fits(word) && waking.begins(word.first))
        };
        for row in leaks.alone.of(word) {
            // INVARIANT: all other conditions are met; only the length of a long word is not checked yet.
            if word.length > LONGEST_TOLD && !fits(row) {
                continue;
            }
            let Some(pattern) = leaks.patterns.get(usize::from(row)) else { continue };
            let [labelled, against] = near.say(row, pattern.against, word.start);
            if against {
                continue;
            }
            if pattern.row.lone && self.is_part(word.start) {
                continue;
            }
            let confidence = if labelled { pattern.row.labelled } else { pattern.row.alone };
            let start = match pattern.from {
                From::Line => before::line(self.bytes, word.start),
                From::Stretch => self.stretch(word.start),
                _ if pattern.row.back => Some(self.word_start(word.start)),
                _ => self.ahead(pattern, word.start),
            };
            let Some(start) = start else { continue };
            self.attempt(row, pattern, start, confidence);
        }
        for row in near.asked().iter().copied().filter(|row| fits(*row)) {
            let Some(pattern) = leaks.patterns.get(usize::from(row)) else { continue };
            self.labelled(row, pattern, word, near);
        }
    }

    /// Returns whether as many pairs of hexadecimal digits as a hardware address has precede, each with a hyphen.
    fn is_in_chain(&self, start: usize) -> bool {
        let before = start.checked_sub(PAIRS * PAIR).and_then(|from| self.bytes.get(from..start));
        let pair =
            |pair: &[u8]| matches!(pair, [a, b, b'-'] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        before.is_some_and(|before| before.chunks(PAIR).all(pair))
    }

    /// Returns the beginning of the stretch around a word; `None` in decoded text.
    fn stretch(&mut self, place: usize) -> Option<usize> {
        self.stretches.start(self.bytes, place).filter(|_| self.piece.is_written())
    }

    /// Returns where the regex begins of a row that begins a few bytes before the word, at the beginning of a word.
    fn ahead(&self, pattern: &Pattern, place: usize) -> Option<usize> {
        let start = place.checked_sub(pattern.row.tokens.as_ref().map_or(0, |tokens| tokens.ahead))?;
        let touched = |at: usize| self.bytes.get(at).is_some_and(|byte| is_key_byte(*byte));
        (start == place || start.checked_sub(1).is_none_or(|before| !touched(before))).then_some(start)
    }

    /// Examines a word that wakes a row which requires a label. This is done once, whatever the number of labels.
    fn labelled(&mut self, row: u16, pattern: &Pattern, word: &Word, near: &Near<'_>) {
        let start = match pattern.from {
            From::Stretch => self.stretch(word.start),
            _ if pattern.row.back => Some(self.word_start(word.start)),
            _ => Some(word.start),
        };
        let Some(start) = start else { return };
        // WHY: a word farther inside a longer stretch is not a value of its own: a picture, a certificate, an address.
        let inside =
            start.checked_sub(1).and_then(|at| self.bytes.get(at)).is_some_and(|at| is_word_byte(*at));
        if pattern.row.back && inside && word.start >= start + BACK {
            return;
        }
        let Some(looked) = self.tried.of(row) else { return };
        if std::mem::replace(&mut looked.asked, tried_at(start)) == tried_at(start) {
            return;
        }
        let bytes = self.bytes;
        let on_line = |label: &Label| {
            !pattern.row.same_line
                || !bytes.get(label.end..start).is_some_and(|between| between.contains(&b'\n'))
        };
        let says = |row: u16, says: Says| near.says(row, start, says, on_line);
        let besides = pattern.row.besides.is_empty() || says(row, Says::Beside);
        if says(row, Says::For) && besides && !says(pattern.against, Says::Against) {
            self.attempt(row, pattern, start, pattern.row.labelled);
        }
    }

    /// Returns whether the text before makes this the end of a decimal or an id.
    fn is_part(&self, start: usize) -> bool {
        let before = |back: usize| start.checked_sub(back).and_then(|at| self.bytes.get(at));
        let decimal = before(1) == Some(&b'.') && before(2).is_some_and(u8::is_ascii_digit);
        decimal || before(1) == Some(&b'_')
    }
}

/// Number of bytes that regexes and searches have read. The test of linearity counts them, since durations vary on a
/// busy machine.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local!(static BYTES: Cell<usize> = const { Cell::new(0) });

    pub(super) fn add(bytes: usize) {
        BYTES.set(BYTES.get() + bytes);
    }

    /// Returns the number since the last call.
    pub(crate) fn take() -> usize {
        BYTES.replace(0)
    }
}
