//! Finds many ASCII words at once, ignoring letter case, with one step per byte of the text.
//!
//! The automaton of Aho and Corasick (Communications of the ACM 18(6), 1975) with a compressed table. The next state
//! usually depends on the last three bytes only, and these have a table of their own. The remaining transitions, a few
//! for each state, are rows that are placed into the gaps of each other (Tarjan and Yao, Communications of the ACM
//! 22(11), 1979).
//!
//! INVARIANT: a state is the offset of its row in `rows`, and no two rows have the same offset. The entry for a class
//! of bytes is at the offset plus the class. So an entry belongs to the row if it has the class that was looked up.

use std::{collections::HashMap, ops::Range};

use crate::{Code, Error, Result};

/// A word that ends in a state: its number and its length in bytes.
type End = (u32, u32);

/// Flag of a state in which words end.
const ENDS: u32 = 1 << 20;

/// Mask of a state with its flag, inside an entry or a step.
const STATE: u32 = (ENDS << 1) - 1;

/// Bit offset of the byte class in an entry.
const KIND: u32 = 24;

/// Bit offset, in a step, of the row for the new last two bytes.
const LAST: u32 = 21;

/// An entry that belongs to no row: there are fewer classes.
const NONE: u32 = u32::MAX;

/// States of at most this depth are found by the last bytes of the text.
const SHORT: usize = 3;

/// A compiled list of words.
pub(super) struct Automaton {
    /// Class of each byte.
    kinds: [u8; 256],
    /// Binary logarithm of the length of a row of `steps`.
    bits: u32,
    /// Transitions by the last two bytes and the class of the next one: the deepest state of at most three bytes, and
    /// above it the row for the new last two bytes.
    steps: Vec<u32>,
    /// The start state.
    empty: u32,
    /// Transitions to states deeper than three bytes.
    rows: Vec<u32>,
    /// For each state in which words end, its index among those states.
    lists: Vec<u32>,
    /// Offsets in `ends` of the words of each of those states, followed by the total.
    bounds: Vec<u32>,
    /// The words that end in each state, longest first.
    ends: Vec<End>,
}

impl Automaton {
    /// Compiles a list of words in lower case.
    pub(super) fn build(words: &[String]) -> Result<Self> {
        let (kinds, bits) = kinds(words);
        let spelt =
            |word: &String| word.bytes().filter_map(|byte| kinds.get(usize::from(byte)).copied()).collect();
        let mut spelt: Vec<(Vec<u8>, u32)> = words.iter().map(spelt).zip(0..).collect();
        spelt.sort_unstable();
        let mut tree = Tree::default();
        for (kinds, number) in spelt {
            tree.put(&kinds, (number, count(kinds.len())?));
        }
        tree.close();
        let (mut places, rows) = laid(&tree, 1 << bits)?;
        let (mut lists, mut bounds, mut ends) = (vec![0; rows.len()], vec![0], Vec::new());
        for (node, place) in tree.nodes.iter().zip(&mut places).filter(|(node, _)| !node.ends.is_empty()) {
            if let Some(list) = lists.get_mut(*place as usize) {
                *list = count(bounds.len() - 1)?;
            }
            ends.extend_from_slice(&node.ends);
            bounds.push(count(ends.len())?);
            *place |= ENDS;
        }
        let place = |node: usize| places.get(node).copied().unwrap_or_default();
        let rows = rows.into_iter().map(|(kind, next)| match next {
            0 => NONE,
            next => u32::from(kind) << KIND | place(next),
        });
        let rows = rows.collect();
        let steps = tree.steps(1 << bits)?.into_iter().map(|(last, short)| last << LAST | place(short));
        Ok(Self { kinds, bits, steps: steps.collect(), empty: place(0), rows, lists, bounds, ends })
    }

    /// Returns all words in a text, including those inside others, ordered by their ends.
    pub(super) fn find<'w, 't>(&'w self, text: &'t [u8]) -> Found<'w, 't> {
        Found { words: self, text, at: 0, state: self.empty, last: 0, ends: [].iter() }
    }

    /// Returns the state after one more byte, and the row for the last two bytes.
    fn step(&self, (state, last): (u32, u32), byte: u8) -> (u32, u32) {
        let kind = self.kinds.get(usize::from(byte)).copied().unwrap_or_default();
        let step =
            self.steps.get((last as usize) << self.bits | usize::from(kind)).copied().unwrap_or_default();
        let place = (state & !ENDS) as usize + usize::from(kind);
        let entry = self.rows.get(place).copied().unwrap_or(NONE);
        // WHY: in prose every second byte takes the deep transition, so a branch would be mispredicted as often.
        let next = std::hint::select_unpredictable(entry >> KIND == u32::from(kind), entry, step);
        (next & STATE, step >> LAST)
    }

