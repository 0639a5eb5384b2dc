//! Differences in grammar: number, possession, lower and upper bounds.

use super::{
    lexicon::{LIGHT, PLURALS, POLITE},
    reading::Reading,
    word::Word,
};

/// Returns whether the texts are equal word by word except that one uses the singular and the other the plural of one
/// noun: `paint the wall`, `paint the walls`. Function words may agree with it: `is`, `are`.
pub(super) fn other_count(a: &Reading, b: &Reading) -> bool {
    // Plurals have no indefinite article.
    let idle = |word: &Word| matches!(word.low.as_str(), "a" | "an") || POLITE.contains(&word.low.as_str());
    let said = |reading: &Reading| -> Vec<Word> {
        reading.words.iter().filter(|word| !idle(word)).cloned().collect()
    };
    let (ours, theirs) = (said(a), said(b));
    if ours.len() != theirs.len() {
        return false;
    }
    let mut found = false;
    for (one, other) in ours.iter().zip(&theirs) {
        let grouped =
            |line: &&str| [one, other].iter().all(|word| line.split(' ').any(|with| with == word.low));
        if one.low == other.low && one.owns == other.owns || LIGHT.iter().any(grouped) {
            continue;
        }
        if one.light() || other.light() || !(many_of(&one.low, &other.low) || many_of(&other.low, &one.low)) {
            return false;
        }
        found = true;
    }
    found
}

/// Returns whether one word is the plural of the other.
fn many_of(many: &str, one: &str) -> bool {
    let regular = ["s", "es"].iter().any(|ending| many.strip_suffix(ending) == Some(one));
    let softened = [("ies", "y"), ("ves", "f"), ("ves", "fe")].iter().any(|(ending, plain)| {
        many.strip_suffix(ending).zip(one.strip_suffix(plain)).is_some_and(|(many, one)| many == one)
    });
    regular || softened || PLURALS.contains(&(one, many))
}

/// Possessor of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner<'a> {
    Speaker,
    Named(&'a str),
}

/// Returns things with their possessors: `my bike`, `Ann's bike`.
fn owned(reading: &Reading) -> Vec<(&str, Owner<'_>)> {
    let words = &reading.words;
    let next = |at: usize| words.get(at + 1).filter(|word| !word.light());
    let owner = |word: &'_ Word| matches!(word.low.as_str(), "my" | "mine" | "our" | "ours");
    let owners = words.iter().enumerate().filter_map(|(at, word)| {
        let whose =
            if word.owns { Owner::Named(&word.stem) } else { owner(word).then_some(Owner::Speaker)? };
        Some((next(at)?.stem.as_str(), whose))
    });
    owners.collect()
}

/// Returns whether the same thing belongs to the speaker in one text and to someone else in the other, and both are
/// named in both.
pub(super) fn other_owner(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs) = (owned(a), owned(b));
    let differ = |(thing, whose): &(&str, Owner<'_>)| {
        let there: Vec<Owner<'_>> =
            theirs.iter().filter(|(with, _)| with == thing).map(|(_, whose)| *whose).collect();
        let known = |whose: &Owner<'_>| match whose {
            Owner::Speaker => true,
            Owner::Named(name) => a.has(name) && b.has(name),
        };
        !there.is_empty() && !there.contains(whose) && known(whose) && there.iter().all(known)
    };
    ours.iter().any(differ)
}

/// Returns whether a number is a lower bound in one text and an upper bound in the other: `at least five`, `five at
/// most`.
pub(super) fn other_bound(a: &Reading, b: &Reading) -> bool {
    matches!((bounds(a), bounds(b)), ((true, false), (false, true)) | ((false, true), (true, false)))
}

/// Returns whether there is a lower bound, and an upper one.
fn bounds(reading: &Reading) -> (bool, bool) {
    let low = |at: usize| reading.words.get(at).map(|word| word.low.as_str()).unwrap_or_default();
    let mut found = (false, false);
    for at in 0..reading.words.len() {
        match (low(at), low(at + 1), low(at + 2)) {
            ("no" | "not", "more" | "higher" | "longer" | "later" | "over" | "above", _)
            | ("at", "most", _)
            | ("up", "to", _)
            | ("or", "less" | "fewer" | "below" | "under" | "lower" | "smaller", _) => found.1 = true,
            ("no" | "not", "less" | "fewer" | "lower" | "earlier" | "below" | "under", _)
            | ("at", "least", _)
            | ("or", "more" | "above" | "over" | "higher" | "larger", _) => found.0 = true,
            _ => {}
        }
    }
    found
}
