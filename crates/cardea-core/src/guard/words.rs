//! Finds the keywords and labels of the table in one pass over a text.
//!
//! ASCII words are matched by a state table, which is the fastest way. Other words would double its width, so a smaller
//! automaton matches them. It runs only over texts with other letters.

use std::{collections::HashMap, iter::Peekable, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, FindOverlappingIter, Match, MatchKind};

use super::{
    automaton::{Automaton, Found},
    bytes::Bytes,
    injection::{TELLING, Turn},
    normalize::fold,
    table::Pattern,
    tokens::Tokens,
};
use crate::{Code, Error, Result};

/// Meaning of a word for one row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// Keyword: the row's regex is tried here.
    Wake(u16),
    /// Label: the row's value may follow within this many bytes.
    Label(u16, u8),
    /// Second label that the row requires, within this many bytes.
    Beside(u16, u8),
    /// Label after the value.
    Behind(u16),
    /// Opposite of a label: what follows is not a value of the row. The number is the first row with the same list of
    /// such words.
    Unless(u16),
    /// Announces that the letters of the text are rearranged.
    Tells(Turn),
}

impl Use {
    /// Returns whether it applies to whole words only.
    const fn is_of_whole_words(&self) -> bool {
        matches!(self, Self::Label(..) | Self::Beside(..) | Self::Behind(_))
    }
}

/// Words with their meanings, indexed by the automaton's pattern number.
#[derive(Default)]
struct Meanings {
    words: Vec<String>,
    uses: Vec<Vec<Use>>,
    known: HashMap<String, usize>,
}

impl Meanings {
    fn put(&mut self, word: String, meaning: Use) {
        let at = *self.known.entry(word).or_insert_with_key(|word| {
            self.words.push(word.clone());
            self.uses.push(Vec::new());
            self.uses.len() - 1
        });
        if let Some(list) = self.uses.get_mut(at) {
            list.push(meaning);
        }
    }
}

/// Length of the shortest joined word: `nele` is a name, and not the French for "born on".
const SHORTEST_JOINED: usize = 5;

/// Returns words of several parts as field names spell them: `date_of_birth`, `date-of-birth`, `dateOfBirth`.
fn joined(words: &[String]) -> Vec<String> {
    let parts = words.iter().filter(|word| word.is_ascii() && word.contains(' '));
    let mut spelt: Vec<String> =
        parts.flat_map(|word| ["_", "-", ""].map(|joint| word.replace(' ', joint))).collect();
    spelt.retain(|word| word.len() >= SHORTEST_JOINED && !words.contains(word));
    spelt
}

/// The keywords and labels of the table.
pub(super) struct Words {
    ascii: Automaton,
    ascii_uses: Vec<Vec<Use>>,
    /// For each word, whether it has no meaning as a part of another word.
    whole: Vec<bool>,
    others: AhoCorasick,
    others_uses: Vec<Vec<Use>>,
}

impl Words {
    pub(super) fn build(patterns: &[Pattern]) -> Result<Self> {
        let (mut ascii, mut others) = (Meanings::default(), Meanings::default());
        for (number, pattern) in (0_u16..).zip(patterns) {
            let row = &pattern.row;
            let mut put = |words: &[String], meaning: Use| {
                for word in words {
                    // Texts are normalized before the search, so words are, too.
                    let word = fold(word).text.to_ascii_lowercase();
                    let list = if word.is_ascii() { &mut ascii } else { &mut others };
                    list.put(word, meaning);
                }
            };
            put(&row.keywords, Use::Wake(number));
            if row.reads_after() {
                put(&joined(&row.keywords), Use::Wake(number));
            }
            put(&row.labels, Use::Label(number, row.gap));
            put(&joined(&row.labels), Use::Label(number, row.gap));
            put(&row.besides, Use::Beside(number, row.gap));
            put(&joined(&row.besides), Use::Beside(number, row.gap));
            put(&row.behind, Use::Behind(number));
            if pattern.against == number {
                put(&row.unless, Use::Unless(number));
                put(&joined(&row.unless), Use::Unless(number));
            }
        }
        for (turn, words) in TELLING {
            let folded = |word: &&str| fold(word).text.to_ascii_lowercase();
            for word in words.iter().map(folded) {
                let list = if word.is_ascii() { &mut ascii } else { &mut others };
                list.put(word, Use::Tells(turn));
            }
        }
        let smaller = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&others.words)
            .map_err(|bad| Error::new(Code::Internal).because(bad))?;
        let whole = ascii.uses.iter().map(|uses| uses.iter().all(Use::is_of_whole_words));
        Ok(Self {
            ascii: Automaton::build(&ascii.words)?,
            whole: whole.collect(),
            ascii_uses: ascii.uses,
            others: smaller,
            others_uses: others.uses,
        })
    }

    /// Returns the words in a text with their meanings, ordered by their ends. A part of another word is left out if it
    /// has no meaning there.
    pub(super) fn of<'w, 't>(&'w self, text: &'t [u8]) -> Hits<'w, 't> {
        let others = (!text.is_ascii()).then(|| self.others.find_overlapping_iter(text).peekable());
        let ascii = Meant { words: self, text, found: self.ascii.find(text) };
        Hits { words: self, ascii: ascii.peekable(), others }
    }
}

