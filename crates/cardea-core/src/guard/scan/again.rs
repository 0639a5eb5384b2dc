//! What a word wakes is found once where a text repeats itself: behind the same text and before the same text the same
//! is found. A hostile text is one word, over and over, and a few words wake dozens of rows each.
//!
//! INVARIANT: what a word wakes depends on the [`BEFORE`] bytes before it and the [`AFTER`] bytes from it on, unless a
//! finding reaches out of them.

use std::ops::Range;

use super::{
    super::{bounds::BEFORE, tried::tried_at, verdict::Action, words::Use},
    Scan,
};

/// More than rows read behind the word that wakes them, with what may stand behind their values.
const AFTER: usize = 1024;

/// Words that wake fewer rows are not worth it.
const FEWEST: usize = 2;

/// Words that are known at a time; others take their places.
const KNOWN: usize = 16;

/// Places that are known of each: its last finding may keep a row from every second one.
const EACH: usize = 2;

/// What a row did.
#[derive(Clone)]
struct Note {
    row: u16,
    place: Range<usize>,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    /// It found something there.
    Found((f32, Option<Action>)),
    /// What it found covers all of this.
    Grew,
    /// It looked from there, and found something.
    Looked,
    /// It did not look, since its last finding covers this.
    Passed,
}

/// What a word woke where it stood last.
#[derive(Clone, Default)]
struct Known {
    /// Which word: where its meanings lie.
    word: usize,
    at: usize,
    /// What its rows did, among all notes.
    notes: Range<usize>,
}

#[derive(Default)]
pub(super) struct Again {
    known: [[Known; EACH]; KNOWN],
    notes: Vec<Note>,
    /// What the rows of the word at hand do is written down.
    writes: bool,
    /// It depends on more than the text around.
    far: bool,
}

impl Again {
    /// A row has looked at what may stand far away.
    pub(super) const fn far(&mut self) {
        self.far = true;
    }

    pub(super) fn found(&mut self, row: u16, place: &Range<usize>, said: (f32, Option<Action>)) {
        self.note(row, place.clone(), What::Found(said));
    }

    pub(super) fn looked(&mut self, row: u16, start: usize) {
        self.note(row, start..start, What::Looked);
    }

    pub(super) fn grew(&mut self, row: u16, place: Range<usize>) {
        self.note(row, place, What::Grew);
    }

    pub(super) fn passed(&mut self, row: u16, covered: &Range<u32>) {
        self.note(row, covered.start as usize..covered.end as usize, What::Passed);
    }

    fn note(&mut self, row: u16, place: Range<usize>, what: What) {
        if self.writes {
            self.notes.push(Note { row, place, what });
        }
    }
}

/// The place of a word among those that are known.
fn slot(word: usize) -> usize {
    (word >> 4).wrapping_mul(0x9E37_79B1) >> 7 & (KNOWN - 1)
}

impl Scan<'_, '_> {
    /// True if what the word wakes here is what it woke where it stood last: that is reported here as well.
    #[inline]
    pub(in super::super) fn again(&mut self, uses: &[Use], at: usize) -> bool {
        let wakes = |one: Option<&Use>| matches!(one, Some(Use::Wake(_)));
        uses.len() >= FEWEST && (wakes(uses.first()) || wakes(uses.last())) && self.woke(uses, at)
    }

    /// The same for a word that wakes some rows.
    fn woke(&mut self, uses: &[Use], at: usize) -> bool {
        #[cfg(test)]
        if anew::ALWAYS.get() {
            return false;
        }
        let word = uses.as_ptr().addr();
        let around = |at: usize| self.bytes.get(at.checked_sub(BEFORE)?..at + AFTER);
        for number in 0..EACH {
            let known = self.again.known.get(slot(word)).and_then(|known| known.get(number));
            let alike = |known: &&Known| {
                known.word == word && around(at).is_some_and(|here| around(known.at) == Some(here))
            };
            let Some(known) = known.filter(alike) else { continue };
            let (notes, far) = (known.notes.clone(), at.saturating_sub(known.at));
            if self.looks_again(notes.clone(), far) {
                notes.for_each(|note| self.report_again(note, far));
                return true;
            }
        }
        let from = self.again.notes.len();
        (self.again.writes, self.again.far) = (true, false);
        if let Some(known) = self.again.known.get_mut(slot(word)) {
            known.rotate_right(1);
            known[0] = Known { word, at, notes: from..from };
        }
        false
    }

    /// True if the last findings of rows keep the same ones from looking here, and no others that found something.
    fn looks_again(&mut self, notes: Range<usize>, far: usize) -> bool {
        let (tried, notes) = (&mut self.tried, self.again.notes.get(notes).unwrap_or_default());
        notes.iter().all(|note| {
            let there = |place: usize| u32::try_from(place + far).unwrap_or(u32::MAX);
            let Some(looked) = tried.of(note.row) else { return false };
            match note.what {
                What::Found(_) | What::Grew => true,
                What::Looked => !looked.grown.contains(&tried_at(note.place.start + far)),
                What::Passed => looked.grown == (there(note.place.start)..there(note.place.end)),
            }
        })
    }

    fn report_again(&mut self, note: usize, far: usize) {
        let Some(Note { row, place, what }) = self.again.notes.get(note).cloned() else { return };
        let place = place.start + far..place.end + far;
        match what {
            What::Found(said) => {
                if let Some(pattern) = self.leaks.patterns.get(usize::from(row)) {
                    self.report(row, pattern, place, said);
                }
            }
            What::Grew => self.grow(row, place),
            What::Looked | What::Passed => {}
        }
    }

    /// Writes down what the word has woken here.
    #[inline]
    pub(in super::super) fn remember(&mut self, uses: &[Use], at: usize) {
        if self.again.writes {
            self.write_down(uses, at);
        }
    }

    fn write_down(&mut self, uses: &[Use], at: usize) {
        let again = &mut self.again;
        again.writes = false;
        let word = uses.as_ptr().addr();
        let known = again.known.get_mut(slot(word)).and_then(|known| known.first_mut());
        let Some(known) = known.filter(|known| known.word == word) else { return };
        known.notes.end = again.notes.len();
        let (from, to) = (at.saturating_sub(BEFORE), at + AFTER);
        let notes = again.notes.get(known.notes.clone()).unwrap_or_default();
        let inside = |note: &Note| {
            let reaches = matches!(note.what, What::Found(_) | What::Grew);
            !reaches || (note.place.start > from && note.place.end < to)
        };
        if again.far || !notes.iter().all(inside) {
            *known = Known::default();
        }
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