    fn ends(&self, state: u32) -> &[End] {
        let list = self.lists.get((state & !ENDS) as usize).copied().unwrap_or_default() as usize;
        let (Some(from), Some(to)) = (self.bounds.get(list), self.bounds.get(list + 1)) else { return &[] };
        self.ends.get(*from as usize..*to as usize).unwrap_or_default()
    }
}

/// Iterator over the words of a text.
pub(super) struct Found<'w, 't> {
    words: &'w Automaton,
    text: &'t [u8],
    at: usize,
    state: u32,
    last: u32,
    ends: std::slice::Iter<'w, End>,
}

impl Iterator for Found<'_, '_> {
    type Item = (usize, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((number, length)) = self.ends.next() {
                return Some((*number as usize, self.at - *length as usize..self.at));
            }
            let (words, mut now) = (self.words, (self.state, self.last));
            let rest = self.text.get(self.at..)?;
            let length = rest.iter().position(|byte| {
                now = words.step(now, *byte);
                now.0 & ENDS != 0
            })?;
            (self.at, self.state, self.last) = (self.at + length + 1, now.0, now.1);
            self.ends = words.ends(self.state).iter();
        }
    }
}

/// Returns the class of each byte, and the number of bits of a class. Bytes that occur in no word have the last class.
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

/// A node of the tree: a common prefix of some words.
#[derive(Default)]
struct Node {
    /// Its length in bytes.
    depth: usize,
    /// The longest other node that is a suffix of it.
    fallback: usize,
    /// Nodes that are longer by one byte, ordered by its class.
    children: Vec<(u8, usize)>,
    /// Transitions to more than three bytes, its own and those of its fallbacks; ordered by class.
    far: Vec<(u8, usize)>,
    ends: Vec<End>,
}

/// A tree of words; node 0 is the empty prefix.
struct Tree {
    nodes: Vec<Node>,
    /// All nodes, ordered by length.
    order: Vec<usize>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], order: Vec::new() }
    }
}