/// Iterator over the words of a text.
pub(super) struct Hits<'w, 't> {
    words: &'w Words,
    ascii: Peekable<Meant<'w, 't>>,
    others: Option<Peekable<FindOverlappingIter<'w, 't>>>,
}

/// The ASCII words that have a meaning at their position.
struct Meant<'w, 't> {
    words: &'w Words,
    text: &'t [u8],
    found: Found<'w, 't>,
}

impl Iterator for Meant<'_, '_> {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let (whole, text) = (&self.words.whole, self.text);
        self.found.find(|(number, range)| {
            whole.get(*number) != Some(&true) || is_word(text, range.start, range.end)
        })
    }
}

impl<'w> Iterator for Hits<'w, '_> {
    type Item = (Range<usize>, &'w [Use]);

    fn next(&mut self) -> Option<Self::Item> {
        let words = self.words;
        let uses = |of: &'w [Vec<Use>], number: usize| of.get(number).map_or(&[][..], Vec::as_slice);
        if let Some(others) = &mut self.others {
            let end = self.ascii.peek().map_or(usize::MAX, |(_, range)| range.end);
            if let Some(hit) = others.next_if(|hit: &Match| hit.end() < end) {
                return Some((hit.range(), uses(&words.others_uses, hit.pattern().as_usize())));
            }
        }
        let (number, range) = self.ascii.next()?;
        Some((range, uses(&words.ascii_uses, number)))
    }
}

/// A run of ASCII letters and digits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) first: u8,
    /// True if it consists of digits only.
    number: bool,
    /// The two bytes after it.
    pub(super) next: Option<u8>,
    then: Option<u8>,
}

/// Returns whether this byte is the letter of an escape `\n`, `\r` or `\t`, as in source code and JSON. It belongs to
/// no word.
pub(super) fn is_escape(bytes: &[u8], at: usize) -> bool {
    let slash = at.checked_sub(1).and_then(|before| bytes.get(before));
    slash == Some(&b'\\') && matches!(bytes.get(at), Some(b'n' | b'r' | b't'))
}

/// Returns whether no letter is adjacent to the range, except one that ends the word before it, as in `clientIp`.
pub(super) fn is_word(bytes: &[u8], start: usize, end: usize) -> bool {
    let letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphabetic);
    (!letter(start.checked_sub(1)) || is_hump(bytes, start) || is_after_escape(bytes, start))
        && !letter(Some(end))
}

/// Returns whether the byte before is the letter of such an escape.
pub(super) fn is_after_escape(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| is_escape(bytes, before))
}

/// Returns whether a capital letter begins a part of a name here. Two small letters must precede it, so `iPhone` is one
/// word.
pub(super) fn is_hump(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(2).and_then(|from| bytes.get(from..at)).unwrap_or_default();
    bytes.get(at).is_some_and(u8::is_ascii_uppercase)
        && before.len() == 2
        && before.iter().all(u8::is_ascii_lowercase)
}

/// Returns whether a byte may be part of a run.
const fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

