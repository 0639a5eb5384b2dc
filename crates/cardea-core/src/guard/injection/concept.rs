//! Maps words to concepts: "ignore", "vergiss" and "забудь" all have the concept `drop`.
//!
//! `models/injection/concepts.txt` lists concepts with their words (or prefixes of words, marked with a final `-`) in
//! some twenty languages. Besides letters and words, the classifier weighs concepts and their order. So what it has
//! learned from an instruction in one wording and language applies to others. `models/injection/concepts.py` is the
//! same in Python.

use std::collections::HashMap;

use super::super::normalize::fold;

/// Maximum and minimum length of a prefix, in bytes.
const LONGEST: usize = 32;
const SHORTEST: usize = 3;

/// Number of slots for hashes of the first bytes.
const BEGINS: usize = 4096;

/// Maximum distance between two related concepts, in words.
const NEAR: u32 = 7;

/// Number of preceding concepts that are considered.
const BEFORE: usize = 3;

/// Maximum number of characters of a word in a script without spaces. Further ones are ignored.
const MOST_SIGNS: usize = 256;

/// Start concept for prose: the start of a sentence.
pub(super) const START: u8 = 0;

/// Initial value of the word hash.
pub(super) const SEED: u32 = 0x811C_9DC5;

/// Adds one byte to the word hash.
pub(super) const fn hash(before: u32, byte: u8) -> u32 {
    (before ^ byte as u32).wrapping_mul(0x0100_0193)
}

/// Words with their concepts.
pub(super) struct Lexicon {
    whole: Table,
    heads: Table,
    /// For the hash of their first [`SHORTEST`] bytes, the possible further lengths, as bits. Most words do not begin
    /// like any of them.
    begins: Vec<u32>,
    /// Two characters of a script without spaces, six bytes.
    signs: HashMap<u64, u8>,
}

impl Lexicon {
    /// Parses the list, and normalizes it like texts. A line is the name of a concept and its words; `#` begins a
    /// comment.
    pub(super) fn parse(list: &str) -> Self {
        let folded = fold(list);
        let text = folded.text.as_ref();
        let mut names: Vec<&str> = vec!["start"];
        let (mut whole, mut heads, mut signs) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut begins = vec![0; BEGINS];
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let concept = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            let concept = u8::try_from(concept).unwrap_or_default();
            for word in words {
                let (body, is_head) = word.strip_suffix('-').map_or((word, false), |body| (body, true));
                let bytes = body.as_bytes();
                if let Some(pair) = sign_pair(bytes).filter(|_| !is_head) {
                    signs.entry(pair).or_insert(concept);
                } else if is_head {
                    heads.entry(hash_of(bytes)).or_insert(concept);
                    let first = bytes.get(..SHORTEST).filter(|_| bytes.len() <= LONGEST).map(hash_of);
                    if let Some(more) = first.and_then(|first| begins.get_mut(begin(first))) {
                        *more |= 1 << (bytes.len() - SHORTEST);
                    }
                } else {
                    whole.entry(hash_of(bytes)).or_insert(concept);
                }
            }
        }
        Self { whole: Table::of(&whole), heads: Table::of(&heads), begins, signs }
    }

    /// Returns the concept of the longest prefix of a word.
    fn by_head(&self, word: &[u8]) -> Option<u8> {
        let (first, rest) = word.split_at_checked(SHORTEST)?;
        let (mut now, mut rest, mut found) = (hash_of(first), rest.iter(), None);
        let mut more = *self.begins.get(begin(now))?;
        while more != 0 {
            if more & 1 == 1 {
                found = self.heads.get(now).or(found);
            }
            more >>= 1;
            match rest.next() {
                Some(byte) => now = hash(now, *byte),
                None => break,
            }
        }
        found
    }

    /// For each length of a text's beginning, returns how many bytes are known as a word: all, or those of a prefix.
    pub(super) fn known(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let (mut now, mut head, mut more) = (SEED, 0, 0);
        text.iter().zip(1_usize..).map(move |(byte, length)| {
            now = hash(now, byte.to_ascii_lowercase());
            if length == SHORTEST {
                more = self.begins.get(begin(now)).copied().unwrap_or_default();
            }
            let may = (SHORTEST..=LONGEST).contains(&length) && more >> (length - SHORTEST) & 1 == 1;
            if may && self.heads.get(now).is_some() {
                head = length;
            }
            if self.whole.get(now).is_some() { length } else { head }
        })
    }

    /// Returns the concepts of the characters in a word of a script without spaces.
    fn by_signs(&self, word: &[u8]) -> impl Iterator<Item = u8> {
        let pairs = word.windows(6).filter(|six| matches!(six, [0xe3..=u8::MAX, .., 0x80..=u8::MAX]));
        pairs.filter_map(|six| self.signs.get(&pack(six)).copied()).take(MOST_SIGNS)
    }
}

/// Returns the slot of a hash.
const fn begin(hash: u32) -> usize {
    (hash.wrapping_mul(0x9E37_79B9) >> (u32::BITS - BEGINS.ilog2())) as usize
}

fn hash_of(bytes: &[u8]) -> u32 {
    bytes.iter().fold(SEED, |value, byte| hash(value, if byte.is_ascii_digit() { b'0' } else { *byte }))
}

