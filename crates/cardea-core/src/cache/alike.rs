//! What the word lists say about two words: whether they are interchangeable, or belong to one closed class.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    lexicon::{CLASSES, SYNONYMS},
    relations::{Relation, meanings},
    word::{Word, stem},
};

/// For each word, (class, meaning inside the class) for each class it belongs to.
static CLASS_OF: LazyLock<HashMap<String, Vec<(usize, usize)>>> = LazyLock::new(|| {
    let mut classes: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for (class, line) in CLASSES.iter().enumerate() {
        for (meaning, same) in line.split(' ').enumerate() {
            for word in same.split('=') {
                classes.entry(word.to_owned()).or_default().push((class, meaning));
                let stem = stem(word);
                if stem != word {
                    classes.entry(stem).or_default().push((class, meaning));
                }
            }
        }
    }
    classes
});

/// For each word, the groups of [`SYNONYMS`] it is in.
static SYNONYMS_OF: LazyLock<HashMap<String, Vec<usize>>> = LazyLock::new(|| {
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (group, line) in SYNONYMS.iter().enumerate() {
        line.split(' ').for_each(|word| groups.entry(stem(word)).or_default().push(group));
    }
    groups
});

/// Returns the meanings of a word in its classes: as written, by its stem, or without a comparative ending.
pub(super) fn classes(word: &str) -> impl Iterator<Item = (usize, usize)> {
    let endings =
        [("ier", "y"), ("iest", "y"), ("er", ""), ("er", "e"), ("est", ""), ("est", "e"), ("ly", "")];
    let plain = endings.into_iter().find_map(|(ending, instead)| {
        let base = word.strip_suffix(ending)?.to_owned() + instead;
        CLASS_OF.get(&base).filter(|_| base.len() >= 4)
    });
    let found = CLASS_OF.get(word).or_else(|| CLASS_OF.get(&stem(word))).or(plain);
    found.into_iter().flatten().copied()
}

/// Returns whether the lists treat two words as interchangeable.
pub(super) fn listed_alike(one: &str, other: &str) -> bool {
    let groups = |word: &str| SYNONYMS_OF.get(&stem(word)).map(Vec::as_slice).unwrap_or_default();
    groups(one).iter().any(|group| groups(other).contains(group))
        || classes(one).any(|meaning| classes(other).any(|with| with == meaning))
}

/// Returns whether both are forms of the same word: `pay`, `paid`.
pub(super) fn same_word(one: &Word, other: &Word) -> bool {
    let graph = || meanings(&one.low).relation(&meanings(&other.low)) == Relation::Same;
    one.stem == other.stem || !one.light() && !other.light() && graph()
}
