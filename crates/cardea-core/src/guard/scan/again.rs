//! Reuses results where a text repeats itself: between equal texts, a word wakes the same rows with the same results. A
//! hostile text consists of a few words, repeated, each of which wakes dozens of rows.
//!
//! INVARIANT: the result of a word depends on the [`BEFORE`] bytes before it, on the [`AFTER`] bytes from it on, and on
//! the ranges that the last findings of rows cover, unless a finding extends beyond these bytes.

use std::ops::Range;

use super::{super::tried::tried_at, Scan};

/// More than the distance between a word and the farthest label of its value, in bytes.
const BEFORE: usize = 512;

/// More than rows read after the word that wakes them, including words after their values, in bytes.
const AFTER: usize = 1024;

/// Maximum period of a repetition, in bytes.
const LONGEST: usize = 4096;

/// Number of words whose last positions are kept; other words replace them.
const WORDS: usize = 32;

/// Number of positions that are kept for each: a text may contain a word twice within its period.
const EACH: usize = 2;

/// Result of a row at a position.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// No finding.
    Nothing,
    /// Not examined, since the row's last finding covers the position.
    Covered,
    /// Depends on distant text.
    Unsure,
    /// A finding, and the number of following bytes that it covers.
    Found { from: usize, to: usize, covers: Option<usize> },
}

/// Result of a row that a word has woken.
#[derive(Debug, Clone, Copy)]
struct Note {
    row: u16,
    start: usize,
    confidence: f32,
    outcome: Outcome,
}

/// Results of all rows that a word has woken.
#[derive(Debug, Clone)]
struct Known {
    at: usize,
    length: usize,
    notes: Range<usize>,
    /// Index of the next word that begins there, plus one.
    next: usize,
}

/// A range in which each byte is equal to the byte one period before it.
#[derive(Debug, Default)]
struct Period {
    length: usize,
    from: usize,
    until: usize,
}

impl Period {
    /// Returns the period of a text that is equal around two positions.
    fn between(bytes: &[u8], before: usize, at: usize) -> Option<Self> {
        let length = at.checked_sub(before).filter(|length| (1..=LONGEST).contains(length))?;
        let around = |at: usize| bytes.get(at.checked_sub(BEFORE)?..at + AFTER);
        let alike = around(at)? == around(before)?;
        alike.then_some(Self { length, from: at - BEFORE, until: at + AFTER })
    }

    /// Returns whether the text around a position is equal to the text one period before. Reads each byte once.
    fn holds(&mut self, bytes: &[u8], at: usize) -> bool {
        let far = at + AFTER;
        if self.length == 0 || at < self.from + BEFORE {
            return false;
        }
        if far > self.until {
            let more = bytes.get(self.until..far);
            if more.is_none() || more != bytes.get(self.until - self.length..far - self.length) {
                return false;
            }
            self.until = far;
        }
        true
    }
}

#[derive(Default)]
pub(super) struct Again {
    period: Period,
    /// The last positions of words.
    last: [[usize; EACH]; WORDS],
    /// For each position in the period, the index of the last known word that begins there, plus one.
    begin: Vec<usize>,
    known: Vec<Known>,
    notes: Vec<Note>,
    /// Whether the results of the current word are recorded.
    writes: bool,
}

impl Again {
    /// Returns whether the text around a word is equal to the text around its previous occurrence.
    fn repeats(&mut self, bytes: &[u8], at: usize) -> bool {
        if self.period.holds(bytes, at) {
            return true;
        }
        let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else { return false };
        let slot = u32::from_le_bytes(*head).wrapping_mul(0x9E37_79B1) >> 27;
        let last = usize::try_from(slot).ok().and_then(|slot| self.last.get_mut(slot));
        let Some(last) = last.filter(|last| last[0] < at || at == 0) else { return false };
        let period = last.iter().find_map(|before| Period::between(bytes, *before, at));
        last.rotate_right(1);
        last[0] = at;
        let Some(period) = period else { return false };
        self.begin.clear();
        self.begin.resize(period.length, 0);
        self.known.clear();
        self.notes.clear();
        self.period = period;
        true
    }

    /// Returns the results of a word.
    fn of(&self, word: &Range<usize>) -> Option<Known> {
        let mut next = *self.begin.get(word.start % self.period.length.max(1))?;
        while let Some(known) = next.checked_sub(1).and_then(|number| self.known.get(number)) {
            if known.length == word.len() {
                return Some(known.clone());
            }
            next = known.next;
        }
        None
    }

    /// Begins to record the results of a word.
    fn write(&mut self, word: &Range<usize>) {
        let Some(first) = self.begin.get_mut(word.start % self.period.length.max(1)) else { return };
        let notes = self.notes.len()..self.notes.len();
        self.known.push(Known { at: word.start, length: word.len(), notes, next: *first });
        *first = self.known.len();
        self.writes = true;
    }

    /// Records the result of a row, if it is useful.
    pub(super) fn note(&mut self, row: u16, start: usize, confidence: f32, outcome: Outcome) {
        if self.writes && !matches!(outcome, Outcome::Nothing) {
            self.notes.push(Note { row, start, confidence, outcome });
        }
    }

