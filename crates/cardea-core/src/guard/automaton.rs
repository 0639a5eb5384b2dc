//! Finds many words of ASCII at once, letter case ignored: one table of states, one look for each byte.
//!
//! INVARIANT: a row has an entry of two bytes for each kind of byte that occurs in the words. Small and large letters are
//! of one kind, and letters come first, so that what prose touches of a row is one line of the cache.

use std::ops::Range;

use crate::{Code, Error, Result};

/// A word that ends in a state: its number and its length.
type End = (usize, usize);

/// A compiled list of words.
pub(super) struct Automaton {
    /// The kind of each byte.
    kinds: [u8; 256],
    /// A row has two to this power entries.
    bits: u32,
    /// For each state and kind of byte, the next state.
    next: Vec<u16>,
    /// The first of the states in which words end; they stand behind all others.
    first: u16,
    /// For each of those, its words, the longest first.
    ends: Vec<Vec<End>>,
}

impl Automaton {
    /// Compiles words of small letters.
    pub(super) fn build(words: &[String]) -> Result<Self> {
        let (kinds, bits) = kinds(words);
        let mut tree = Tree { bits, next: vec![0; 1 << bits], ends: vec![Vec::new()] };
        for (number, word) in words.iter().enumerate() {
            let kinds = word.bytes().filter_map(|byte| kinds.get(usize::from(byte))).copied();
            tree.put(kinds, (number, word.len()))?;
        }
        let order = tree.close();
        let (plain, last): (Vec<_>, Vec<_>) = order.into_iter().partition(|state| tree.is_plain(*state));
        let mut places = vec![0; tree.ends.len()];
        for (place, state) in (0_u16..).zip(plain.iter().chain(&last)) {
            if let Some(slot) = places.get_mut(*state) {
                *slot = place;
            }
        }
        let place = |state: &u16| places.get(usize::from(*state)).copied().unwrap_or_default();
        let next = plain.iter().chain(&last).flat_map(|state| tree.row(*state)).map(place).collect();
        let ends = last.iter().filter_map(|state| tree.ends.get(*state)).cloned().collect();
        let first = u16::try_from(plain.len()).unwrap_or(u16::MAX);
        Ok(Self { kinds, bits, next, first, ends })
    }

    /// All words in a text, also those inside others, in the order of their ends.
    pub(super) fn find<'w, 't>(&'w self, text: &'t [u8]) -> Found<'w, 't> {
        Found { words: self, text, at: 0, state: 0, ends: [].iter() }
    }

    fn step(&self, state: u16, byte: u8) -> u16 {
        let kind = self.kinds.get(usize::from(byte)).copied().unwrap_or_default();
        self.next.get(usize::from(state) << self.bits | usize::from(kind)).copied().unwrap_or_default()
    }
}

/// Walks over the words of a text.
pub(super) struct Found<'w, 't> {
    words: &'w Automaton,
    text: &'t [u8],
    at: usize,
    state: u16,
    ends: std::slice::Iter<'w, End>,
}

impl Iterator for Found<'_, '_> {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((number, length)) = self.ends.next() {
                return Some((*number, self.at - length..self.at));
            }
            let (words, mut state) = (self.words, self.state);
            let rest = self.text.get(self.at..)?;
            let length = rest.iter().position(|byte| {
                state = words.step(state, *byte);
                state >= words.first
            })?;
            (self.at, self.state) = (self.at + length + 1, state);
            self.ends = words.ends.get(usize::from(state - words.first))?.iter();
        }
    }
}

/// The kind of each byte, and how many bits tell the kinds apart. What occurs in no word is of the last kind.
fn kinds(words: &[String]) -> ([u8; 256], u32) {
    let mut known: Vec<u8> = (b'a'..=b'z').collect();
    for byte in words.iter().flat_map(|word| word.bytes()) {
        if !known.contains(&byte) {
            known.push(byte);
        }
    }
    let kind =
        |byte: u8| known.iter().position(|one| *one == byte.to_ascii_lowercase()).unwrap_or(known.len());
    let mut kinds = [0; 256];
    for (byte, slot) in (0_u8..=255).zip(kinds.iter_mut()) {
        *slot = u8::try_from(kind(byte)).unwrap_or(u8::MAX);
    }
    (kinds, known.len().ilog2() + 1)
}