/// Returns the first six bytes, if the word consists of three-byte characters.
fn sign_pair(bytes: &[u8]) -> Option<u64> {
    let first = bytes.get(..6)?;
    bytes.iter().any(|byte| *byte >= 0xe3).then(|| pack(first))
}

fn pack(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// Hash table with open addressing. Nearly all words are absent, which the first probe shows.
struct Table {
    slots: Vec<(u32, u8)>,
    shift: u32,
}

impl Table {
    fn of(entries: &HashMap<u32, u8>) -> Self {
        let bits = (entries.len().max(2) * 4).next_power_of_two().trailing_zeros();
        let mut table = Self { slots: vec![(0, 0); 1 << bits], shift: 32 - bits };
        for (hash, concept) in entries {
            let mut at = table.place(*hash);
            while let Some(slot) = table.slots.get_mut(at) {
                if slot.0 == 0 {
                    *slot = (*hash, *concept);
                    break;
                }
                at = (at + 1) & ((1 << bits) - 1);
            }
        }
        table
    }

    fn place(&self, hash: u32) -> usize {
        (hash.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    fn get(&self, hash: u32) -> Option<u8> {
        let mut at = self.place(hash);
        loop {
            let (known, concept) = self.slots.get(at)?;
            if *known == hash {
                return Some(*concept);
            }
            if *known == 0 {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}

/// Tracks the concepts of a text, and returns the features of each one.
pub(super) struct Follower<'l> {
    lexicon: &'l Lexicon,
    /// The last concepts with the indexes of their words, newest last.
    last: [Option<(u8, u32)>; BEFORE],
    words: u32,
    /// The start concept of this text.
    start: u8,
}

impl<'l> Follower<'l> {
    /// Starts a text with this start concept.
    pub(super) fn new(lexicon: &'l Lexicon, start: u8) -> Self {
        let last = [None, None, Some((start, 0))];
        Self { lexicon, last, words: 0, start }
    }

    /// Returns the feature of the beginning.
    pub(super) const fn first(&self) -> u64 {
        self.start as u64 + 1
    }

    /// Ends a sentence.
    pub(super) fn stop(&mut self) {
        if self.last[2].is_some_and(|(concept, _)| concept != self.start) {
            self.push(self.start);
        }
    }

    /// Ends a word with this hash. Calls `tell` with each feature.
    pub(super) fn end(&mut self, word: &[u8], hash: u32, mut tell: impl FnMut(u64)) {
        self.words += 1;
        let lexicon = self.lexicon;
        if let Some(concept) = lexicon.whole.get(hash).or_else(|| lexicon.by_head(word)) {
            self.take(concept, &mut tell);
        } else if !word.is_ascii() {
            for concept in lexicon.by_signs(word) {
                self.take(concept, &mut tell);
            }
        }
    }

    fn take(&mut self, concept: u8, tell: &mut impl FnMut(u64)) {
        for slot in &mut self.last {
            *slot = slot.filter(|(_, word)| self.words - word <= NEAR);
        }
        let here = u64::from(concept) + 1;
        let before =
            |at: usize| self.last.get(at).copied().flatten().map(|(concept, _)| u64::from(concept) + 1);
        tell(here);
        for at in (0..BEFORE).rev() {
            if let Some(other) = before(at) {
                tell((if at + 1 == BEFORE { 1 } else { 2 }) << 32 | other << 8 | here);
            }
        }
        if let (Some(other), Some(between)) = (before(1), before(2)) {
            tell(3 << 32 | other << 16 | between << 8 | here);
        }
        self.push(concept);
    }

    fn push(&mut self, concept: u8) {
        self.last.rotate_left(1);
        self.last[2] = Some((concept, self.words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the concepts of a text in a small lexicon, as the features of single concepts.
    fn read(text: &str) -> Vec<u64> {
        let lexicon = Lexicon::parse("# words\ndrop ignor- vergiss 忽略\nrule rules 规则\n");
        let mut follower = Follower::new(&lexicon, START);
        let mut found = Vec::new();
        for word in text.split(' ') {
            follower.end(word.as_bytes(), hash_of(word.as_bytes()), |feature| found.push(feature));
        }
        found.into_iter().filter(|feature| *feature < 256).collect()
    }

    #[test]
    fn a_concept_is_known_by_whole_words_by_beginnings_and_by_signs() {
        assert_eq!(read("vergiss ignoring rules"), [2, 2, 3]);
        assert_eq!(read("vergissmeinnicht rule ignore"), [2]);
        assert_eq!(read("请忽略这些规则"), [2, 3]);
        assert!(read("a walk in the park").is_empty());
    }

    #[test]
    fn concepts_tell_of_those_shortly_before_them() {
        let lexicon = Lexicon::parse("drop ignore\nrule rules\n");
        let mut follower = Follower::new(&lexicon, START);
        let mut pairs = 0;
        for word in ["ignore", "rules"] {
            let value = hash_of(word.as_bytes());
            follower.end(word.as_bytes(), value, |feature| pairs += usize::from(feature >> 32 == 1));
        }
        assert_eq!(pairs, 2, "the start before the first, the first before the second");
        for _ in 0..8 {
            follower.end(b"a", 1, |_| unreachable!());
        }
        follower.end(b"rules", hash_of(b"rules"), |feature| assert_eq!(feature, 3, "nothing near"));
    }
}
