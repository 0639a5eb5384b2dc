//! Relations between two words, from a graph of meanings (`models/relations`).
//!
//! Pure lookups in an embedded table, each below a microsecond. Knows single English words, no phrases; anything else
//! is [`Relation::Unknown`].

use std::{ops::Range, sync::LazyLock};

/// Relation between two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    /// Nothing is known.
    Unknown,
    /// One is a kind of the other, or both are close to one meaning.
    Kin,
    /// They share a meaning.
    Same,
    /// They have opposite meanings.
    Opposite,
}

static BUNDLE: &[u8] = include_bytes!("../../../../models/relations/relations.bin");
const MAGIC: &[u8] = b"CARDEWR1";
/// Size of the header before the word table, and of one entry in it.
const HEAD: usize = 40;
const ROW: usize = 6;

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| Table::open(BUNDLE));

struct Table {
    words: &'static [u8],
    senses: &'static [[u8; 3]],
    parents: &'static [[u8; 3]],
    opposites: &'static [[u8; 6]],
    text: &'static [u8],
    /// The meanings of adjectives.
    adjectives: Range<u32>,
}

/// The usual meanings of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meanings(Vec<u32>);

const fn number(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

impl Table {
    fn open(bytes: &'static [u8]) -> Option<Self> {
        let head = bytes.strip_prefix(MAGIC)?.get(..HEAD - MAGIC.len())?.as_chunks::<4>().0;
        let head: Vec<usize> =
            head.iter().filter_map(|number| usize::try_from(u32::from_le_bytes(*number)).ok()).collect();
        let &[words, senses, meanings, opposites, text, _, adjective, adverb] = head.as_slice() else {
            return None;
        };
        let mut at = HEAD;
        let mut cut = |count: usize, size: usize| {
            let from = at;
            at += count.checked_mul(size)?;
            bytes.get(from..at)
        };
        let part = |begins: usize| u32::try_from(begins).ok();
        Some(Self {
            words: cut(words, ROW)?,
            senses: cut(senses, 3)?.as_chunks::<3>().0,
            parents: cut(meanings, 3)?.as_chunks::<3>().0,
            opposites: cut(opposites, 6)?.as_chunks::<6>().0,
            text: cut(text, 1)?,
            adjectives: part(adjective)?..part(adverb)?,
        })
    }

    fn row(&self, at: usize) -> Option<[u8; ROW]> {
        self.words.as_chunks::<ROW>().0.get(at).copied()
    }

    /// Returns the positions of the text and the meanings of a word.
    fn span(&self, at: usize) -> Option<(Range<usize>, Range<usize>)> {
        let [a, b, c, d, e, f] = self.row(at)?;
        let starts = [number([a, b, c]) as usize, number([d, e, f]) as usize];
        let ends = self.row(at + 1).map_or([self.text.len(), self.senses.len()], |[a, b, c, d, e, f]| {
            [number([a, b, c]) as usize, number([d, e, f]) as usize]
        });
        Some((starts[0]..ends[0], starts[1]..ends[1]))
    }

    fn find(&self, word: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.words.len() / ROW);
        while low < high {
            let middle = low.midpoint(high);
            let here = self.text.get(self.span(middle)?.0)?;
            match here.cmp(word.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    fn parent(&self, meaning: u32) -> u32 {
        self.parents.get(meaning as usize).map_or(meaning, |parent| number(*parent))
    }

    /// Adds to adjectives the meanings that they are close to.
    fn broad(&self, meanings: &[u32]) -> Vec<u32> {
        let near = |meaning: &u32| self.adjectives.contains(meaning).then(|| self.parent(*meaning));
        meanings.iter().copied().chain(meanings.iter().filter_map(near)).collect()
    }

    /// Returns whether the meaning is a kind of one of these, at any distance.
    fn under(&self, mut meaning: u32, roots: &[u32]) -> bool {
        // The longest chain has fewer steps; a damaged table must not cause an endless loop.
        for _ in 0..64 {
            let parent = self.parent(meaning);
            if roots.contains(&meaning) || parent == meaning {
                return roots.contains(&meaning);
            }
            meaning = parent;
        }
        false
    }

    fn against(&self, one: u32, other: u32) -> bool {
        let pair = |pair: &[u8; 6]| {
            let [a, b, c, d, e, f] = *pair;
            (number([a, b, c]), number([d, e, f]))
        };
        self.opposites.binary_search_by(|found| pair(found).cmp(&(one, other))).is_ok()
    }
}

/// Endings of words, and their replacements in the base form.
const ENDINGS: [(&str, &str); 18] = [
    ("s", ""),
    ("es", ""),
    ("ies", "y"),
    ("ves", "f"),
    ("men", "man"),
    ("ed", ""),
    ("ed", "e"),
    ("ied", "y"),
    ("ing", ""),
    ("ing", "e"),
    ("er", ""),
    ("er", "e"),
    ("ier", "y"),
    ("est", ""),
    ("est", "e"),
    ("iest", "y"),
    ("ly", ""),
    ("n't", ""),
];

/// Returns the usual meanings of a word in any of its forms.
pub(super) fn meanings(word: &str) -> Meanings {
    let Some(table) = TABLE.as_ref() else { return Meanings::default() };
    let mut found = Meanings::default();
    let mut take = |form: &str| {
        let Some(at) = table.find(form) else { return };
        let senses = table.span(at).and_then(|(_, senses)| table.senses.get(senses)).unwrap_or_default();
        for sense in senses.iter().map(|sense| number(*sense)) {
            if !found.0.contains(&sense) {
                found.0.push(sense);
            }
        }
    };
    take(word);
    for (ending, plain) in ENDINGS {
        let Some(rest) = word.strip_suffix(ending).filter(|rest| rest.len() > 2) else { continue };
        take(&format!("{rest}{plain}"));
        let mut letters = rest.chars().rev();
        let doubled = plain.is_empty() && ending.len() > 1 && letters.next() == letters.next();
        if doubled && rest.len() > 3 {
            take(rest.get(..rest.len() - 1).unwrap_or_default());
        }
    }
    found
}

/// Meanings of what can act: people, organisations, agents.
static ACTORS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let first = |word: &str| meanings(word).0.first().copied();
    let agents = TABLE.as_ref().zip(first("agent")).map(|(table, agent)| table.parent(agent));
    [first("person"), first("organization"), agents].into_iter().flatten().collect()
});

/// Returns whether the most usual meaning of a word is an actor.
pub(super) fn acts(word: &str) -> bool {
    let known = meanings(word);
    let usual = known.0.iter().take(1);
    TABLE.as_ref().is_some_and(|table| usual.into_iter().any(|meaning| table.under(*meaning, &ACTORS)))
}

impl Meanings {
    /// Returns the relation between two words.
    pub(super) fn relation(&self, other: &Self) -> Relation {
        let Some(table) = TABLE.as_ref().filter(|_| !self.0.is_empty() && !other.0.is_empty()) else {
            return Relation::Unknown;
        };
        let meet = |one: &[u32], other: &[u32]| one.iter().any(|meaning| other.contains(meaning));
        if meet(&self.0, &other.0) {
            return Relation::Same;
        }
        let (ours, theirs) = (table.broad(&self.0), table.broad(&other.0));
        if ours.iter().any(|one| theirs.iter().any(|other| table.against(*one, *other))) {
            return Relation::Opposite;
        }
        let up = |meanings: &[u32]| -> Vec<u32> {
            let parents = meanings.iter().map(|meaning| (*meaning, table.parent(*meaning)));
            parents.filter(|(meaning, parent)| meaning != parent).map(|(_, parent)| parent).collect()
        };
        if meet(&ours, &theirs) || meet(&up(&self.0), &other.0) || meet(&up(&other.0), &self.0) {
            return Relation::Kin;
        }
        Relation::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(one: &str, other: &str) -> Relation {
        let (one, other) = (meanings(one), meanings(other));
        assert_eq!(one.relation(&other), other.relation(&one));
        one.relation(&other)
    }

    #[test]
    fn words_are_known_by_what_they_mean_in_any_form() {
        let known = [
            ("rising", "falls", Relation::Opposite),
            ("uncooked", "cooked", Relation::Opposite),
            ("foreground", "background", Relation::Opposite),
            ("buy", "purchased", Relation::Same),
            ("stopped", "stops", Relation::Same),
            ("oak", "tree", Relation::Kin),
            ("gnat", "theorem", Relation::Unknown),
            ("qwxz", "theorem", Relation::Unknown),
            ("", "", Relation::Unknown),
        ];
        for (one, other, relation) in known {
            assert_eq!(between(one, other), relation, "{one} / {other}");
        }
    }

    #[test]
    fn a_damaged_table_is_not_read_past_its_end() {
        for cut in [0, 7, HEAD, HEAD + 1, BUNDLE.len() - 1] {
            assert!(Table::open(BUNDLE.get(..cut).unwrap_or_default()).is_none(), "{cut}");
        }
        let table = Table::open(BUNDLE).unwrap();
        assert!((0..table.words.len() / ROW).all(|at| {
            let (text, senses) = table.span(at).unwrap();
            table.text.get(text).is_some() && table.senses.get(senses).is_some()
        }));
        let read =
            |pair: &[u8; 6]| (number([pair[0], pair[1], pair[2]]), number([pair[3], pair[4], pair[5]]));
        assert!(table.opposites.iter().map(read).is_sorted());
        assert!(table.parents.iter().all(|parent| (number(*parent) as usize) < table.parents.len()));
    }

    proptest::proptest! {
        #[test]
        fn any_word_has_the_relation_same_or_unknown_to_itself(word in "\\PC{0,12}") {
            let found = between(&word, &word);
            proptest::prop_assert!(matches!(found, Relation::Same | Relation::Unknown));
        }
    }
}
