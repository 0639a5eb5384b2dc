//! The words of the table: in one pass over a text, where each stands and what it means to which row.
//!
//! Words of ASCII letters make a table of states, which is the fastest and the largest way; the others, which would
//! double its width, make a smaller automaton that runs only over texts with other letters.

use std::{collections::HashMap, iter::Peekable};

use aho_corasick::{AhoCorasick, AhoCorasickKind, FindOverlappingIter, Match, MatchKind};

use super::table::{Row, Tokens};
use crate::{Code, Error, Result};

/// A word's meaning for one row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// The row's regex is tried here.
    Wake(u16),
    /// What follows shortly is what the row looks for.
    Label(u16),
    /// What follows shortly is something else.
    Unless(u16),
}

/// Words with their meanings, by the number that the automaton gives them.
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

    fn compile(self, kind: AhoCorasickKind) -> Result<Automaton> {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&self.words)
            .map_err(|bad| Error::new(Code::Internal).because(bad))?;
        Ok(Automaton { words, uses: self.uses })
    }
}

struct Automaton {
    words: AhoCorasick,
    uses: Vec<Vec<Use>>,
}

impl Automaton {
    fn uses(&self, hit: &Match) -> &[Use] {
        self.uses.get(hit.pattern().as_usize()).map_or(&[], Vec::as_slice)
    }
}

/// All words of the table.
pub(super) struct Words {
    ascii: Automaton,
    others: Automaton,
}

impl Words {
    pub(super) fn build<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<Self> {
        let (mut ascii, mut others) = (Meanings::default(), Meanings::default());
        for (number, row) in (0_u16..).zip(rows) {
            let mut put = |words: &[String], meaning: Use| {
                for word in words {
                    let list = if word.is_ascii() { &mut ascii } else { &mut others };
                    list.put(word.to_ascii_lowercase(), meaning);
                }
            };
            put(&row.keywords, Use::Wake(number));
            put(&row.labels, Use::Label(number));
            put(&row.unless, Use::Unless(number));
        }
        let (ascii, others) =
            (ascii.compile(AhoCorasickKind::DFA)?, others.compile(AhoCorasickKind::ContiguousNFA)?);
        Ok(Self { ascii, others })
    }

    /// All words in a text with their meanings, in the order of their ends.
    pub(super) fn of<'w, 't>(&'w self, text: &'t [u8]) -> Hits<'w, 't> {
        let others = (!text.is_ascii()).then(|| self.others.words.find_overlapping_iter(text).peekable());
        Hits { words: self, ascii: self.ascii.words.find_overlapping_iter(text).peekable(), others }
    }
}

type Stream<'w, 't> = Peekable<FindOverlappingIter<'w, 't>>;

/// Walks over the words of a text.
pub(super) struct Hits<'w, 't> {
    words: &'w Words,
    ascii: Stream<'w, 't>,
    others: Option<Stream<'w, 't>>,
}

impl<'w> Iterator for Hits<'w, '_> {
    type Item = (std::ops::Range<usize>, &'w [Use]);

    fn next(&mut self) -> Option<Self::Item> {
        let words = self.words;
        if let Some(others) = &mut self.others {
            let end = self.ascii.peek().map_or(usize::MAX, Match::end);
            if let Some(hit) = others.next_if(|hit| hit.end() < end) {
                return Some((hit.range(), words.others.uses(&hit)));
            }
        }
        let hit = self.ascii.next()?;
        Some((hit.range(), words.ascii.uses(&hit)))
    }
}

/// A row that words wake, with what it says of them in the shape that is quickest to ask.
pub(super) struct Waking {
    pub(super) row: u16,
    length: (usize, usize),
    /// What may come after the word: one bit for each byte.
    next: [u64; 4],
    /// Whether the text may end after it.
    last: bool,
}

impl Waking {
    pub(super) fn new(row: u16, tokens: &Tokens) -> Self {
        let mut next = [0; 4];
        for byte in (0..=255).filter(|byte| tokens.goes_on(Some(*byte))) {
            if let Some(bits) = next.get_mut(usize::from(byte >> 6)) {
                *bits |= 1 << (byte & 63);
            }
        }
        Self { row, length: tokens.length, next, last: tokens.goes_on(None) }
    }

    pub(super) fn fits(&self, length: usize, next: Option<u8>) -> bool {
        let goes_on =
            |byte: u8| self.next.get(usize::from(byte >> 6)).is_some_and(|bits| bits >> (byte & 63) & 1 == 1);
        (self.length.0..=self.length.1).contains(&length) && next.map_or(self.last, goes_on)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::table, *};

    #[test]
    fn words_in_all_scripts_come_in_the_order_of_their_ends() {
        let rows = table::load().unwrap();
        let words = Words::build(rows.iter().map(|pattern| &pattern.row)).unwrap();
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