impl Tree {
    /// Adds a word by the classes of its bytes. Words must be added in order.
    fn put(&mut self, kinds: &[u8], word: End) {
        let mut at = 0;
        for (depth, kind) in (1..).zip(kinds) {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = match node.children.last() {
                Some((last, child)) if last == kind => *child,
                _ => fresh,
            };
            if at == fresh {
                node.children.push((*kind, fresh));
                self.nodes.push(Node { depth, ..Node::default() });
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.ends.push(word);
        }
    }

    fn child(&self, node: usize, kind: u8) -> Option<usize> {
        let children = &self.nodes.get(node)?.children;
        let at = children.binary_search_by_key(&kind, |(known, _)| *known).ok()?;
        children.get(at).map(|(_, child)| *child)
    }

    /// Returns the longest node that is a suffix of a node and one more byte.
    fn next(&self, mut node: usize, kind: u8) -> usize {
        loop {
            match self.child(node, kind) {
                Some(child) => return child,
                None if node == 0 => return 0,
                None => node = self.nodes.get(node).map_or(0, |node| node.fallback),
            }
        }
    }

    /// Computes the fallback of each node, the words that end inside others, and the far transitions.
    fn close(&mut self) {
        let mut done = 0;
        self.order = vec![0];
        while let Some(at) = self.order.get(done).copied() {
            done += 1;
            let Some(node) = self.nodes.get(at) else { break };
            let (depth, fallback, children) = (node.depth, node.fallback, node.children.clone());
            // The fallback is shorter, so it is complete already.
            let back = self.nodes.get(fallback).filter(|_| at != 0);
            let mut far = if depth < SHORT { Vec::new() } else { children.clone() };
            let others = back.map(|back| back.far.as_slice()).unwrap_or_default();
            far.extend(others.iter().filter(|(kind, _)| children.iter().all(|(own, _)| own != kind)));
            far.sort_unstable();
            let shorter = back.map(|back| back.ends.clone()).unwrap_or_default();
            for (kind, child) in children {
                let fallback = if at == 0 { 0 } else { self.next(fallback, kind) };
                if let Some(child) = self.nodes.get_mut(child) {
                    child.fallback = fallback;
                }
                self.order.push(child);
            }
            if let Some(node) = self.nodes.get_mut(at) {
                node.ends.extend(shorter);
                node.far = far;
            }
        }
    }

    /// Returns the transitions from two bytes and a third: the row of the last two, and the node of at most three.
    fn steps(&self, width: usize) -> Result<Vec<(u32, usize)>> {
        let depth = |node: &usize| self.nodes.get(*node).map_or(0, |node| node.depth);
        let pairs = self.order.iter().take_while(|node| depth(node) < SHORT);
        if pairs.clone().count() > 1 << (u32::BITS - LAST) {
            return Err(Error::new(Code::Internal).detail("the table has too many pairs of bytes"));
        }
        let mut numbers = vec![0; self.nodes.len()];
        for (number, node) in (0..).zip(pairs.clone()) {
            if let Some(slot) = numbers.get_mut(*node) {
                *slot = number;
            }
        }
        let number = |node: usize| numbers.get(node).copied().unwrap_or_default();
        let mut steps = Vec::with_capacity(pairs.clone().count() * width);
        for pair in pairs {
            for kind in (0_u8..).take(width) {
                let short = self.next(*pair, kind);
                let is_pair = depth(&short) < SHORT;
                let pair =
                    if is_pair { short } else { self.nodes.get(short).map_or(0, |node| node.fallback) };
                steps.push((number(pair), short));
            }
        }
        Ok(steps)
    }
}

/// For each offset, the class that an entry is for, and the node that it leads to.
type Places = Vec<(u8, usize)>;

/// Places rows into the gaps of others, longest first. Returns the offset of each node's row and the entries.
fn laid(tree: &Tree, width: usize) -> Result<(Vec<u32>, Places)> {
    let mut order: Vec<(&[(u8, usize)], usize)> =
        tree.nodes.iter().enumerate().map(|(number, node)| (node.far.as_slice(), number)).collect();
    order.sort_by_key(|(row, _)| std::cmp::Reverse(row.len()));
    let (mut full, mut begun) = (Bits::default(), Bits::default());
    // Offset 0 stands for no row.
    begun.put(0);
    full.put(0);
    // Last offset of a row with the same classes: there is no free place before it.
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut places, mut rows) = (vec![0; tree.nodes.len()], Vec::new());
    for (row, node) in order {
        let from = last.entry(row.iter().map(|(kind, _)| *kind).collect()).or_default();
        // WHY: rows with one entry are numerous, and fill the gaps farther back.
        let near = if row.len() > 1 { rows.len().saturating_sub(NEAR) } else { 0 };
        let place = (near.max(*from) / 64..)
            .find_map(|word| {
                let taken = row.iter().fold(begun.from(word * 64), |taken, (kind, _)| {
                    taken | full.from(word * 64 + usize::from(*kind))
                });
                (taken != u64::MAX).then(|| word * 64 + taken.trailing_ones() as usize)
            })
            .unwrap_or_default();
        *from = place;
        begun.put(place);
        rows.resize(rows.len().max(place + width), (0, 0));
        for (kind, next) in row {
            full.put(place + usize::from(*kind));
            if let Some(slot) = rows.get_mut(place + usize::from(*kind)) {
                *slot = (*kind, *next);
            }
        }
        if let Some(slot) = places.get_mut(node) {
            *slot = count(place)?;
        }
    }
    if rows.len() > ENDS as usize {
        return Err(Error::new(Code::Internal).detail("the table has too many words"));
    }
    Ok((places, rows))
}

/// Distance from the end over which a free place is searched.
const NEAR: usize = 4096;

/// A set of numbers.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn put(&mut self, number: usize) {
        self.0.resize(self.0.len().max(number / 64 + 1), 0);
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Returns which of the 64 numbers from this one on are in the set.
    fn from(&self, number: usize) -> u64 {
        let word = |at: usize| u128::from(self.0.get(at).copied().unwrap_or_default());
        let both = word(number / 64) | word(number / 64 + 1) << 64;
        u64::try_from(both >> (number % 64) & u128::from(u64::MAX)).unwrap_or(u64::MAX)
    }
}

fn count(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|bad| Error::new(Code::Internal).because(bad))
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
            words in proptest::collection::btree_set("[ab_1]{1,8}", 1..40),
            text in "[abAB_1 é]{0,90}",
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