impl Word {
    /// Returns the next run of ASCII letters and digits that contains a digit or could begin a hardware address.
    /// `place` is the end of the previous run.
    pub(super) fn next(bytes: &[u8], place: &mut usize) -> Option<Self> {
        let from = *place;
        let mut at = from;
        let start = loop {
            at += Self::tells(bytes.get(at..)?)?;
            let before = bytes.get(from..at).unwrap_or_default();
            let letters = before.iter().rev().take_while(|byte| is_part(**byte)).count();
            let letters = letters - usize::from(letters > 0 && is_escape(bytes, at - letters));
            if bytes.get(at).is_some_and(u8::is_ascii_digit) || letters == 2 {
                break at - letters;
            }
            at += 1;
        };
        let word = bytes.get(start..)?;
        let length = word.iter().position(|byte| !is_part(*byte)).unwrap_or(word.len());
        *place = start + length;
        Some(Self {
            start,
            length,
            first: *word.first()?,
            number: word.get(..length)?.iter().all(u8::is_ascii_digit),
            next: word.get(length).copied(),
            then: word.get(length + 1).copied(),
        })
    }

    /// Returns the distance to the next digit, or to a separator of a hardware address.
    fn tells(text: &[u8]) -> Option<usize> {
        // The colon follows the nine in ASCII.
        let tells = |byte: &u8| u8::from((b'0'..=b':').contains(byte)) | u8::from(*byte == b'-');
        // WHY: most words have none, and in this form the compiler compares sixteen bytes at once.
        let (many, _) = text.as_chunks::<16>();
        let without = |many: &&[u8; 16]| many.iter().map(tells).fold(0, |any, one| any | one) == 0;
        let from = many.iter().take_while(without).count() * 16;
        text.get(from..)?.iter().position(|byte| tells(byte) != 0).map(|at| from + at)
    }

    pub(super) const fn end(&self) -> usize {
        self.start + self.length
    }
}

/// Conditions of a row on the word that wakes it, in the form that is fastest to test. Most words wake no row, and a
/// regex that does not run costs nothing.
pub(super) struct Waking {
    first: Bytes,
    length: (usize, usize),
    next: Bytes,
    /// Whether the text may end after the word.
    last: bool,
    then: Bytes,
    number: bool,
}

impl Waking {
    pub(super) fn new(tokens: &Tokens) -> Self {
        Self {
            first: Bytes::of(|byte| tokens.begins(byte)),
            length: tokens.length,
            next: Bytes::of(|byte| tokens.goes_on(Some(byte))),
            last: tokens.goes_on(None),
            then: Bytes::of(|byte| tokens.goes_further(byte)),
            number: tokens.number,
        }
    }

    pub(super) fn begins(&self, byte: u8) -> bool {
        self.first.has(byte)
    }

    pub(super) fn fits(&self, word: &Word) -> bool {
        (self.length.0..=self.length.1).contains(&word.length)
            && (word.number || !self.number)
            && word.next.map_or(self.last, |byte| self.next.has(byte))
            && word.then.is_none_or(|byte| self.then.has(byte))
    }
}

/// A set of rows, as bits.
type Rows = u128;

/// The rows that each word wakes. It combines [`Waking::fits`] of all rows into set operations.
pub(super) struct Wakes {
    /// Rows by bit, in order.
    rows: Vec<u16>,
    first: Vec<Rows>,
    /// Rows by word length; the last entry is for all longer words.
    length: Vec<Rows>,
    next: Vec<Rows>,
    then: Vec<Rows>,
    /// Rows that accept only words without letters, and rows that a text may end with.
    number: Rows,
    last: Rows,
}

/// Words longer than this are not distinguished by length.
pub(super) const LONGEST_TOLD: usize = 32;

impl Wakes {
    /// Builds the sets for these rows, given by number.
    pub(super) fn new(all: &[(u16, Waking)]) -> Result<Self> {
        if all.len() > Rows::BITS as usize {
            return Err(Error::new(Code::Internal).detail("too many rows are woken by words"));
        }
        let of = |fits: &dyn Fn(&Waking) -> bool| {
            let bits = (0_u32..).zip(all).filter(|(_, (_, waking))| fits(waking));
            bits.fold(0, |rows: Rows, (bit, _)| rows | 1 << bit)
        };
        let bytes =
            |has: fn(&Waking) -> &Bytes| (0..=u8::MAX).map(|byte| of(&|one| has(one).has(byte))).collect();
        let lengths = |length: usize| {
            of(&|one| (one.length.0.min(LONGEST_TOLD)..=one.length.1.min(LONGEST_TOLD)).contains(&length))
        };
        Ok(Self {
            rows: all.iter().map(|(row, _)| *row).collect(),
            first: bytes(|one| &one.first),
            length: (0..=LONGEST_TOLD).map(lengths).collect(),
            next: bytes(|one| &one.next),
            then: bytes(|one| &one.then),
            number: of(&|one| one.number),
            last: of(&|one| one.last),
        })
    }

