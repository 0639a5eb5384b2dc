//! Words that differ between two texts, after words with the same meaning have been paired.

use super::{
    alike::listed_alike,
    lexicon::POLITE,
    reading::Reading,
    relations::{Meanings, Relation, meanings},
};

type Lone = (String, Meanings);
/// Limit of words without a partner; beyond it they cannot be set against each other.
const MOST: usize = 24;

/// Returns the content words that the other text lacks.
fn lone(a: &Reading, b: &Reading) -> Vec<Lone> {
    let mut found: Vec<Lone> = Vec::new();
    for word in a.words.iter().filter(|word| !word.light() && word.number.is_none()) {
        let low = word.low.as_str();
        if !b.has(&word.stem) && !POLITE.contains(&low) && found.iter().all(|(before, _)| before != low) {
            found.push((word.low.clone(), meanings(low)));
        }
    }
    found
}

fn relation(one: &Lone, other: &Lone) -> Relation {
    if listed_alike(&one.0, &other.0) { Relation::Same } else { one.1.relation(&other.1) }
}

/// Returns whether a word of one text means the opposite of a word of the other, and neither has a partner with the
/// same meaning.
pub(super) fn opposites(a: &Reading, b: &Reading) -> bool {
    let (ours, theirs) = (lone(a, b), lone(b, a));
    if ours.len().max(theirs.len()) > MOST {
        return false;
    }
    let alone = |one: &Lone, others: &[Lone]| {
        !others.iter().any(|other| matches!(relation(one, other), Relation::Same | Relation::Kin))
    };
    let against = |one: &Lone, other: &Lone| {
        relation(one, other) == Relation::Opposite && alone(one, &theirs) && alone(other, &ours)
    };
    ours.iter().any(|one| theirs.iter().any(|other| against(one, other)))
}
