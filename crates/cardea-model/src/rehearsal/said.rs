//! A message with everything that was found in it, and synonyms for things.

use cardea_core::time::Timestamp;

use super::{
    find::Finder,
    mention::{Kind, Mention},
    words::{Word, stem, words},
};

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    pub(super) words: Vec<Word<'a>>,
    pub(super) mentions: Vec<Mention>,
}

/// Words between a noun and its number: `order id is 17`.
const LINKS: &[&str] = &[
    "id", "ids", "number", "no", "nr", "num", "is", "was", "with", "the", "of", "code", "ref", "s", "for",
    "called", "numbers",
];

/// Words before a number of rows.
const COUNTING: &[&str] = &[
    "top", "first", "last", "latest", "recent", "limit", "max", "maximum", "only", "newest", "oldest",
    "most", "next", "past", "previous",
];

impl<'a> Said<'a> {
    pub(super) fn new(text: &'a str, finder: &Finder, now: Timestamp) -> Self {
        Self { text, words: words(text), mentions: finder.mentions(text, now) }
    }

    /// Returns whether any of these words (lower case) is in the message.
    pub(super) fn has(&self, any: &[&str]) -> bool {
        self.words.iter().any(|word| any.contains(&word.text.to_lowercase().as_str()))
    }

    /// Returns whether this stem is in the message.
    pub(super) fn has_stem(&self, wanted: &str) -> bool {
        self.words.iter().any(|word| word.stem == wanted)
    }

    /// Returns the words before a position, nearest first, lower case.
    fn before(&self, place: usize) -> impl Iterator<Item = String> + '_ {
        let count = self.words.partition_point(|word| word.end <= place);
        self.words.iter().take(count).rev().map(|word| word.text.to_lowercase())
    }

    /// Returns the word just before a position.
    pub(super) fn word_before(&self, place: usize) -> Option<String> {
        self.before(place).next()
    }

    /// Returns the word just after a position.
    pub(super) fn word_after(&self, place: usize) -> Option<&Word<'a>> {
        self.words.get(self.words.partition_point(|word| word.start < place))
    }

    /// Returns the kind of a mention: the known noun before it, across linking words. In `orders 17 and 18` both are
    /// orders.
    pub(super) fn noun_of(&self, mention: &Mention, nouns: &Nouns) -> Option<String> {
        let mut place = mention.start;
        for _ in 0..8 {
            let word = self.before(place).find(|word| !LINKS.contains(&word.as_str()))?;
            if let Some(noun) = nouns.known(&stem(&word)) {
                return Some(noun.to_owned());
            }
            let earlier = self.mentions.iter().rev().find(|other| other.end <= place)?;
            let between = self.text.get(earlier.end..place).unwrap_or_default();
            let joined = between.split([' ', ',']).all(|word| matches!(word, "" | "and" | "or" | "&" | "#"));
            if !joined {
                return None;
            }
            place = earlier.start;
        }
        None
    }

    /// Returns whether the number is a number of rows: `the last 5`, `5 orders`.
    pub(super) fn counts_rows(&self, mention: &Mention, nouns: &Nouns) -> bool {
        let cue = self.word_before(mention.start).is_some_and(|word| COUNTING.contains(&word.as_str()));
        let plural = |word: &Word<'_>| word.text.ends_with('s') && nouns.known(&word.stem).is_some();
        let mut after = self.words.iter().skip(self.words.partition_point(|word| word.start < mention.end));
        let near = |word: &Word<'_>| {
            self.text.get(mention.end..word.start).is_some_and(|gap| !gap.contains([',', '.', ';']))
        };
        // `5 tickets`, `10 newest tickets`
        let plural = after.next().is_some_and(|word| {
            let counting = COUNTING.contains(&word.text.to_lowercase().as_str());
            near(word) && (plural(word) || (counting && after.next().is_some_and(plural)))
        });
        let plain = matches!(mention.kind, Kind::Number { marked: false, .. });
        plain
            && (plural
                || (cue && !self.word_after(mention.end).is_some_and(|word| word.text.ends_with("days"))))
    }

    /// Returns names: capitalised words that are not a mention, not a known noun, and not merely the first of their
    /// sentence.
    pub(super) fn proper_names(&self, nouns: &Nouns) -> Vec<&'a str> {
        let mut names: Vec<(usize, usize)> = Vec::new();
        for word in &self.words {
            let capital =
                word.text.chars().next().is_some_and(char::is_uppercase) && word.text.chars().count() > 1;
            let lead = self.text.get(..word.start).unwrap_or_default().trim_end();
            let first = lead.is_empty() || lead.ends_with(['.', '!', '?', ':', '"', '“', '\n']);
            let mentioned =
                self.mentions.iter().any(|mention| word.start < mention.end && word.end > mention.start);
            let shouted = word.text.chars().all(|c| c.is_uppercase() || c.is_numeric());
            if !capital
                || first
                || mentioned
                || shouted
                || nouns.known(&word.stem).is_some()
                || OFTEN_CAPITAL.contains(&word.text)
            {
                continue;
            }
            match names.last_mut() {
                Some((_, end)) if self.text.get(*end..word.start) == Some(" ") => *end = word.end,
                _ => names.push((word.start, word.end)),
            }
        }
        names.into_iter().filter_map(|(start, end)| self.text.get(start..end)).collect()
    }

    /// Returns whether the message refers to something mentioned before.
    pub(super) fn points_back(&self) -> bool {
        self.has(&[
            "it", "its", "that", "this", "same", "them", "their", "her", "his", "him", "she", "he", "one",
            "again", "also", "these", "those",
        ])
    }
}