    /// Returns the rows that a word wakes, in order. For words longer than [`LONGEST_TOLD`] the result may
    /// contain too many.
    pub(super) fn of(&self, word: &Word) -> impl Iterator<Item = u16> {
        let at = |table: &[Rows], place: usize| table.get(place).copied().unwrap_or_default();
        let mut rows =
            at(&self.length, word.length.min(LONGEST_TOLD)) & at(&self.first, usize::from(word.first));
        rows &= word.next.map_or(self.last, |byte| at(&self.next, usize::from(byte)));
        rows &= word.then.map_or(Rows::MAX, |byte| at(&self.then, usize::from(byte)));
        rows &= if word.number { Rows::MAX } else { !self.number };
        std::iter::from_fn(move || {
            let row = self.rows.get(rows.trailing_zeros() as usize).filter(|_| rows != 0)?;
            rows &= rows - 1;
            Some(*row)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        strategy::{Strategy, ValueTree},
        string::bytes_regex,
        test_runner::TestRunner,
    };

    use super::{
        super::table::{self, From, Pattern},
        *,
    };

    /// Generates texts from each row's own regex.
    #[test]
    fn what_a_row_says_of_its_words_keeps_no_match_from_its_regex() {
        let (mut runner, mut tried) = (TestRunner::deterministic(), 0);
        for pattern in table::load().unwrap() {
            let Some(tokens) =
                pattern.row.tokens.as_ref().filter(|tokens| {
                    pattern.from == From::Keyword && (tokens.number || !tokens.then.is_empty())
                })
            else {
                continue;
            };
            let anyhow = Tokens { length: (0, usize::MAX), next: String::new(), ..tokens.clone() };
            let (waking, matcher) = (Waking::new(&anyhow), pattern.matcher().unwrap());
            let texts = bytes_regex(&format!("(?-u){}", pattern.written_out().replace(r"\b", ""))).unwrap();
            for _ in 0..200 {
                let text = texts.new_tree(&mut runner).unwrap().current();
                let Some(word) = Word::next(&text, &mut 0).filter(|word| word.start == 0) else { continue };
                if matcher.is_match(&text) && waking.begins(word.first) {
                    assert!(waking.fits(&word), "{} {:?}", pattern.row.id, String::from_utf8_lossy(&text));
                    tried += 1;
                }
            }
        }
        assert!(tried > 5_000, "{tried}");
    }

    #[test]
    fn all_rows_that_a_word_fits_are_woken_at_once() {
        let rows = table::load().unwrap();
        let waking = |pattern: &Pattern| pattern.row.tokens.as_ref().map(Waking::new);
        let all: Vec<_> =
            (0..).zip(&rows).filter_map(|(row, one)| Some((row, waking(one)?))).take(128).collect();
        let (wakes, mut runner) = (Wakes::new(&all).unwrap(), TestRunner::deterministic());
        let texts = bytes_regex("[0-9a-zA-Z]{0,14}[0-9]{1,20}[ -~]{0,2}").unwrap();
        for _ in 0..20_000 {
            let text = texts.new_tree(&mut runner).unwrap().current();
            let Some(word) = Word::next(&text, &mut 0).filter(|word| word.length <= LONGEST_TOLD) else {
                continue;
            };
            let fits = |waking: &Waking| waking.fits(&word) && waking.begins(word.first);
            let each: Vec<u16> = all.iter().filter(|(_, one)| fits(one)).map(|(row, _)| *row).collect();
            assert_eq!(wakes.of(&word).collect::<Vec<_>>(), each, "{:?}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn words_in_all_scripts_come_in_the_order_of_their_ends() {
        let rows = table::load().unwrap();
        let words = Words::build(&rows).unwrap();
        let text = "PASSWORD пароль: password, 密码 and password".as_bytes();
        let hits: Vec<_> = words.of(text).map(|(range, _)| range).collect();
        assert!(hits.is_sorted_by_key(|hit| hit.end));
        let found = |word: &str| {
            hits.iter().filter(|hit| text[(*hit).clone()].eq_ignore_ascii_case(word.as_bytes())).count()
        };
        assert_eq!((found("password"), found("пароль")), (3, 1));
        assert!(words.of(b"").next().is_none());
    }
}