    /// Returns a result in the form that applies to the same word elsewhere: `Unsure` if it extends too far.
    fn bounded(outcome: Outcome, at: usize) -> Outcome {
        match outcome {
            Outcome::Found { from, to, covers }
                if from + BEFORE <= at || to.max(covers.unwrap_or(0)) >= at + AFTER =>
            {
                Outcome::Unsure
            }
            outcome => outcome,
        }
    }
}

impl Scan<'_, '_> {
    /// Returns whether the results of a word are those of its previous occurrence. They are then reported.
    pub(in super::super) fn again(&mut self, word: Range<usize>) -> bool {
        #[cfg(test)]
        if anew::ALWAYS.get() {
            return false;
        }
        if !self.again.repeats(self.bytes, word.start) {
            return false;
        }
        let Some(Known { at, notes, .. }) = self.again.of(&word) else {
            self.again.write(&word);
            return false;
        };
        notes.for_each(|note| self.report_again(note, word.start.saturating_sub(at)));
        true
    }

    /// Repeats the result of a row from `far` bytes before.
    fn report_again(&mut self, number: usize, far: usize) {
        let Some(Note { row, start, confidence, outcome }) = self.again.notes.get(number).copied() else {
            return;
        };
        let Some(pattern) = self.leaks.patterns.get(usize::from(row)) else { return };
        match outcome {
            Outcome::Nothing => {}
            Outcome::Found { from, to, covers } => {
                if self.tried.of(row).is_some_and(|looked| looked.grown.contains(&tried_at(start + far))) {
                    return;
                }
                if let Some(covers) = covers {
                    self.grow(row, start + far..covers + far);
                }
                self.report(row, pattern, from + far..to + far, (confidence, None));
            }
            Outcome::Covered | Outcome::Unsure => {
                let outcome = Again::bounded(self.look(row, pattern, start + far, confidence), start + far);
                if let Some(note) = self.again.notes.get_mut(number)
                    && matches!(note.outcome, Outcome::Covered)
                {
                    note.outcome = match outcome {
                        Outcome::Found { from, to, covers } => Outcome::Found {
                            from: from - far,
                            to: to - far,
                            covers: covers.map(|covers| covers - far),
                        },
                        outcome => outcome,
                    };
                }
            }
        }
    }

    /// Ends the record of the current word.
    #[inline]
    pub(in super::super) fn remember(&mut self) {
        if std::mem::take(&mut self.again.writes) {
            let end = self.again.notes.len();
            let Some(known) = self.again.known.last_mut() else { return };
            known.notes.end = end;
            let (at, notes) = (known.at, known.notes.clone());
            let notes = self.again.notes.get_mut(notes).unwrap_or_default();
            notes.iter_mut().for_each(|note| note.outcome = Again::bounded(note.outcome, at));
        }
    }

    /// Resets the state before another pass over the text, for other words.
    pub(in super::super) fn start_over(&mut self) {
        self.again = Again::default();
        self.tried.forget_places();
    }
}

/// Disables the reuse, for tests.
#[cfg(test)]
mod anew {
    use std::cell::Cell;

    thread_local!(pub(super) static ALWAYS: Cell<bool> = const { Cell::new(false) });
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::LazyLock};

    use proptest::prelude::*;

    use super::{
        super::super::{
            catalogue::Catalogue,
            compiled::{Leaks, Piece, WRITTEN},
            normalize::fold,
            seen::Pace,
        },
        *,
    };

    static LEAKS: LazyLock<Leaks> = LazyLock::new(|| Leaks::build(&mut Catalogue::default()).unwrap());

    /// Returns the findings in a text, and the number of bytes that regexes have read.
    fn found(text: &str, anew: bool) -> (BTreeSet<(String, usize, usize, u32)>, usize) {
        anew::ALWAYS.set(anew);
        super::super::work::take();
        let (view, pace, mut seen) = (fold(text), Pace::patient(false), Vec::new());
        let piece = Piece { view: &view, pace, detector: WRITTEN, untrusted: true, only: &[] };
        LEAKS.find(&piece, &mut seen).unwrap();
        let facts = seen
            .iter()
            .map(|one| (one.rule.to_string(), one.span.start, one.span.end, one.confidence.to_bits()));
        (facts.collect(), super::super::work::take())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn in_a_text_that_repeats_itself_the_same_is_found_as_at_each_place_by_itself(
            one in "(pw|&pwd=|pass|password|haslo|my password is|名前|wifi code:|AKIA|sk-|@|at|token=|api_key:)[ =:]?(Ab_1|plum7749|a@b.co|AKIAIOSFODNN7ABCDEFG|[a-zA-Z0-9_-]{0,12})?[ \n]?",
            other in "[ -~]{0,9}|(pw|login|name) ?[a-zA-Z0-9!]{0,20}[ \n]?",
            (before, between, after) in (0..300_usize, 0..3_usize, 150..500_usize),
        ) {
            let text = [one.repeat(before), other.repeat(between), one.repeat(after), other].concat();
            prop_assert_eq!(found(&text, false).0, found(&text, true).0, "{:?}", text);
        }
    }

    #[test]
    fn a_word_that_wakes_many_rows_is_read_once_where_all_around_it_repeats() {
        for piece in ["haslo ", "pw Ab_1 "] {
            let text = piece.repeat(5000);
            let ((here, less), (anew, more)) = (found(&text, false), found(&text, true));
            assert!(less * 3 < more, "{piece} {less} {more}");
            assert_eq!(here, anew, "{piece}");
        }
    }
}
