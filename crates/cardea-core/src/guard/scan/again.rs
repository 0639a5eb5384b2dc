//! What a word wakes is found once where a text repeats itself: behind the same text and before the same text the same
//! is found. A hostile text is a few words, over and over, and each wakes dozens of rows.
//!
//! INVARIANT: what a word wakes depends on the [`BEFORE`] bytes before it and the [`AFTER`] bytes from it on, and on
//! what the last findings of rows cover, unless a finding reaches out of these bytes.

use std::ops::Range;

use super::{super::tried::tried_at, Scan};

/// More than stands between a word and the farthest label of a value that it is in.
const BEFORE: usize = 512;

/// More than rows read behind the word that wakes them, with what may stand behind their values.
const AFTER: usize = 1024;

/// A text may repeat itself after so many bytes.
const LONGEST: usize = 4096;

/// Words whose last places are known at a time; others take their places.
const WORDS: usize = 32;

/// Places that are known of each: a text may have it twice before it repeats itself.
const EACH: usize = 2;

/// What became of a row at a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// There is nothing.
    Nothing,
    /// It did not look, since its last finding covers the place.
    Covered,
    /// It depends on text far away.
    Unsure,
    /// It found something, and that covers so much of what follows.
    Found { from: usize, to: usize, covers: Option<usize> },
}

/// What a row did that a word has woken.
#[derive(Debug, Clone, Copy)]
struct Note {
    row: u16,
    start: usize,
    confidence: f32,
    outcome: Outcome,
}

/// What the rows did that a word has woken: all notes of them.
#[derive(Debug, Clone)]
struct Known {
    at: usize,
    length: usize,
    notes: Range<usize>,
    /// The next word that begins there, plus one.
    next: usize,
}

/// Between these places each byte is the one that stands a period before it.
#[derive(Debug, Default)]
struct Period {
    length: usize,
    from: usize,
    until: usize,
}

impl Period {
    /// That of a text which is the same around two places.
    fn between(bytes: &[u8], before: usize, at: usize) -> Option<Self> {
        let length = at.checked_sub(before).filter(|length| (1..=LONGEST).contains(length))?;
        let around = |at: usize| bytes.get(at.checked_sub(BEFORE)?..at + AFTER);
        let alike = around(at)? == around(before)?;
        alike.then_some(Self { length, from: at - BEFORE, until: at + AFTER })
    }

    /// True if all around a place is as it is a period before. Reads each byte once.
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
    /// Where words stood last.
    last: [[usize; EACH]; WORDS],
    /// For each place in the period the last word that is known to begin there, plus one.
    begin: Vec<usize>,
    known: Vec<Known>,
    notes: Vec<Note>,
    /// What the rows of the word at hand do is written down.
    writes: bool,
}

impl Again {
    /// True if the text around a word is as it was where it stood before.
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

    /// What is known of a word.
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

    /// Begins to write down what a word wakes.
    fn write(&mut self, word: &Range<usize>) {
        let Some(first) = self.begin.get_mut(word.start % self.period.length.max(1)) else { return };
        let notes = self.notes.len()..self.notes.len();
        self.known.push(Known { at: word.start, length: word.len(), notes, next: *first });
        *first = self.known.len();
        self.writes = true;
    }

    /// Writes down what became of a row, if that is of any use.
    pub(super) fn note(&mut self, row: u16, start: usize, confidence: f32, outcome: Outcome) {
        if self.writes && !matches!(outcome, Outcome::Nothing) {
            self.notes.push(Note { row, start, confidence, outcome });
        }
    }

    /// What became of a row may be reported for the same word elsewhere, unless it reaches too far.
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
    /// True if what a word wakes here is what it woke where it stood before: that is reported here as well.
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

    /// Does what a row did so many bytes before.
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

    /// The word at hand has woken all that it wakes.
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

    /// The text is walked over once more, for other words.
    pub(in super::super) fn start_over(&mut self) {
        self.again = Again::default();
        self.tried.forget_places();
    }
}

/// Lets a test look at each place anew.
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

    /// What is found in a text, and how many bytes were given to regexes.
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