impl Said<'_> {
    /// Returns whether the message refers to one thing mentioned before.
    pub(super) fn points_at_one(&self) -> bool {
        self.has(&["it", "its", "that", "this", "same", "her", "his", "him", "she", "he", "their"])
    }

    /// Returns whether it refers to several things, or to one among several.
    pub(super) fn points_at_several(&self) -> bool {
        self.has(&[
            "them", "these", "those", "both", "all", "each", "every", "one", "ones", "first", "second",
            "third", "other", "others", "another", "former", "latter", "previous",
        ])
    }
}

const OFTEN_CAPITAL: &[&str] = &[
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
    "English",
    "OK",
    "Please",
    "Thanks",
];

/// The things that the offered tools are about, and synonyms for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Nouns {
    known: Vec<String>,
    others: Vec<(String, String)>,
}

/// Synonyms for customers, orders and the like.
const SAME: &[&[&str]] = &[
    &["order", "purchase"],
    &["customer", "client", "account", "user", "shopper", "buyer", "member", "contact"],
    &["ticket", "case", "issue", "incident", "request"],
    &["invoice", "bill"],
    &["shipment", "package", "parcel", "delivery"],
    &["product", "item", "article"],
    &["agent", "colleague", "employee", "assignee"],
    &["payment", "transaction", "charge"],
];

impl Nouns {
    /// Builds the nouns of these ids, as stems.
    pub(super) fn new(nouns: impl Iterator<Item = String>) -> Self {
        let mut known: Vec<String> = nouns.collect();
        known.sort_unstable();
        known.dedup();
        let mut others = Vec::new();
        for group in SAME {
            let stems: Vec<String> = group.iter().map(|word| stem(word)).collect();
            let Some(noun) = stems.iter().find(|word| known.contains(word)) else { continue };
            for other in stems.iter().filter(|word| !known.contains(word)) {
                others.push((other.clone(), noun.clone()));
            }
        }
        Self { known, others }
    }

    /// Returns the noun that this stem stands for.
    pub(super) fn known<'n>(&'n self, stem: &'n str) -> Option<&'n str> {
        if self.known.iter().any(|noun| noun == stem) {
            return Some(stem);
        }
        self.others.iter().find(|(other, _)| other == stem).map(|(_, noun)| noun.as_str())
    }
}