/// Words that share their beginnings; state 0 is the root, and stands for "none" until the tree is closed.
struct Tree {
    bits: u32,
    next: Vec<u16>,
    ends: Vec<Vec<End>>,
}

impl Tree {
    fn put(&mut self, kinds: impl Iterator<Item = u8>, word: End) -> Result<()> {
        let mut state = 0;
        for kind in kinds {
            let fresh = self.ends.len();
            let Some(slot) = self.next.get_mut(state << self.bits | usize::from(kind)) else { break };
            if *slot == 0 {
                *slot = u16::try_from(fresh).map_err(|bad| Error::new(Code::Internal).because(bad))?;
                self.ends.push(Vec::new());
                self.next.resize((fresh + 1) << self.bits, 0);
                state = fresh;
            } else {
                state = usize::from(*slot);
            }
        }
        if let Some(ends) = self.ends.get_mut(state) {
            ends.push(word);
        }
        Ok(())
    }

    fn row(&self, state: usize) -> &[u16] {
        self.next.get(state << self.bits..(state + 1) << self.bits).unwrap_or_default()
    }

    fn is_plain(&self, state: usize) -> bool {
        self.ends.get(state).is_none_or(Vec::is_empty)
    }

    /// Puts in where a state goes on when no word does, and the words that end inside others. Gives all states, those
    /// first that are reached by the fewest bytes.
    fn close(&mut self) -> Vec<usize> {
        let (mut order, mut fallback, mut done) = (vec![0], vec![0; self.ends.len()], 0);
        while let Some(state) = order.get(done).copied() {
            done += 1;
            let back = fallback.get(state).copied().unwrap_or_default();
            let shorter =
                if state == 0 { Vec::new() } else { self.ends.get(back).cloned().unwrap_or_default() };
            if let Some(ends) = self.ends.get_mut(state) {
                ends.extend(shorter);
            }
            // The fallback is nearer to the root, so its row is closed.
            let others = if state == 0 { vec![0; 1 << self.bits] } else { self.row(back).to_vec() };
            let row = self.next.iter_mut().skip(state << self.bits);
            for (slot, other) in row.zip(others) {
                if *slot == 0 {
                    *slot = other;
                    continue;
                }
                order.push(usize::from(*slot));
                if let Some(back) = fallback.get_mut(usize::from(*slot)) {
                    *back = usize::from(other);
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use aho_corasick::AhoCorasick;
    use proptest::prelude::*;

    use super::*;

    fn found(words: &[String], text: &str) -> Vec<(usize, Range<usize>)> {
        Automaton::build(words).unwrap().find(text.as_bytes()).collect()
    }

    #[test]
    fn words_inside_words_are_found_whatever_their_case() {
        let words = ["he", "she", "hers", "@"].map(str::to_owned);
        assert_eq!(found(&words, "uSHErs@"), [(1, 1..4), (0, 2..4), (2, 2..6), (3, 6..7)]);
        assert!(found(&words, "ß und s h e").is_empty());
        assert!(found(&[], "nothing").is_empty());
    }

    proptest! {
        #[test]
        fn it_finds_what_a_general_automaton_finds(
            words in proptest::collection::btree_set("[ab_1]{1,5}", 1..20),
            text in "[abAB_1 é]{0,60}",
        ) {
            let words: Vec<String> = words.into_iter().collect();
            let general = AhoCorasick::builder().ascii_case_insensitive(true).build(&words).unwrap();
            let mut expected: Vec<_> =
                general.find_overlapping_iter(&text).map(|hit| (hit.pattern().as_usize(), hit.range())).collect();
            expected.sort_by_key(|(_, range)| (range.end, range.start));
            prop_assert_eq!(found(&words, &text), expected);
        }
    }
}
